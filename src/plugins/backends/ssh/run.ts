import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import { execa } from 'execa'
import type { Ran, RunOptions } from '../../../runtime/backend.ts'
import { InstarError } from '../../../runtime/error.ts'
import { maxRunBytes, runTimeoutMs, type Argv } from '../place.ts'
import { shellQuote } from '../quote.ts'
import { replaced } from './files.ts'
import type { Link } from './link.ts'
import { unreachable } from './shell.ts'
import { sshReason } from './words.ts'

/** sshd allows 10 sessions in a connection by default, and three are always taken. */
const atATime = 4
/** How long a program that is asked to end may take. */
const killAfterMs = 2000

/**
 * Runs programs on another machine, each in a session of its own in the connection that is there. What one is run with goes
 * into a file first, because it must stand in no argument list.
 */
export function runner(link: Link, host: string, base: () => string): (argv: Argv, options?: RunOptions) => Promise<Ran> {
  let running = 0
  const waiting: (() => void)[] = []

  return async (argv, options = {}) => {
    if (running >= atATime) await new Promise<void>((resolve) => waiting.push(resolve))
    running++
    try {
      return await run(argv, options)
    } finally {
      running--
      waiting.shift()?.()
    }
  }

  async function run(argv: Argv, { cwd = '/', env = {}, input, timeoutMs = runTimeoutMs, signal }: RunOptions): Promise<Ran> {
    const cannot = (problem: string, data = {}) => new InstarError('backend_failed', `Cannot run ${argv[0]} on ${host}: ${problem}`, data)
    const word = randomBytes(12).toString('hex')
    const name = `run.${word}`
    const shell = await link.shell()
    await shell.ask(replaced(name, script(argv, cwd, env, word)))
    const client = link.channel(`exec /bin/sh ${shellQuote(`${base()}/${name}`)}`)
    const [program, ...args] = client.argv
    const child = execa(program, args, {
      env: client.env,
      extendEnv: false,
      cwd: '/',
      detached: true,
      ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
      buffer: false,
      reject: false,
    })

    // Only the far end can be ended: the connection keeps the output of a client that is gone open as long as that runs.
    let problem: InstarError | null = null
    const end = (why: string, details = {}) => {
      if (problem !== null) return
      problem = cannot(why, details)
      for (const [ms, signalName] of [
        [0, 'TERM'],
        [killAfterMs, 'KILL'],
      ] as const) {
        const snippet = `rm -f -- ${name}; if read -r instar_pid <${name}.pid; then kill -${signalName} -"$instar_pid"; fi 2>/dev/null; :`
        timers.push(setTimeout(() => void shell.run(snippet).catch(() => {}), ms))
      }
      timers.push(setTimeout(leave, 2 * killAfterMs))
    }
    // A far end that does not end it would be read for ever.
    const leave = () => {
      child.kill('SIGKILL')
      child.stdout.destroy()
      child.stderr.destroy()
    }
    const timers = [setTimeout(() => end(`it takes longer than ${timeoutMs / 1000} s`, { late: true }), timeoutMs)]
    const abort = () => end('it was given up')
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted) abort()
    const tooMuch = () => end(`it writes more than ${maxRunBytes / 1024 / 1024} MiB`)
    const [stdout, said] = await Promise.all([textIn(child.stdout, tooMuch), textIn(child.stderr, tooMuch), child])
    timers.forEach(clearTimeout)
    signal?.removeEventListener('abort', abort)

    if (problem !== null) {
      await shell.run(`rm -f -- ${name}.pid`).catch(() => {})
      throw problem
    }
    const [ending, code] = new RegExp(`\\n${word} (\\d+)\\n$`).exec(said) ?? []
    if (ending === undefined) throw unreachable(host, sshReason(said, host))
    const stderr = said.slice(0, -ending.length)
    if (stderr === `${word} missing\n`) throw cannot('it is not installed', { missing: true })
    if (stderr === `${word} nowhere\n`) throw cannot(`there is no directory ${cwd}`)
    return { code: Number(code), stdout, stderr }
  }
}

/** All of it when it ends; nothing after more than `maxRunBytes`. */
function textIn(stream: Readable, tooMuch: () => void): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= maxRunBytes) return void chunks.push(chunk)
    chunks.length = 0
    tooMuch()
  })
  return new Promise((resolve) => stream.once('close', () => resolve(Buffer.concat(chunks).toString('utf8'))))
}

const script = (argv: Argv, cwd: string, env: Readonly<Record<string, string>>, word: string): string => `\
echo $$ >"$0.pid"
rm -f -- "$0"
instar_run() {
  CDPATH= cd -- ${shellQuote(cwd)} 2>/dev/null || { echo '${word} nowhere' >&2; return 126; }
${Object.entries(env)
  .map(([name, value]) => `  export ${name}=${shellQuote(value)}\n`)
  .join('')}\
  set -- ${argv.map(shellQuote).join(' ')}
  command -v "$1" >/dev/null || { echo '${word} missing' >&2; return 127; }
  "$@"
}
instar_run
set -- "$?"
rm -f -- "$0.pid"
printf '\\n%s %d\\n' ${word} "$1" >&2
`
