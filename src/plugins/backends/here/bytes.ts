import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { maxTextBytes } from '../place.ts'

/** A program may have put a link or a FIFO in place of one of its session's files: those are no files of ours, and never waited for. */
const ownFile = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** The first `maxTextBytes` of a file, and when it was last written; null when there is no such file. */
export async function textOf(path: string): Promise<{ text: string; at: string } | null> {
  const handle = await open(path, ownFile).catch(gone(null))
  try {
    const info = await handle?.stat()
    if (!info?.isFile()) return null
    return { text: (await bytesAt(handle!, 0, maxTextBytes)).toString('utf8'), at: info.mtime.toISOString() }
  } finally {
    await handle?.close()
  }
}

/** The bytes of a file from an offset on, as many as there are of `length`. */
export async function bytesAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { size } = await handle.stat()
  const bytes = Buffer.alloc(Math.min(length, Math.max(0, size - offset)))
  let filled = 0
  while (filled < bytes.length) {
    const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

export const gone =
  <T>(value: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code === 'ENOENT' || error.code === 'ELOOP') return value
    throw error
  }
