import { watch, type FSWatcher } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import type { Tail } from '../../../runtime/backend.ts'

/** A complete line of a file; `cursor` is the offset after it, in bytes. */
export interface Line {
  readonly text: string
  readonly cursor: number
}

const blockBytes = 1024 * 1024

/**
 * Calls `tell` with every complete line after `cursor`, now and whenever one is added, until closed; `at` is when the
 * file was last written. Resolves after what is there was told. A file that is not there has no lines, and is not waited
 * for.
 */
export async function followLines(
  path: string,
  cursor: number,
  tell: (lines: readonly Line[], at: string) => void | Promise<void>,
): Promise<Tail> {
  let closed = false
  let reading: Promise<void> | null = null
  let again = false

  async function readAll(): Promise<void> {
    while (again && !closed) {
      again = false
      const handle = await open(path, 'r').catch(unlessGone)
      if (!handle) return
      try {
        for (let lines; (lines = await linesAfter(handle, cursor)) && !closed;) {
          cursor = lines.found.at(-1)!.cursor
          await tell(lines.found, lines.at)
        }
      } finally {
        await handle.close()
      }
    }
  }

  const read = (): Promise<void> => {
    again = true
    reading ??= readAll().finally(() => (reading = null))
    return reading
  }
  let watcher: FSWatcher | null = null
  try {
    watcher = watch(path, { persistent: false }, () => void read().catch(() => {}))
    watcher.on('error', () => {})
  } catch (error) {
    unlessGone(error as NodeJS.ErrnoException)
  }
  try {
    await read()
  } catch (error) {
    watcher?.close()
    throw error
  }
  return {
    catchUp: read,
    close() {
      closed = true
      watcher?.close()
    },
  }
}

/** The complete lines of the next block, or of as many as hold one; null when there is none. */
async function linesAfter(handle: FileHandle, cursor: number): Promise<{ found: Line[]; at: string } | null> {
  const { size, mtime } = await handle.stat()
  for (let wanted = blockBytes; ; wanted *= 2) {
    const bytes = Buffer.alloc(Math.min(wanted, Math.max(0, size - cursor)))
    let filled = 0
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, cursor + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    const found: Line[] = []
    for (let begin = 0, end; (end = bytes.indexOf(10, begin)) >= 0 && end < filled; begin = end + 1) {
      found.push({ text: bytes.toString('utf8', begin, end), cursor: cursor + end + 1 })
    }
    if (found.length > 0) return { found, at: mtime.toISOString() }
    if (filled < wanted) return null
  }
}

function unlessGone(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw error
}
