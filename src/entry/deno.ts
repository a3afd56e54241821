import { executorOn } from './executor.ts'
import type { Listen } from './listen.ts'
import { serverOn } from './server.ts'

declare const Deno: {
  serve(
    options: { hostname: string; port: number; signal: AbortSignal; onListen(): void },
    handler: (request: Request) => Response | Promise<Response>,
  ): { readonly addr: { readonly hostname: string; readonly port: number }; readonly finished: Promise<void> }
}

const listen: Listen = async (fetch, hostname, port) => {
  const ending = new AbortController()
  const { addr, finished } = Deno.serve({ hostname, port, signal: ending.signal, onListen() {} }, (request) => fetch(request))
  return {
    ...addr,
    async close() {
      // `shutdown` would wait for open streams.
      ending.abort()
      await finished
    },
  }
}

/** Starts the whole server on Deno. */
export const startServer = serverOn(listen)

/** Starts an executor on Deno. */
export const startExecutor = executorOn(listen)
