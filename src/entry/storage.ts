import { randomUUID } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { createStorage, type Driver, type Storage } from 'unstorage'
import { files } from '../plugins/storage/files.ts'
import type { Config } from '../runtime/config.ts'
import { leased, LeaseTaken, takeLease } from '../runtime/lease.ts'
import { log } from './log.ts'
import { SettingsError } from './settings.ts'

export interface OpenStorage {
  readonly storage: Storage
  close(): Promise<void>
}

/** The storage of the config, for whom it need not be alone. */
export function storageOf({ storage: given }: Config, state: string): Storage {
  if (!given) return createStorage({ driver: files({ base: join(state, 'store') }) })
  return isStorage(given) ? given : createStorage({ driver: given })
}

/** The same, which is this server's alone; files in the state directory by default. A `SettingsError` when another server has it, or it cannot be used. */
export async function openStorage(config: Config, state: string): Promise<OpenStorage> {
  const storage = storageOf(config, state)
  // A storage that was made elsewhere may be used there.
  const dispose = async () => (config.storage === storage ? undefined : storage.dispose())
  // Whoever has the state directory has what is in it, and nobody else sees the memory of a process.
  if (!config.storage || storage.getMount('').driver.name === 'memory') return { storage, close: dispose }
  try {
    const lease = await takeLease(storage, { owner: await ownerId(state), name: nameOf(state), log })
    return {
      storage: leased(storage, lease),
      async close() {
        await lease.release()
        await dispose()
      },
    }
  } catch (error) {
    await dispose()
    if (error instanceof LeaseTaken) throw new SettingsError(`Cannot start: the storage is in use by another server (${error.message})`)
    throw new SettingsError(`Cannot use the storage of the config: ${(error as Error).message}`, { cause: error })
  }
}

const isStorage = (given: Storage | Driver): given is Storage => 'getMount' in given

/** Tells a state directory from those of other machines, whatever they are called. */
async function ownerId(state: string): Promise<string> {
  const path = join(state, 'owner')
  const known = await readFile(path, 'utf8').catch(() => '')
  if (/^[0-9a-f-]{36}$/.test(known)) return known
  const made = randomUUID()
  await writeFile(path, made, { mode: 0o600 })
  return made
}

function nameOf(state: string): string {
  const where = `${dirname(state)}, pid ${process.pid}`
  try {
    return `${hostname()}: ${where}`
  } catch {
    // Deno does not tell without `--allow-sys=hostname`.
    return where
  }
}
