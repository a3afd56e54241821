import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import * as v from 'valibot'
import { prefixStorage, type Storage } from 'unstorage'
import type { BackendState, Config } from '../runtime/config.ts'
import { SettingsError } from './settings-error.ts'

export { SettingsError }

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
const address = { port: v.optional(port), host: v.optional(v.pipe(v.string(), v.minLength(1))) }
const token = v.optional(v.pipe(v.string(), v.minLength(16), v.regex(/^\S+$/)))
const configFile = v.pipe(
  notArray,
  v.looseObject({
    ...address,
    auth: v.optional(v.pipe(notArray, v.looseObject({ token }))),
    executor: v.optional(v.pipe(notArray, v.looseObject({ ...address, token }))),
  }),
)
type ConfigFile = v.InferOutput<typeof configFile>

export const projectDirectory = (flags: Flags, environment: Environment): string => resolve(flags.dir ?? environment['INSTAR_DIR'] ?? '.')

export const stateDirectory = (directory: string): string => join(directory, '.instar')

/** Makes it where it is missing. A `SettingsError` when that cannot be. */
export async function makeState(state: string): Promise<void> {
  await mkdir(state, { recursive: true, mode: 0o700 }).catch(cannotUse(state))
}

/** Makes a failure of the file system one that a person can read. */
export const cannotUse =
  (path: string) =>
  ({ code = '', message }: NodeJS.ErrnoException): never => {
    const problems: Readonly<Record<string, string>> = {
      EEXIST: 'it is no directory',
      ENOTDIR: 'it is no directory',
      EACCES: 'this user may not write there',
      EPERM: 'this user may not write there',
      EROFS: 'its disk can only be read',
      ENOSPC: 'its disk is full',
    }
    throw new SettingsError(`Cannot use ${path}: ${problems[code] ?? message}`)
  }

/** A name for the socket of a terminal server that belongs to this directory. */
export const socketName = (state: string): string => `instar-${createHash('sha256').update(state).digest('hex').slice(0, 8)}`

/** Where a backend has its files: nothing of one is another's. `local`, which needs no config, has the state directory itself. */
export function backendState(
  { directory: project, state: kept }: Pick<Settings, 'directory' | 'state'>,
  name: string,
  storage: Storage,
): BackendState {
  const directory = name === 'local' ? kept : join(kept, 'backends', encodeURIComponent(name))
  return {
    directory,
    socket: socketName(directory),
    storage: prefixStorage(storage, `backends:${encodeURIComponent(name)}`),
    project,
    kept,
  }
}

/** Settings in rising order: defaults, instar.config, .instar/config.json, environment, flags. Makes the token, and writes it, when there is none. */
export async function readSettings(flags: Flags, environment: Environment, config: Config): Promise<Settings> {
  const { directory, state, file } = await readProject(flags, environment)
  const token = await initialise(state, file, 'auth')
  return {
    directory,
    state,
    host: flags.host ?? (environment['INSTAR_HOST'] || (file?.host ?? config.host ?? '127.0.0.1')),
    port: readPort(flags.port ?? environment['INSTAR_PORT']) ?? file?.port ?? config.port ?? 4040,
    token: readToken(environment, 'INSTAR_TOKEN') ?? token,
  }
}

/** The same for an executor, which has an address and a token of its own: under `executor` in .instar/config.json. */
export async function readExecutorSettings(flags: Flags, environment: Environment): Promise<Settings> {
  const { directory, state, file } = await readProject(flags, environment)
  const token = await initialise(state, file, 'executor')
  return {
    directory,
    state,
    host: flags.host ?? (environment['INSTAR_EXECUTOR_HOST'] || (file?.executor?.host ?? '127.0.0.1')),
    port: readPort(flags.port ?? environment['INSTAR_EXECUTOR_PORT']) ?? file?.executor?.port ?? 4041,
    token: readToken(environment, 'INSTAR_EXECUTOR_TOKEN') ?? token,
  }
}

async function readProject(flags: Flags, environment: Environment): Promise<{ directory: string; state: string; file: ConfigFile | null }> {
  const directory = projectDirectory(flags, environment)
  const state = stateDirectory(directory)
  return { directory, state, file: await readConfigFile(state) }
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

/** Makes the state directory and the token where they are missing; the file stays readable for its owner only. Resolves to the token. */
async function initialise(state: string, file: ConfigFile | null, whose: 'auth' | 'executor'): Promise<string> {
  const path = join(state, 'config.json')
  await makeState(state)
  const known = file?.[whose]?.token
  if (known !== undefined) {
    await chmod(path, 0o600)
    return known
  }
  const token = randomBytes(32).toString('base64url')
  const content = { ...file, [whose]: { ...file?.[whose], token } }
  await writeFile(`${path}.tmp`, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 })
  await rename(`${path}.tmp`, path)
  // Nothing in here belongs into a repository.
  await writeFile(join(state, '.gitignore'), '*\n')
  return token
}

function readPort(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  const result = v.safeParse(port, /^\d+$/.test(text) ? Number(text) : Number.NaN)
  if (result.success) return result.output
  throw new SettingsError(`Cannot use the port "${text}": it must be a number from 0 to 65535`)
}

function readToken(environment: Environment, name: string): string | undefined {
  const text = environment[name]
  if (text === undefined || text === '') return undefined
  if (/^\S{16,}$/.test(text)) return text
  throw new SettingsError(`Cannot use ${name}: it must have at least 16 characters and no blanks`)
}

export function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new SettingsError(`Cannot use ${path}: it is not valid JSON`)
  }
}
