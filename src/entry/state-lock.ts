import { link, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import * as v from 'valibot'
import { cannotUse, SettingsError } from './settings.ts'

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
export const ownerOf = (state: string): Promise<Owner | null> => liveOwner(fileOf(state))

/** Takes the state directory for this process. A `SettingsError` when a server has it. */
export async function lockState(state: string): Promise<StateLock> {
  const file = fileOf(state)
  const mine = `${file}.${process.pid}`
  const owner: Owner = { pid: process.pid, started: (await startOf(process.pid)) ?? '', url: null }
  await writeFile(mine, JSON.stringify(owner), { mode: 0o600 }).catch(cannotUse(state))
  try {
    while (!(await take(file, mine))) await sleep(lookAgainMs)
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

const lookAgainMs = 10

/**
 * Tries to make `mine` the lock. What a killed server left may be wanted by several at a time: whoever links the claim
 * to that very file may replace it, and looks again first, because the claim before may have been used already.
 */
async function take(file: string, mine: string): Promise<boolean> {
  if (await linked(mine, file)) return true
  const left = await identity(file)
  if (left === null) return false
  const owner = await liveOwner(file)
  if (owner)
    throw new SettingsError(`Cannot start: a server already runs for this project (pid ${owner.pid}${owner.url ? `, ${owner.url}` : ''})`)
  const claim = `${file}.${left}`
  if (!(await linked(mine, claim))) {
    if (!(await liveOwner(claim))) await rm(claim, { force: true })
    return false
  }
  try {
    if ((await identity(file)) !== left) return false
    await rename(mine, file)
    return true
  } finally {
    await rm(claim, { force: true })
  }
}

/** A link is made by one process only, and is whole from the start. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** Which file it is, whatever its name; null when there is none. */
async function identity(file: string): Promise<string | null> {
  const info = await stat(file).catch(() => null)
  return info && `${info.ino}-${Math.round(info.mtimeMs)}`
}

async function liveOwner(file: string): Promise<Owner | null> {
  const owner = await readOwner(file)
  return owner && (await startOf(owner.pid)) === owner.started ? owner : null
}

async function readOwner(file: string): Promise<Owner | null> {
  try {
    const result = v.safeParse(ownerSchema, JSON.parse(await readFile(file, 'utf8')))
    return result.success ? result.output : null
  } catch {
    return null
  }
}

/** When a process began, in the words of ps, which are the same in every locale and time zone; null when there is no such process, or only what its parent has not collected. */
async function startOf(pid: number): Promise<string | null> {
  const { stdout, code } = await execa('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { env: { LC_ALL: 'C', TZ: 'UTC' }, reject: false })
  if (code === 'ENOENT')
    throw new SettingsError('Cannot tell whether a server already runs: ps is not installed (Debian: apt-get install procps)')
  const [, state, start] = /^(\S+)\s+(.+)$/.exec(stdout.trim()) ?? []
  return state === undefined || state.startsWith('Z') ? null : start!
}
