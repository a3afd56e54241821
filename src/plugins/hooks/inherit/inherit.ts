import { stat } from 'node:fs/promises'
import * as v from 'valibot'
import { defineHook, type Hook, type HookContext, type HookPlace } from '../../../runtime/hook.ts'
import { path } from '../project.ts'
import { archive } from './archive.ts'
import { collect } from './collect.ts'
import { carry, look, marker, undo } from './scripts.ts'

export interface InheritOptions {
  /** Files and directories of the project that a session needs, where the project itself is not. `.` is all of it. Default `inherited`. */
  readonly include?: readonly string[]
  /** What is never carried, as in .gitignore: after `neverInherited`, of which `!path` takes something back. */
  readonly ignore?: readonly string[]
  /** How many bytes may be carried. Default 8 MiB. */
  readonly maxBytes?: number
  /** Carry again what was carried for an earlier session, when it has changed here; what was changed there is lost. Default false. */
  readonly refresh?: boolean
}

/** What a spawn may say. */
export interface InheritSpawnOptions {
  readonly include?: string[] | undefined
  readonly ignore?: string[] | undefined
  readonly refresh?: boolean | undefined
}

/** What makes an agent the project's own. */
export const inherited: readonly string[] = [
  'CLAUDE.md',
  'AGENTS.md',
  'GEMINI.md',
  'AGENT.md',
  'USER.md',
  'MEMORY.md',
  '.claude',
  '.codex',
  '.gemini',
  '.opencode',
  'opencode.json',
  '.mcp.json',
]

/** Credentials, what is one person's on one machine, and what can be made again. */
export const neverInherited: readonly string[] = [
  '.git',
  '.instar',
  marker,
  'node_modules',
  '.DS_Store',
  '.env',
  '.env.*',
  '!.env.example',
  '!.env.sample',
  '*.pem',
  '*.key',
  'id_rsa',
  'id_ecdsa',
  'id_ed25519',
  '.netrc',
  '.npmrc',
  '.pypirc',
  '.ssh',
  '.aws',
  'auth.json',
  'credentials.json',
  '.credentials.json',
  '.claude/settings.local.json',
  '.claude/worktrees',
]

interface Kept {
  readonly project: string
  readonly session: string
  /** Whether there was no directory above it. */
  readonly above: boolean
}

/**
 * Makes a session the complete agent of its project. Where the project is, nothing is copied. Where it is not, on another
 * machine or in a container without it, what `include` names is carried there, in one archive over the place's own
 * connection. Once there it stays, and later sessions find it.
 */
export function inherit(options: InheritOptions = {}): Hook<InheritSpawnOptions, Kept> {
  const carrying = new Map<string, Promise<void>>()
  /** The project that was last seen to be there without having been carried, and when. */
  let present = { key: '', at: 0 }
  return defineHook<InheritSpawnOptions, Kept>({
    name: 'inherit',
    options: spawnOptions,
    async launch(launch, next, context) {
      const { place, session } = context
      // The project is here, or nowhere: the launch tells.
      const isNative = place.isHere && place.project === session.cwd
      if (!isNative && place.canRun) {
        const key = `${place.backend}\0${place.project}`
        if (present.key === key && Date.now() - present.at < freshMs) return next(launch)
        // One at a time makes it, and the others find it.
        const turn = (carrying.get(key) ?? Promise.resolve())
          .catch(() => {})
          .then(async () => {
            if (await ensure({ ...options, ...given(context.options) }, context)) present = { key, at: Date.now() }
          })
        carrying.set(key, turn)
        await turn.finally(() => carrying.get(key) === turn && carrying.delete(key))
      }
      return next(launch)
    },
    async undo({ project, session, above }, place) {
      await told(place, undo, [project, session, above ? '1' : ''])
    },
  })
}

const paths = v.optional(v.pipe(v.array(v.union([v.literal('.'), path], 'it must be a path in the project')), v.maxLength(200)))
const spawnOptions = v.strictObject(
  {
    include: paths,
    ignore: v.optional(v.pipe(v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(1000))), v.maxLength(200))),
    refresh: v.optional(v.boolean('it must be true or false')),
  },
  'it must be an object with include, ignore and refresh, and nothing else',
)

const given = (options: InheritSpawnOptions = {}): InheritOptions =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))

/** Resolves to whether the project is there by itself. */
async function ensure(options: InheritOptions, context: HookContext<InheritSpawnOptions, Kept>): Promise<boolean> {
  const { place, session } = context
  const { project } = place
  const [state, more = ''] = await stateOf(place, session.id)
  if (state === 'present') return true
  if (state === 'carried' && options.refresh !== true) return false
  if (state === 'other') throw new Error(`${project} is no directory, where the session is to run`)
  const source = await sourceOf(context)
  const { bytes, digest } = await pack(source, options, context.reads.files)
  if (state === 'carried' && more === digest) return false
  if (state === 'missing') await context.keep({ project, session: session.id, above: more === 'above' })
  const { code, stderr } = await place.run(['sh', '-c', carry, 'sh', project, session.id, digest], {
    input: bytes,
    timeoutMs: carryMs,
    signal: context.signal,
  })
  if (code === 4 || code === 0) return false
  throw new Error(`the project cannot be carried to ${project}: ${stderr.trim().split('\n').at(-1) || `exit code ${code}`}`)
}

/** What is there, as `look` says it. Most often it is the project, or what sessions share, and no program need be started to see that. */
async function stateOf(place: HookPlace, session: string): Promise<readonly string[]> {
  const [found] = (await place.read(place.project, [marker], { maxBytes: 1000, outside: true })) ?? []
  if (found?.state === 'missing') return ['present']
  const [digest, id, shared] = found?.state === 'read' ? found.text.split('\n') : []
  if (digest !== undefined && (id === session || shared === 'shared')) return ['carried', digest]
  return (await told(place, look, [place.project, session])).trim().split(' ')
}

/** Sessions often come several at a time: how long a project that was there counts as there, in milliseconds. */
const freshMs = 5000

/** Less than a hook may take. */
const carryMs = 110_000

async function pack(source: string, options: InheritOptions, importing: readonly string[]): ReturnType<typeof archive> {
  const { include = inherited, ignore = [], maxBytes = 8 * 1024 * 1024 } = options
  return archive(source, await collect(source, { include, ignored: [...neverInherited, ...ignore], importing, maxBytes }))
}

/** The same project on this machine; for a place that has directories of its own, the server's own project when there is none. */
async function sourceOf({ session, place, directory }: HookContext<InheritSpawnOptions, Kept>): Promise<string> {
  const isHere = async (path: string) => (await stat(path).catch(() => null))?.isDirectory() === true
  if (await isHere(session.cwd)) return session.cwd
  if (place.project !== session.cwd) return directory
  throw new Error(`the directory ${session.cwd} is neither there nor on the server’s machine`)
}

async function told(place: HookPlace, script: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await place.run(['sh', '-c', script, 'sh', ...args])
  if (code === 0) return stdout
  throw new Error(`the place "${place.backend}" cannot be asked for the project: ${stderr.trim() || `exit code ${code}`}`)
}
