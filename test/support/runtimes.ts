import { mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { SettingsError } from '../../src/entry/settings.ts'
import { lockState, type StateLock } from '../../src/entry/state-lock.ts'
import { cli } from './cli.ts'
import { until } from './wait.ts'

/** The runtimes of test/runtimes, which npm has for Linux on x64. Elsewhere there is only the Node.js that runs the tests. */
export const hosts = ['node', 'deno', 'bun'] as const
export type HostName = (typeof hosts)[number]

export const repository = fileURLToPath(new URL('../..', import.meta.url))
const installed = join(repository, 'test/runtimes')

export const programs = {
  node: process.execPath,
  node22: join(installed, 'node_modules/node-22/bin/node'),
  node24: join(installed, 'node_modules/node-24/bin/node'),
  deno: join(installed, 'node_modules/@deno/linux-x64-glibc/deno'),
  bun: join(installed, 'node_modules/@oven/bun-linux-x64/bin/bun'),
  workerd: join(installed, 'node_modules/@cloudflare/workerd-linux-64/bin/workerd'),
} as const

/** Why the other runtimes are not tested on this machine; null where they are. */
export const absent: string | null =
  process.platform === 'linux' && process.arch === 'x64' ? null : 'npm has the other runtimes for Linux on x64 only in test/runtimes'

/** Gets the runtimes from npm, unless that is done. About 700 MB, so only what needs them asks for them. */
export async function installRuntimes(): Promise<void> {
  const state = join(installed, '.instar')
  await mkdir(state, { recursive: true })
  const lock = await exclusive(state)
  try {
    if ((await modified('node_modules/.package-lock.json')) >= (await modified('package-lock.json'))) return
    await execa('npm', ['ci'], { cwd: installed })
  } finally {
    await lock.release()
  }
}

const modified = async (name: string): Promise<number> => (await stat(join(installed, name)).catch(() => null))?.mtimeMs ?? 0

/** What Deno is told to allow: the flags that docs/runtimes.md has, and no others; Instar itself is not in the project here. */
export async function denoFlags(project: string, port: number): Promise<string[]> {
  const [, flags] = /^deno run (--[\s\S]*?) \\\n +node_modules\/instar\//m.exec(
    await readFile(join(repository, 'docs/runtimes.md'), 'utf8'),
  )!
  return flags!
    .split(/[\s\\]+/)
    .map((flag) =>
      flag
        .replace('--allow-read=', `--allow-read=${repository},`)
        .replaceAll('$PWD', project)
        .replace('127.0.0.1:4040', `127.0.0.1:${port}`),
    )
}

/** How a runtime is told to run a program of ours: Node what is built of it, if it is of the command, the others its source. */
export async function commandOf(
  host: HostName | 'node24',
  script: string,
  flags: readonly string[] = ['--allow-all'],
): Promise<[string, string[]]> {
  const path = join(repository, script)
  if (host === 'node24') return [programs.node24, [path]]
  if (host === 'node' && script === 'src/cli/main.ts') return [programs.node, [cli]]
  if (host === 'node') return [programs.node, path.endsWith('.js') ? [path] : ['--import', import.meta.resolve('tsx'), path]]
  return host === 'deno' ? [programs.deno, ['run', '--no-remote', ...flags, path]] : [programs.bun, ['--no-install', path]]
}

/** Nothing of the machine's own but what a program needs to run at all. */
export const hostEnvironment = (home: string): Record<string, string> => ({
  PATH: process.env['PATH'] ?? '',
  HOME: home,
  DENO_DIR: join(installed, 'node_modules/.deno'),
  DENO_NO_PROMPT: '1',
  DENO_NO_UPDATE_CHECK: '1',
})

/** Test files run in processes of their own, and the first that comes does it for all. */
function exclusive(directory: string): Promise<StateLock> {
  return until(
    () =>
      lockState(directory).catch((error: unknown) => {
        if (error instanceof SettingsError) return null
        throw error
      }),
    { timeout: 180_000, what: 'another test to install the runtimes' },
  )
}
