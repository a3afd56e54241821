import { Hono } from 'hono'
import { requestId } from 'hono/request-id'
import { authenticated, bearer, sameSite } from './routes/access.ts'
import { answering, answerErrors, type Log } from './routes/answer.ts'
import { createFunctions, functionRoutes } from './routes/functions.ts'
import { pluginRoutes } from './routes/plugins.ts'
import { sessionRoutes } from './routes/sessions.ts'
import type { LazyPlugin, Plugin } from './runtime/plugin.ts'
import type { Runtime } from './runtime/runtime.ts'
import { InstarError } from './runtime/error.ts'
import { scopedRuntime } from './runtime/scope.ts'
import type { SessionTokens } from './runtime/session-token.ts'

export interface AppOptions {
  readonly token: string
  readonly version: string
  /** Tells sessions by their tokens, which let them spawn and direct their own children. Without it only `token` is known. */
  readonly sessionTokens?: SessionTokens
  /** The names of hooks whose options are a person's to set. */
  readonly protective?: readonly string[]
  /** See `Bounds`. Default: all are. */
  readonly isConfined?: (backend: string) => boolean
  readonly allowedHosts?: readonly string[]
  /** Those that answer requests. */
  readonly plugins?: readonly (Plugin | LazyPlugin)[]
  /** Told of what went wrong inside; never of a client's mistakes. */
  readonly log?: Log
}

/** The whole HTTP API as a value with `.fetch`. It never listens, and uses Web-standard APIs only. */
export function createApp(
  runtime: Runtime,
  { token, version, sessionTokens, protective = [], isConfined = () => true, allowedHosts = [], plugins = [], log = () => {} }: AppOptions,
) {
  if (token.length < 16) throw new RangeError('the token must have at least 16 characters')

  const functions = createFunctions(plugins, log)

  /** The part of the app that a live session may use; null for what is no such session's token. */
  async function sessionApp(given: string): Promise<Pick<Hono, 'fetch'> | null> {
    const id = (await sessionTokens?.idIn(given)) ?? null
    if (id === null || !runtime.has(id) || runtime.get(id).endedAt !== null) return null
    const scoped = scopedRuntime(runtime, id, { protective, isConfined })
    const own = new Hono().route('/sessions', sessionRoutes(scoped)).route('/plugins', functionRoutes(scoped, functions, log))
    own.onError(answering(log))
    own.notFound(() => {
      throw new InstarError('forbidden', "Cannot answer: the token is a session's")
    })
    return own
  }

  const app = new Hono()
    .use(requestId({ headerName: 'X-Request-Id', limitLength: 100 }))
    .use(sameSite(allowedHosts))
    .get('/health', async (c) => {
      const open = { status: 'ok', version }
      if (bearer(c, token) !== 'right') return c.json(open)
      const sessions = runtime.list()
      const live = sessions.filter((session) => session.endedAt === null).length
      return c.json({ ...open, sessions: { total: sessions.length, live }, backends: await runtime.health() })
    })
    // An executor has a token of its own.
    .on(['GET', 'POST'], ['/dial/:backend', '/dial/:backend/:call'], async (c) => {
      const answer = await runtime.dialled(c.req.param('backend'), c.req.raw)
      return c.newResponse(answer.body, answer)
    })
    .use(authenticated(token, (given) => sessionApp(given)))
    .route('/', pluginRoutes(runtime))
    .route('/sessions', sessionRoutes(runtime))
    .route('/plugins', functionRoutes(runtime, functions, log))

  answerErrors(app, log)
  return app
}

/** The type that the typed client is made from. */
export type App = ReturnType<typeof createApp>
