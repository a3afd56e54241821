import { spawn } from 'node:child_process'
import { open, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createClient } from '../client.ts'
import { makeState, SettingsError, stateDirectory, type Flags } from '../entry/settings.ts'
import { ownerOf } from '../entry/state-lock.ts'

/** How long a server may take to listen. A config in TypeScript on a slow machine takes seconds. */
const startTimeoutMs = 30_000
const lookAgainMs = 50
/** A log that is larger is set aside at the next start, and the one set aside before is deleted. */
const maxLogBytes = 1024 * 1024

export interface Started {
  readonly url: string
  readonly pid: number
  /** It was running before. */
  readonly already: boolean
}

/** Starts a server that outlives this process, unless one runs already. Resolves when it answers; a `SettingsError` says why it does not. */
export async function startInBackground(flags: ProjectFlags): Promise<Started> {
  const state = stateDirectory(flags.dir)
  const before = await answering(state, () => false)
  if (before) return { ...before, already: true }
  if ('Deno' in globalThis)
    throw new SettingsError('Cannot start in the background on Deno, which would have to be allowed to run itself: add --foreground')
  await makeState(state)
  const path = join(state, 'server.log')
  if (((await stat(path).catch(() => null))?.size ?? 0) > maxLogBytes) await rename(path, `${path}.old`)
  const log = await open(path, 'a', 0o600)
  const { size } = await log.stat()
  // This very program with nothing around it, so that its pid is the server's.
  const child = spawn(process.execPath, [...process.execArgv, program, ...argumentsOf(flags)], {
    cwd: flags.dir,
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  })
  child.unref()
  await log.close()
  try {
    const owner = await answering(state, () => child.exitCode === null && child.signalCode === null)
    if (owner) return { ...owner, already: owner.pid !== child.pid }
  } catch (error) {
    child.kill()
    throw error
  }
  const said = (await readFile(path)).subarray(size).toString()
  throw new SettingsError(reasonIn(said) ?? `Cannot start the server: it ended at once, see ${path}`)
}

const program = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url))

type ProjectFlags = Flags & { readonly dir: string }

function argumentsOf({ dir, port, host }: ProjectFlags): string[] {
  const options = Object.entries({ dir, port, host }).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${value}`]))
  return ['server', 'start', '--foreground', ...options]
}

/** The server of a project, whoever started it, once it answers; null when there is none and none is on its way. */
async function answering(state: string, isOnItsWay: () => boolean): Promise<{ url: string; pid: number } | null> {
  for (const deadline = Date.now() + startTimeoutMs; Date.now() < deadline; await sleep(lookAgainMs)) {
    const more = isOnItsWay()
    const owner = await ownerOf(state)
    if (owner?.url && (await answers(owner.url))) return { url: owner.url, pid: owner.pid }
    if (!owner && !more) return null
  }
  throw new SettingsError(
    `Cannot start the server: it does not answer after ${startTimeoutMs / 1000} seconds, see ${join(state, 'server.log')}`,
  )
}

async function answers(url: string): Promise<boolean> {
  return createClient({ url, signal: AbortSignal.timeout(2000) })
    .health()
    .then(
      () => true,
      () => false,
    )
}

/** The first line of a log that says in words why a server ended. */
const reasonIn = (log: string): string | undefined => log.split('\n').find((line) => /^(?:Cannot |\w*Error\b)/.test(line))
