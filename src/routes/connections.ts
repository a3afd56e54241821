import type { Backend, Tail } from '../runtime/backend.ts'
import { InstarError } from '../runtime/error.ts'
import { createPushes } from './pushes.ts'
import { anyDirectory, anyId, pingsInSilence, protocol, type Push } from '../runtime/executor.ts'
import type { Handle, Report } from '../runtime/types.ts'

/** A file or a directory; `catchUp` is missing where there is nothing to wait for. */
export type Followed = Pick<Tail, 'close'> & Partial<Pick<Tail, 'catchUp'>>

/** The life of a backend for one control plane; see runtime/executor.ts. */
export interface Connection {
  readonly id: string
  /** Resolves when the backend is open. */
  readonly opened: Promise<Backend>
  /** The pushes as lines of JSON; to cancel it ends the connection. */
  readonly stream: ReadableStream<Uint8Array>
  /** How many pushes there were. */
  pushed(): number
  push(push: Push): void
  /** The same when the control plane has read what there is. Resolves when it is done, or the connection has ended. */
  pushLater(push: Push): Promise<void>
  /** Carries out what a request asks for, once, however often it comes. */
  once<T>(request: string, task: () => Promise<T>): Promise<T>
  /** Starts of sessions are waited for when the connection ends: the next one has to see what became of them. */
  readonly starting: Map<string, Promise<Handle>>
  readonly environment: Readonly<Record<string, string>>
  /** What is read on in, by its id, until `unfollow` or the end; what is opened after that is closed at once. */
  follow(id: string, followed: Followed): void
  followed(id: string): Followed | undefined
  unfollow(id: string): void
  /** The reports with these numbers are safe, or could not be stored. */
  acknowledge(stored: readonly number[], failed: readonly number[]): void
  /** Resolves when the backend is closed. Idempotent. */
  end(push?: Push): Promise<void>
}

export interface Connections {
  /** Ends the connection that the owner has, and begins another. Its stream begins at once. */
  connect(backend: string, owner: string, silenceMs: number): Connection
  /** `backend_unavailable` when it has ended. */
  get(backend: string, owner: string, id: string): Connection
  close(): Promise<void>
}

export interface ConnectionsOptions {
  readonly version: string
  /** A new backend that nobody has opened, with what only this owner sees. */
  readonly make: (backend: string, owner: string) => Backend
  /** That of the executor itself, for backends that have none of their own. */
  readonly environment: Readonly<Record<string, string>>
  readonly log: (message: string, data?: Record<string, unknown>) => void
}

/** How long the answer of a request is kept for one that is sent again. */
const rememberMs = 30_000

export function createConnections({ make, ...rest }: ConnectionsOptions): Connections {
  const all = new Map<string, Connection>()
  let isClosing = false

  return {
    connect(name, owner, silenceMs) {
      if (isClosing) throw new InstarError('backend_unavailable', 'Cannot ask the executor: it is stopping')
      const key = `${owner} ${name}`
      const before = all.get(key)?.end({ type: 'replaced' }) ?? Promise.resolve()
      const connection = createConnection({ ...rest, make: () => make(name, owner), before, silenceMs }, () => {
        if (all.get(key) === connection) all.delete(key)
      })
      all.set(key, connection)
      return connection
    },
    get(name, owner, id) {
      const connection = all.get(`${owner} ${name}`)
      if (connection?.id === id) return connection
      throw new InstarError('backend_unavailable', 'Cannot ask the executor: the connection has ended', { connection: id })
    },
    async close() {
      isClosing = true
      await Promise.all([...all.values()].map((connection) => connection.end()))
    },
  }
}

interface ConnectionOptions extends Omit<ConnectionsOptions, 'make'> {
  readonly make: () => Backend
  /** The end of the connection before. */
  readonly before: Promise<void>
  readonly silenceMs: number
}

function createConnection({ version, environment, make, before, silenceMs, log }: ConnectionOptions, ended: () => void): Connection {
  const id = crypto.randomUUID()
  const waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  const answers = new Map<string, { readonly answer: Promise<unknown>; settledAt: number | null }>()
  const starting: Connection['starting'] = new Map()
  const followed = new Map<string, Followed>()
  let heardAt = Date.now()
  let ending: Promise<void> | null = null
  const { stream, count, push, pushLater, ...pushes } = createPushes({ onOver: () => void end(), log })

  function report(report: Report): Promise<void> {
    // Nobody is there to store it: it is told again to the next connection.
    if (ending) return new Promise(() => {})
    push({ type: 'report', report })
    return new Promise((resolve, reject) => waiting.set(count(), { resolve, reject }))
  }

  function unfollow(id: string): void {
    followed.get(id)?.close()
    followed.delete(id)
  }

  const tick = setInterval(() => {
    if (Date.now() - heardAt > silenceMs) {
      pushes.cut()
      void end()
    } else push({ type: 'ping' })
  }, silenceMs / pingsInSilence)

  async function open(): Promise<Backend> {
    await before
    if (ending) throw new InstarError('backend_unavailable', 'Cannot ask the executor: the connection has ended')
    const backend = make()
    await backend.open(report, (health) => {
      push({ type: 'reach', health })
      if (health.ok) push(openOf(backend))
    })
    push(openOf(backend))
    return backend
  }

  function end(last?: Push): Promise<void> {
    ending ??= (async () => {
      clearInterval(tick)
      pushes.end(last)
      const backend = await opened.catch(() => null)
      await Promise.allSettled(starting.values())
      for (const id of followed.keys()) unfollow(id)
      await backend?.close().catch((error: unknown) => log('a backend does not close', { error: String(error) }))
      ended()
    })()
    return ending
  }

  const opened = open()
  opened.catch((error: unknown) => {
    log('a backend does not open', { error: String(error) })
    void end()
  })
  push({ type: 'hello', protocol, version, connection: id })

  return {
    id,
    opened,
    stream,
    pushed: count,
    push,
    pushLater,
    async once<T>(request: string, task: () => Promise<T>): Promise<T> {
      heardAt = Date.now()
      // The oldest come first.
      for (const [key, { settledAt }] of answers) {
        if (settledAt === null) continue
        if (heardAt - settledAt < rememberMs) break
        answers.delete(key)
      }
      const known = answers.get(request)
      if (known) return known.answer as Promise<T>
      const entry = { answer: task(), settledAt: null as number | null }
      answers.set(request, entry)
      const settled = () => void (entry.settledAt = Date.now())
      entry.answer.then(settled, settled)
      return entry.answer
    },
    starting,
    environment,
    follow(id, opened) {
      unfollow(id)
      if (ending) opened.close()
      else followed.set(id, opened)
    },
    followed: (id) => followed.get(id),
    unfollow,
    acknowledge(stored, failed) {
      heardAt = Date.now()
      for (const number of stored) waiting.get(number)?.resolve()
      for (const number of failed)
        waiting.get(number)?.reject(new InstarError('storage_failed', 'Cannot save the session: its control plane could not'))
      for (const number of [...stored, ...failed]) waiting.delete(number)
    },
    end,
  }
}

function openOf(backend: Backend): Push {
  const said = (say: () => string | undefined) => {
    try {
      return say() ?? null
    } catch {
      // A place that has not been reached yet does not know.
      return null
    }
  }
  const { maxSessions, cannot } = backend
  return {
    type: 'open',
    ...(maxSessions === undefined ? {} : { maxSessions }),
    ...(cannot === undefined ? {} : { cannot }),
    directory: said(() => backend.directory(anyId)),
    project: said(() => backend.project?.(anyId, anyDirectory)),
  }
}
