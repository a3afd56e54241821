import { allowedOf, inheritedEnvironment, type Limits } from './config.ts'
import type { Agent } from './agent.ts'
import { InstarError } from './error.ts'
import { isEnded } from './session.ts'
import type { Instruction, Launch, ResumeRequest, Session, SessionRecord, SpawnRequest } from './types.ts'

export const defaultSize = { cols: 160, rows: 48 }

/** What a request is carried out with. */
export interface Chosen {
  readonly id: string
  readonly agent: string
  readonly backend: string
  readonly model: string | null
  readonly cwd: string
  readonly createdAt: string
}

/** A session that was accepted, and has not begun. Pure. */
export function acceptedSession(request: SpawnRequest, { id, agent, backend, model, cwd, createdAt }: Chosen): Session {
  return {
    id,
    name: request.name,
    status: 'starting',
    agent,
    model,
    backend,
    prompt: request.prompt,
    cwd,
    jobSlug: request.jobSlug ?? null,
    parent: request.parent ?? null,
    labels: request.labels ?? {},
    createdAt,
    startedAt: null,
    endedAt: null,
    exitCode: null,
    signal: null,
    reason: null,
    waiting: null,
    lastError: null,
    evidence: { source: 'backend', rule: 'it was accepted', at: createdAt },
    usage: null,
    attach: null,
  }
}

export interface Surroundings {
  /** The server's own environment, of which sessions see what is allowed. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly allowedEnvironment: readonly string[]
  /** The environment of the place, where that is another machine; see `Backend.environment`. */
  readonly elsewhere: Readonly<Record<string, string>> | null
  /** The conversation to go on with. */
  readonly resume: string | null
  /** See `RuntimeOptions.access`. */
  readonly access: Readonly<Record<string, string>>
}

/** What hooks edit, and an agent plans from. Pure. */
export function launchOf(
  request: SpawnRequest,
  chosen: Chosen,
  agent: Agent,
  { environment, allowedEnvironment, elsewhere, resume, access }: Surroundings,
): Launch {
  const { id, model, cwd } = chosen
  const { name, prompt, args = [], size = defaultSize } = request
  const inherited = elsewhere
    ? { ...elsewhere, ...withoutPaths(allowedOf(environment, agent.inherits, allowedEnvironment)) }
    : inheritedEnvironment(environment, agent.inherits, allowedEnvironment)
  const env = { ...inherited, INSTAR_SESSION: name, ...access, ...request.env, INSTAR_SESSION_ID: id }
  return { id, name, prompt, resume, model, cwd, env, args, size, instructions: [], areInstructionsKnown: false, files: {}, guards: [] }
}

/** A path of this machine means nothing on another. */
const withoutPaths = (env: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(env).filter(([, value]) => !value.startsWith('/')))

export function firstRecord(
  session: Session,
  { args, size, resume }: Launch,
  { options, limits }: Pick<SessionRecord, 'options' | 'limits'>,
): SessionRecord {
  return {
    session,
    handle: null,
    cursor: 0,
    registry: null,
    stopping: null,
    prompts: [],
    conversation: resume === null ? null : { id: resume, transcripts: [] },
    pending: 0,
    trail: [],
    deliveries: [],
    launch: { args, size },
    told: '',
    options,
    hooks: [],
    limits,
  }
}

/** What tells instructions from others. */
export async function digestOf(instructions: readonly Instruction[]): Promise<string> {
  if (instructions.length === 0) return ''
  const bytes = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(JSON.stringify(instructions)))
  return btoa(String.fromCharCode(...new Uint8Array(bytes)))
}

/** The plugin of a name, or the first. */
export function choose<T>(kind: 'agent' | 'backend', plugins: Readonly<Record<string, T>>, name: string | undefined): [string, T] {
  const wanted = name ?? Object.keys(plugins)[0] ?? ''
  const plugin = Object.hasOwn(plugins, wanted) ? plugins[wanted] : undefined
  if (plugin) return [wanted, plugin]
  throw new InstarError(
    'invalid_request',
    `Cannot spawn a session: there is no ${kind} "${wanted}"; there is ${Object.keys(plugins).join(', ')}`,
    { field: kind },
  )
}

/** The request with which an ended run goes on, where the new one says nothing else: in the same place, by the same agent, which keeps its conversations there. */
export function resumedRequest({ session, launch, options, limits }: SessionRecord, request: ResumeRequest): SpawnRequest {
  const { name, agent, backend, model, cwd, jobSlug, labels, parent } = session
  const { args, size } = launch
  const given = Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined))
  for (const [field, known] of Object.entries({ agent, backend, cwd })) {
    if (given[field] === undefined || given[field] === known) continue
    throw new InstarError('invalid_request', `Cannot resume session "${name}": its ${field} is ${known}, and stays so`, { field })
  }
  return {
    prompt: '',
    name,
    agent,
    backend,
    cwd,
    labels,
    model: model ?? undefined,
    jobSlug: jobSlug ?? undefined,
    parent: parent ?? undefined,
    args,
    size,
    limits,
    ...given,
    hooks: { ...options, ...request.hooks },
    resume: session.id,
  }
}

/** The agent's own id of the conversation of an ended run, which no other run goes on with. */
export function conversationOf({ session, conversation }: SessionRecord, all: readonly SessionRecord[]): string {
  const { name } = session
  if (!conversation) throw new InstarError('nothing_to_resume', `Cannot resume session "${name}": its agent has told of no conversation`)
  const live = all.find((other) => other.conversation?.id === conversation.id && !isEnded(other.session.status))?.session
  if (live)
    throw new InstarError(
      'session_live',
      `Cannot resume session "${name}": its conversation goes on in "${live.name}", which is ${live.status}`,
      { id: live.id },
    )
  return conversation.id
}

/** What a session gets from its parent: its labels, and what its own children may still do. */
export interface Inheritance {
  readonly labels: Readonly<Record<string, string>>
  readonly limits: SessionRecord['limits']
}

/** `parent` is null for one that is no session's child. `all` counts a parent's live children. */
export function inheritance(
  request: SpawnRequest,
  parent: SessionRecord | null,
  all: readonly SessionRecord[],
  limits: Limits,
): Inheritance {
  const { name, labels = {} } = request
  const own = {
    depth: Math.min(request.limits?.depth ?? Infinity, limits.maxDepth),
    children: request.limits?.children ?? limits.maxChildren,
  }
  if (!parent) return { labels, limits: { ...own, children: Math.min(own.children, limits.maxChildren) } }
  const { session } = parent
  if (parent.limits.depth <= 0)
    throw new InstarError('too_deep', `Cannot spawn session "${name}": its parent "${session.name}" may have no children`, {
      limit: limits.maxDepth,
    })
  const children = all.filter((each) => each.session.parent === session.id && !isEnded(each.session.status)).length
  if (children >= parent.limits.children)
    throw new InstarError(
      'too_many_children',
      `Cannot spawn session "${name}": its parent "${session.name}" has ${children} live children, and ${parent.limits.children} is the limit`,
      { limit: parent.limits.children, retryAfter: 30 },
    )
  return {
    labels: { ...session.labels, ...labels },
    limits: { depth: Math.min(own.depth, parent.limits.depth - 1), children: Math.min(own.children, parent.limits.children) },
  }
}
