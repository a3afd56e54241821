import type { Agent, Message, Reply } from './agent.ts'
import { createAvailability, type ListedAgent } from './availability.ts'
import type { Config, Limits } from './config.ts'
import type { Receipt } from './deliveries.ts'
import { InstarError } from './error.ts'
import type { Diff, Finish, Finished, Hook } from './hook.ts'
import { createHooks, type Copy } from './hooks.ts'
import { createInbox, type Input } from './inbox.ts'
import { resumedRequest } from './launch.ts'
import { createUsageLimits } from './limits.ts'
import { createLock } from './lock.ts'
import { isEnded } from './session.ts'
import type { Once } from './once.ts'
import { createSpawner } from './spawn.ts'
import type { Store } from './store.ts'
import { listTerminals, type ListedTerminals } from './terminals.ts'
import { sessionChanges, supervise } from './supervise.ts'
import type { Backend, Health, Screen } from './backend.ts'
import type { OpenPrompt, Prompt, ResumeRequest, Session, SessionRecord, SpawnRequest, Status, Step } from './types.ts'
import type { Wait, Waited } from './wait.ts'

export interface RuntimeOptions {
  readonly backends: Readonly<Record<string, Backend>>
  readonly agents: Readonly<Record<string, Agent>>
  /** See `Config.hooks`. Default none. */
  readonly hooks?: readonly Hook[]
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
  /** What lets a session reach this server, here or from another machine or a container: INSTAR_URL and a token of its own. Default nothing. */
  readonly access?: ((id: string, isHere: boolean) => Promise<Readonly<Record<string, string>>>) | undefined
  readonly newId: () => string
  readonly now?: () => Date
  readonly log?: (message: string, data?: Record<string, unknown>) => void
}

/** A backend by its name in the config: whether it can start sessions now, how many are live in it, how many may be, and what it cannot. */
export type ListedBackend = Health & {
  readonly name: string
  readonly sessions: number
  readonly maxSessions: number
  readonly cannot: NonNullable<Backend['cannot']>
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
  /** What it changed in a working copy of its own. */
  diff(ref: string): Promise<Diff>
  /** Ends the working copy of an ended session. */
  finish(ref: string, how: Finish): Promise<Finished>
  /** Tells a session whenever it has become another, until the returned function is called. `tell` must not throw. */
  changes(tell: (session: Session) => void): () => void
  terminals(): Promise<ListedTerminals>
  health(): Promise<Record<string, Health>>
  /** In the order of the config: the first is the default. */
  backends(): Promise<ListedBackend[]>
  /** The same of agents. */
  agents(): Promise<ListedAgent[]>
  /** What a place that dials in sends to the backend of that name; see `Backend.dialled`. */
  dialled(backend: string, request: Request): Promise<Response>
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
  const hooks = createHooks({ hooks: options.hooks ?? [], backends, directory: options.cwd, environment: options.environment, log })
  const supervisor = await supervise({ backends, agents, store, limits, undo: hooks.undo, now, log })

  const { reach } = supervisor
  const { shown } = reach
  const waited = <T extends Waited>(outcome: T): T => ({ ...outcome, session: shown(outcome.session) })

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

  const spawn = createSpawner({
    ...options,
    allowedEnvironment: options.allowedEnvironment ?? [],
    hooks,
    supervisor,
    usageLimits,
    find,
    now,
  })

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
    const last = store.get(id)!
    const { session } = last
    if (purge) {
      const own = hooks.copyOf(last)
      await own?.copy.remove(own.kept, own.place)
      await backends[session.backend]?.remove(id)
      await store.remove(id)
    }
    return session
  }

  function copyOf(record: SessionRecord, verb: string): Copy {
    const own = hooks.copyOf(record)
    if (own) return own
    throw new InstarError('no_working_copy', `Cannot ${verb} session "${record.session.name}": it has no working copy of its own`)
  }

  async function finish(record: SessionRecord, how: Finish): Promise<Finished> {
    const { hook, copy, kept, place } = copyOf(record, 'finish')
    const { status, name, id } = record.session
    if (!isEnded(status)) throw new InstarError('session_live', `Cannot finish session "${name}": it is ${status}; end it first`, { id })
    return copy.finish(kept, how, {
      place,
      keep: (value) => store.put(rekept(store.get(id)!, hook, value)),
    })
  }

  return {
    once: options.once,
    async spawn(request, id = newId()) {
      const asked = request.resume === undefined ? request : resumedRequest(find(request.resume, 'resume'), request)
      return shown(await byName(asked.name, () => spawn(asked, id)))
    },
    async resume(ref, given) {
      const request = resumedRequest(find(ref, 'resume'), given)
      return shown(await byName(request.name, () => spawn(request, newId())))
    },
    list(only) {
      const sessions = store.all().map(({ session }) => shown(session))
      return only ? sessions.filter(({ status }) => only.includes(status)) : sessions
    },
    get: (ref) => shown(find(ref, 'show').session),
    has: (ref) => (store.get(ref) ?? store.newest(ref)) !== undefined,
    async output(ref, lines) {
      const record = find(ref, 'read')
      const screen = record.handle ? await backendOf(record, 'read').capture(record.handle, lines) : { text: '', truncated: false }
      return { session: shown(record.session), ...screen }
    },
    input: async (ref, input, id = newId()) => inbox.type(find(ref, 'send to'), input, id),
    inputAndWait: async (ref, input, wait, id = newId()) => waited(await inbox.typeAndWait(find(ref, 'send to'), input, id, wait)),
    inputs: (ref) => find(ref, 'read').deliveries.map(({ id, stage, at }) => ({ id, stage, at })),
    prompts: (ref) => find(ref, 'read').prompts.map(withoutDetails),
    answer: async (ref, prompt, reply) => shown(await inbox.answer(find(ref, 'answer'), prompt, reply)),
    messages: async (ref) => supervisor.transcripts.messages(find(ref, 'read')),
    explain(ref) {
      const { session, trail } = find(ref, 'explain')
      const loss = isEnded(session.status) ? null : reach.lost(session.backend)
      return { session: shown(session), trail: loss ? [...trail, { ...loss, event: null, status: session.status }] : trail }
    },
    interrupt: async (ref) => shown(await inbox.interrupt(find(ref, 'interrupt'))),
    wait: async (ref, wait) => waited(await inbox.until(find(ref, 'wait for').session.id, wait)),
    async end(ref, { purge = false } = {}) {
      const { name } = find(ref, 'end').session
      return shown(await byName(name, () => end(find(ref, 'end'), purge)))
    },
    async diff(ref) {
      const { copy, kept, place } = copyOf(find(ref, 'compare'), 'compare')
      return copy.diff(kept, place)
    },
    async finish(ref, how) {
      const { name } = find(ref, 'finish').session
      return byName(name, () => finish(find(ref, 'finish'), how))
    },
    changes: (tell) => sessionChanges(supervisor.changes, (session) => tell(shown(session))),
    terminals: () => listTerminals(backends, (id) => store.get(id) !== undefined),
    async health() {
      return Object.fromEntries(await Promise.all(Object.keys(backends).map(async (name) => [name, await reach.check(name)])))
    },
    backends: () =>
      Promise.all(
        Object.entries(backends).map(async ([name, { maxSessions = limits.maxSessions, cannot = {} }]) => {
          const health = await reach.check(name)
          return { name, ...health, sessions: store.liveCount(name), maxSessions, cannot }
        }),
      ),
    async dialled(name, request) {
      const backend = Object.hasOwn(backends, name) ? backends[name] : undefined
      if (backend?.dialled) return backend.dialled(request)
      throw new InstarError('not_found', 'Cannot answer: there is no such path')
    },
    agents: createAvailability({ ...options, allowedEnvironment: options.allowedEnvironment ?? [], reach, usageLimits }),
    async close() {
      usageLimits.close()
      inbox.close()
      supervisor.close()
      await Promise.all(Object.values(backends).map((backend) => backend.close()))
      await store.flush()
    },
  }
}

/** The record after a hook kept something else than before. */
const rekept = (record: SessionRecord, hook: string, kept: unknown): SessionRecord => ({
  ...record,
  hooks: record.hooks.map((each) => (each.name === hook ? { ...each, kept } : each)),
})

/** A prompt without what is the agent's own. */
const withoutDetails = ({ mailbox: _mailbox, details: _details, ...prompt }: OpenPrompt): Prompt => prompt
