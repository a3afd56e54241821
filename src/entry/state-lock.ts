import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import * as v from 'valibot'
import { SettingsError } from './settings.ts'

/**
 * One server owns a state directory: `.instar/server.json` says which. A pid alone does not tell a server from a later
 * process that was given its number, so the time that ps shows for its start is kept with it.
 */
export interface Owner {
  readonly pid: number
  readonly started: string
  /** Null until the server listens. */
  readonly url: string | null
}

const ownerSchema = v.object({ pid: v.number(), started: v.string(), url: v.nullable(v.string()) })

export interface StateLock {
  announce(url: string): Promise<void>
  release(): Promise<void>
}

const fileOf = (state: string): string => join(state, 'server.json')

/** The server that runs on a state directory; null when there is none, or only what a killed one left. */
export async function ownerOf(state: string): Promise<Owner | null> {
  const owner = await readOwner(fileOf(state))
  return owner && (await startOf(owner.pid)) === owner.started ? owner : null
}

/** Takes the state directory for this process. */
export async function lockState(state: string): Promise<StateLock> {
  const file = fileOf(state)
  const mine = `${file}.${process.pid}`
  const owner: Owner = { pid: process.pid, started: (await startOf(process.pid)) ?? '', url: null }
  await writeFile(mine, JSON.stringify(owner), { mode: 0o600 })
  try {
    for (let tries = 0; ; tries++) {
      // A link is made by one process only, and is whole from the start.
      const taken = await link(mine, file).then(
        () => false,
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'EEXIST') return true
          throw error
        },
      )
      if (!taken) break
      const other = await ownerOf(state)
      if (other || tries > 2)
        throw new SettingsError(
          `Cannot start: a server already runs for this project${other ? ` (pid ${other.pid}${other.url ? `, ${other.url}` : ''})` : ''}`,
        )
      await rename(file, `${mine}.stale`).catch(() => {})
      await rm(`${mine}.stale`, { force: true })
    }
  } finally {
    await rm(mine, { force: true })
  }
  return {
    async announce(url) {
      await writeFile(`${mine}.tmp`, JSON.stringify({ ...owner, url }), { mode: 0o600 })
      await rename(`${mine}.tmp`, file)
    },
    async release() {
      if ((await readOwner(file))?.pid === process.pid) await rm(file, { force: true })
    },
  }
}

async function readOwner(file: string): Promise<Owner | null> {
  try {
    const result = v.safeParse(ownerSchema, JSON.parse(await readFile(file, 'utf8')))
    return result.success ? result.output : null
  } catch {
    return null
  }
}

/** When a process began, in the words of ps; null when there is no such process. */
async function startOf(pid: number): Promise<string | null> {
  const { stdout } = await execa('ps', ['-o', 'lstart=', '-p', String(pid)], { env: { LC_ALL: 'C' }, reject: false })
  return stdout.trim() || null
}
