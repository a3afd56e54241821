import { readFile, realpath, stat } from 'node:fs/promises'
import { isAbsolute, join, relative } from 'node:path'
import type { Found, ReadOptions } from '../../../runtime/backend.ts'
import { refused, foundText } from '../found.ts'

/** What there is when a file is not, or is a link that leads nowhere. */
const isNothing: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP'])

/** Text files of this machine; see `Backend.read`. */
export async function textsHere(directory: string, names: readonly string[], options: ReadOptions): Promise<readonly Found[] | null> {
  const root = await realpath(directory).catch(() => null)
  if (root === null || !(await stat(root).catch(() => null))?.isDirectory()) return null
  return Promise.all(names.map((name) => readOne(root, name, options)))
}

async function readOne(root: string, name: string, { maxBytes, outside }: ReadOptions): Promise<Found> {
  const path = join(root, name)
  try {
    const real = await realpath(path)
    const info = await stat(real)
    if (!info.isFile()) return refused(info.isDirectory() ? 'directory' : 'special')
    if (!outside && !isInside(root, real)) return refused('outside', real)
    if (info.size > maxBytes) return refused('big', String(info.size), maxBytes)
    return foundText(await readFile(real))
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException
    return isNothing.has(code) ? { state: 'missing' } : refused('unreadable', code)
  }
}

export function isInside(root: string, path: string): boolean {
  const way = relative(root, path)
  return way !== '..' && !way.startsWith('../') && !isAbsolute(way)
}
