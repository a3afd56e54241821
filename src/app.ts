import { Hono, type Context } from 'hono'
import { requestId } from 'hono/request-id'
import { authenticated, bearer, sameSite } from './routes/access.ts'
import { sessionRoutes } from './routes/sessions.ts'
import { InstarError } from './runtime/error.ts'
import type { Runtime } from './runtime/runtime.ts'

export interface AppOptions {
  readonly token: string
  readonly version: string
  readonly allowedHosts?: readonly string[]
  /** Told of what went wrong inside; never of a client's mistakes. */
  readonly log?: (message: string, data?: Record<string, unknown>) => void
}

/** The whole HTTP API as a value with `.fetch`. It never listens, and uses Web-standard APIs only. */
export function createApp(runtime: Runtime, { token, version, allowedHosts = [], log = () => {} }: AppOptions) {
  if (token.length < 16) throw new RangeError('the token must have at least 16 characters')

  function answer(error: Error, c: Context): Response {
    if (error instanceof InstarError) {
      const { retryAfter } = error.data
      const { methods } = error.data
      if (typeof retryAfter === 'number') c.header('Retry-After', String(retryAfter))
      if (Array.isArray(methods)) c.header('Allow', methods.join(', '))
      if (error.status >= 500) log(error.message, { code: error.code, cause: error.cause instanceof Error ? error.cause.message : null })
      return c.json(error.toJSON(), error.status)
    }
    log('an unexpected error', { error: error.stack ?? String(error) })
    return c.json(new InstarError('internal', 'Cannot answer: something went wrong inside the server').toJSON(), 500)
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
    .use(authenticated(token))
    .route('/sessions', sessionRoutes(runtime))

  app.onError(answer)
  app.notFound((c) => answer(unknownRoute(app.routes, c.req.method, c.req.path), c))
  return app
}

/** The type that the typed client is made from. */
export type App = ReturnType<typeof createApp>

/** 405 when the path is known and the method is not, otherwise 404. */
function unknownRoute(routes: App['routes'], method: string, path: string): InstarError {
  const methods = new Set(routes.filter((route) => route.method !== 'ALL' && pattern(route.path).test(path)).map((route) => route.method))
  if (methods.size === 0) return new InstarError('not_found', 'Cannot answer: there is no such path')
  return new InstarError('method_not_allowed', `Cannot ${method} this path: it takes ${[...methods].join(', ')}`, { methods: [...methods] })
}

const pattern = (path: string): RegExp => new RegExp(`^${path.replace(/:[^/]+/g, '[^/]+')}$`)
