import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { until } from './wait.ts'

/** A real sshd with keys of its own, for the user who runs the tests, and a configuration for `ssh -F` that leads to it by the name `far`. */
export interface Sshd {
  readonly directory: string
  readonly port: number
  /** For `ssh -F`. */
  readonly config: string
  /** The sshd's own lines, such as "Accepted publickey". */
  log(): Promise<string>
  /** Connections that were accepted so far. */
  logins(): Promise<number>
  /** Its processes: one listens, and each connection has some. */
  stop(): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

export interface SshdOptions {
  /** More lines for sshd_config. */
  readonly server?: readonly string[]
  /** More lines for ssh_config. */
  readonly client?: readonly string[]
  readonly address?: string
  /** Default: one that is free here. */
  readonly port?: number
  /** What runs sshd, such as `['ip', 'netns', 'exec', 'far']`. */
  readonly within?: readonly string[]
}

export async function openSshd({
  server = [],
  client = [],
  address = '127.0.0.1',
  within = [],
  port: wanted,
}: SshdOptions = {}): Promise<Sshd> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'instar-sshd-')))
  const file = (name: string) => join(directory, name)
  const port = wanted ?? (await freePort())
  await Promise.all([makeKey(file('host')), makeKey(file('user'))])
  const hostKey = (await readFile(file('host.pub'), 'utf8')).split(' ').slice(0, 2).join(' ')
  await writeFile(file('authorized_keys'), await readFile(file('user.pub'), 'utf8'), { mode: 0o600 })
  await writeFile(file('known_hosts'), `${port === 22 ? address : `[${address}]:${port}`} ${hostKey}\n`)
  const serverLines = [
    `Port ${port}`,
    `ListenAddress ${address}`,
    `HostKey ${file('host')}`,
    `AuthorizedKeysFile ${file('authorized_keys')}`,
    `PidFile ${file('sshd.pid')}`,
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin yes',
    'LogLevel VERBOSE',
    ...server,
  ]
  const clientLines = [
    'Host far',
    `HostName ${address}`,
    `Port ${port}`,
    `User ${userInfo().username}`,
    `IdentityFile ${file('user')}`,
    'IdentitiesOnly yes',
    'IdentityAgent none',
    `UserKnownHostsFile ${file('known_hosts')}`,
    'GlobalKnownHostsFile none',
    // The default is three times as slow.
    'KexAlgorithms curve25519-sha256',
    ...client,
  ]
  await writeFile(file('sshd_config'), `${serverLines.join('\n')}\n`)
  await writeFile(file('ssh_config'), `${clientLines.join('\n')}\n`)
  // Without it sshd as root does not start.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
  const sshd = (await execa('sh', ['-c', 'PATH=$PATH:/usr/sbin:/usr/local/sbin; command -v sshd'])).stdout
  let child: ReturnType<typeof launch> | null = null

  function launch() {
    const [program, ...args] = [...within, sshd, '-D', '-f', file('sshd_config'), '-E', file('log')]
    return execa(program!, args, { reject: false, buffer: false, stdio: 'ignore', detached: true })
  }
  const log = () => readFile(file('log'), 'utf8').catch(() => '')
  const started = async () => (await log()).split('Server listening').length - 1

  const place: Sshd = {
    directory,
    port,
    config: file('ssh_config'),
    log,
    logins: async () => (await log()).split('Accepted publickey').length - 1,
    async start() {
      const before = await started()
      child = launch()
      await until(async () => (await started()) > before, { what: 'sshd to listen' })
    },
    async stop() {
      child?.kill('SIGTERM')
      await child
      child = null
    },
    async close() {
      await place.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
  await place.start()
  return place
}

async function makeKey(path: string): Promise<void> {
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'instar-test', '-f', path])
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}
