import { readFile, stat } from 'node:fs/promises'
import { register } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import * as v from 'valibot'
import type { Config } from '../runtime/config.ts'
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

/** Unknown fields are refused, so that a misspelt one is not silently without effect. */
const config = v.pipe(
  notArray,
  v.strictObject({
    backends: plugins,
    agents: plugins,
    storage: v.optional(notArray),
    limits: v.optional(v.strictObject({ maxSessions: v.optional(count), graceMs: v.optional(count) })),
    onLimit: v.optional(v.picklist(['wait', 'resume'])),
    port: v.optional(port),
    host: v.optional(text),
    allowedHosts: v.optional(v.array(text)),
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

/**
 * Lets a config be TypeScript where the runtime itself cannot (Node before 22.18); gives it this copy of the package,
 * so that classes are the same; and takes files that import or export for ES modules, whatever the project's package.json
 * says.
 */
async function enableImports(): Promise<void> {
  if (importsEnabled) return
  importsEnabled = true
  const { typescript } = process.features as { typescript?: unknown }
  if (!typescript) (await import('tsx/esm/api')).register()
  const self = new URL(import.meta.url.endsWith('.ts') ? '../index.ts' : '../index.js', import.meta.url).href
  const hooks = `
    import { readFile } from 'node:fs/promises'
    const isModule = async (url) => /^file:.*\\.[jt]s$/.test(url) && !url.includes('/node_modules/') &&
      /^\\s*(?:import|export)\\b/m.test(await readFile(new URL(url), 'utf8').catch(() => ''))
    export async function resolve(name, context, next) {
      if (name === 'instar') return { url: ${JSON.stringify(self)}, format: 'module', shortCircuit: true }
      const url = /^(?:\\.\\.?\\/|file:)/.test(name) ? new URL(name, context.parentURL).href : ''
      return (await isModule(url)) ? { url, format: 'module', shortCircuit: true } : next(name, context)
    }`
  register(`data:text/javascript,${encodeURIComponent(hooks)}`)
}
