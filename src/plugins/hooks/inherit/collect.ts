import { lstat, readdir, readFile, readlink, realpath, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import ignore from 'ignore'
import { imported } from '../imports.ts'
import { isInside } from '../../backends/here/texts.ts'

/** Something to carry; `path` is relative to the project. */
export type Entry =
  | { readonly type: 'directory'; readonly path: string; readonly mode: number }
  | { readonly type: 'file'; readonly path: string; readonly mode: number; readonly size: number }
  | { readonly type: 'link'; readonly path: string; readonly target: string }

export interface CollectOptions {
  /** Paths in the project, of files and directories; `.` is all of it. One that is not there is left out. */
  readonly include: readonly string[]
  /** As in .gitignore. */
  readonly ignored: readonly string[]
  /** Files whose `@path`s are carried along, too; see `ContextFiles`. */
  readonly importing: readonly string[]
  readonly maxBytes: number
}

/** So many are a mistake, and take long even to count. */
const maxEntries = 20_000

/**
 * What of a project is carried, each directory before what is in it. What a symbolic link in it leads to comes along.
 * Throws when one leads out of the project, when something is no file, or when it is too much, and names it.
 */
export async function collect(project: string, { include, ignored, importing, maxBytes }: CollectOptions): Promise<Entry[]> {
  const root = await realpath(project)
  const rules = ignore().add([...ignored])
  const entries = new Map<string, Entry>()

  async function add(path: string): Promise<void> {
    if (entries.has(path)) return
    const info = await lstat(join(root, path)).catch(missing)
    if (!info || (path !== '' && rules.ignores(info.isDirectory() ? `${path}/` : path))) return
    await addAbove(path)
    if (entries.size >= maxEntries) throw new Error(`the project has more than ${maxEntries} files to carry; ignore some of them`)
    const mode = info.mode & 0o777
    if (info.isSymbolicLink()) return addLink(path)
    if (info.isFile()) entries.set(path, { type: 'file', path, mode, size: info.size })
    else if (info.isDirectory()) await addDirectory(path, mode)
    else throw new Error(`${path} is neither a file nor a directory, and cannot be carried; ignore it`)
  }

  /** A directory that is not carried whole. */
  async function addAbove(path: string): Promise<void> {
    const above = path === '' ? null : path.includes('/') ? dirname(path) : ''
    if (above === null || entries.has(above)) return
    await addAbove(above)
    const info = await lstat(join(root, above))
    if (info.isSymbolicLink()) await add(above)
    else entries.set(above, { type: 'directory', path: above, mode: info.mode & 0o777 })
  }

  async function addDirectory(path: string, mode: number): Promise<void> {
    entries.set(path, { type: 'directory', path, mode })
    for (const name of (await readdir(join(root, path)).catch(unreadable(path))).toSorted())
      await add(path === '' ? name : `${path}/${name}`)
  }

  async function addLink(path: string): Promise<void> {
    const at = join(root, path)
    const target = await readlink(at)
    // What it leads to in the end; of one that leads nowhere, what it says.
    const real = await realpath(at).catch(() => resolve(dirname(at), target))
    if (!isInside(root, real))
      throw new Error(`${path} is a symbolic link that leads out of the project, to ${real}; ignore it, or put a copy there`)
    entries.set(path, { type: 'link', path, target: target.startsWith('/') ? relative(dirname(at), real) || '.' : target })
    await add(relative(root, real))
  }

  for (const path of include) {
    const inside = relative(root, join(root, path))
    const link = await linkOnTheWay(root, inside)
    await add(link ?? inside)
    if (link !== null && link !== inside) await add(relative(root, await realpath(join(root, inside)).catch(() => join(root, link))))
  }
  const text = async (path: string) => (isInside(root, join(root, path)) ? readFile(join(root, path), 'utf8').catch(() => null) : null)
  const told = await imported(
    importing.filter((path) => entries.has(path)),
    root,
    (paths) => Promise.all(paths.map(text)),
  )
  // A directory is no import.
  for (const path of told) if ((await stat(join(root, path)).catch(() => null))?.isFile()) await add(path)

  const all = [...entries.values()]
  refuseTooMuch(all, maxBytes)
  return all
}

/** The first part of a path that is a symbolic link; null when none is. */
async function linkOnTheWay(root: string, path: string): Promise<string | null> {
  const parts = path.split('/')
  for (let length = 1; length <= parts.length; length++) {
    const part = parts.slice(0, length).join('/')
    const info = await lstat(join(root, part)).catch(missing)
    if (info?.isSymbolicLink()) return part
  }
  return null
}

/** By its name in the project: what the system says has the whole path. */
export const unreadable = (path: string) => (error: NodeJS.ErrnoException) => {
  throw new Error(`${path} cannot be read: ${error.code}; ignore it, or let the server read it`)
}

function missing(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
  throw error
}

function refuseTooMuch(entries: readonly Entry[], maxBytes: number): void {
  const files = entries.flatMap((entry) => (entry.type === 'file' ? [entry] : []))
  const sum = files.reduce((total, { size }) => total + size, 0)
  if (sum <= maxBytes) return
  const biggest = files
    .toSorted((a, b) => b.size - a.size)
    .slice(0, 3)
    .map(({ path, size }) => `${path} (${size})`)
  throw new Error(
    `the project has ${sum} bytes to carry, and ${maxBytes} is the limit; ignore some of it, or set maxBytes; the biggest are ${biggest.join(', ')}`,
  )
}
