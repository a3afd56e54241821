import { constants } from 'node:fs'
import { open, rm, type FileHandle } from 'node:fs/promises'

/** How long a hook that has told of its mailbox may take to open it. */
const openTimeoutMs = 1000
/** How long a hook may take to read on in an answer that is longer than a FIFO holds (64 KiB). */
const readTimeoutMs = 5000
const tryAgainMs = 15

/**
 * Answers a hook that waits at a FIFO (see `hook` in scripts.ts). False when nobody waits there: the kernel lets a FIFO
 * be opened for writing without waiting only while it has a reader (open(2), ENXIO).
 */
export async function answerAt(path: string, text: string): Promise<boolean> {
  const fifo = await openForReader(path)
  // Nobody can read it after us: what is left of it is only a name.
  await rm(path, { force: true })
  if (!fifo) return false
  try {
    return await writeAll(fifo, Buffer.from(text))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return false
    throw error
  } finally {
    await fifo.close()
  }
}

/** False when the reader does not read on. */
async function writeAll(fifo: FileHandle, bytes: Buffer): Promise<boolean> {
  for (let [written, wroteAt] = [0, Date.now()]; written < bytes.length;) {
    try {
      written += (await fifo.write(bytes, written)).bytesWritten
      wroteAt = Date.now()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      if (Date.now() - wroteAt > readTimeoutMs) return false
      await new Promise((resolve) => setTimeout(resolve, tryAgainMs))
    }
  }
  return true
}

async function openForReader(path: string): Promise<FileHandle | null> {
  for (const began = Date.now(); ; await new Promise((resolve) => setTimeout(resolve, tryAgainMs))) {
    try {
      const handle = await open(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
      // A program can put anything there.
      if ((await handle.stat()).isFIFO()) return handle
      await handle.close()
      return null
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ELOOP') return null
      if (code !== 'ENXIO') throw error
      if (Date.now() - began > openTimeoutMs) return null
    }
  }
}
