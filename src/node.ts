import type { StartExecutor } from './entry/executor.ts'
import type { StartServer } from './entry/server.ts'

export type { ExecutorFlags, RunningExecutor } from './entry/executor.ts'
export type { Server } from './entry/server.ts'
export { SettingsError, type Flags } from './entry/settings.ts'

/** Starts the whole server of a project, as `instar server start` does, on the runtime that this runs on: Node, Deno or Bun. */
export const startServer: StartServer = async (flags, environment) => (await entry()).startServer(flags, environment)

/** Serves the backends of a project to control planes elsewhere, as `instar executor` does. */
export const startExecutor: StartExecutor = async (flags, environment) => (await entry()).startExecutor(flags, environment)

function entry(): Promise<{ startServer: StartServer; startExecutor: StartExecutor }> {
  if ('Deno' in globalThis) return import('./entry/deno.ts')
  return 'Bun' in globalThis ? import('./entry/bun.ts') : import('./entry/node.ts')
}
