import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { executorOn } from './executor.ts'
import type { Listen } from './listen.ts'
import { serverOn } from './server.ts'

const listen: Listen = async (fetch, host, port) => {
  const server = createAdaptorServer({ fetch })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const { address, port: actual } = server.address() as AddressInfo
  return {
    hostname: address,
    port: actual,
    async close() {
      server.close()
      if ('closeAllConnections' in server) server.closeAllConnections()
    },
  }
}

/** Starts the whole server on Node. */
export const startServer = serverOn(listen)

/** Starts an executor on Node. */
export const startExecutor = executorOn(listen)
