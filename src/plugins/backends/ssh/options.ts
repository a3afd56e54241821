import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Argv, LocalProcess } from '../place.ts'
import { shellQuote } from '../quote.ts'

export interface SshOptions {
  /** As `ssh` knows it: a name, an address or an alias of ssh_config, with or without `user@`. */
  readonly host: string
  readonly port?: number
  /** A file to read in the place of ~/.ssh/config; see `ssh -F`. */
  readonly config?: string
  /** Further options as in ssh_config, such as `['IdentityFile=~/.ssh/agents']`. */
  readonly options?: readonly string[]
  /** Where files are kept there; no other server may use it. Absolute. Default: one of this server's own in `$XDG_STATE_HOME/instar` or `~/.local/state/instar`. */
  readonly directory?: string
  /** The ssh program here. Default: `ssh` on the PATH. */
  readonly ssh?: string
  /** The tmux program there. Default: `tmux` on the PATH. */
  readonly tmux?: string
  /** How many sessions it may have at a time. Default: as many as the server. */
  readonly maxSessions?: number
}

/** The argument lists of `ssh`. */
export interface Ssh {
  readonly socket: string
  /** The connection itself, on which all others ride, with a shell there on its standard input. */
  readonly master: LocalProcess
  /** A further command over the connection that is there; never one of its own. */
  channel(command: string): LocalProcess
  /** What a person types. */
  command(line: string): string
  /** What a person types after `ssh` to get there. */
  readonly destination: string
}

/** What we need whatever a person's configuration says: nobody is there to be asked, and one host is one connection that carries bytes only. */
const always = [
  'BatchMode=yes',
  'ClearAllForwardings=yes',
  'RequestTTY=no',
  'RemoteCommand=none',
  'PermitLocalCommand=no',
  'ControlPersist=no',
  // OpenSSH before 8.7 does not know them.
  'IgnoreUnknown=ForkAfterAuthentication,StdinNull,SessionType',
  'ForkAfterAuthentication=no',
  'StdinNull=no',
  'SessionType=default',
]

/** What a person may set otherwise in `options`. */
const usually = ['LogLevel=INFO', 'ServerAliveInterval=5', 'ServerAliveCountMax=2', 'ConnectTimeout=10']

export function sshCommands(given: SshOptions, state: string): Ssh {
  check(given)
  const { host, port, config, options = [], ssh = 'ssh' } = given
  const socket = socketPath(state, `${host}:${port ?? ''}`)
  const own = (names: readonly string[]) => names.flatMap((option) => ['-o', option])
  const where = [...(config === undefined ? [] : ['-F', resolve(config)]), ...(port === undefined ? [] : ['-p', String(port)])]
  const env = Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('INSTAR_')),
  )
  const run = (first: readonly string[], command: string): LocalProcess => {
    const argv: Argv = [ssh, ...where, '-T', '-S', socket, ...own([...first, ...always, ...options, ...usually]), '--', host, command]
    return { argv, env }
  }
  return {
    socket,
    master: run(['ControlMaster=yes'], 'exec /bin/sh'),
    // Without the socket ssh would make a connection of its own; this one fails.
    channel: (command) => run(['ControlMaster=no', 'ProxyCommand=exit 1'], command),
    command: (line) => [ssh, ...where, ...own(options), '-t', '--', host, line].map(plainWord).join(' '),
    destination: [...where, ...own(options), host].map(plainWord).join(' '),
  }
}

function check({ host, port, options = [], directory }: SshOptions): void {
  // eslint-disable-next-line no-control-regex
  if (host === '' || host.startsWith('-') || /[\s\x00-\x1f\x7f]/.test(host))
    throw new TypeError(
      `Cannot use ssh({ host: ${JSON.stringify(host)} }): it must be a name, an address or an alias, with or without user@`,
    )
  if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536))
    throw new TypeError(`Cannot use ssh({ port: ${port} }): it must be a number from 1 to 65535`)
  if (directory !== undefined && !directory.startsWith('/'))
    throw new TypeError(`Cannot use ssh({ directory: ${JSON.stringify(directory)} }): it must begin with /`)
  const odd = options.find((option) => !/^[A-Za-z]+[ =]\S/.test(option))
  if (odd !== undefined)
    throw new TypeError(`Cannot use ssh({ options: [${JSON.stringify(odd)}] }): one looks like "IdentityFile=~/.ssh/agents"`)
}

/** ssh adds 17 characters while it makes the socket, and a path of one may have 103 on some systems; in it ssh would expand some characters. */
function socketPath(state: string, host: string): string {
  const name = `ssh-${createHash('sha256').update(host).digest('hex').slice(0, 8)}`
  const path = join(state, name)
  if (Buffer.byteLength(path) <= 85 && /^[\w./-]+$/.test(path)) return path
  const owner = createHash('sha256').update(path).digest('hex').slice(0, 12)
  return join(tmpdir(), `instar-${owner}`, name)
}

const plainWord = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : shellQuote(word))
