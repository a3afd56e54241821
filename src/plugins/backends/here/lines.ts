import { constants, watch, type FSWatcher } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Tail } from '../../../runtime/backend.ts'
import { nextLines } from '../lines.ts'
import type { Line } from '../place.ts'
import { bytesAt } from './bytes.ts'

/**
 * Calls `tell` with every complete line after `cursor`, now and whenever one is added, until closed; `at` is when the
 * file was last written. Resolves after what is there was told. A file that is not there has no lines, and is not waited
 * for.
 */
export async function followLines(
  path: string,
  cursor: number,
  tell: (lines: readonly Line[], at: string) => void | Promise<void>,
  tooLong: () => void,
): Promise<Tail> {
  const file = { cursor, searched: cursor }
  let closed = false
  let reading: Promise<void> | null = null
  let again = false

  async function readAll(): Promise<void> {
    while (again && !closed) {
      again = false
      const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(unlessGone)
      if (!handle) return
      try {
        let at = ''
        const read = async (offset: number, length: number) => {
          at = (await handle.stat()).mtime.toISOString()
          return bytesAt(handle, offset, length)
        }
        for (let lines; (lines = await nextLines(file, read, tooLong)) && !closed;) {
          file.cursor = file.searched = lines.at(-1)!.cursor
          await tell(lines, at)
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

function unlessGone(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT') return null
  throw error
}
