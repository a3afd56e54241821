import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { tmux } from '../../src/plugins/backends/tmux/tmux.ts'
import type { Harness } from '../../src/conformance.ts'

/** The tmux that is tested. Another version: `INSTAR_TEST_TMUX=/path/of/tmux npx vitest run test/backends`. */
export const program = process.env['INSTAR_TEST_TMUX'] ?? 'tmux'

/** The version of that tmux as a number to compare, such as 303. */
export async function programVersion(): Promise<number> {
  const { stdout } = await execa(program, ['-V'])
  const [, major = '0', minor = '0'] = /(\d+)\.(\d+)/.exec(stdout) ?? []
  return Number(major) * 100 + Number(minor)
}

export interface TmuxPlace extends Harness {
  readonly socket: string
  /** Where the backend keeps its sessions' directories. */
  readonly state: string
  /** Runs a tmux command of its own process on the place's server, as a person would. Resolves to its output. */
  tmux(...args: string[]): Promise<string>
}

/** A temporary directory and a tmux server of its own, which both go with `cleanup`. */
export async function openPlace(): Promise<TmuxPlace> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'instar-test-')))
  const socket = `instar-test-${randomBytes(6).toString('hex')}`
  const state = join(root, 'state')
  const directory = join(root, 'programs')
  await mkdir(directory)
  const run = (...args: string[]) => tmuxOn(socket, ...args)
  return {
    socket,
    state,
    directory,
    tmux: run,
    backend: () => tmux({ program })({ directory: state, socket }),
    read: (path) =>
      readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return null
        throw error
      }),
    write: (path, text) => writeFile(path, text),
    intrude: async (name) => void (await run('new-session', '-d', '-s', name, '--', 'sleep', '60')),
    async cleanup() {
      await endServer(socket)
      await rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
    },
  }
}

export async function tmuxOn(socket: string, ...args: string[]): Promise<string> {
  // Where the socket is must not depend on who runs the tests.
  const { stdout } = await execa(program, ['-u', '-L', socket, ...args], {
    env: { TMUX_TMPDIR: undefined, TMUX: undefined },
    timeout: 5000,
  })
  return stdout
}

/** Ends a tmux server, its clients, and what still runs in its panes, also when that ignores a hangup. Without a server it does nothing. */
export async function endServer(socket: string): Promise<void> {
  const [file, ...panes] = (await tmuxOn(socket, 'list-panes', '-a', '-F', '#{socket_path}\n#{pane_pid}').catch(() => '')).split('\n')
  await tmuxOn(socket, 'kill-server').catch(() => {})
  // The leader of a terminal's session leads its process group too.
  for (const pid of panes.filter((each) => /^\d+$/.test(each))) kill(-Number(pid))
  // A server that waits for a client whose other end was killed never ends by itself (seen with 3.3a).
  const { stdout } = await execa('ps', ['-A', '-ww', '-o', 'pid=,args='])
  for (const row of stdout.split('\n')) if (row.includes(` -L ${socket} `)) kill(Number.parseInt(row, 10))
  if (file) await rm(file, { force: true })
}

/** Kills a process, or with a negative number a group; one that is gone already is what was wanted. */
export function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
