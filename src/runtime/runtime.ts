import { first } from './bus.ts'
import { inheritedEnvironment, type Limits } from './config.ts'
import { InstarError } from './error.ts'
import { createLock } from './lock.ts'
import { isEnded } from './session.ts'
import type { Store } from './store.ts'
import { supervise } from './supervise.ts'
import type { Agent, Backend, Health, Launch, Screen, Session, SessionRecord, SpawnRequest, Status, Terminal } from './types.ts'

export interface RuntimeOptions {
  readonly backends: Readonly<Record<string, Backend>>
  readonly agents: Readonly<Record<string, Agent>>
  readonly store: Store
  readonly limits: Limits
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

/** How far an input got, on evidence: the terminal has it; the composer took it; the agent began a turn. */
export interface Receipt {
  readonly id: string
  readonly stage: 'typed' | 'submitted' | 'started'
  readonly at: string
}

export interface ListedTerminal extends Terminal {
  /** This server's store has a live session for it. */
  readonly managed: boolean
  readonly backend: string
}

/** The verbs. `ref` is a session's name, meaning its newest run, or its id. Errors are `InstarError`s. */
export interface Runtime {
  spawn(request: SpawnRequest): Promise<Session>
  /** Newest first; all, or those in one of the statuses. */
  list(only?: readonly Status[]): Session[]
  get(ref: string): Session
  output(ref: string, lines: number): Promise<Screen & { session: Session }>
  input(ref: string, text: string): Promise<Receipt>
  end(ref: string, options?: { purge?: boolean }): Promise<Session>
  terminals(): Promise<ListedTerminal[]>
  health(): Promise<Record<string, Health>>
  /** Stops reporting; sessions run on. Resolves when everything known is stored. */
  close(): Promise<void>
}

const defaultSize = { cols: 160, rows: 48 }
/** How long an input waits for a session that is still starting. */
const readyTimeoutMs = 15_000
/** How long an input waits for the composer to say that it took the text, in agents that say so. */
const takenTimeoutMs = 3000

/** Takes over the sessions of an earlier server, and goes on. */
export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { backends, agents, store, limits, newId } = options
  const now = options.now ?? (() => new Date())
  const byName = createLock()
  const byInput = createLock()
  const supervisor = await supervise({ backends, agents, store, limits, now, log: options.log ?? (() => {}) })
  const { changes } = supervisor

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

  async function spawn(request: SpawnRequest): Promise<Session> {
    const { name } = request
    const [agentName, agent] = choose('agent', agents, request.agent)
    const [backendName, backend] = choose('backend', backends, request.backend)
    const known = store.newest(name)
    if (known && !isEnded(known.session.status)) {
      throw new InstarError('name_in_use', `Cannot spawn session "${name}": a session of that name is ${known.session.status}`, {
        id: known.session.id,
      })
    }
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
    const id = newId()
    const createdAt = now().toISOString()
    const cwd = request.cwd ?? options.cwd
    const model = request.model ?? agent.model ?? null
    const session: Session = {
      id,
      name,
      status: 'starting',
      agent: agentName,
      model,
      backend: backendName,
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
    const launch: Launch = {
      id,
      name,
      prompt: request.prompt,
      model,
      cwd,
      env: {
        ...inheritedEnvironment(options.environment, agent.inherits, options.allowedEnvironment),
        INSTAR_SESSION: name,
        ...request.env,
      },
      args: request.args ?? [],
      size: request.size ?? defaultSize,
    }
    const command = agent.plan(launch, backend.directory(id))
    try {
      // Stored before the start: whatever happens now, a restart knows of it.
      await store.put({ session, handle: null, cursor: 0, registry: agent.registry?.directory(command.env) ?? null, stopping: null })
      const handle = await backend.start(id, name, command)
      const record = store.get(id)!
      supervisor.save({
        ...record,
        handle,
        session: { ...record.session, attach: isEnded(record.session.status) ? null : backend.attach(handle) },
      })
      supervisor.expect(id)
      return store.get(id)!.session
    } catch (error) {
      await store.remove(id).catch(() => {})
      throw error
    }
  }

  async function input(record: SessionRecord, text: string): Promise<Receipt> {
    const { id, name } = record.session
    const session = await ready(id)
    if (isEnded(session.status)) throw new InstarError('session_ended', `Cannot send to session "${name}": it is ${session.status}`)
    if (session.status === 'starting') throw new InstarError('session_starting', `Cannot send to session "${name}": it is still starting`)
    if (session.status === 'waiting') {
      throw new InstarError(
        'session_waiting',
        `Cannot send to session "${name}": it waits for a person, who would be answered by this text`,
        {
          waiting: session.waiting,
        },
      )
    }
    const { handle } = store.get(id)!
    const agent = agents[session.agent]
    if (!handle || !agent)
      throw new InstarError('backend_unavailable', `Cannot send to session "${name}": its agent "${session.agent}" is not configured`)
    const took = agent.took
    const taken =
      took &&
      first(
        changes,
        (change) => change.record.session.id === id && (change.signals.some(took) || isEnded(change.record.session.status)),
        takenTimeoutMs,
      )
    await backendOf(record, 'send to').send(handle, agent.type(text))
    const change = await taken
    const stage = took && change?.signals.some(took) ? 'submitted' : 'typed'
    return { id: newId(), stage, at: now().toISOString() }
  }

  /** The session once it is not `starting` any more, or as it is after a while. */
  async function ready(id: string): Promise<Session> {
    const { session } = store.get(id)!
    if (session.status !== 'starting') return session
    await first(changes, ({ record }) => record.session.id === id && record.session.status !== 'starting', readyTimeoutMs)
    return store.get(id)!.session
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
    spawn: (request) => byName(request.name, () => spawn(request)),
    list(only) {
      const sessions = store.all().map(({ session }) => session)
      return only ? sessions.filter(({ status }) => only.includes(status)) : sessions
    },
    get: (ref) => find(ref, 'show').session,
    async output(ref, lines) {
      const record = find(ref, 'read')
      const screen = record.handle ? await backendOf(record, 'read').capture(record.handle, lines) : { text: '', truncated: false }
      return { session: record.session, ...screen }
    },
    async input(ref, text) {
      const record = find(ref, 'send to')
      return byInput(record.session.id, () => input(record, text))
    },
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
      supervisor.close()
      await Promise.all(Object.values(backends).map((backend) => backend.close()))
      await store.flush()
    },
  }
}

/** The plugin of a name, or the first. */
function choose<T>(kind: 'agent' | 'backend', plugins: Readonly<Record<string, T>>, name: string | undefined): [string, T] {
  const wanted = name ?? Object.keys(plugins)[0] ?? ''
  const plugin = Object.hasOwn(plugins, wanted) ? plugins[wanted] : undefined
  if (plugin) return [wanted, plugin]
  throw new InstarError(
    'invalid_request',
    `Cannot spawn a session: there is no ${kind} "${wanted}"; there is ${Object.keys(plugins).join(', ')}`,
    { field: kind },
  )
}
