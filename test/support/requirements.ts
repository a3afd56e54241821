import { execa } from 'execa'

/** What the tests need besides npm packages, with its package in Debian. Without one of them no test runs, anywhere. */
const programs = [
  { name: 'tmux', package: 'tmux' },
  { name: 'ssh', package: 'openssh-client' },
  { name: 'sshd', package: 'openssh-server' },
  { name: 'ip', package: 'iproute2' },
  { name: 'git', package: 'git' },
  { name: 'dockerd', package: 'docker.io' },
  { name: 'docker', package: 'docker.io' },
  { name: 'podman', package: 'podman' },
  { name: 'catatonit', package: 'catatonit' },
  { name: 'redis-server', package: 'redis-server' },
  { name: 'redis-cli', package: 'redis-tools' },
  { name: 'busybox', package: 'busybox-static' },
  { name: 'mawk', package: 'mawk' },
  { name: 'gawk', package: 'gawk' },
  { name: 'original-awk', package: 'original-awk' },
]

/** Builds the command (see cli.ts), and installs what is missing where that can be done, which is for root on Debian and Ubuntu. */
export default async function setup(): Promise<void> {
  await Promise.all([execa('npm', ['run', '--silent', 'build']), install()])
}

async function install(): Promise<void> {
  // Daemons are there.
  process.env['PATH'] += ':/usr/local/sbin:/usr/sbin:/sbin'
  const missing = await missingPrograms()
  if (missing.length === 0) return
  const packages = [...new Set(missing.map((each) => each.package))]
  const command = `apt-get install --yes --no-install-recommends ${packages.join(' ')}`
  if (process.getuid?.() === 0) {
    const environment = { env: { DEBIAN_FRONTEND: 'noninteractive' }, reject: false }
    await execa('apt-get', ['update'], environment)
    await execa('sh', ['-c', command], environment)
    if ((await missingPrograms()).length === 0) return
  }
  throw new Error(`The tests need ${missing.map(({ name }) => name).join(', ')}: ${command} (as root, on Debian or Ubuntu)`)
}

async function missingPrograms(): Promise<typeof programs> {
  const found = await Promise.all(programs.map(({ name }) => execa('sh', ['-c', 'command -v "$0"', name], { reject: false })))
  return programs.filter((_, i) => found[i]!.failed)
}
