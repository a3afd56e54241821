import { executorOn } from './executor.ts'
import type { Listen } from './listen.ts'
import { serverOn } from './server.ts'

declare const Deno: {
  serve(
    options: { hostname: string; port: number; signal: AbortSignal; onListen(): void; onError(): Response },
    handler: (request: Request) => Response | Promise<Response>,
  ): { readonly addr: { readonly hostname: string; readonly port: number }; readonly finished: Promise<void> }
}

const listen: Listen = async (fetch, hostname, port) => {
  const ending = new AbortController()
  // Of a stream that fails it would print the stack, after the log has said what there is to say.
  const onError = () => new Response(null, { status: 500 })
  const { addr, finished } = Deno.serve({ hostname, port, signal: ending.signal, onListen() {}, onError }, (request) => fetch(request))
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
