import { mkdir, readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import { createStorage } from 'unstorage'
import { createApp } from '../app.ts'
import { claude } from '../plugins/agents/claude.ts'
import { codex } from '../plugins/agents/codex.ts'
import { gemini } from '../plugins/agents/gemini.ts'
import { opencode } from '../plugins/agents/opencode.ts'
import { shell } from '../plugins/agents/shell.ts'
import { tmux } from '../plugins/backends/tmux/tmux.ts'
import { files } from '../plugins/storage/files.ts'
import { defaultLimits, type Config } from '../runtime/config.ts'
import { createIds } from '../runtime/id.ts'
import { openOnce } from '../runtime/once.ts'
import { createRuntime, type Runtime } from '../runtime/runtime.ts'
import { openStore } from '../runtime/store.ts'
import { loadConfig } from './load-config.ts'
import { projectDirectory, readSettings, SettingsError, socketName, stateDirectory, type Flags, type Settings } from './settings.ts'
import { lockState, type StateLock } from './state-lock.ts'

export interface Server {
  readonly url: string
  readonly runtime: Runtime
  /** Stops listening; sessions run on. */
  close(): Promise<void>
}

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/

/** Starts the whole server on Node: settings, lock, storage, plugins, listener. A `SettingsError` is a person's to mend. */
export async function startServer(flags: Flags = {}, environment: NodeJS.ProcessEnv = process.env): Promise<Server> {
  const directory = projectDirectory(flags, environment)
  const config = await loadConfig(directory)
  await mkdir(stateDirectory(directory), { recursive: true, mode: 0o700 })
  const lock = await lockState(stateDirectory(directory))
  try {
    return await serve(await readSettings(flags, environment, config), config, environment, lock)
  } catch (error) {
    await lock.release()
    throw error
  }
}

async function serve(settings: Settings, config: Config, environment: NodeJS.ProcessEnv, lock: StateLock): Promise<Server> {
  const { directory, state, host, token } = settings
  const place = { directory: state, socket: socketName(state) }
  const backends = Object.entries(config.backends ?? { local: tmux() })
  const storage = config.storage ?? createStorage({ driver: files({ base: join(state, 'store') }) })
  const newId = createIds()
  const runtime = await createRuntime({
    backends: Object.fromEntries(backends.map(([name, backend]) => [name, typeof backend === 'function' ? backend(place) : backend])),
    agents: config.agents ?? { claude: claude(), codex: codex(), gemini: gemini(), opencode: opencode(), shell: shell() },
    store: await openStore(storage),
    once: await openOnce(storage, newId, () => new Date()),
    onLimit: config.onLimit ?? 'wait',
    limits: { ...defaultLimits, ...config.limits },
    cwd: directory,
    environment,
    allowedEnvironment: config.environment ?? [],
    newId,
    log,
  })
  const allowedHosts = [...(config.allowedHosts ?? []), ...(loopback.test(host) ? [] : [host, `[${host}]`])]
  const app = createApp(runtime, { token, version: await version(), allowedHosts, log })
  const server = createAdaptorServer({ fetch: app.fetch })
  const url = await listen(server, host, settings.port).catch(async (error: unknown) => {
    await runtime.close()
    throw error
  })
  await lock.announce(url)
  let closed: Promise<void> | null = null
  return {
    url,
    runtime,
    close: () =>
      (closed ??= (async () => {
        server.close()
        if ('closeAllConnections' in server) server.closeAllConnections()
        await runtime.close()
        await lock.release()
      })()),
  }
}

function listen(server: ReturnType<typeof createAdaptorServer>, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const problem =
        {
          EADDRINUSE: 'the port is in use',
          EACCES: 'this user may not use that port',
          EADDRNOTAVAIL: 'this machine does not have that address',
          ENOTFOUND: 'there is no such host',
        }[error.code ?? ''] ?? error.message
      reject(new SettingsError(`Cannot listen on ${host}:${port}: ${problem}`))
    })
    server.listen(port, host, () => {
      const { address, family, port: actual } = server.address() as AddressInfo
      resolve(`http://${family === 'IPv6' ? `[${address}]` : address}:${actual}`)
    })
  })
}

export async function version(): Promise<string> {
  const json = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return json.version
}

/** One line of JSON on standard error. */
function log(message: string, data: Record<string, unknown> = {}): void {
  process.stderr.write(`${JSON.stringify({ at: new Date().toISOString(), message, ...data })}\n`)
}
