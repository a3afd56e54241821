import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import { execa } from 'execa'
import { createStorage, prefixStorage, type Storage } from 'unstorage'
import { createApp } from '../../src/app.ts'
import { shell } from '../../src/plugins/agents/shell.ts'
import { tmux } from '../../src/plugins/backends/tmux/tmux.ts'
import { files } from '../../src/plugins/storage/files.ts'
import { defaultLimits, type BackendFactory, type BackendState, type Limits } from '../../src/runtime/config.ts'
import { createIds } from '../../src/runtime/id.ts'
import { openOnce } from '../../src/runtime/once.ts'
import { createRuntime, type Runtime } from '../../src/runtime/runtime.ts'
import type { Hook } from '../../src/runtime/hook.ts'
import { createSessionTokens } from '../../src/runtime/session-token.ts'
import type { LazyPlugin, Plugin } from '../../src/runtime/plugin.ts'
import { openStore } from '../../src/runtime/store.ts'
import type { Agent } from '../../src/runtime/agent.ts'
import type { Backend } from '../../src/runtime/backend.ts'
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
  /** Default: `local`, a tmux of its own. */
  readonly backends?: Readonly<Record<string, Backend | BackendFactory>>
  /** The tmux program. */
  readonly program?: string
  readonly storage?: Storage
  readonly onLimit?: 'wait' | 'resume'
  readonly hooks?: readonly Hook[]
  readonly plugins?: readonly (Plugin | LazyPlugin)[]
  /** Sessions get the address of the app and a token of their own. Default false. */
  readonly access?: boolean
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

  const backends = Object.entries(options.backends ?? { local: tmux(options.program === undefined ? {} : { program: options.program }) })
  const placeOf = (name: string): BackendState =>
    name === 'local'
      ? { directory: state, socket, project, kept: state, log }
      : { directory: join(state, 'backends', name), socket: `${socket}-${name}`, project, kept: state, log }

  async function sweep(): Promise<void> {
    for (const [name] of backends) await endServer(placeOf(name).socket)
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
    const sessionTokens = createSessionTokens(token)
    const start = async () => {
      const storage = options.storage ?? createStorage({ driver: files({ base: join(state, 'store') }) })
      return createRuntime({
        backends: Object.fromEntries(
          backends.map(([name, backend]) => [
            name,
            typeof backend === 'function' ? backend({ ...placeOf(name), storage: prefixStorage(storage, `backends:${name}`) }) : backend,
          ]),
        ),
        agents: options.agents ?? { shell: shell() },
        hooks: options.hooks ?? [],
        store: await openStore(storage),
        once: await openOnce(storage, newId, () => new Date()),
        onLimit: options.onLimit ?? 'wait',
        limits: { ...defaultLimits, graceMs: 300, ...options.limits },
        cwd: project,
        environment: { INSTAR_TOKEN: token, ...(options.environment ?? process.env) },
        access: options.access ? async (id) => ({ INSTAR_URL: await listen(), INSTAR_TOKEN: await sessionTokens.of(id) }) : undefined,
        newId,
        log,
      })
    }
    let runtime = await start()
    const protective = options.hooks?.flatMap(({ name, isProtective }) => (isProtective ? [name] : [])) ?? []
    const appOf = () =>
      createApp(runtime, {
        token,
        version: '1.2.3',
        allowedHosts: ['Instar.example.com'],
        sessionTokens,
        protective,
        plugins: options.plugins ?? [],
        log,
      })
    let app = appOf()
    let server: ReturnType<typeof createAdaptorServer> | null = null
    async function listen(): Promise<string> {
      if (!server) {
        server = createAdaptorServer({ fetch: (request: Request) => app.fetch(request) })
        await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
      }
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    }
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
      listen,
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
