import { constants } from 'node:fs'
import { mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { BackendState } from '../../../runtime/config.ts'
import { passedOver } from '../lines.ts'
import type { PlaceFiles } from '../place.ts'
import { bytesAt, gone, textOf } from './bytes.ts'
import { followLines } from './lines.ts'
import { answerAt } from './mailbox.ts'
import { textsHere } from './texts.ts'
import { watchDirectory } from './watch.ts'

/** The files of this machine; relative names are below `base`. */
export function files(base: string, log: BackendState['log']): PlaceFiles {
  const at = (name: string) => resolve(base, name)
  const writtenAt = async (name: string) => (await stat(at(name)).catch(gone(null)))?.mtime.toISOString() ?? null
  return {
    writtenAt,
    texts: textsHere,
    async create(directory, contents) {
      await mkdir(at(directory), { recursive: true, mode: 0o700 })
      await Promise.all(Object.entries(contents).map(([name, text]) => writeFile(join(at(directory), name), text, { mode: 0o600 })))
    },
    async replace(name, text) {
      await writeFile(`${at(name)}.tmp`, text, { mode: 0o600 })
      await rename(`${at(name)}.tmp`, at(name))
    },
    read: (name) => textOf(at(name)),
    lastOf: (name, bytes) => lastOf(at(name), bytes),
    remove: (directory) => rm(at(directory), { recursive: true, force: true }),
    follow: (name, cursor, tell) => followLines(at(name), cursor, tell, () => log?.(...passedOver(name))),
    watch: (directory, tell) => watchDirectory(at(directory), tell),
    answer: (fifo, text) => answerAt(at(fifo), text),
  }
}

async function lastOf(path: string, length: number): Promise<Buffer> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch(gone(null))
  if (!handle) return Buffer.alloc(0)
  try {
    const { size } = await handle.stat()
    return await bytesAt(handle, Math.max(0, size - length), length)
  } finally {
    await handle.close()
  }
}
