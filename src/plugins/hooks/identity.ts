import * as v from 'valibot'
import type { Found } from '../../runtime/backend.ts'
import { defineHook, type Hook, type HookContext, type HookPlace } from '../../runtime/hook.ts'
import type { Instruction } from '../../runtime/types.ts'
import { imported } from './imports.ts'
import { textsHere } from '../backends/here/texts.ts'
import { path } from './project.ts'

export interface IdentityOptions {
  /** Paths in the project, in the order in which the agent is told of them. Default `AGENT.md`, `USER.md`, `MEMORY.md`. */
  readonly files?: readonly string[]
  /** How many bytes they may have together. Default 256 KiB. */
  readonly maxBytes?: number
  /** Read a file also when it is a symbolic link that leads out of the project. Default false: that is refused. */
  readonly outside?: boolean
}

/** What a spawn may say. */
export interface IdentitySpawnOptions {
  readonly files?: string[] | undefined
}

/**
 * Tells the agent who it is and whom it works for: files of the project, in the agent's own channel for instructions. One
 * that is missing where the session runs is taken from the same project on the server's machine, or from the server's own
 * project; one that the agent reads by itself, because its CLAUDE.md imports it, is left out. Read anew at every launch.
 */
export function identity({
  files = ['AGENT.md', 'USER.md', 'MEMORY.md'],
  maxBytes = 256 * 1024,
  outside = false,
}: IdentityOptions = {}): Hook<IdentitySpawnOptions> {
  return defineHook<IdentitySpawnOptions>({
    name: 'identity',
    options: spawnOptions,
    async launch(launch, next, context) {
      const wanted = context.options?.files ?? files
      const limited = (read: HookPlace['read']) => (directory: string, names: readonly string[]) =>
        read(directory, names, { maxBytes, outside })
      const texts = await collect(wanted, context, limited(context.place.read), limited(textsHere))
      refuse(texts, maxBytes)
      return next({ ...launch, instructions: [...launch.instructions, ...texts.flatMap(instructionOf)] })
    },
  })
}

const spawnOptions = v.strictObject(
  { files: v.optional(v.pipe(v.array(path, 'it must be an array of paths'), v.maxLength(20, 'it must have at most 20 entries'))) },
  'it must be an object with files, and nothing else',
)

interface Named {
  readonly name: string
  readonly found: Found
}
type ReadNames = (directory: string, names: readonly string[]) => Promise<readonly Found[] | null>

/** The files that are there and that the agent does not read by itself, in order. */
async function collect(wanted: readonly string[], context: HookContext, read: ReadNames, readHere: ReadNames): Promise<Named[]> {
  const { place, session, directory, reads } = context
  const names = [...new Set([...wanted, ...reads.files])]
  const there = await read(place.project, names)
  const known = new Map(there?.map((found, index) => [names[index]!, found]))
  const isThere = (name: string) => (known.get(name)?.state ?? 'missing') !== 'missing'

  const texts = async (paths: readonly string[]) => {
    const unknown = paths.filter((each) => !known.has(each))
    const found = unknown.length > 0 ? await read(place.project, unknown) : []
    unknown.forEach((each, index) => known.set(each, found?.[index] ?? { state: 'missing' }))
    return paths.map((each) => textOf(known.get(each)!))
  }
  const own = reads.files.filter(isThere)
  const told = reads.imports && wanted.some(isThere) ? await imported(own, place.project, texts) : new Set<string>()
  const ownTexts = own.flatMap((name) => textOf(known.get(name)!) ?? [])
  const isRead = (name: string) =>
    isThere(name) && (own.includes(name) || told.has(name) || ownTexts.includes(textOf(known.get(name)!) ?? ''))

  const left = wanted.filter((name) => !isRead(name))
  for (const fallback of new Set(place.isHere ? [directory] : [session.cwd, directory])) {
    const missing = left.filter((name) => !isThere(name))
    if (missing.length === 0 || (place.isHere && fallback === place.project)) break
    const found = await readHere(fallback, missing)
    found?.forEach((each, index) => known.set(missing[index]!, each))
  }
  return left.filter(isThere).map((name) => ({ name, found: known.get(name)! }))
}

const textOf = (found: Found): string | null => (found.state === 'read' ? found.text : null)

function refuse(files: readonly Named[], maxBytes: number): void {
  for (const { name, found } of files) if (found.state === 'refused') throw new Error(`${name} ${found.problem}${remedyFor(found.problem)}`)
  const sizes = files.map(({ name, found }) => ({ name, bytes: found.state === 'read' ? found.bytes : 0 }))
  const sum = sizes.reduce((total, { bytes }) => total + bytes, 0)
  const [biggest] = sizes.toSorted((a, b) => b.bytes - a.bytes)
  if (sum <= maxBytes || !biggest) return
  const names = sizes.map(({ name }) => name).join(', ')
  throw new Error(`${names} have ${sum} bytes together, and ${maxBytes} is the limit; the biggest is ${biggest.name} with ${biggest.bytes}`)
}

const remedyFor = (problem: string): string =>
  problem.endsWith(', outside of the project') ? '; identity({ outside: true }) in the config allows that' : ''

const titles: Readonly<Record<string, string>> = {
  'AGENT.md': 'Who you are (AGENT.md)',
  'USER.md': 'Whom you work for (USER.md)',
  'MEMORY.md': 'What you remember (MEMORY.md)',
}

function instructionOf({ name, found }: Named): Instruction[] {
  const text = textOf(found)?.trim() ?? ''
  return text === '' ? [] : [{ title: titles[name] ?? name, text }]
}
