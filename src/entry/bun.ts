import { executorOn } from './executor.ts'
import type { Listen } from './listen.ts'
import { serverOn } from './server.ts'

declare const Bun: {
  serve(options: { hostname: string; port: number; idleTimeout: number; fetch(request: Request): Response | Promise<Response> }): {
    readonly hostname: string
    readonly port: number
    stop(closeActiveConnections: boolean): Promise<void>
  }
}

const listen: Listen = async (fetch, hostname, port) => {
  // By default Bun cuts off an answer after ten seconds without a byte: every `wait` and every quiet stream.
  const server = Bun.serve({ hostname, port, idleTimeout: 0, fetch: (request) => fetch(request) })
  return { hostname: server.hostname, port: server.port, close: async () => void server.stop(true) }
}

/** Starts the whole server on Bun. */
export const startServer = serverOn(listen)

/** Starts an executor on Bun. */
export const startExecutor = executorOn(listen)
