import { watch } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { textOf } from './bytes.ts'

/** See `Backend.watch`. One that is deleted, or cannot be read, tells nothing. */
export async function watchDirectory(directory: string, tell: (text: string) => void): Promise<() => void> {
  let closed = false
  const read = async (name: string) => {
    const found = await textOf(join(directory, name)).catch(() => null)
    if (found && !closed) tell(found.text)
  }
  const isEntry = (name: string | null): name is string => name?.endsWith('.json') === true
  const watcher = watch(directory, { persistent: false }, (_, name) => {
    if (isEntry(name)) void read(name)
  })
  watcher.on('error', () => {})
  await Promise.all((await readdir(directory)).filter(isEntry).map(read))
  return () => {
    closed = true
    watcher.close()
  }
}
