import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import { execa } from 'execa'
import { createStorage, type Storage } from 'unstorage'
import { createApp } from '../../src/app.ts'
import { shell } from '../../src/plugins/agents/shell.ts'
import { tmux } from '../../src/plugins/backends/tmux/tmux.ts'
import { files } from '../../src/plugins/storage/files.ts'
import { defaultLimits, type Limits } from '../../src/runtime/config.ts'
import { createIds } from '../../src/runtime/id.ts'
import { openOnce } from '../../src/runtime/once.ts'
import { createRuntime, type Runtime } from '../../src/runtime/runtime.ts'
import { openStore } from '../../src/runtime/store.ts'
import type { Agent } from '../../src/runtime/agent.ts'
import { endServer } from './tmux.ts'

export interface TestApp {
  readonly runtime: Runtime
  readonly token: string
  /** Where everything of the server is kept. */
  readonly state: string
  /** Where sessions run. */
  readonly project: string
  /** What the server logged. */
  readonly logged: readonly string[]
  /** One request to the app itself, with the token unless `authorization` is given (an empty one is left out). */
  request(path: string, init?: RequestInit): Promise<Response>
  /** The address of a real listener; the first call starts it. */
  listen(): Promise<string>
  /** Another server takes over, after `meanwhile`; `runtime` is its. */
  restart(meanwhile?: () => Promise<void>): Promise<void>
  /** Runs tmux by hand on the server's socket. */
  tmux(...args: readonly string[]): Promise<string>
  /** Ends every session, the tmux server and the listener, and removes all files. */
  close(): Promise<void>
}

export interface TestAppOptions {
  readonly agents?: Readonly<Record<string, Agent>>
  readonly limits?: Partial<Limits>
  /** The tmux program. */
  readonly program?: string
  readonly storage?: Storage
  readonly onLimit?: 'wait' | 'resume'
  readonly environment?: Readonly<Record<string, string>>
}

/** The whole app on a tmux server and a directory of its own. Whoever makes one closes it. */
export async function testApp(options: TestAppOptions = {}): Promise<TestApp> {
  const directory = await mkdtemp(join(tmpdir(), 'instar-app-'))
  const state = join(directory, 'state')
  const project = join(directory, 'project')
  const socket = `instar-app-${randomBytes(6).toString('hex')}`
  const token = randomBytes(32).toString('base64url')
  const logged: string[] = []
  const log = (message: string, data?: unknown) => void logged.push(JSON.stringify({ message, data }))

  async function sweep(): Promise<void> {
    await endServer(socket)
    await rm(directory, { recursive: true, force: true, maxRetries: 10 })
  }
  // The environment of the backend's own tmux, so that both find the same socket.
  const ask = (...args: readonly string[]) =>
    execa('tmux', ['-L', socket, '-f', '/dev/null', ...args], {
      env: { PATH: process.env['PATH'] ?? '', HOME: directory },
      extendEnv: false,
      reject: false,
    })

  try {
    await Promise.all([mkdir(state, { recursive: true }), mkdir(project, { recursive: true })])
    const newId = createIds()
    const start = async () => {
      const storage = options.storage ?? createStorage({ driver: files({ base: join(state, 'store') }) })
      return createRuntime({
        backends: { local: tmux(options.program === undefined ? {} : { program: options.program })({ directory: state, socket }) },
        agents: options.agents ?? { shell: shell() },
        store: await openStore(storage),
        once: await openOnce(storage, newId, () => new Date()),
        onLimit: options.onLimit ?? 'wait',
        limits: { ...defaultLimits, graceMs: 300, ...options.limits },
        cwd: project,
        environment: { INSTAR_TOKEN: token, ...(options.environment ?? process.env) },
        newId,
        log,
      })
    }
    let runtime = await start()
    const appOf = () => createApp(runtime, { token, version: '1.2.3', allowedHosts: ['Instar.example.com'], log })
    let app = appOf()
    let server: ReturnType<typeof createAdaptorServer> | null = null
    return {
      get runtime() {
        return runtime
      },
      async restart(meanwhile = async () => {}) {
        await runtime.close()
        await meanwhile()
        runtime = await start()
        app = appOf()
      },
      token,
      state,
      project,
      logged,
      async request(path, init = {}) {
        const headers = new Headers(init.headers)
        if (!headers.has('authorization')) headers.set('authorization', `Bearer ${token}`)
        if (headers.get('authorization') === '') headers.delete('authorization')
        return app.request(path, { ...init, headers })
      },
      async listen() {
        if (!server) {
          server = createAdaptorServer({ fetch: (request: Request) => app.fetch(request) })
          await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
        }
        return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      },
      async tmux(...args) {
        const { stdout, stderr, failed } = await ask(...args)
        if (failed) throw new Error(stderr)
        return stdout
      },
      async close() {
        try {
          if (server && 'closeAllConnections' in server) server.closeAllConnections()
          server?.close()
          await Promise.allSettled(runtime.list().map(({ id }) => runtime.end(id)))
          await runtime.close()
        } finally {
          await sweep()
        }
      },
    }
  } catch (error) {
    await sweep()
    throw error
  }
}
