import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { defineDriver } from 'unstorage'

const suffix = '.json'
const temporary = '.tmp'
/** Tells this process's drafts from those of another, also of one that had the same pid. */
const writer = `${process.pid}-${randomUUID().slice(0, 8)}`

/**
 * An unstorage driver that keeps each item in a file (0600) below `base` (0700) and never shows half of one: a value
 * is written to a temporary file, flushed to the disk and renamed. A crash leaves the old value or the new one, and
 * perhaps a temporary file, which the next start sweeps away.
 *
 * Two writes of one key at the same time both succeed and either may win: the caller orders them. The rename itself is
 * not flushed, so a power cut may bring back the value before; a killed process may not.
 */
export const files = defineDriver<{ base: string }>(({ base }) => {
  const ready = sweep(base)
  ready.catch(() => {}) // Whoever reads or writes is told.
  const file = (key: string) => join(base, nameOf(key))

  async function write(key: string, value: string | Uint8Array): Promise<void> {
    await ready
    const target = file(key)
    const draft = `${target}.${writer}.${randomUUID()}${temporary}`
    const handle = await open(draft, 'wx', 0o600).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      await mkdir(dirname(target), { recursive: true, mode: 0o700 })
      return open(draft, 'wx', 0o600)
    })
    try {
      await handle.writeFile(value)
      await handle.datasync()
      await handle.close()
      await rename(draft, target)
    } catch (error) {
      await handle.close().catch(() => {})
      await rm(draft, { force: true })
      throw error
    }
  }

  async function read(key: string): Promise<Buffer | null> {
    await ready
    return readFile(file(key)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null
      throw error
    })
  }

  return {
    name: 'instar-files',
    options: { base },
    async hasItem(key) {
      return (await read(key)) !== null
    },
    async getItem(key) {
      return (await read(key))?.toString('utf8') ?? null
    },
    getItemRaw: read,
    setItem: write,
    setItemRaw: write,
    async removeItem(key) {
      await ready
      await rm(file(key), { force: true })
    },
    async getKeys() {
      await ready
      return (await walk(base)).map(keyOf).filter((key) => key !== null)
    },
    async clear() {
      await ready
      await rm(base, { recursive: true, force: true })
    },
  }
})

const nameOf = (key: string): string => key.split(':').map(encode).join('/') + suffix

/** The key of an item's file; null for a file that somebody else has put there. */
function keyOf(name: string): string | null {
  try {
    const key = name.slice(0, -suffix.length).split('/').map(decodeURIComponent).join(':')
    return nameOf(key) === name ? key : null
  } catch {
    return null
  }
}

/** Without dots: no part of a key is `..`, or could be the name of another key's file. */
const encode = (part: string): string => encodeURIComponent(part).replaceAll('.', '%2E')

/** Removes what a crash left half-written. */
async function sweep(base: string): Promise<void> {
  await mkdir(base, { recursive: true, mode: 0o700 })
  const names = await walk(base)
  await Promise.all(names.filter(isLeftOver).map((name) => rm(join(base, name), { force: true })))
}

/** A draft whose writer is gone; one of a living process may be in the middle of its write. */
function isLeftOver(name: string): boolean {
  if (!name.endsWith(temporary)) return false
  const [, owner = '', pid] = /\.((\d+)-[0-9a-f]{8})\.[^.]+\.tmp$/.exec(name) ?? []
  return owner !== writer && (pid === undefined || Number(pid) === process.pid || !isAlive(Number(pid)))
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // Deno does not tell whoever may not run every program.
    return (error as NodeJS.ErrnoException).code === 'EPERM' || (error as Error).name === 'NotCapable'
  }
}

/** Every file below `base`, with `/` between the parts. */
async function walk(base: string): Promise<string[]> {
  const entries = await readdir(base, { recursive: true, withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(base.length).split('\\').join('/').replace(/^\//, ''))
}
