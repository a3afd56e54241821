import type { Storage } from 'unstorage'
import { createApp, type App } from '../app.ts'
import { configuredHosts, defaultLimits, type BackendState } from '../runtime/config.ts'
import { createIds } from '../runtime/id.ts'
import { openOnce } from '../runtime/once.ts'
import { createRuntime, type Runtime } from '../runtime/runtime.ts'
import { createSessionTokens } from '../runtime/session-token.ts'
import { openStore } from '../runtime/store.ts'
import { version } from '../runtime/version.ts'
import type { CompleteConfig } from './complete.ts'
import { SettingsError } from './settings-error.ts'

export interface Parts {
  readonly config: CompleteConfig
  readonly stateOf: (backend: string) => BackendState
  readonly storage: Storage
  readonly token: string
  /** Where sessions run when a request does not say. */
  readonly cwd: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly allowedHosts: readonly string[]
  /** Where the server listens, for the sessions on its own machine; null while it does not. */
  readonly address: () => string | null
  readonly log: (message: string, data?: Record<string, unknown>) => void
}

/** Makes a runtime and its app of a config, on whatever runtime this is. Web-standard APIs only. */
export async function assemble(parts: Parts): Promise<{ runtime: Runtime; app: App }> {
  const { config, storage, token, environment, log } = parts
  const newId = createIds()
  const { hooks, agents } = config
  const sessionTokens = createSessionTokens(token)
  const backends = Object.fromEntries(
    Object.entries(config.backends).map(([name, backend]) => [
      name,
      typeof backend === 'function' ? backend(parts.stateOf(name)) : backend,
    ]),
  )
  const runtime = await createRuntime({
    backends,
    agents,
    hooks,
    store: await openStore(storage).catch(unreadable),
    once: await openOnce(storage, newId, () => new Date()),
    onLimit: config.onLimit ?? 'wait',
    limits: { ...defaultLimits, ...config.limits },
    cwd: parts.cwd,
    environment,
    allowedEnvironment: config.environment ?? [],
    async access(id, isHere) {
      const url = isHere ? parts.address() : config.url
      return url ? { INSTAR_URL: url, INSTAR_TOKEN: await sessionTokens.of(id) } : {}
    },
    newId,
    log,
  })
  const app = createApp(runtime, {
    token,
    version,
    sessionTokens,
    protective: hooks.flatMap(({ name, isProtective }) => (isProtective ? [name] : [])),
    // What has an environment of its own is a container or another machine.
    isConfined: (name) => backends[name]?.isHere !== true || backends[name].environment !== undefined,
    allowedHosts: [...configuredHosts(config), ...parts.allowedHosts],
    plugins: config.plugins ?? [],
    log,
  })
  return { runtime, app }
}

function unreadable(cause: unknown): never {
  throw new SettingsError(`Cannot start: the storage does not tell the records of the sessions: ${(cause as Error).message}`, { cause })
}
