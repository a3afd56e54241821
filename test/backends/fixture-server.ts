import { startServer } from '../../src/entry/node.ts'

// A server in a process of its own, to be killed: `node --import tsx fixture-server.ts PROJECT`. Says its address.
try {
  const server = await startServer({ dir: process.argv[2], port: '0' })
  process.stdout.write(`${server.url}\n`)
} catch (error) {
  process.stderr.write(`${String(error)}\n`)
  process.exitCode = 1
}
