import { inheritedEnvironment } from './config.ts'
import type { Agent } from './agent.ts'
import { InstarError } from './error.ts'
import { isEnded } from './session.ts'
import type { Launch, ResumeRequest, Session, SessionRecord, SpawnRequest } from './types.ts'

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
  /** The conversation to go on with. */
  readonly resume: string | null
}

/** What an agent plans from. Pure. */
export function launchOf(
  request: SpawnRequest,
  chosen: Chosen,
  agent: Agent,
  { environment, allowedEnvironment, resume }: Surroundings,
): Launch {
  const { id, model, cwd } = chosen
  const { name, prompt, args = [], size = defaultSize } = request
  const env = {
    ...inheritedEnvironment(environment, agent.inherits, allowedEnvironment),
    INSTAR_SESSION: name,
    ...request.env,
    INSTAR_SESSION_ID: id,
  }
  return { id, name, prompt, resume, model, cwd, env, args, size }
}

export function firstRecord(session: Session, { args, size, resume }: Launch, registry: string | null): SessionRecord {
  return {
    session,
    handle: null,
    cursor: 0,
    registry,
    stopping: null,
    prompts: [],
    conversation: resume === null ? null : { id: resume, transcripts: [] },
    pending: 0,
    trail: [],
    deliveries: [],
    launch: { args, size },
  }
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
export function resumedRequest({ session, launch }: SessionRecord, request: ResumeRequest): SpawnRequest {
  const { name, agent, backend, model, cwd, jobSlug, labels, parent } = session
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
    args: launch.args,
    size: launch.size,
    ...given,
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
