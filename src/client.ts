import { hc } from 'hono/client'
import type { App } from './app.ts'
import { errorFrom, InstarError, type ErrorCode } from './runtime/error.ts'
import type { Receipt } from './runtime/deliveries.ts'
import type { Message, Reply } from './runtime/agent.ts'
import type { Diff, Finish, Finished } from './runtime/hook.ts'
import type { ListedAgent } from './runtime/availability.ts'
import type { Health } from './runtime/backend.ts'
import type { ListedBackend } from './runtime/runtime.ts'
import type { Prompt, ResumeRequest, Session, SpawnRequest, Status } from './runtime/types.ts'

export {
  InstarError,
  type Diff,
  type ErrorCode,
  type Finish,
  type Finished,
  type Health,
  type ListedAgent,
  type ListedBackend,
  type Message,
  type Prompt,
  type Receipt,
  type Reply,
  type ResumeRequest,
  type Session,
  type SpawnRequest,
  type Status,
}

export interface ClientOptions {
  /** Where the server listens, such as `http://127.0.0.1:4040`. */
  readonly url: string
  /** Without one, only `health` answers. */
  readonly token?: string | undefined
  /** Ends every request of this client. */
  readonly signal?: AbortSignal | undefined
  /** Default: the global one. `app.request` serves without a network. */
  readonly fetch?: typeof fetch | undefined
}

export interface Output {
  readonly session: string
  readonly output: string
  /** How many lines `output` has. */
  readonly lines: number
  /** There are more lines above. */
  readonly truncated: boolean
}

/** What a server says of itself; `sessions` and `backends` only to a client with the token. */
export interface ServerHealth {
  readonly status: 'ok'
  readonly version: string
  readonly sessions?: { readonly total: number; readonly live: number }
  readonly backends?: Readonly<Record<string, Health>>
}

/**
 * The verbs of the HTTP API. `ref` is a session's name, meaning its newest run, or its id. Errors are `InstarError`s with
 * the server's own code and message; `backend_unavailable` when the server cannot be reached.
 */
export interface Client {
  spawn(request: SpawnRequest): Promise<Session>
  /** Newest first; all, or those in one of the statuses. */
  list(options?: { status?: readonly Status[] | undefined }): Promise<Session[]>
  get(ref: string): Promise<Session>
  output(ref: string, options?: { lines?: number | undefined }): Promise<Output>
  /** Types a text and Enter; `queue` waits until the agent has nothing to do. With the same key it is typed at most once. */
  input(
    ref: string,
    text: string,
    options?: { mode?: 'steer' | 'queue' | undefined; idempotencyKey?: string | undefined },
  ): Promise<Receipt>
  /** Resolves when the session is in one of the statuses (default: neither `starting` nor `running`), or after `timeout` seconds (default 30). */
  wait(
    ref: string,
    options?: { for?: readonly Status[] | undefined; timeout?: number | undefined },
  ): Promise<Session & { timedOut: boolean }>
  /** Stops what the agent does now, not the session. */
  interrupt(ref: string): Promise<Session>
  /** What the agent asks, oldest first. */
  prompts(ref: string): Promise<Prompt[]>
  /** `choice` is the id of an option; for a question that holds several, one for each. */
  answer(ref: string, prompt: string, reply: Reply): Promise<Session>
  messages(ref: string): Promise<Message[]>
  /** A new run that goes on with the conversation of an ended one. */
  resume(ref: string, request?: ResumeRequest): Promise<Session>
  end(ref: string, options?: { purge?: boolean | undefined }): Promise<Session>
  /** What it changed in a worktree of its own. */
  diff(ref: string): Promise<Diff>
  /** Merges the branch of an ended session into the one it came from and removes its worktree, or leaves both as they are. */
  finish(ref: string, how: Finish): Promise<Finished>
  health(): Promise<ServerHealth>
  /** Where sessions can run; the first is the default. */
  backends(): Promise<ListedBackend[]>
  /** What can run in them; the first is the default. */
  agents(): Promise<ListedAgent[]>
}

/** A client of one server. Web-standard APIs only; nothing is sent before a verb is called. */
export function createClient({ url, token, signal, fetch: send = fetch }: ClientOptions): Client {
  const api = hc<App>(url, {
    ...(token === undefined ? {} : { headers: { Authorization: `Bearer ${token}` } }),
    ...(signal ? { init: { signal } } : {}),
    async fetch(...request: Parameters<typeof fetch>) {
      try {
        return await send(...request)
      } catch (cause) {
        // What fetch throws when there is no connection; an aborted request throws something else.
        if (!(cause instanceof TypeError)) throw cause
        throw new InstarError(
          'backend_unavailable',
          `Cannot reach the server at ${url}: is it running? Start it with: instar server start`,
          { url },
          cause,
        )
      }
    },
  })
  const session = api.sessions[':name']

  /** The value of an answer; what is not an answer of ours is an error too. */
  async function read<T>(response: Promise<Answer>): Promise<T> {
    const answer = await response
    const body = await answer.json().catch(() => null)
    if (answer.ok && body !== null) return body as T
    throw errorFrom(body) ?? new InstarError('internal', `Cannot use the answer of ${url}: it is not Instar's (HTTP ${answer.status})`)
  }

  return {
    spawn: (request) => read(api.sessions.spawn.$post(given({ json: request }))),
    list: ({ status } = {}) => read(api.sessions.$get(given({ query: { status: status?.join(',') } }))),
    get: async (ref) => read(session.$get({ param: { name: segment(ref) } })),
    output: async (ref, { lines } = {}) =>
      read(
        session.output.$get({
          param: { name: segment(ref) },
          ...given({ query: { lines: lines?.toString() }, header: { Accept: 'application/json' } }),
        }),
      ),
    input: async (ref, text, { mode, idempotencyKey } = {}) =>
      read(
        session.input.$post({
          param: { name: segment(ref) },
          ...given({ json: { text, mode }, ...(idempotencyKey === undefined ? {} : { header: { 'Idempotency-Key': idempotencyKey } }) }),
        }),
      ),
    wait: async (ref, { for: statuses, timeout } = {}) =>
      read(
        session.wait.$get({ param: { name: segment(ref) }, ...given({ query: { for: statuses?.join(), timeout: timeout?.toString() } }) }),
      ),
    interrupt: async (ref) => read(session.interrupt.$post({ param: { name: segment(ref) } })),
    prompts: async (ref) => read(session.prompts.$get({ param: { name: segment(ref) } })),
    answer: async (ref, id, reply) =>
      read(session.prompts[':id'].$post({ param: { name: segment(ref), id: segment(id, 'prompt') }, ...given({ json: reply }) })),
    messages: async (ref) => read(session.messages.$get({ param: { name: segment(ref) } })),
    resume: async (ref, request = {}) => read(session.resume.$post({ param: { name: segment(ref) }, ...given({ json: request }) })),
    end: async (ref, { purge } = {}) =>
      read(session.$delete({ param: { name: segment(ref) }, ...given({ query: { purge: purge?.toString() } }) })),
    diff: async (ref) => read(session.diff.$get({ param: { name: segment(ref) } })),
    finish: async (ref, how) => read(session.finish.$post({ param: { name: segment(ref) }, ...given({ json: { how } }) })),
    health: () => read(api.health.$get()),
    backends: () => read(api.backends.$get()),
    agents: () => read(api.agents.$get()),
  }
}

/** The part of a response that is used; a route's own type says less than the contract. */
interface Answer {
  readonly ok: boolean
  readonly status: number
  json(): Promise<unknown>
}

/** What the routes check for themselves, so that their types do not name it. */
const given = (request: { json?: unknown; query?: Record<string, string | undefined>; header?: Record<string, string> }): {} => request

/** A ref as a part of a path: `..` or nothing at all would lead to another route. */
function segment(ref: string, what: 'session' | 'prompt' = 'session'): string {
  if (/^[\w-]+$/.test(ref)) return ref
  throw new InstarError(
    what === 'session' ? 'session_not_found' : 'prompt_closed',
    `Cannot find ${what} "${ref}": no ${what} can have that name or id`,
  )
}
