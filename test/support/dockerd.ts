import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { until } from './wait.ts'

/** A docker daemon of its own, that nobody else knows of. */
export interface Dockerd {
  /** What DOCKER_HOST says. */
  readonly host: string
  /** A small image: busybox, and its commands. */
  readonly image: string
  /** An image with no program in it, but with the usual links into /usr. */
  readonly bare: string
  /** Runs docker's client. Resolves to what it prints. */
  docker(...args: readonly string[]): Promise<string>
  /** Stops the daemon as SIGSTOP does; what it returns lets it go on. */
  freeze(): Promise<() => void>
  /** Kills the daemon. */
  kill(): Promise<void>
  /** Starts it again. */
  start(): Promise<void>
  /** Ends it, with all its containers. */
  close(): Promise<void>
}

const startTimeoutMs = 30_000

/** Needs root. It ends when this process does, however that ends: its keeper reads from us. */
export async function openDockerd(): Promise<Dockerd> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'instar-dockerd-')))
  const host = `unix://${root}/docker.sock`
  const log = join(root, 'log')
  const daemon = [
    'dockerd',
    `--host=${host}`,
    `--data-root=${root}/data`,
    `--exec-root=${root}/exec`,
    `--pidfile=${root}/pid`,
    // Nothing of the machine's network is touched.
    '--bridge=none',
    '--iptables=false',
    '--ip6tables=false',
  ]
  const docker = async (...args: readonly string[]) => (await execa('docker', ['--host', host, ...args], { timeout: 60_000 })).stdout

  function run() {
    const keeper = `trap '' HUP INT TERM; "$@" >>"$0" 2>&1 & pid=$!; read -r _; kill $pid; wait $pid`
    return execa('sh', ['-c', keeper, log, ...daemon], { stdin: 'pipe', reject: false, cleanup: false })
  }
  let keeper = run()
  const answers = () =>
    until(() => docker('version', '--format', '{{.Server.Version}}'), { timeout: startTimeoutMs, what: 'dockerd to answer' }).catch(
      async (error: unknown) => {
        throw new Error(`dockerd says:\n${await readFile(log, 'utf8').catch(() => 'nothing')}`, { cause: error })
      },
    )

  async function close(): Promise<void> {
    const ids = (await docker('ps', '--all', '--quiet').catch(() => '')).split('\n').filter((id) => id !== '')
    if (ids.length > 0) await docker('rm', '--force', '--volumes', ...ids).catch(() => {})
    keeper.stdin?.end()
    await keeper
    await unmount(root)
    await rm(root, { recursive: true, force: true })
  }

  try {
    await answers()
    const image = 'instar-test:small'
    await importSmall(root, docker, image)
    const bare = 'instar-test:bare'
    await Promise.all(['tmp', 'sbin'].map((name) => mkdir(join(root, 'bare', name), { recursive: true })))
    await Promise.all(['bin', 'lib', 'lib64'].map((name) => symlink(`usr/${name}`, join(root, 'bare', name))))
    await execa('tar', ['-C', join(root, 'bare'), '-cf', join(root, 'bare.tar'), '.'])
    await docker('import', join(root, 'bare.tar'), bare)
    return {
      host,
      image,
      bare,
      docker,
      close,
      async freeze() {
        const pid = Number(await readFile(join(root, 'pid'), 'utf8'))
        process.kill(pid, 'SIGSTOP')
        return () => process.kill(pid, 'SIGCONT')
      },
      async kill() {
        process.kill(Number(await readFile(join(root, 'pid'), 'utf8')), 'SIGKILL')
        keeper.stdin?.end()
        await keeper
      },
      async start() {
        // Otherwise the next waits for a containerd that has died with the last one.
        await Promise.all(['pid', 'exec/containerd/containerd.pid'].map((name) => rm(join(root, name), { force: true })))
        keeper = run()
        await answers()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** What a daemon or podman leaves mounted: the namespace of the machine's own network, and after a kill more. */
export async function unmount(root: string): Promise<void> {
  const points = (await readFile('/proc/mounts', 'utf8')).split('\n').map((row) => row.split(' ')[1] ?? '')
  const left = points.filter((point) => point.startsWith(`${root}/`)).toReversed()
  if (left.length > 0) await execa('umount', ['--lazy', ...left], { reject: false })
}

/** busybox with a name for each of its commands. */
export async function importSmall(root: string, docker: Dockerd['docker'], image: string): Promise<void> {
  const tree = join(root, 'image')
  await Promise.all(['bin', 'tmp', 'etc', 'root', 'usr'].map((name) => mkdir(join(tree, name), { recursive: true })))
  await execa('chmod', ['1777', join(tree, 'tmp')])
  await execa('cp', [(await execa('sh', ['-c', 'command -v busybox'])).stdout, join(tree, 'bin/busybox')])
  const { stdout } = await execa('busybox', ['--list'])
  await Promise.all(
    stdout
      .split('\n')
      .filter((name) => name !== 'busybox')
      .map((name) => symlink('busybox', join(tree, 'bin', name))),
  )
  await symlink('../bin', join(tree, 'usr/bin'))
  await writeFile(join(tree, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nsomebody:x:1000:1000::/tmp:/bin/sh\n')
  const tar = join(root, 'image.tar')
  await execa('tar', ['-C', tree, '-cf', tar, '.'])
  await docker('import', tar, image)
}
