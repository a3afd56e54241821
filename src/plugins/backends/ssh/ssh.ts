import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Health } from '../../../runtime/backend.ts'
import type { BackendState } from '../../../runtime/config.ts'
import type { Place, PlacedFactory } from '../place.ts'
import { shellQuote } from '../quote.ts'
import { placed } from '../tmux/tmux.ts'
import { inheritedEnvironment } from '../../../runtime/config.ts'
import { loginEnvironment, parseEnvironment, printLogin, profileTimeoutMs, type Environment } from './environment.ts'
import { fileFunctions, files, replaced } from './files.ts'
import { createFollowers } from './followers.ts'
import { createLink } from './link.ts'
import { sshCommands, type SshOptions } from './options.ts'

import { processes } from './processes.ts'
import { runner } from './run.ts'
import { unreachable, type Shell } from './shell.ts'

/** Clocks that differ by less count as the same: it is what a slow connection may be mistaken for. */
const sameClockMs = 1000

/**
 * Sessions on another machine, over the system's own ssh: its configuration, agent and known hosts count. There it needs sh,
 * tmux 3.2 or newer and the agent. One connection, whatever the number of sessions; they outlive it.
 */
export function ssh(options: SshOptions): PlacedFactory {
  const factory = placed((state) => sshPlace(options, state), { program: options.tmux ?? 'tmux', maxSessions: options.maxSessions })
  // What is wrong with the options is said where they stand.
  sshCommands(options, '/')
  return factory
}

function sshPlace(options: SshOptions, { directory, socket: project, log }: BackendState): Place {
  const { host } = options
  const socket = options.directory === undefined ? `${project}-${ownId(directory)}` : project
  const commands = sshCommands(options, directory)
  let written: Readonly<Record<string, string>> = {}
  let reach: (health: Health) => void = () => {}
  let base: string | null = options.directory ?? null
  /** Of a command there, as far as a session may see it. */
  let plain: Environment = {}
  let login: Promise<Environment> | null = null
  /** By how much the clock there is ahead of ours. */
  let aheadMs = 0

  /** Runs at the beginning of each connection. */
  async function prepare(shell: Shell): Promise<void> {
    const wanted = options.directory
      ? shellQuote(options.directory)
      : `"\${XDG_STATE_HOME:-\${HOME:?}/.local/state}"/instar/${shellQuote(socket)}`
    const askedAt = Date.now()
    const facts = (await shell.ask(
      `LC_ALL=C; export LC_ALL; umask 077; trap 'trap - EXIT; kill -TERM 0' EXIT
${fileFunctions}${replaceConnection(shellQuote(`connection.${socket}`))}date "+%s$instar_fraction" && mkdir -p -- ${wanted}/sessions && cd -- ${wanted} && chmod 700 . sessions && pwd -P && instar_replace`,
    ))!.toString('utf8')
    const [farTime = '', path = ''] = facts.trim().split('\n').slice(-2)
    const difference = Number(farTime) * 1000 - (askedAt + Date.now()) / 2
    aheadMs = Math.abs(difference) < sameClockMs ? 0 : difference
    base = path
    // A bell that was rung before is nobody's any more: everything is read again.
    const contents = Object.entries(written).map(([name, text]) => `${replaced(name, text)} && `)
    await shell.ask(`${contents.join('')} instar_put '' bell && rm -f -- run.*`)
    plain = inheritedEnvironment(parseEnvironment((await shell.ask('env'))!.toString('utf8')))
  }

  const link = createLink({
    ssh: commands,
    host,
    prepare,
    onFound() {
      reach({ ok: true, detail: host })
      followers.listen(commands.channel(`exec /bin/sh -c ${shellQuote(listener)} sh ${shellQuote(`${base}/bell`)}`))
      followers.resume()
    },
    onLost: (reason) => reach({ ok: false, reason: `${host}: ${reason}` }),
  })
  const toTime = (seconds: string) => new Date(Number(seconds) * 1000 - aheadMs).toISOString()
  const followers = createFollowers({ shell: link.shellNow, toTime, log })
  const path = (name: string): string => {
    if (base === null) throw unreachable(host, 'it has not been reached yet')
    return name.startsWith('/') ? name : `${base}/${name}`
  }
  const run = runner(link, host, () => path('.'))
  async function environment(): Promise<Environment> {
    await link.shell()
    login ??= loginEnvironment(plain, () => run(['/bin/sh', '-c', printLogin], { env: plain, timeoutMs: profileTimeoutMs }))
    login.catch(() => (login = null))
    return login
  }

  return {
    isHere: false,
    socket,
    files: files(link.shell, followers, toTime),
    processes: processes(link.shell),
    aheadMs: () => aheadMs,
    async open(given) {
      written = given.files
      if (given.reach) reach = given.reach
      link.open()
    },
    check: link.check,
    reached: async () => void (await link.shell()),
    path,
    async terminal(argv, env) {
      await link.found()
      const isThere = await (await link.shell()).ask(`command -v ${shellQuote(argv[0])} >/dev/null || instar_gone`)
      const { PATH = '/usr/local/bin:/usr/bin:/bin', HOME = '/' } = isThere ? plain : await environment()
      const variables = Object.entries({ PATH, HOME, ...env }).map(([name, value]) => shellQuote(`${name}=${value}`))
      return commands.channel(`exec env -i ${[...variables, ...argv.map(shellQuote)].join(' ')}`)
    },
    command: commands.command,
    run: async (argv, given) => {
      await link.shell()
      return run(argv, { ...given, env: { ...(argv[0].includes('/') ? plain : await environment()), ...given?.env } })
    },
    environment,
    async close() {
      followers.close()
      await link.close()
    },
  }
}

/**
 * A connection whose other end has vanished can live there for hours, and may yet get what was sent over it: it ends before
 * the next one does anything.
 */
const replaceConnection = (file: string): string => `\
instar_replace() {
  if read -r instar_old 2>/dev/null <${file} && [ "$instar_old" != "$PPID" ]; then
    case $(ps -o args= -p "$instar_old" 2>/dev/null) in *sshd*) kill "$instar_old" 2>/dev/null ;; esac
  fi
  echo "$PPID" >${file}
}
`

/** Two machines can have a project in the same place, and share a host. */
function ownId(directory: string): string {
  const file = join(directory, 'id')
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  try {
    writeFileSync(file, randomBytes(4).toString('hex'), { flag: 'wx', mode: 0o600 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return readFileSync(file, 'utf8')
}

/** Ends with the connection: `tail` alone would not notice. */
const listener = `tail -n +1 -f "$1" & read -r instar_line; kill $!`
