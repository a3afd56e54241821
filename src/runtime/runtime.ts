import type { Agent, Message, Reply } from './agent.ts'
import type { Config, Limits } from './config.ts'
import type { Receipt } from './deliveries.ts'
import { InstarError } from './error.ts'
import { createInbox, type Input } from './inbox.ts'
import { acceptedSession, choose, conversationOf, firstRecord, launchOf, resumedRequest } from './launch.ts'
import { createUsageLimits } from './limits.ts'
import { createLock } from './lock.ts'
import { isEnded } from './session.ts'
import type { Once } from './once.ts'
import type { Store } from './store.ts'
import { supervise } from './supervise.ts'
import type { Backend, Health, Screen, Terminal } from './backend.ts'
import type { OpenPrompt, Prompt, ResumeRequest, Session, SessionRecord, SpawnRequest, Status, Step } from './types.ts'
import type { Wait, Waited } from './wait.ts'

export interface RuntimeOptions {
  readonly backends: Readonly<Record<string, Backend>>
  readonly agents: Readonly<Record<string, Agent>>
  readonly store: Store
  readonly once: Once
  readonly limits: Limits
  /** See `Config.onLimit`. Default `wait`. */
  readonly onLimit?: Config['onLimit']
  /** Where sessions run when the request does not say. */
  readonly cwd: string
  /** The server's own environment, of which sessions see what is allowed. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Further names that every session may see; see `Config.environment`. */
  readonly allowedEnvironment?: readonly string[]
  readonly newId: () => string
  readonly now?: () => Date
  readonly log?: (message: string, data?: Record<string, unknown>) => void
}

export interface ListedTerminal extends Terminal {
  /** This server's store has a live session for it. */
  readonly managed: boolean
  readonly backend: string
}

/** The verbs. `ref` is a session's name, meaning its newest run, or its id. Errors are `InstarError`s. */
export interface Runtime {
  /** What makes a verb happen at most once. */
  readonly once: Once
  /** `id` is the session's; a new one when it is left out. */
  spawn(request: SpawnRequest, id?: string): Promise<Session>
  /** A new run that goes on with the conversation of an ended one; what `request` does not say is as it was there, but for the environment. */
  resume(ref: string, request: ResumeRequest): Promise<Session>
  /** Newest first; all, or those in one of the statuses. */
  list(only?: readonly Status[]): Session[]
  get(ref: string): Session
  has(ref: string): boolean
  output(ref: string, lines: number): Promise<Screen & { session: Session }>
  /** `id` is the receipt's; a new one when it is left out. */
  input(ref: string, input: Input, id?: string): Promise<Receipt>
  inputAndWait(ref: string, input: Input, wait: Wait, id?: string): Promise<Waited & { receipt: Receipt }>
  /** What was sent last and how far each got, oldest first. */
  inputs(ref: string): Receipt[]
  /** What it asks, oldest first. */
  prompts(ref: string): Prompt[]
  answer(ref: string, prompt: string, reply: Reply): Promise<Session>
  /** The conversation so far; empty when nothing has been said, or the agent keeps no record that can be read. */
  messages(ref: string): Promise<Message[]>
  /** The status, and the observations that led to it, oldest first. */
  explain(ref: string): { session: Session; trail: readonly Step[] }
  interrupt(ref: string): Promise<Session>
  wait(ref: string, wait: Wait): Promise<Waited>
  end(ref: string, options?: { purge?: boolean }): Promise<Session>
  terminals(): Promise<ListedTerminal[]>
  health(): Promise<Record<string, Health>>
  /** Stops reporting; sessions run on. Resolves when everything known is stored. */
  close(): Promise<void>
}

/** How long an agent may take to leave the dialog in which it asks about a limit. */
const goOnTimeoutMs = 5000

/** Takes over the sessions of an earlier server, and goes on. */
export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { backends, agents, store, limits, newId } = options
  const now = options.now ?? (() => new Date())
  const byName = createLock()
  const log = options.log ?? (() => {})
  const supervisor = await supervise({ backends, agents, store, limits, now, log })

  // ---- the verbs -----------------------------------------------------------------------------------------------------

  function find(ref: string, verb: string): SessionRecord {
    const record = store.get(ref) ?? store.newest(ref)
    if (record) return record
    throw new InstarError('session_not_found', `Cannot ${verb} session "${ref}": no session has that name or id`)
  }

  function backendOf({ session }: SessionRecord, verb: string): Backend {
    const backend = backends[session.backend]
    if (backend) return backend
    throw new InstarError(
      'backend_unavailable',
      `Cannot ${verb} session "${session.name}": its backend "${session.backend}" is not configured`,
    )
  }

  const inbox = createInbox({ store, agents, backendOf, supervisor, now, log })
  const usageLimits = createUsageLimits({
    store,
    supervisor,
    resumes: options.onLimit === 'resume',
    now,
    log,
    async goOn(record, isLimited) {
      // Some agents ask in a dialog what to do about a limit.
      if (record.session.lastError === null) {
        await inbox.interrupt(record)
        await inbox.until(record.session.id, { for: ['idle'], timeoutMs: goOnTimeoutMs })
      }
      const isOvertaken = () => {
        const isFree = isLimited() || store.get(record.session.id)?.session.status === 'idle'
        if (!isFree) throw new InstarError('session_live', `Cannot go on with session "${record.session.name}": somebody else has`)
      }
      return inbox.type(record, { text: 'continue' }, newId(), isOvertaken)
    },
  })

  async function spawn(request: SpawnRequest, id: string): Promise<Session> {
    const { name } = request
    const [agentName, agent] = choose('agent', agents, request.agent)
    const [backendName, backend] = choose('backend', backends, request.backend)
    const resume = request.resume === undefined ? null : conversationOf(find(request.resume, 'resume'), store.all())
    const known = store.newest(name)
    if (known && !isEnded(known.session.status)) {
      throw new InstarError('name_in_use', `Cannot spawn session "${name}": a session of that name is ${known.session.status}`, {
        id: known.session.id,
      })
    }
    usageLimits.refuse(agentName, name)
    const liveCount = store.liveCount()
    if (liveCount >= limits.maxSessions) {
      throw new InstarError(
        'too_many_sessions',
        `Cannot spawn session "${name}": ${liveCount} sessions are live, and ${limits.maxSessions} is the limit`,
        {
          limit: limits.maxSessions,
          retryAfter: 30,
        },
      )
    }
    const chosen = {
      id,
      agent: agentName,
      backend: backendName,
      model: request.model ?? agent.model ?? null,
      cwd: request.cwd ?? options.cwd,
      createdAt: now().toISOString(),
    }
    const session = acceptedSession(request, chosen)
    const { environment, allowedEnvironment = [] } = options
    const launch = launchOf(request, chosen, agent, { environment, allowedEnvironment, resume })
    const command = agent.plan(launch, backend.directory(id))
    try {
      // Stored before the program starts: whatever happens then, a restart knows of it.
      const stored = store.put(firstRecord(session, launch, agent.registry?.directory(command.env) ?? null))
      const handle = await backend.start(id, name, command, stored)
      const record = store.get(id)!
      supervisor.save({
        ...record,
        handle,
        session: { ...record.session, attach: isEnded(record.session.status) ? null : backend.attach(handle) },
      })
      supervisor.dialogs.expect(id)
      return store.get(id)!.session
    } catch (error) {
      await store.remove(id).catch(() => {})
      throw error
    }
  }

  async function end(record: SessionRecord, purge: boolean): Promise<Session> {
    const { id, name } = record.session
    if (!isEnded(record.session.status)) {
      const stopping = { ...store.get(id)!, stopping: 'ended on request' }
      await store.put(stopping)
      if (stopping.handle) await backendOf(record, 'end').stop(stopping.handle, limits.graceMs)
      const after = store.get(id)!
      if (!isEnded(after.session.status)) {
        if (stopping.handle) throw new InstarError('backend_failed', `Cannot end session "${name}": its program does not go away`)
        supervisor.fail(after, 'ended on request')
      }
    }
    const { session } = store.get(id)!
    if (purge) {
      await backends[session.backend]?.remove(id)
      await store.remove(id)
    }
    return session
  }

  return {
    once: options.once,
    async spawn(request, id = newId()) {
      const asked = request.resume === undefined ? request : resumedRequest(find(request.resume, 'resume'), request)
      return byName(asked.name, () => spawn(asked, id))
    },
    async resume(ref, given) {
      const request = resumedRequest(find(ref, 'resume'), given)
      return byName(request.name, () => spawn(request, newId()))
    },
    list(only) {
      const sessions = store.all().map(({ session }) => session)
      return only ? sessions.filter(({ status }) => only.includes(status)) : sessions
    },
    get: (ref) => find(ref, 'show').session,
    has: (ref) => (store.get(ref) ?? store.newest(ref)) !== undefined,
    async output(ref, lines) {
      const record = find(ref, 'read')
      const screen = record.handle ? await backendOf(record, 'read').capture(record.handle, lines) : { text: '', truncated: false }
      return { session: record.session, ...screen }
    },
    input: async (ref, input, id = newId()) => inbox.type(find(ref, 'send to'), input, id),
    inputAndWait: async (ref, input, wait, id = newId()) => inbox.typeAndWait(find(ref, 'send to'), input, id, wait),
    inputs: (ref) => find(ref, 'read').deliveries.map(({ id, stage, at }) => ({ id, stage, at })),
    prompts: (ref) => find(ref, 'read').prompts.map(shown),
    answer: async (ref, prompt, reply) => inbox.answer(find(ref, 'answer'), prompt, reply),
    messages: async (ref) => supervisor.transcripts.messages(find(ref, 'read')),
    explain(ref) {
      const { session, trail } = find(ref, 'explain')
      return { session, trail }
    },
    interrupt: async (ref) => inbox.interrupt(find(ref, 'interrupt')),
    wait: async (ref, wait) => inbox.until(find(ref, 'wait for').session.id, wait),
    async end(ref, { purge = false } = {}) {
      const { name } = find(ref, 'end').session
      return byName(name, () => end(find(ref, 'end'), purge))
    },
    async terminals() {
      const lists = await Promise.all(
        Object.entries(backends).map(async ([name, backend]) =>
          ((await backend.terminals?.()) ?? []).map((terminal) => ({
            ...terminal,
            managed: terminal.id !== null && store.get(terminal.id) !== undefined,
            backend: name,
          })),
        ),
      )
      return lists.flat()
    },
    async health() {
      return Object.fromEntries(await Promise.all(Object.entries(backends).map(async ([name, backend]) => [name, await backend.check()])))
    },
    async close() {
      usageLimits.close()
      inbox.close()
      supervisor.close()
      await Promise.all(Object.values(backends).map((backend) => backend.close()))
      await store.flush()
    },
  }
}

/** A prompt without what is the agent's own. */
const shown = ({ mailbox: _mailbox, details: _details, ...prompt }: OpenPrompt): Prompt => prompt
