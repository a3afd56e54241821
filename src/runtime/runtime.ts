import { inheritedEnvironment, type Limits } from './config.ts'
import { InstarError } from './error.ts'
import { createInbox, type Input, type Receipt, type Wait, type Waited } from './inbox.ts'
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
  input(ref: string, input: Input): Promise<Receipt>
  inputAndWait(ref: string, input: Input, wait: Wait): Promise<Waited & { receipt: Receipt }>
  interrupt(ref: string): Promise<Session>
  wait(ref: string, wait: Wait): Promise<Waited>
  end(ref: string, options?: { purge?: boolean }): Promise<Session>
  terminals(): Promise<ListedTerminal[]>
  health(): Promise<Record<string, Health>>
  /** Stops reporting; sessions run on. Resolves when everything known is stored. */
  close(): Promise<void>
}

const defaultSize = { cols: 160, rows: 48 }

/** Takes over the sessions of an earlier server, and goes on. */
export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { backends, agents, store, limits, newId } = options
  const now = options.now ?? (() => new Date())
  const byName = createLock()
  const supervisor = await supervise({ backends, agents, store, limits, now, log: options.log ?? (() => {}) })

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

  const inbox = createInbox({ store, agents, backendOf, changes: supervisor.changes, newId, now })

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
      // Stored before the program starts: whatever happens then, a restart knows of it.
      const registry = agent.registry?.directory(command.env) ?? null
      const stored = store.put({ session, handle: null, cursor: 0, registry, stopping: null })
      const handle = await backend.start(id, name, command, stored)
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
    input: async (ref, input) => inbox.type(find(ref, 'send to'), input),
    inputAndWait: async (ref, input, wait) => inbox.typeAndWait(find(ref, 'send to'), input, wait),
    interrupt: async (ref) => inbox.interrupt(find(ref, 'interrupt')),
    wait: async (ref, wait) => inbox.wait(find(ref, 'wait for').session.id, wait),
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
