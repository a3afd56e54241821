import { Hono } from 'hono'
import { requestId } from 'hono/request-id'
import { authenticated, sameSite } from './routes/access.ts'
import { answerErrors, type Log } from './routes/answer.ts'
import { createConnections } from './routes/connections.ts'
import { executorRoutes } from './routes/executor.ts'
import type { Backend } from './runtime/backend.ts'
import type { Peer } from './runtime/body.ts'

export interface ExecutorOptions {
  /** The token of control planes; it opens nothing else. */
  readonly token: string
  readonly version: string
  /** Makes a backend anew, with what only this owner sees; by name, the first being the default. */
  readonly backends: Readonly<Record<string, (owner: string) => Backend>>
  /** What sessions see of the executor's own environment. Default: nothing. */
  readonly environment?: Readonly<Record<string, string>>
  readonly allowedHosts?: readonly string[]
  readonly log?: Log
}

export interface Executor {
  fetch(request: Request, peer?: Peer): Response | Promise<Response>
  /** Ends all connections; sessions run on. */
  close(): Promise<void>
}

/** Serves backends to the control planes that have them as `remote`. It never listens, and uses Web-standard APIs only. */
export function createExecutor({
  token,
  version,
  backends,
  environment = {},
  allowedHosts = [],
  log = () => {},
}: ExecutorOptions): Executor {
  if (token.length < 16) throw new RangeError('the token must have at least 16 characters')
  const connections = createConnections({ version, make: (name, owner) => backends[name]!(owner), environment, log })
  const app = new Hono()
    .use(requestId({ headerName: 'X-Request-Id', limitLength: 100 }))
    .use(sameSite(allowedHosts))
    .get('/health', (c) => c.json({ status: 'ok', version }))
    .use(authenticated(token))
    .route('/executor', executorRoutes({ version, backends: Object.keys(backends), connections, log }))
  answerErrors(app, log)
  return { fetch: (request, peer) => app.fetch(request, peer), close: () => connections.close() }
}
