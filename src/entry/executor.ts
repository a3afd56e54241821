import { join } from 'node:path'
import { prefixStorage, type Storage } from 'unstorage'
import { dial } from '../dial.ts'
import { createExecutor, type Executor } from '../executor.ts'
import { tmux } from '../plugins/backends/tmux/tmux.ts'
import type { Backend } from '../runtime/backend.ts'
import { configuredHosts, inheritedEnvironment, type BackendFactory, type Config } from '../runtime/config.ts'
import { version } from '../runtime/version.ts'
import { complete, type CompleteConfig } from './complete.ts'
import { listening, namesOf, type Listen, type Listener } from './listen.ts'
import { loadConfig } from './load-config.ts'
import { log } from './log.ts'
import type { Environment } from './server.ts'
import {
  backendState,
  makeState,
  projectDirectory,
  readExecutorSettings,
  SettingsError,
  stateDirectory,
  type Flags,
  type Settings,
} from './settings.ts'
import { storageOf } from './storage.ts'
import { lockState, type StateLock } from './state-lock.ts'

export interface ExecutorFlags extends Flags {
  /** The names of the backends to serve. Default: all. */
  readonly backends?: readonly string[]
  /** Do not listen, but dial a control plane: `<its address>/dial/<the name of the backend in its config>`. */
  readonly dial?: string | undefined
}

export interface RunningExecutor {
  /** Where it listens, or what it dials. */
  readonly url: string
  readonly backends: readonly string[]
  /** Stops listening; sessions run on. */
  close(): Promise<void>
}

export type StartExecutor = (flags?: ExecutorFlags, environment?: Environment) => Promise<RunningExecutor>

/** An executor for any runtime with files and processes. It has the project's state directory for itself, as a server would. */
export const executorOn =
  (listen: Listen): StartExecutor =>
  async (flags = {}, environment = process.env) => {
    const directory = projectDirectory(flags, environment)
    const config = complete(await loadConfig(directory), { backends: { local: tmux() }, hooks: [] })
    const backends = served(config, flags.backends)
    await makeState(stateDirectory(directory))
    const lock = await lockState(stateDirectory(directory))
    try {
      return await serve(listen, await readExecutorSettings(flags, environment), {
        config,
        backends,
        environment,
        lock,
        dial: dialled(flags.dial),
      })
    } catch (error) {
      await lock.release()
      throw error
    }
  }

interface Served {
  readonly config: Config
  readonly backends: Readonly<Record<string, BackendFactory>>
  readonly environment: Environment
  readonly lock: StateLock
  readonly dial: string | null
}

async function serve(
  listen: Listen,
  settings: Settings,
  { config, backends, environment, lock, dial: to }: Served,
): Promise<RunningExecutor> {
  const { state, host, port, token } = settings
  const storage = storageOf(config, state)
  const executor = createExecutor({
    token,
    version,
    backends: Object.fromEntries(
      Object.entries(backends).map(([name, make]) => [name, (owner: string) => ownBackend(make, settings, owner, name, storage)]),
    ),
    environment: inheritedEnvironment(environment, config.environment),
    allowedHosts: [...configuredHosts(config), ...namesOf(host)],
    log,
  })
  const served = to === null ? await listening(listen, executor.fetch, host, port) : dialling(to, token, executor)
  if (to === null) await lock.announce(served.url)
  let closed: Promise<void> | null = null
  return {
    url: served.url,
    backends: Object.keys(backends),
    close: () =>
      (closed ??= (async () => {
        // First, because the listener would cut their streams.
        await executor.close()
        await served.close()
        await lock.release()
      })()),
  }
}

function dialling(url: string, token: string, executor: Executor): Pick<Listener, 'close'> & { readonly url: string } {
  const told = (problem: string | null) =>
    problem === null ? log('dialled in', { url }) : log('the control plane cannot be dialled', { url, problem })
  const hangUp = dial({ url, token, executor, told })
  return { url, close: async () => hangUp() }
}

function dialled(text: string | undefined): string | null {
  if (text === undefined) return null
  const url = URL.canParse(text) ? new URL(text) : null
  if (url && /^https?:$/.test(url.protocol) && /^\/dial\/[^/]+$/.test(url.pathname)) return `${url.origin}${url.pathname}`
  throw new SettingsError(`Cannot dial "${text}": it must be <the control plane's address>/dial/<the name of the backend in its config>`)
}

/** Each control plane has files and terminals of its own: it sees no session of another, and takes no name from it. */
function ownBackend(make: BackendFactory, { directory, state }: Settings, owner: string, name: string, storage: Storage): Backend {
  const own = backendState({ directory, state: join(state, 'owners', owner) }, name, prefixStorage(storage, `owners:${owner}`))
  return make({ ...own, kept: state, log })
}

function served({ backends }: CompleteConfig, names: readonly string[] | undefined): Record<string, BackendFactory> {
  const unknown = names?.find((name) => !Object.hasOwn(backends, name))
  if (unknown !== undefined)
    throw new SettingsError(`Cannot serve backend "${unknown}": the config has ${Object.keys(backends).join(', ')}`)
  return Object.fromEntries(
    (names?.length ? names : Object.keys(backends)).map((name) => {
      const make = backends[name]
      if (typeof make === 'function') return [name, make]
      throw new SettingsError(`Cannot serve backend "${name}": it is there once and for all, and every control plane needs one of its own`)
    }),
  )
}
