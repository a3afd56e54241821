import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { executorOn } from './executor.ts'
import type { Listen } from './listen.ts'
import { serverOn } from './server.ts'

const listen: Listen = async (fetch, host, port) => {
  // Of a stream that fails the library would print the stack, and send the end of it as if it were whole.
  const server = createAdaptorServer({ fetch: (request, { outgoing }) => fetch(request, { cut: () => outgoing.destroy() }) })
  server.listen(port, host)
  await once(server, 'listening')
  const { address: hostname, port: actual } = server.address() as AddressInfo
  const close = async () => {
    server.close()
    if ('closeAllConnections' in server) server.closeAllConnections()
  }
  return { hostname, port: actual, close }
}

/** Starts the whole server on Node. */
export const startServer = serverOn(listen)

/** Starts an executor on Node. */
export const startExecutor = executorOn(listen)
