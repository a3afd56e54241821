import { tmux } from '../plugins/backends/tmux/tmux.ts'
import { defaultHooks } from '../plugins/hooks/default.ts'
import type { Config } from '../runtime/config.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { assemble } from './assemble.ts'
import { complete } from './complete.ts'
import { listening, namesOf, type Listen } from './listen.ts'
import { loadConfig } from './load-config.ts'
import { log } from './log.ts'
import { backendState, makeState, projectDirectory, readSettings, stateDirectory, type Flags, type Settings } from './settings.ts'
import { openStorage } from './storage.ts'
import { lockState, type StateLock } from './state-lock.ts'

export interface Server {
  readonly url: string
  readonly runtime: Runtime
  /** Stops listening; sessions run on. */
  close(): Promise<void>
}

export type Environment = Readonly<Record<string, string | undefined>>
export type StartServer = (flags?: Flags, environment?: Environment) => Promise<Server>

/** A server for any runtime with files and processes: settings, lock, storage, plugins. A `SettingsError` is a person's to mend. */
export const serverOn =
  (listen: Listen): StartServer =>
  async (flags = {}, environment = process.env) => {
    const directory = projectDirectory(flags, environment)
    const config = await loadConfig(directory)
    await makeState(stateDirectory(directory))
    const lock = await lockState(stateDirectory(directory))
    try {
      return await serve(listen, await readSettings(flags, environment, config), config, environment, lock)
    } catch (error) {
      await lock.release()
      throw error
    }
  }

async function serve(listen: Listen, settings: Settings, config: Config, environment: Environment, lock: StateLock): Promise<Server> {
  const { directory, state, host, port, token } = settings
  const ending: (() => Promise<void>)[] = []
  const end = async () => {
    for (const step of ending.toReversed()) await step()
    ending.length = 0
  }
  try {
    const { storage, close } = await openStorage(config, state)
    ending.push(close)
    /** Set when it listens. */
    let address: string | null = null
    const { runtime, app } = await assemble({
      config: complete(config, { backends: { local: tmux() }, hooks: defaultHooks() }),
      stateOf: (name) => ({ ...backendState(settings, name, storage), log }),
      storage,
      token,
      cwd: directory,
      environment,
      allowedHosts: namesOf(host),
      address: () => address,
      log,
    })
    ending.push(() => runtime.close())
    const listener = await listening(listen, app.fetch, host, port)
    ending.push(() => listener.close())
    address = listener.url
    await lock.announce(listener.url)
    let closed: Promise<void> | null = null
    return { url: listener.url, runtime, close: () => (closed ??= end().then(() => lock.release())) }
  } catch (error) {
    await end()
    throw error
  }
}
