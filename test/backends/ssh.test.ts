import { randomBytes, randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { backendConformance } from '../../src/conformance.ts'
import { sshCommands, type SshOptions } from '../../src/plugins/backends/ssh/options.ts'
import { ssh } from '../../src/plugins/backends/ssh/ssh.ts'
import type { Backend, Health } from '../../src/runtime/backend.ts'
import type { Exit, Handle, Report } from '../../src/runtime/types.ts'
import { openSshd, type Sshd } from '../support/sshd.ts'
import { endServer, kill, openPlace, type TmuxPlace } from '../support/tmux.ts'
import { pass, until } from '../support/wait.ts'
import { expectWorktrees } from '../support/worktrees.ts'

let sshd: Sshd
beforeAll(async () => {
  sshd = await openSshd()
})
afterAll(async () => {
  await sshd?.close()
})

const farOf = (place: TmuxPlace) => join(place.directory, '..', 'far')

backendConformance('ssh', async () => {
  const place = await openPlace()
  const backend = () => ssh({ host: 'far', config: sshd.config, directory: farOf(place) })({ directory: place.state, socket: place.socket })
  return { ...place, backend }
})

describe('ssh, beside the contract,', () => {
  let place: TmuxPlace
  let backend: Backend
  let reports: Report[]
  let reached: Health[]

  beforeEach(async () => {
    place = await openPlace()
  })
  afterEach(async () => {
    await backend?.close()
    await place?.cleanup()
  })

  async function open(options: Partial<SshOptions> = {}): Promise<Backend> {
    reports = []
    reached = []
    backend = ssh({ host: 'far', config: sshd.config, directory: farOf(place), ...options })({
      directory: place.state,
      socket: place.socket,
    })
    await backend.open(
      async (report) => void reports.push(report),
      (health) => void reached.push(health),
    )
    return backend
  }
  async function start(script: string, name = 'agent', env: Record<string, string> = {}): Promise<Handle & { id: string }> {
    const id = randomUUID()
    const size = { cols: 80, rows: 24 }
    const PATH = process.env['PATH']!
    const handle = await backend.start(id, name, {
      argv: ['sh', '-c', script],
      env: { PATH, INSTAR_SESSION_ID: id, ...env },
      cwd: place.directory,
      files: {},
      size,
    })
    return { ...handle, id }
  }
  const exitOf = (id: string): Exit | undefined =>
    reports
      .flatMap((report) => (report.id === id ? report.sights : []))
      .flatMap((sight) => (sight.type === 'exited' ? [sight.exit] : []))[0]
  const end = ({ id }: { id: string }) => until(() => exitOf(id), { what: 'the end' })
  const type = (handle: Handle, text: string) =>
    backend.send(handle, [
      { type: 'paste', text },
      { type: 'key', key: 'Enter' },
    ])
  const shows = (handle: Handle, text: string) =>
    until(async () => (await backend.capture(handle, 100)).text.includes(text), { what: `the screen to show ${text}` })
  /** The ssh processes of this backend, which are known by its socket. */
  const clients = async () => {
    const { stdout } = await execa('ps', ['-A', '-ww', '-o', 'pid=,args='])
    return stdout
      .split('\n')
      .filter((row) => row.includes(` -S ${place.state}/ssh-`))
      .map((row) => ({ pid: Number.parseInt(row, 10), isMaster: row.includes('ControlMaster=yes') }))
  }
  /** Commands that were begun in connections, by sshd's own account. */
  const commands = async () => (await sshd.log()).split('Starting session: command').length - 1

  it('makes one connection, and no process of ssh for an operation', async () => {
    const logins = await sshd.logins()
    await open()
    const first = await start('exec cat')
    const [before, begun] = [await clients(), await commands()]
    const many = await Promise.all(Array.from({ length: 20 }, (_, i) => start('read -r line; echo "$line"; exit 3', `many-${i}`)))
    for (const each of many) await type(each, 'hello')
    for (const each of many) expect(await end(each)).toMatchObject({ code: 3 })
    for (const each of many) expect((await backend.capture(each, 10)).text).toContain('hello')
    await backend.list()
    await backend.stop(first, 1000)
    for (const { id } of many) await backend.remove(id)
    expect(await clients()).toEqual(before)
    expect(before.map(({ isMaster }) => isMaster).toSorted()).toEqual([false, false, true])
    expect([await sshd.logins(), await commands()]).toEqual([logins + 1, begun])
  })

  it('connects again when the connection is killed, and tells of both', async () => {
    await open()
    const session = await start('exec cat')
    for (let round = 0; round < 2; round++) {
      const { pid } = (await clients()).find(({ isMaster }) => isMaster)!
      kill(pid)
      await until(() => reached.at(-1)?.ok === false, { what: 'the loss to be told' })
      await until(() => reached.at(-1)?.ok === true, { what: 'the place to be found' })
      await type(session, `round ${round}`)
      await shows(session, `round ${round}\nround ${round}`)
      expect((await backend.list()).map(({ id }) => id)).toEqual([session.id])
    }
    expect(exitOf(session.id)).toBeUndefined()
    await until(async () => (await clients()).length === 3, { what: 'nothing to be left of old connections' })
  })

  it('leaves nothing of a session whose start the connection breaks in', async () => {
    await open()
    const kept: string[] = []
    for (let round = 0; round < 8; round++) {
      const { pid } = await until(async () => (await clients()).find(({ isMaster }) => isMaster), { what: 'a connection' })
      await backend.list()
      const starting = start('exec cat', `n-${round}`)
      starting.then(
        ({ id }) => kept.push(id),
        (error: unknown) => expect(error).toMatchObject({ code: 'backend_unavailable' }),
      )
      // At any moment of it.
      await pass(round * 6)
      kill(pid)
      await starting.catch(() => {})
      await until(async () => (await clients()).some((each) => each.isMaster && each.pid !== pid), { what: 'another connection' })
      await until(() => backend.list(), { what: 'another connection' })
    }
    await until(
      async () =>
        (await backend.list())
          .map(({ id }) => id)
          .toSorted()
          .join() === kept.toSorted().join(),
      { what: 'nothing else to be left' },
    )
    await until(async () => (await readdir(join(farOf(place), 'sessions'))).toSorted().join() === kept.toSorted().join(), {
      what: 'no files to be left',
    })
  })

  it('tells the entries of a directory when they change, also across connections, and waits at no FIFO', async () => {
    await open()
    await backend.list()
    const directory = join(place.directory, `it's a registry`)
    const put = (name: string, text: string) => writeFile(join(directory, name), text)
    await expect(backend.watch!(directory, () => {})).rejects.toMatchObject({
      code: 'backend_failed',
      message: expect.stringContaining('no such directory'),
    })
    await mkdir(directory)
    await execa('mkfifo', [join(directory, 'fifo.json'), join(place.directory, 'fifo')])
    await put('1.json', '{"a":"it\'s: x.json:y"}')
    await put('other.txt', 'not told')
    const told: string[] = []
    const stop = await backend.watch!(directory, (text) => told.push(text))
    const fifo = await backend.tail!(join(place.directory, 'fifo'), 0, () => told.push('never'))
    expect(told).toEqual(['{"a":"it\'s: x.json:y"}'])
    await put('2.json', '{\n"b": 2\n}\n')
    await until(() => told.length === 2, { what: 'the second entry' })
    expect(told[1]).toBe('{\n"b": 2\n}')
    kill((await clients()).find(({ isMaster }) => isMaster)!.pid)
    await put('1.json', '{"a":2}')
    await until(() => told.length === 3, { what: 'the change' })
    await rm(join(directory, '1.json'))
    await put('2.json', '{}')
    await until(() => told.length === 4, { what: 'the other change' })
    stop()
    await put('2.json', '{"after":1}')
    // Two looks later it would have been told.
    await pass(2200)
    expect(told.slice(2)).toEqual(['{"a":2}', '{}'])
    fifo.close()
  })

  it('corrects the times of a clock that is ahead', async () => {
    const bin = join(place.directory, 'bin')
    await mkdir(bin)
    const date = (await execa('sh', ['-c', 'command -v date'])).stdout
    // A hook takes whole seconds.
    const ahead = `/^[0-9]+$/ { print $0 + 3600; next } /^[0-9]+[.][0-9]+$/ { printf "%.6f\\n", $0 + 3600; next } { print }`
    await writeFile(join(bin, 'date'), `#!/bin/sh\n${date} "$@" | awk '${ahead}'\n`, { mode: 0o755 })
    const PATH = `${bin}:${process.env['PATH']}`
    const other = await openSshd({ server: [`SetEnv PATH=${PATH}`] })
    try {
      await open({ config: other.config })
      const session = await start(`echo '{}' | sh "${farOf(place)}/sessions/$INSTAR_SESSION_ID/hook.sh" Said; exit 3`, 'agent', { PATH })
      await end(session)
      const times = reports.flatMap(({ sights }) =>
        sights.map((sight) => (sight.type === 'exited' ? sight.exit.at : sight.type === 'signal' ? sight.signal.at : sight.at)),
      )
      expect(times).toHaveLength(3)
      for (const at of times) expect(Math.abs(Date.parse(at) - Date.now())).toBeLessThan(10_000)
      await backend.close()
    } finally {
      await other.close()
    }
  })

  it('leaves no process here or there when it is closed', async () => {
    await open()
    await start('exec cat')
    await backend.close()
    expect(await clients()).toEqual([])
    const { stdout } = await execa('ps', ['-A', '-ww', '-o', 'args='])
    expect(stdout).not.toContain(`${farOf(place)}/bell`)
  })

  it('leaves no process of a connection, here or there, when its server is killed', async () => {
    const path = JSON.stringify(new URL('../../src/plugins/backends/ssh/ssh.ts', import.meta.url).pathname)
    const options = JSON.stringify({ host: 'far', config: sshd.config, directory: farOf(place) })
    const state = JSON.stringify({ directory: place.state, socket: place.socket })
    const code = `const { ssh } = await import(${path}); const backend = ssh(${options})(${state}); await backend.open(async () => {}); await backend.list(); console.log('listed'); setInterval(() => {}, 1000)`
    const server = execa('node', ['--import', 'tsx', '--input-type=module', '-e', code], { reject: false })
    const listens = async () => (await execa('ps', ['-A', '-ww', '-o', 'args='])).stdout.includes(`${farOf(place)}/bell`)
    // tmux 3.3a keeps a client that goes while it is being answered, until another server connects.
    const listed = new Promise((resolve) => server.stdout.once('data', resolve))
    await until(async () => (await clients()).length === 3 && (await listens()), { what: 'its connection' })
    await listed
    server.kill('SIGKILL')
    await server
    await until(async () => (await clients()).length === 0 && !(await listens()), { what: 'nothing to be left', timeout: 40_000 })
  })

  it('keeps what a session is given out of every argument list, here and there', async () => {
    const secret = `secret-${randomBytes(8).toString('hex')}`
    await open()
    const session = await start('read -r line; exec cat', 'agent', { TOKEN: secret })
    await type(session, secret)
    const running = backend.run!(['/bin/sh', '-c', 'read -r line; sleep 1; echo "$TOKEN $line"'], {
      env: { TOKEN: secret },
      input: `${secret}\n`,
    })
    let seen = ''
    await until(
      async () => {
        seen += (await execa('ps', ['-A', '-ww', '-o', 'args='])).stdout
        return seen.includes('sleep 1')
      },
      { what: 'the program to run' },
    )
    expect((await running).stdout).toBe(`${secret} ${secret}\n`)
    expect(seen).not.toContain(secret)
    expect(await sshd.log()).not.toContain(secret)
    for (const path of [farOf(place), join(farOf(place), 'sessions'), join(farOf(place), 'sessions', session.id)])
      expect((await stat(path)).mode & 0o077, path).toBe(0)
    for (const name of ['command', 'signals.jsonl', 'hook.sh'])
      expect((await stat(join(farOf(place), 'sessions', session.id, name))).mode & 0o777).toBe(0o600)
    expect((await readdir(farOf(place))).filter((name) => name.startsWith('run.'))).toEqual([])
  })

  it('keeps its files where a path holds what a shell would act on', async () => {
    const odd = join(place.directory, `it's "a" $(touch ${place.directory}/touched) #{b} %H $HOME ; ~`)
    await open({ directory: odd })
    const session = await start('echo hello')
    expect(await end(session)).toMatchObject({ code: 0 })
    expect((await backend.capture(session, 10)).text).toBe('hello')
    await until(async () => (await readFile(join(odd, 'sessions', session.id, 'output.log'), 'utf8')) === 'hello\r\n', { what: 'the log' })
    expect(await backend.run!(['echo', `it's`])).toMatchObject({ code: 0, stdout: `it's\n` })
    expect(await readdir(place.directory)).not.toContain('touched')
  })

  it('has a directory and a tmux server of its own where nothing else is said, under the XDG state directory', async () => {
    const home = await realpath(await mkdtemp(join(tmpdir(), 'instar-home-')))
    const other = await openSshd({ server: [`SetEnv XDG_STATE_HOME=${home}/state`] })
    const socket = async () => `${place.socket}-${await readFile(join(place.state, 'id'), 'utf8')}`
    try {
      backend = ssh({ host: 'far', config: other.config })({ directory: place.state, socket: place.socket })
      reports = []
      await backend.open(async (report) => void reports.push(report))
      expect(() => backend.directory('x')).toThrow(/far: it has not been reached yet/)
      await backend.environment!()
      expect(backend.directory('x')).toBe(join(home, 'state', 'instar', await socket(), 'sessions', 'x'))
      const session = await start('exit 4')
      expect(await end(session)).toMatchObject({ code: 4 })
      // As a server after a restart.
      expect(ssh({ host: 'far', config: other.config })({ directory: place.state, socket: place.socket }).attach(session)).toContain(
        await socket(),
      )
    } finally {
      await backend.close()
      await endServer(await socket())
      await other.close()
      await rm(home, { recursive: true, force: true })
    }
  })

  it('has its socket in a directory of its own where the path of its files is too long for one, and removes that', async () => {
    const options = { host: 'far', config: sshd.config, directory: farOf(place) }
    const state = join(place.state, 'deep'.repeat(20))
    const directory = dirname(sshCommands(options, state).socket)
    expect(directory).not.toContain(state)
    backend = ssh(options)({ directory: state, socket: place.socket })
    await backend.open(async () => {})
    await backend.environment!()
    expect(await readdir(directory)).toEqual([expect.stringMatching(/^ssh-/)])
    await backend.close()
    expect(await stat(directory).catch(() => null)).toBeNull()
  })

  it('says what a person types to sit down at a terminal', async () => {
    await open()
    const session = await start('echo hello from there; exec cat')
    const other = `instar-test-${randomBytes(6).toString('hex')}`
    try {
      await execa('tmux', ['-L', other, '-f', '/dev/null', 'new-session', '-d', '-x', '80', '-y', '24', backend.attach(session)!])
      await until(async () => (await execa('tmux', ['-L', other, 'capture-pane', '-p'])).stdout.includes('hello from there'), {
        what: 'the terminal',
      })
      await execa('tmux', ['-L', other, 'send-keys', 'typed', 'Enter'])
      await shows(session, 'typed\ntyped')
    } finally {
      await endServer(other)
    }
  })

  describe('runs programs there', () => {
    beforeEach(async () => void (await open()))
    const run: NonNullable<Backend['run']> = (...args) => backend.run!(...args)

    it('with their exact arguments, environment, input and output', async () => {
      const argv = ['', 'two words', `it's`, '$HOME', '-n', 'two\nlines', '日本', '%s', '\\'] as const
      const { stdout, stderr, code } = await run(['sh', '-c', `printf '%s\\0' "$@"; printf '%s' "$VALUE" >&2; exit 7`, 'sh', ...argv], {
        env: { VALUE: `it's\n"$x"` },
      })
      expect([stdout.split('\0').slice(0, -1), stderr, code]).toEqual([[...argv], `it's\n"$x"`, 7])
      const bytes = randomBytes(3_000_000)
      expect((await run(['cksum'], { input: bytes })).stdout).toBe((await execa('cksum', { input: bytes })).stdout + '\n')
      const { stdout: many } = await run(['awk', 'BEGIN { for (i = 0; i < 300000; i++) print "line", i }'])
      expect(many.split('\n')).toHaveLength(300_001)
      expect((await run(['pwd'])).stdout).toBe('/\n')
      expect((await run(['pwd'], { cwd: place.directory })).stdout).toBe(`${place.directory}\n`)
      expect((await run(['cat'])).stdout).toBe('')
    })

    it('and tells how they ended, or why they could not', async () => {
      expect((await run(['sh', '-c', 'kill -TERM $$'])).code).toBe(143)
      await expect(run(['instar-no-such-program'])).rejects.toMatchObject({ code: 'backend_failed', data: { missing: true } })
      await expect(run(['true'], { cwd: '/no/such' })).rejects.toMatchObject({
        code: 'backend_failed',
        message: expect.stringContaining('/no/such'),
      })
      const runs = await Promise.all(Array.from({ length: 12 }, (_, i) => run(['sh', '-c', `exit ${i}`])))
      expect(runs.map(({ code }) => code)).toEqual(runs.map((_, i) => i))
    })

    it('and ends those that take too long or are given up', async () => {
      const pidFile = join(place.directory, 'pid')
      const argv = ['sh', '-c', `echo $$ >"$1.new"; mv "$1.new" "$1"; exec sleep 60`, 'sh', pidFile] as const
      const isGone = () =>
        until(
          async () => /^$|^Z/.test((await execa({ reject: false })`ps -p ${(await readFile(pidFile, 'utf8')).trim()} -o stat=`).stdout),
          { what: 'the end of it' },
        )
      const late = run([...argv], { timeoutMs: 2500 })
      late.catch(() => {})
      await until(() => readFile(pidFile, 'utf8'), { what: 'the program' })
      await expect(late).rejects.toMatchObject({ code: 'backend_failed', message: expect.stringContaining('2.5 s') })
      await isGone()
      await rm(pidFile)
      const controller = new AbortController()
      const running = run([...argv], { signal: controller.signal })
      await until(() => readFile(pidFile, 'utf8'), { what: 'the program' })
      controller.abort()
      await expect(running).rejects.toMatchObject({ code: 'backend_failed' })
      await isGone()
    })

    it('and ends those that write without an end, holding no more than so much', async () => {
      const before = process.memoryUsage().rss
      let top = before
      const timer = setInterval(() => (top = Math.max(top, process.memoryUsage().rss)), 5)
      try {
        // It heeds no request to end: what it writes goes on coming until it is killed.
        await expect(run(['sh', '-c', `trap '' TERM; while :; do cat /dev/zero; done`])).rejects.toMatchObject({
          code: 'backend_failed',
          message: expect.stringContaining('more than 16 MiB'),
        })
      } finally {
        clearInterval(timer)
      }
      expect((top - before) / 1024 / 1024).toBeLessThan(150)
    })

    it('knows the environment of a login there', async () => {
      const environment = await backend.environment!()
      expect(environment).toMatchObject({ PATH: expect.stringContaining('/bin'), HOME: expect.stringMatching(/^\//) })
      expect(Object.keys(environment).filter((name) => /SSH|INSTAR|_$/.test(name))).toEqual([])
    })
  })

  describe('says what is wrong, starts nothing and leaves nothing:', () => {
    const noKey = async () => {
      await otherKey()
      return changed(/IdentityFile .*/, `LogLevel QUIET\nIdentityFile ${join(place.directory, 'other')}`)
    }
    const knownHosts = async (text: string) => {
      await writeFile(join(place.directory, 'known_hosts'), text)
      return { options: [`UserKnownHostsFile=${join(place.directory, 'known_hosts')}`] }
    }
    const program = async (text: string) => {
      await writeFile(join(place.directory, 'tmux'), `#!/bin/sh\n${text}\n`)
      await chmod(join(place.directory, 'tmux'), 0o755)
      return { tmux: join(place.directory, 'tmux') }
    }
    // Longer than a name can be, so nobody is asked for it.
    const nobody = 'x'.repeat(64)
    /** The configuration with other words in the place of some. */
    const changed = async (from: string | RegExp, to: string) => {
      const config = join(place.directory, 'config')
      await writeFile(config, (await readFile(sshd.config, 'utf8')).replace(from, to))
      return { config }
    }
    const openKey = async () => {
      await writeFile(join(place.directory, 'other'), await readFile(join(sshd.directory, 'user')), { mode: 0o644 })
      return changed(/IdentityFile .*/, `IdentityFile ${join(place.directory, 'other')}`)
    }
    const cases: Record<string, [() => Promise<Partial<SshOptions>>, RegExp]> = {
      'an unknown host': [async () => ({ host: nobody }), /there is no host of the name x+/],
      'nothing listens': [async () => ({ options: ['Port=1'] }), /connection refused: nothing listens at 127\.0\.0\.1 port 1$/],
      'nothing listens where we have to jump': [
        () => changed('Host far\n', 'Host jump\nHostName 127.0.0.1\nPort 1\nHost far\nProxyJump jump\n'),
        /connection refused: nothing listens at 127\.0\.0\.1 port 1$/,
      ],
      'its proxy is not there': [
        () => changed('Host far\n', 'Host far\nProxyCommand /nonexistent/proxy\n'),
        /the connection was closed, after it was said: .*\/nonexistent\/proxy/,
      ],
      'our key is refused': [noKey, /\w+@127\.0\.0\.1 refuses our key \(publickey\): "ssh -o BatchMode=yes -F \S+ far" has to work/],
      'others may read our key': [openKey, /ssh here does not use the key \S+\/other, because others may read it: chmod 600 \S+\/other$/],
      'its key has changed': [
        async () => knownHosts(`[127.0.0.1]:${sshd.port} ${(await otherKey()).split(' ').slice(0, 2).join(' ')}\n`),
        /its host key has changed \(it is not the one in .*known_hosts:1\).*\(ssh-keygen -f '\S+known_hosts' -R '\[127\.0\.0\.1\]:\d+'\)/,
      ],
      'its key is not known': [() => knownHosts(''), /its host key is not known yet/],
      'there is no tmux': [
        async () => ({ tmux: '/nonexistent/tmux' }),
        /\/nonexistent\/tmux is not installed on far: apt-get install tmux/,
      ],
      'its tmux is too old': [() => program('echo tmux 3.1c'), /^.*\/tmux on far is version 3\.1c, which is too old: install tmux 3\.2/],
      'its tmux is broken': [() => program('exit 1'), /\S+ on far does not answer as tmux does/],
      'nobody may write there': [async () => ({ directory: '/proc/instar' }), /\/proc\/instar/],
      'no ssh here': [async () => ({ ssh: '/nonexistent/ssh' }), /\/nonexistent\/ssh is not installed/],
      'an option that ssh does not know': [async () => ({ options: ['NoSuchOption=1'] }), /Bad configuration option: nosuchoption/i],
    }
    async function otherKey(): Promise<string> {
      await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(place.directory, 'other')])
      return readFile(join(place.directory, 'other.pub'), 'utf8')
    }

    it.each(Object.keys(cases))('%s', async (name) => {
      const [options, reason] = cases[name]!
      await open(await options())
      await expect(start('touch started')).rejects.toMatchObject({
        name: 'InstarError',
        code: 'backend_unavailable',
        message: expect.stringMatching(reason),
      })
      expect(await backend.check()).toEqual({ ok: false, reason: expect.stringMatching(reason) })
      await expect(backend.list()).rejects.toMatchObject({ code: 'backend_unavailable' })
      await backend.close()
      expect(await clients()).toEqual([])
      expect(await readdir(place.directory)).not.toContain('started')
      expect(await readdir(join(farOf(place), 'sessions')).catch(() => [])).toEqual([])
    })

    it.each([
      ['its account has no shell', ['ForceCommand echo This account is currently not available.; exit 1'], /its account has no shell/],
      ['it allows one session in a connection', ['MaxSessions 1'], /MaxSessions/],
    ])('%s', async (_, server, reason) => {
      const other = await openSshd({ server })
      try {
        await open({ config: other.config })
        await expect(start('touch started')).rejects.toMatchObject({ code: 'backend_unavailable', message: expect.stringMatching(reason) })
        expect(await backend.check()).toEqual({ ok: false, reason: expect.stringMatching(reason) })
        await backend.close()
      } finally {
        await other.close()
      }
    })

    it('its disk is full', async () => {
      const full = join(place.directory, 'full')
      await mkdir(full)
      await execa('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', full])
      try {
        await open({ directory: join(full, 'far') })
        const bystander = await start('exec cat', 'bystander')
        await execa('dd', ['if=/dev/zero', `of=${join(full, 'filler')}`, 'bs=1k'], { reject: false })
        await expect(start('touch started')).rejects.toMatchObject({
          code: 'backend_failed',
          message: expect.stringMatching(/No space left on device/),
        })
        // With some space left, but not enough.
        await execa('truncate', ['--size=-8k', join(full, 'filler')])
        await expect(start('touch started', 'large', { LARGE: 'x'.repeat(50_000) })).rejects.toMatchObject({
          code: 'backend_failed',
          message: expect.stringMatching(/No space left on device/),
        })
        expect(await readdir(join(full, 'far', 'sessions'))).toEqual([bystander.id])
        expect((await backend.list()).map(({ id }) => id)).toEqual([bystander.id])
        // What runs can be used and ended, without a disk.
        await type(bystander, 'still here')
        await shows(bystander, 'still here\nstill here')
        await rm(join(full, 'filler'))
        const next = await start('exit 2', 'next')
        expect(await end(next)).toMatchObject({ code: 2 })
        await backend.stop(bystander, 500)
        await backend.close()
      } finally {
        await endServer(place.socket)
        await execa('umount', ['-l', full])
      }
    })

    it.each([
      [{ host: '' }, /host/],
      [{ host: '-oProxyCommand=x' }, /host/],
      [{ host: 'two words' }, /host/],
      [{ port: 0 }, /port/],
      [{ options: ['IdentityFile'] }, /options/],
      [{ directory: 'relative' }, /directory/],
    ])('options that cannot be meant: %j', (options, reason) => {
      expect(() => ssh({ host: 'far', ...options })).toThrow(reason)
    })
  })
})

it('gives sessions worktrees', async () => {
  await expectWorktrees((state) => ssh({ host: 'far', config: sshd.config, directory: join(state.directory, '..', 'far') })(state))
})
