import type { Config } from './config.ts'
import type { Runtime } from './runtime.ts'

/**
 * What a config gets in one piece: backends, agents and hooks beside its own, and with `fetch` a serverless function, which answers
 * below `/plugins/<name>`.
 *
 *   export const hello = definePlugin({
 *     name: 'hello',
 *     fetch: (_, { list }) => new Response(`${list(['running']).length} sessions run`),
 *   })
 */
export interface Plugin extends Pick<Config, 'backends' | 'agents' | 'hooks'> {
  /** Lower-case letters, digits and hyphens. */
  readonly name: string
  /**
   * Answers a request, whose path begins after `/plugins/<name>`; it bears no token any more. What it throws is answered with
   * `plugin_failed`, and an `InstarError` as it is. HEAD comes as GET, and the body of the answer is dropped. `request.signal` is
   * aborted when the client is gone, also in the middle of the answer, or the time is over.
   */
  fetch?(request: Request, context: PluginContext): Response | Promise<Response>
  /** How long an answer may take to begin. Default 30 s. */
  readonly timeoutMs?: number
  /** How many bytes a request may have. Default 1 MiB. */
  readonly maxBodyBytes?: number
}

/** A plugin that is loaded at the first request for it, such as `() => import('./chat.ts')`; it may only answer requests. */
export type LazyPlugin = () => Promise<Plugin | { readonly default: Plugin }>

const verbs = [
  'spawn',
  'resume',
  'list',
  'get',
  'has',
  'output',
  'input',
  'inputAndWait',
  'inputs',
  'prompts',
  'answer',
  'messages',
  'explain',
  'interrupt',
  'wait',
  'end',
  'diff',
  'finish',
  'backends',
  'changes',
] as const

/** The verbs of the runtime, within what the client's token may do, and nothing else. What they are given is checked as if a client had sent it. */
export type PluginContext = Readonly<Pick<Runtime, (typeof verbs)[number]>>

export const contextOf = (runtime: PluginContext): PluginContext =>
  Object.freeze(Object.fromEntries(verbs.map((verb) => [verb, runtime[verb]])) as unknown as PluginContext)

/** Checks the types of a plugin, and gives it back. */
export const definePlugin = (plugin: Plugin): Plugin => plugin

/** What plugins bring is beside the config's own, hooks inside of them. Throws where two have one name. */
export function withPlugins<T extends Required<Pick<Config, 'backends' | 'agents' | 'hooks'>> & Config>(config: T): T {
  const plugins = (config.plugins ?? []).filter((plugin): plugin is Plugin => typeof plugin === 'object')
  const names = new Set<string>()
  for (const { name } of plugins) {
    if (names.has(name)) throw new TypeError(`there are two plugins "${name}"`)
    names.add(name)
  }
  const same = config.hooks.find(({ name }, index) => config.hooks.findIndex((hook) => hook.name === name) !== index)
  if (same) throw new TypeError(`there are two hooks "${same.name}"`)
  const hooks = [...config.hooks]
  for (const plugin of plugins) {
    const twice = plugin.hooks?.find(({ name }) => hooks.some((hook) => hook.name === name))
    if (twice) throw new TypeError(`plugin "${plugin.name}" brings the hook "${twice.name}", which is there already`)
    hooks.push(...(plugin.hooks ?? []))
  }
  return { ...config, hooks, backends: merged('backends', config.backends, plugins), agents: merged('agents', config.agents, plugins) }
}

function merged<Kind extends 'backends' | 'agents'>(
  kind: Kind,
  own: NonNullable<Config[Kind]>,
  plugins: readonly Plugin[],
): NonNullable<Config[Kind]> {
  const all: Record<string, unknown> = { ...own }
  for (const plugin of plugins) {
    for (const [name, value] of Object.entries(plugin[kind] ?? {})) {
      if (Object.hasOwn(all, name))
        throw new TypeError(`plugin "${plugin.name}" brings the ${kind.slice(0, -1)} "${name}", which is there already`)
      all[name] = value
    }
  }
  return all as NonNullable<Config[Kind]>
}

/** A timer that is set to more fires at once. */
const mostMs = 2 ** 31 - 1

/** What is wrong with a plugin; null when nothing is. */
export function wrongInPlugin(given: unknown): string | null {
  if (typeof given !== 'object' || given === null) return 'it must be a plugin: an object with a name'
  const { name, fetch, timeoutMs = 1, maxBodyBytes = 1, backends, agents, hooks, ...rest } = given as Record<string, unknown>
  const isRecord = (value: unknown) => value === undefined || (typeof value === 'object' && value !== null && !Array.isArray(value))
  const isCount = (value: unknown, most = Number.MAX_SAFE_INTEGER) => typeof value === 'number' && value > 0 && value <= most
  if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9-]{0,62}$/.test(name))
    return 'name must be 1 to 63 lower-case letters, digits and hyphens'
  if (fetch !== undefined && typeof fetch !== 'function') return `fetch of "${name}" must be a function`
  if (!isRecord(backends) || !isRecord(agents)) return `backends and agents of "${name}" must be objects`
  if (hooks !== undefined && !(Array.isArray(hooks) && hooks.every(isHook))) return `hooks of "${name}" must be a list of hooks`
  if (!isCount(timeoutMs, mostMs)) return `timeoutMs of "${name}" must be a number of milliseconds above 0, and ${mostMs} at most`
  if (!isCount(maxBodyBytes)) return `maxBodyBytes of "${name}" must be a number of bytes above 0`
  const [unknown] = Object.keys(rest)
  return unknown === undefined ? null : `${unknown} of "${name}" is not known`
}

const isHook = (given: unknown): boolean => {
  const { name, launch } = (given ?? {}) as Record<string, unknown>
  return typeof name === 'string' && typeof launch === 'function'
}
