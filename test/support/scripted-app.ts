import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { socketName, stateDirectory } from '../../src/entry/settings.ts'
import { shell } from '../../src/plugins/agents/shell.ts'
import type { Receipt } from '../../src/runtime/deliveries.ts'
import type { Prompt, Session } from '../../src/runtime/types.ts'
import { testApp, type TestApp, type TestAppOptions } from './app.ts'
import { foreground, listening } from './foreground.ts'
import { scripted } from './scripted.ts'
import { endServer } from './tmux.ts'
import { until } from './wait.ts'

// ---- what happened to it ---------------------------------------------------------------------------------------------

/** A line of what a scripted agent writes down. */
export interface Happening {
  /** It took a text. */
  readonly submitted?: string
  /** A key that its composer got; one that it ignored; what a dialog got. */
  readonly key?: string
  readonly swallowed?: number
  readonly dialog?: string
  readonly interrupted?: boolean
  /** It asked; `hook` is the process that waits, `said` what that printed at its end. `by`: who answered. */
  readonly prompt?: string
  readonly hook?: number
  readonly said?: string
  readonly code?: number | null
  readonly signal?: string | null
  readonly by?: string
}

export async function happenings(directory: string, name: string): Promise<Happening[]> {
  const text = await readFile(join(directory, `${name}.jsonl`), 'utf8').catch(() => '')
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Happening)
}
export const submittedTo = async (directory: string, name: string): Promise<string[]> =>
  (await happenings(directory, name)).flatMap(({ submitted }) => submitted ?? [])

// ---- talking to a server ---------------------------------------------------------------------------------------------

export interface Answer<T = Record<string, unknown>> {
  readonly status: number
  readonly headers: Headers
  readonly body: T & { readonly error?: { readonly code: string; readonly message: string; readonly data: Record<string, unknown> } }
}

/** The verbs as a client uses them, in process or over a socket. */
export interface Talk {
  readonly project: string
  call<T = Record<string, unknown>>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer<T>>
  spawn(name: string, prompt: string, more?: object): Promise<Session>
  send(name: string, body: object, headers?: Record<string, string>): Promise<Answer<Receipt>>
  inputs(name: string): Promise<Receipt[]>
  prompts(name: string): Promise<Prompt[]>
  session(name: string): Promise<Session>
  reaches(name: string, ...statuses: Session['status'][]): Promise<Session>
  happenings(name: string): Promise<Happening[]>
  submitted(name: string): Promise<string[]>
  /** Lets a [work] go on to its end. */
  go(name: string): Promise<void>
}

function talk(project: string, request: (path: string, init: RequestInit) => Promise<Response>): Talk {
  const call: Talk['call'] = async (method, path, body, headers = {}) => {
    const response = await request(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    return { status: response.status, headers: response.headers, body: (await response.json()) as never }
  }
  const get = async <T>(path: string): Promise<T> => {
    const { status, body } = await call<T>('GET', path)
    if (status !== 200) throw new Error(`GET ${path}: ${JSON.stringify(body)}`)
    return body
  }
  return {
    project,
    call,
    async spawn(name, prompt, more = {}) {
      const { status, body } = await call<Session>('POST', '/sessions/spawn', { name, prompt, agent: 'scripted', ...more })
      if (status !== 201) throw new Error(`spawn ${name}: ${JSON.stringify(body)}`)
      return body
    },
    send: (name, body, headers) => call<Receipt>('POST', `/sessions/${name}/input`, body, headers),
    inputs: (name) => get<Receipt[]>(`/sessions/${name}/inputs`),
    prompts: (name) => get<Prompt[]>(`/sessions/${name}/prompts`),
    session: (name) => get<Session>(`/sessions/${name}`),
    reaches: (name, ...statuses) =>
      until(
        async () => {
          const session = await get<Session>(`/sessions/${name}`)
          return statuses.includes(session.status) && session
        },
        { what: `session ${name} to be ${statuses.join(' or ')}` },
      ),
    happenings: (name) => happenings(project, name),
    submitted: (name) => submittedTo(project, name),
    go: (name) => writeFile(join(project, `${name}.go`), ''),
  }
}

export interface ScriptedApp extends TestApp, Talk {}

/** The app with scripted agents: `scripted`, `other`, and `erasing`, which can empty its composer; and `shell`. */
export async function scriptedApp(options: TestAppOptions = {}): Promise<ScriptedApp> {
  const app = await testApp({
    environment: { PATH: process.env['PATH'] ?? '' },
    ...options,
    agents: { scripted: scripted(), other: scripted(), erasing: scripted({ erases: true }), shell: shell(), ...options.agents },
  })
  return {
    ...talk(app.project, app.request),
    ...app,
    get runtime() {
      return app.runtime
    },
  }
}

/** A server in a process of its own, which can be killed; another one takes over. */
export interface Killable extends Talk {
  /** SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>
  /** Starts another one. */
  start(): Promise<void>
  close(): Promise<void>
}

export async function killable(config = ''): Promise<Killable> {
  const project = await realpath(await mkdtemp(join(tmpdir(), 'instar-killed-')))
  // In one file of JavaScript, because it is read again by every server that is started.
  await build({
    stdin: {
      contents:
        `import { scripted } from './scripted.ts'\nimport { shell } from '../../src/plugins/agents/shell.ts'\n` +
        `export default { agents: { scripted: scripted(), shell: shell() }, limits: { graceMs: 300 }, ${config} }\n`,
      resolveDir: import.meta.dirname,
      loader: 'ts',
    },
    outfile: join(project, 'instar.config.js'),
    bundle: true,
    external: ['file:*'],
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
  })
  let child: ReturnType<typeof foreground> | null = null
  let url = ''
  let token = ''
  const request = (path: string, init: RequestInit) => {
    const headers = { ...(init.headers as Record<string, string>), authorization: `Bearer ${token}` }
    return fetch(url + path, { ...init, headers, signal: AbortSignal.timeout(30_000) })
  }
  const server: Killable = {
    ...talk(project, request),
    async kill() {
      child?.kill('SIGKILL')
      await child
    },
    async start() {
      child = foreground(project)
      url = await listening(child)
      const file = await readFile(join(stateDirectory(project), 'config.json'), 'utf8')
      token = (JSON.parse(file) as { auth: { token: string } }).auth.token
    },
    async close() {
      await server.kill()
      await endServer(socketName(stateDirectory(project)))
      await rm(project, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
    },
  }
  try {
    await server.start()
    return server
  } catch (error) {
    await server.close()
    throw error
  }
}
