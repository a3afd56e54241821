import { constants } from 'node:os'
import { resolve } from 'node:path'
import { execa } from 'execa'
import type { Ran, RunOptions } from '../../../runtime/backend.ts'
import type { BackendState } from '../../../runtime/config.ts'
import { InstarError } from '../../../runtime/error.ts'
import { maxRunBytes, runTimeoutMs, type Argv, type Place } from '../place.ts'
import { notStarted } from '../child.ts'
import { files } from './files.ts'
import { processes } from './processes.ts'

/** This machine. */
export function here({ directory, socket, log }: BackendState): Place {
  const own = {
    PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
    HOME: process.env['HOME'] ?? '/',
  }
  const kept = files(directory, log)
  return {
    isHere: true,
    socket,
    files: kept,
    processes,
    aheadMs: () => 0,
    async open({ files: contents }) {
      await kept.create('sessions', {})
      // By rename: a shell reads its script while it runs, so the launchers of running sessions keep the old file.
      await Promise.all(Object.entries(contents).map(([name, text]) => kept.replace(name, text)))
    },
    check: async () => ({ ok: true, detail: 'this machine' }),
    reached: async () => {},
    path: (name) => resolve(directory, name),
    terminal: async (argv, env) => ({ argv, env: { ...own, ...env } }),
    command: (line) => line,
    run: (argv, options) => run(argv, { ...options, env: { ...own, LANG: 'C.UTF-8', ...options?.env } }),
    async close() {},
  }
}

async function run(argv: Argv, { cwd = '/', env = {}, input, timeoutMs = runTimeoutMs, signal }: RunOptions): Promise<Ran> {
  const [program, ...args] = argv
  const result = await execa(program, args, {
    cwd,
    env,
    extendEnv: false,
    ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
    ...(signal ? { cancelSignal: signal } : {}),
    timeout: timeoutMs,
    maxBuffer: maxRunBytes,
    stripFinalNewline: false,
    reject: false,
  })
  const cannot = (problem: string, details = {}) => new InstarError('backend_failed', `Cannot run ${program}: ${problem}`, details, result)
  if (result.timedOut) throw cannot(`it takes longer than ${timeoutMs / 1000} s`, { late: true })
  if (result.isCanceled) throw cannot('it was given up')
  if (result.isMaxBuffer) throw cannot(`it writes more than ${maxRunBytes / 1024 / 1024} MiB`)
  if (result.exitCode === undefined && result.signal === undefined)
    throw result.code === 'ENOENT'
      ? cannot('it is not installed, or there is no such directory', { missing: true })
      : cannot(notStarted(program, result) ?? result.code ?? 'it does not start')
  return { code: result.exitCode ?? 128 + constants.signals[result.signal as NodeJS.Signals], stdout: result.stdout, stderr: result.stderr }
}
