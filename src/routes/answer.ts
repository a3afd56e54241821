import type { Context, Hono } from 'hono'
import { InstarError } from '../runtime/error.ts'

/** Told of what went wrong inside; never of a client's mistakes. */
export type Log = (message: string, data?: Record<string, unknown>) => void

/** Makes an error an answer in JSON. */
export const answering =
  (log: Log) =>
  (error: Error, c: Context): Response => {
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

/** Makes every error of an app an answer in JSON, also that there is no such path or method. */
export function answerErrors(app: Hono<any, any, any>, log: Log): void {
  const answer = answering(log)
  app.onError(answer)
  app.notFound((c) => answer(unknownRoute(app.routes, c.req.method, c.req.path), c))
}

/** 405 when the path is known and the method is not, otherwise 404. */
function unknownRoute(routes: Hono['routes'], method: string, path: string): InstarError {
  const methods = new Set(routes.filter((route) => route.method !== 'ALL' && pattern(route.path).test(path)).map((route) => route.method))
  if (methods.size === 0) return new InstarError('not_found', 'Cannot answer: there is no such path')
  return new InstarError('method_not_allowed', `Cannot ${method} this path: it takes ${[...methods].join(', ')}`, { methods: [...methods] })
}

const pattern = (path: string): RegExp => new RegExp(`^${path.replace(/:[^/]+/g, '[^/]+')}$`)
