import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import * as v from 'valibot'
import type { Config } from '../runtime/config.ts'

/** What a person can get wrong in a project's files or in the environment: shown as one line, without a stack. */
export class SettingsError extends Error {}

export interface Settings {
  /** The project: where sessions run when a request does not say. Absolute. */
  readonly directory: string
  /** `directory/.instar`, where everything is kept. */
  readonly state: string
  readonly host: string
  readonly port: number
  readonly token: string
}

export interface Flags {
  readonly dir?: string | undefined
  readonly host?: string | undefined
  readonly port?: string | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

/** valibot takes arrays for objects. */
export const notArray = v.custom<object>(
  (given) => typeof given === 'object' && given !== null && !Array.isArray(given),
  'it must be an object',
)

export const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535))
const configFile = v.pipe(
  notArray,
  v.looseObject({
    port: v.optional(port),
    host: v.optional(v.pipe(v.string(), v.minLength(1))),
    auth: v.optional(v.pipe(notArray, v.looseObject({ token: v.optional(v.pipe(v.string(), v.minLength(16), v.regex(/^\S+$/))) }))),
  }),
)
type ConfigFile = v.InferOutput<typeof configFile>

export const projectDirectory = (flags: Flags, environment: Environment): string => resolve(flags.dir ?? environment['INSTAR_DIR'] ?? '.')

export const stateDirectory = (directory: string): string => join(directory, '.instar')

/** A tmux socket name that belongs to this project. */
export const socketName = (state: string): string => `instar-${createHash('sha256').update(state).digest('hex').slice(0, 8)}`

/** Settings in rising order: defaults, instar.config, .instar/config.json, environment, flags. Makes the token, and writes it, when there is none. */
export async function readSettings(flags: Flags, environment: Environment, config: Config): Promise<Settings> {
  const directory = projectDirectory(flags, environment)
  const state = stateDirectory(directory)
  const file = await readConfigFile(state)
  const own = await initialise(state, file, config)
  return {
    directory,
    state,
    host: flags.host ?? (environment['INSTAR_HOST'] || own.host),
    port: readPort(flags.port ?? environment['INSTAR_PORT']) ?? own.port,
    token: readToken(environment['INSTAR_TOKEN']) ?? own.token,
  }
}

/** `.instar/config.json` as it is; null when there is none. Never repairs and never overwrites. */
export async function readConfigFile(state: string): Promise<ConfigFile | null> {
  const path = join(state, 'config.json')
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw new SettingsError(`Cannot read ${path}: ${error.code}`)
  })
  if (text === null) return null
  return check(configFile, parseJson(text, path), path)
}

export function check<T extends v.GenericSchema>(schema: T, given: unknown, path: string): v.InferOutput<T> {
  const result = v.safeParse(schema, given)
  if (result.success) return result.output
  const [issue] = result.issues
  throw new SettingsError(`Cannot use ${path}: ${v.getDotPath(issue) ?? 'the whole'} is wrong: ${issue.message}`)
}

/** Makes the state directory and the token where they are missing; the file stays readable for its owner only. */
async function initialise(state: string, file: ConfigFile | null, config: Config): Promise<{ host: string; port: number; token: string }> {
  const path = join(state, 'config.json')
  const host = file?.host ?? config.host ?? '127.0.0.1'
  const port = file?.port ?? config.port ?? 4040
  const token = file?.auth?.token ?? randomBytes(32).toString('base64url')
  await mkdir(state, { recursive: true, mode: 0o700 })
  if (file?.auth?.token === undefined) {
    const content = { ...file, auth: { ...file?.auth, token } }
    await writeFile(`${path}.tmp`, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 })
    await rename(`${path}.tmp`, path)
    // Nothing in here belongs into a repository.
    await writeFile(join(state, '.gitignore'), '*\n')
  } else await chmod(path, 0o600)
  return { host, port, token }
}

function readPort(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  const result = v.safeParse(port, /^\d+$/.test(text) ? Number(text) : Number.NaN)
  if (result.success) return result.output
  throw new SettingsError(`Cannot use the port "${text}": it must be a number from 0 to 65535`)
}

function readToken(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined
  if (/^\S{16,}$/.test(text)) return text
  throw new SettingsError('Cannot use INSTAR_TOKEN: it must have at least 16 characters and no blanks')
}

export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new SettingsError(`Cannot use ${path}: it is not valid JSON`)
  }
}
