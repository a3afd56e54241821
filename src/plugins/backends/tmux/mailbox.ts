import { constants } from 'node:fs'
import { open, rm, type FileHandle } from 'node:fs/promises'

/** How long a hook that has told of its mailbox may take to open it. */
const openTimeoutMs = 1000
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
    await fifo.writeFile(text)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') return false
    throw error
  } finally {
    await fifo.close()
  }
}

async function openForReader(path: string): Promise<FileHandle | null> {
  for (const began = Date.now(); ; await new Promise((resolve) => setTimeout(resolve, tryAgainMs))) {
    try {
      return await open(path, constants.O_WRONLY | constants.O_NONBLOCK)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT') return null
      if (code !== 'ENXIO') throw error
      if (Date.now() - began > openTimeoutMs) return null
    }
  }
}
