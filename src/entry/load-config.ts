import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import * as v from 'valibot'
import type { Config } from '../runtime/config.ts'
import { wrongInPlugin } from '../runtime/plugin.ts'
import { check, notArray, parseJson, port, SettingsError } from './settings.ts'

const text = v.pipe(v.string(), v.minLength(1))
const count = v.pipe(v.number(), v.integer(), v.minValue(0))
const plugins = v.optional(
  v.pipe(
    notArray,
    v.record(
      v.string(),
      v.custom<object>((given) => typeof given === 'object' || typeof given === 'function', 'it must be a plugin'),
    ),
    v.check((given) => Object.keys(given).length > 0, 'it must name at least one'),
  ),
)

const hook = v.custom<object>((given) => {
  const { name, launch } = (typeof given === 'object' && given !== null ? given : {}) as Record<string, unknown>
  return typeof name === 'string' && typeof launch === 'function'
}, 'it must be a hook: an object with a name and a function launch')

const plugin = v.custom<object>(
  (given) => typeof given === 'function' || wrongInPlugin(given) === null,
  ({ input }) => wrongInPlugin(input) ?? '',
)

const storage = v.custom<object>((given) => {
  const { getItem, getKeys } = (typeof given === 'object' && given !== null ? given : {}) as Record<string, unknown>
  return typeof getItem === 'function' && typeof getKeys === 'function'
}, 'it must be a driver of unstorage, such as redis({ url })')

/** Unknown fields are refused, so that a misspelt one is not silently without effect. */
const config = v.pipe(
  notArray,
  v.strictObject({
    backends: plugins,
    agents: plugins,
    hooks: v.optional(v.array(hook)),
    plugins: v.optional(v.array(plugin)),
    storage: v.optional(storage),
    limits: v.optional(
      v.strictObject({
        maxSessions: v.optional(count),
        graceMs: v.optional(count),
        maxDepth: v.optional(count),
        maxChildren: v.optional(count),
      }),
    ),
    onLimit: v.optional(v.picklist(['wait', 'resume'])),
    port: v.optional(port),
    host: v.optional(text),
    allowedHosts: v.optional(v.array(text)),
    url: v.optional(v.pipe(text, v.url('it must be a URL'))),
    environment: v.optional(v.array(text)),
  }),
)

/** The project's instar.config.ts, .js or .json, checked; an empty config when there is none. `instar` in it means this very package. */
export async function loadConfig(directory: string): Promise<Config> {
  for (const name of ['instar.config.ts', 'instar.config.js', 'instar.config.json']) {
    const path = join(directory, name)
    if (!(await stat(path).catch(() => null))) continue
    const given = name.endsWith('.json') ? parseJson(await readFile(path, 'utf8'), path) : await importDefault(path)
    // What a plugin holds is checked by its types and by using it.
    return check(config, given, path) as Config
  }
  return {}
}

async function importDefault(path: string): Promise<unknown> {
  const module = await load(path)
  if ('default' in module && typeof module.default === 'object' && module.default !== null) return module.default
  throw new SettingsError(`Cannot use ${path}: it has no default export; write "export default defineConfig({ … })"`)
}

async function load(path: string): Promise<object> {
  try {
    await enableImports()
    return (await import(/* @vite-ignore */ pathToFileURL(path).href)) as object
  } catch (error) {
    const [problem] = (error instanceof Error ? error.message : String(error)).split('\n')
    throw new SettingsError(`Cannot load ${path}: ${problem}`, { cause: error })
  }
}

let importsEnabled = false

/** This very package, so that classes are the same for a config as for us. */
const self = new URL(import.meta.url.endsWith('.ts') ? '../index.ts' : '../index.js', import.meta.url).href

/**
 * Gives a config this copy of the package, and lets it be TypeScript where the runtime itself cannot (Node before 22.18).
 * On Node, files that import or export are taken for ES modules, whatever the project's package.json says.
 */
async function enableImports(): Promise<void> {
  if (importsEnabled) return
  importsEnabled = true
  if ('Bun' in globalThis) return enableOnBun()
  const module = await import('node:module')
  if ('Deno' in globalThis) return enableOnDeno(module)
  const { typescript } = process.features as { typescript?: unknown }
  if (!typescript) (await import('tsx/esm/api')).register()
  const hooks = `
    import { readFile } from 'node:fs/promises'
    const isModule = async (url) => /^file:.*\\.[jt]s$/.test(url) && !url.includes('/node_modules/') &&
      /^\\s*(?:import|export)\\b/m.test(await readFile(new URL(url), 'utf8').catch(() => ''))
    export async function resolve(name, context, next) {
      if (name === 'instar') return { url: ${JSON.stringify(self)}, format: 'module', shortCircuit: true }
      const url = /^(?:\\.\\.?\\/|file:)/.test(name) ? new URL(name, context.parentURL).href : ''
      const format = ${JSON.stringify(typescript ? 'module-typescript' : 'module')}
      return (await isModule(url)) ? { url, format: url.endsWith('.ts') ? format : 'module', shortCircuit: true } : next(name, context)
    }`
  module.register(`data:text/javascript,${encodeURIComponent(hooks)}`)
}

declare const Bun: {
  plugin(plugin: { name: string; setup(build: { module(name: string, load: () => Promise<object>): void }): void }): void
}

function enableOnBun(): void {
  Bun.plugin({
    name: 'instar',
    setup: (build) => build.module('instar', async () => ({ exports: (await import(self)) as object, loader: 'object' })),
  })
}

type Next = (name: string, context: unknown) => unknown
type RegisterHooks = (hooks: {
  resolve(name: string, context: unknown, next: Next): unknown
  load: (url: string, context: unknown, next: Next) => unknown
}) => void

/** Deno has no `register`, and asks `resolve` only where there is a `load` too (seen with 2.9). */
function enableOnDeno(module: object): void {
  const { registerHooks } = module as { registerHooks: RegisterHooks }
  registerHooks({
    resolve: (name, context, next) => (name === 'instar' ? { url: self, format: 'module', shortCircuit: true } : next(name, context)),
    load: (url, context, next) => next(url, context),
  })
}
