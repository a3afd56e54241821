import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import { createStorage, type Storage } from 'unstorage'
import { createExecutor, type Executor } from '../../src/executor.ts'
import { remote, type RemoteOptions } from '../../src/plugins/backends/remote/remote.ts'
import { tmux } from '../../src/plugins/backends/tmux/tmux.ts'
import type { Backend } from '../../src/runtime/backend.ts'
import type { BackendFactory, BackendState } from '../../src/runtime/config.ts'
import { endServer, openPlace, program, type TmuxPlace } from './tmux.ts'

export interface TestExecutor extends Executor {
  readonly url: string
  readonly token: string
  readonly logged: readonly string[]
  /** How often a verb was asked for, and answered. */
  asked(verb: string): number
  answered(verb: string): number
  /** Stops, and starts again on the same port after `meanwhile`. */
  restart(meanwhile?: () => Promise<void>): Promise<void>
  stop(): Promise<void>
  start(): Promise<void>
}

/** An executor in this process, on a real listener. */
export async function testExecutor(
  backends: Readonly<Record<string, (owner: string) => Backend>>,
  environment: Readonly<Record<string, string>> = { PATH: '/executor/bin', HOME: '/executor' },
): Promise<TestExecutor> {
  const token = randomBytes(32).toString('base64url')
  const logged: string[] = []
  const asked: string[] = []
  const answered: string[] = []
  let port = 0
  let executor: Executor
  let server: ReturnType<typeof createAdaptorServer>
  const self = {
    token,
    logged,
    asked: (verb: string) => asked.filter((each) => each === verb).length,
    answered: (verb: string) => answered.filter((each) => each === verb).length,
    get url() {
      return `http://127.0.0.1:${port}`
    },
    fetch: (request: Request) => executor.fetch(request),
    close: () => executor.close(),
    async start() {
      executor = createExecutor({
        token,
        version: '1.2.3',
        backends,
        environment,
        log: (...said) => void logged.push(JSON.stringify(said)),
      })
      server = createAdaptorServer({
        async fetch(request: Request, { outgoing }) {
          const verb = new URL(request.url).pathname.split('/').at(-1)!
          asked.push(verb)
          const answer = await executor.fetch(request, { cut: () => outgoing.destroy() })
          answered.push(verb)
          return answer
        },
      })
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(port, '127.0.0.1', resolve)
      })
      port = (server.address() as AddressInfo).port
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve))
      if ('closeAllConnections' in server) server.closeAllConnections()
      await executor.close()
      await closed
    },
    async restart(meanwhile = async () => {}) {
      await self.stop()
      await meanwhile()
      await self.start()
    },
  }
  await self.start()
  return self
}

export interface RemotePlace extends TmuxPlace {
  readonly executor: TestExecutor
  readonly storage: Storage
  remote(options?: Partial<RemoteOptions>, storage?: Storage): Backend
}

/** A tmux place behind an executor, or what `make` makes of it; `backend` is that as a control plane sees it. */
export async function openRemotePlace(
  make: (place: TmuxPlace) => BackendFactory = () => tmux({ program }),
  environment?: Readonly<Record<string, string>>,
): Promise<RemotePlace> {
  const place = await openPlace()
  const owners = new Map<string, BackendState>()
  // The first owner has the place itself, so that what is done to that is done to its sessions.
  const stateOf = (owner: string): BackendState => {
    const [directory, socket] =
      owners.size === 0 ? [place.state, place.socket] : [join(place.state, owner), `${place.socket}-${owner.slice(0, 8)}`]
    if (!owners.has(owner)) owners.set(owner, { directory, socket, storage: createStorage() })
    return owners.get(owner)!
  }
  const executor = await testExecutor({ local: (owner) => make(place)(stateOf(owner)) }, environment)
  const storage = createStorage()
  const self: RemotePlace = {
    ...place,
    executor,
    storage,
    remote: (options = {}, kept = storage) =>
      remote({ url: executor.url, token: executor.token, ...options })({ directory: '/nowhere', socket: 'none', storage: kept }),
    backend: () => self.remote(),
    async cleanup() {
      await executor.stop()
      for (const { socket } of owners.values()) await endServer(socket)
      await place.cleanup()
    },
  }
  return self
}
