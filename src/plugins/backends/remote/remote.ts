import type { Storage } from 'unstorage'
import type { Backend, Found, Health, Ran, Screen, Sighting, Terminal } from '../../../runtime/backend.ts'
import type { BackendFactory } from '../../../runtime/config.ts'
import { InstarError, stateOf } from '../../../runtime/error.ts'
import { anyDirectory, anyId, silenceMs as silenceDefaultMs, type Facts, type Push } from '../../../runtime/executor.ts'
import type { Handle, Report } from '../../../runtime/types.ts'
import { shellQuote } from '../quote.ts'
import { connect, type Connection } from './connection.ts'
import { createFiles } from './files.ts'
import type { AskOptions, Link } from './link.ts'
import { nameOf, type Named, type RemoteOptions } from './options.ts'
import { probe, type Address } from './request.ts'
import { createSessions } from './sessions.ts'
import { createTunnel } from './tunnel.ts'

export type { RemoteOptions } from './options.ts'

/** How long an executor may take for a start: a launcher on a machine short of memory takes 10 s. */
const startTimeoutMs = 45_000
/** See `RemoteOptions`. */
const patienceDefaultMs = 10_000
/** What an executor may take for an end beyond the grace period: it insists, and waits for the record. */
const stopTimeoutMs = 30_000
/** What is behind an executor may have to be connected first. */
const checkTimeoutMs = 10_000
/** See `RunOptions.timeoutMs`. */
const runTimeoutMs = 30_000
const runMarginMs = 5000
const sendTimeoutMs = 60_000

/**
 * The sessions of another host, whose Instar (`instar executor`) has them. Web-standard APIs only. An executor that
 * cannot be reached is tried again; its sessions go on meanwhile, and what they did is then reported once, in order.
 */
export function remote(options: RemoteOptions): BackendFactory {
  const named = nameOf(options)
  return ({ storage }) => {
    if (!storage) throw new TypeError('remote needs a storage to remember who it is')
    return createRemote(named, storage, options)
  }
}

function createRemote(named: Named, storage: Storage, options: RemoteOptions): Backend {
  const { token, backend = '-', host, silenceMs = silenceDefaultMs, patienceMs = patienceDefaultMs } = options
  const tunnel = 'dial' in options ? createTunnel(token, () => connection?.hurry()) : null
  const send: typeof fetch = tunnel?.fetch ?? options.fetch ?? ((...given) => fetch(...given))
  const address: Address = { ...named, token, backend, fetch: send }
  let connection: Connection | null = null
  let tell: (report: Report) => Promise<void> = async () => {}
  let tellReach: (health: Health) => void = () => {}
  /** Why it was lost, as was told last; null while it is there. */
  let loss: string | null = null
  /** How the place behind the executor is, as it said last; and the link over which that counts, which is open. */
  let behind: Health = { ok: true, detail: address.name }
  let open: Link | null = null
  /** What the executor says of any session. */
  let facts: Facts = { directory: null, project: null }
  /** Of the link that there is. */
  let environment: Promise<Record<string, string>> | null = null
  const sessions = createSessions((report) => tell(report))
  const files = createFiles(link)
  /** Starts whose outcome nobody waits for any more. What they have become is to be ended. */
  const givenUp = new Set<string>()

  function link(): Promise<Link> {
    if (connection) return connection.link()
    return Promise.reject(new InstarError('backend_unavailable', 'Cannot ask the executor: the backend is not open'))
  }

  function reach(health: Health): void {
    const reason = health.ok ? null : health.reason
    if (reason !== loss) tellReach(health)
    loss = reason
  }

  function hear(push: Push, number: number, from: Link): void {
    if (push.type === 'report') sessions.hear(push, number, from)
    else if (push.type === 'hello') behind = { ok: true, detail: address.name }
    else if (push.type === 'open') facts = push.directory === null ? facts : push
    else if (push.type === 'reach') {
      behind = push.health
      if (from === open) reach(behind)
    } else if (push.type === 'tail' || push.type === 'watch') files.hear(push)
  }

  async function prepare(to: Link): Promise<void> {
    environment = null
    open = to
    reach(behind)
    await sessions.takeUp(to)
    await files.takeUp(to)
    for (const id of givenUp) void abandon(id, to)
  }

  async function abandon(id: string, on: Link): Promise<void> {
    const { type } = await on.ask('abandon', { id }, { timeoutMs: startTimeoutMs })
    if (type !== 'value') return
    givenUp.delete(id)
    await storage.removeItem(`given-up:${id}`).catch(() => {})
  }

  async function giveUp(id: string): Promise<void> {
    sessions.drop(id)
    givenUp.add(id)
    await storage.setItem(`given-up:${id}`, true).catch(() => {})
    void link().then(
      (on) => abandon(id, on),
      () => {},
    )
  }

  /** Who this control plane is to executors; and what it still has to end there. */
  async function identify(): Promise<string> {
    for (const key of await storage.getKeys('given-up:')) givenUp.add(key.slice('given-up:'.length))
    const known = await storage.getItem<string>('owner')
    if (known) return known
    const made: string = crypto.randomUUID()
    await storage.setItem('owner', made)
    return made
  }
  let identity: Promise<string> | null = null
  const owner = () =>
    (identity ??= identify().catch((error: unknown) => {
      identity = null
      throw new Error('is not asked: the storage does not tell or keep who this server is to it', { cause: error })
    }))

  const unavailable = (what: string, reason: string): InstarError =>
    new InstarError('backend_unavailable', `Cannot ${what}: ${address.name} ${reason}`)

  /** Asks for a verb that is carried out once or not at all. */
  async function ask<T>(verb: string, body: unknown, options?: AskOptions): Promise<T> {
    const asked = await (await link()).ask<T>(verb, body, options)
    if (asked.type === 'value') return asked.value
    throw asked.type === 'refused' ? asked.error : unavailable(`${verb} on the executor`, asked.reason)
  }

  /** Asks again on the next link when the answer was lost: for verbs that may be carried out twice. */
  async function insist<T>(verb: string, body: unknown, options?: AskOptions): Promise<T> {
    const on = await link()
    const asked = await on.ask<T>(verb, body, options)
    if (asked.type === 'value' && asked.isWhole) return asked.value
    if (asked.type === 'refused') throw asked.error
    if (!on.isGone()) throw unavailable(`${verb} on the executor`, asked.type === 'lost' ? asked.reason : 'was lost')
    return ask(verb, body, options)
  }

  return {
    get maxSessions() {
      return facts.maxSessions
    },
    get cannot() {
      return facts.cannot ?? {}
    },
    directory(id) {
      if (facts.directory !== null) return facts.directory.replaceAll(anyId, id)
      throw new InstarError(
        'backend_unavailable',
        `Cannot start a session: ${connection?.reason() ?? `${address.name} has not said where`}`,
      )
    },
    attach({ attachWith }) {
      if (attachWith === undefined) return null
      const line = String(attachWith)
      // Its word is for its own machine: who follows it elsewhere runs nothing but a tmux, which is not there.
      return host ? `ssh -t ${host} ${shellQuote(line)}` : plainAttach.test(line) ? line : null
    },

    async check() {
      if (!connection) return probe(address)
      try {
        const health = await ask<Health>('check', {}, { timeoutMs: checkTimeoutMs })
        return health.ok ? { ok: true, detail: `${health.detail}, on ${address.name}` } : health
      } catch (error) {
        return { ok: false, reason: connection.reason() ?? stateOf(error) }
      }
    },

    async open(report, reached = () => {}) {
      tell = report
      tellReach = reached
      connection = connect({ address, owner, silenceMs, hear, prepare, onLost: (reason) => reach({ ok: false, reason }) })
      await connection.link().catch(() => {})
    },

    async start(id, name, command, ready) {
      await link() // Where it cannot be asked for, nobody need wait to be told.
      await ready
      const on = await link()
      const begun = sessions.begin(id)
      const asked = await on.ask<Handle>('start', { id, name, command }, { timeoutMs: startTimeoutMs })
      if (asked.type === 'refused') {
        sessions.drop(id)
        throw asked.error
      }
      if (asked.type === 'value') begun.place(asked.value)
      if (asked.type === 'value' && asked.isWhole) return asked.value
      // Whether it runs the next link tells.
      const handle = on.isGone() ? await Promise.race([begun.became, timeout(patienceMs)]) : undefined
      if (handle) return handle
      const reason = asked.type === 'lost' ? asked.reason : 'was lost'
      if (handle === null) throw unavailable(`start session "${name}"`, reason)
      await giveUp(id)
      throw unavailable(`start session "${name}"`, `${reason}; if it was started there, it is ended as soon as that can be asked`)
    },

    async follow(sighting, cursor) {
      const asked = await sessions.follow(sighting, cursor, await link())
      if (asked?.type === 'refused') throw asked.error
      if (asked?.type === 'lost') throw unavailable('follow a session', asked.reason)
    },

    list: () => insist<Sighting[]>('list', {}),
    capture: (handle, lines, { styles = false } = {}) => insist<Screen>('capture', { handle, lines, styles }),
    async send(handle, keystrokes) {
      await ask('send', { handle, keystrokes }, { timeoutMs: sendTimeoutMs })
    },
    async stop(handle, graceMs) {
      await insist('stop', { handle, graceMs }, { timeoutMs: graceMs + stopTimeoutMs })
    },
    async remove(id) {
      await insist('remove', { id })
    },
    answer: (handle, mailbox, text) => ask<boolean>('answer', { handle, mailbox, text }),
    terminals: () => insist<Terminal[]>('terminals', {}),
    read: (directory, names, options) => insist<readonly Found[] | null>('read', { directory, names, ...options }),
    find: (programs, path) => insist<(string | null)[]>('find', { programs, path }),
    project: (id, cwd) => facts.project?.replaceAll(anyId, id).replaceAll(anyDirectory, cwd) ?? cwd,
    environment: () =>
      (environment ??= insist<Record<string, string>>('environment', {}).catch((error: unknown) => {
        environment = null
        throw error
      })),
    run(argv, { input, signal, timeoutMs = runTimeoutMs, ...rest } = {}) {
      const bytes = typeof input === 'string' ? new TextEncoder().encode(input) : input
      // The executor gives up first, and says so.
      const limits = { timeoutMs: timeoutMs + runMarginMs, signal }
      return ask<Ran>('run', { argv, ...rest, timeoutMs, input: bytes !== undefined }, bytes ? { ...limits, input: bytes } : limits)
    },
    tail: (path, cursor, told) => files.tail(path, cursor, told),
    watch: (path, told) => files.watch(path, told),

    ...(tunnel ? { dialled: (request: Request) => tunnel.answer(request) } : {}),
    async close() {
      connection?.close()
      tunnel?.close()
    },
  }
}

const plainAttach = /^(?:[\w@%+=:,./-]*\/)?tmux[\w.-]* -[SL] [\w@%+=:,./-]+ attach -t =[a-z0-9-]+$/

async function timeout(ms: number): Promise<undefined> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}
