import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { until } from './wait.ts'

export interface TestRedis {
  /** Where it listens, and nowhere else. */
  readonly socket: string
  stop(): Promise<void>
}

/** A Redis of its own, in a directory of its own. */
export async function startRedis(): Promise<TestRedis> {
  const directory = await mkdtemp(join(tmpdir(), 'instar-redis-'))
  const socket = join(directory, 'redis.sock')
  const options = ['--port', '0', '--unixsocket', socket, '--dir', directory, '--save', '', '--appendonly', 'no']
  const server = execa('redis-server', options, { reject: false })
  await until(async () => (await execa('redis-cli', ['-s', socket, 'ping'], { reject: false })).stdout === 'PONG', { what: 'Redis' })
  return {
    socket,
    async stop() {
      server.kill()
      await server
      await rm(directory, { recursive: true, force: true })
    },
  }
}
