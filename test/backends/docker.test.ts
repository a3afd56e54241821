import { randomUUID } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { docker, type DockerOptions } from '../../src/plugins/backends/docker/docker.ts'
import { identity } from '../../src/plugins/hooks/identity.ts'
import { inherit } from '../../src/plugins/hooks/inherit/inherit.ts'
import type { Backend, Health } from '../../src/runtime/backend.ts'
import type { Command, Exit, Handle, Report } from '../../src/runtime/types.ts'
import { testApp } from '../support/app.ts'
import { openDockerPlace, type DockerPlace } from '../support/docker.ts'
import { openDockerd, type Dockerd } from '../support/dockerd.ts'
import { kill } from '../support/tmux.ts'
import { until } from '../support/wait.ts'
import { expectWorktrees } from '../support/worktrees.ts'
import { backendConformance } from '../../src/conformance.ts'

let dockerd: Dockerd
beforeAll(async () => {
  dockerd = await openDockerd()
})
afterAll(() => dockerd?.close())

backendConformance('docker', () => openDockerPlace(dockerd))

describe('docker, beside the contract,', () => {
  let place: DockerPlace
  let backend: Backend
  let reports: Report[]
  let reaches: Health[]

  beforeEach(async () => {
    place = await openDockerPlace(dockerd)
    await open(place.backend())
  })
  afterEach(async () => {
    await backend?.close()
    await place?.cleanup()
  })

  async function open(next: Backend): Promise<void> {
    await backend?.close()
    backend = next
    reports = []
    reaches = []
    await backend.open(
      async (report) => void reports.push(report),
      (health) => void reaches.push(health),
    )
  }
  const using = (options: Partial<DockerOptions>) => open(place.with(options))
  type Started = Handle & { id: string }

  async function start(script: string, { name = 'agent', ...rest }: Partial<Command> & { name?: string } = {}): Promise<Started> {
    const id = randomUUID()
    const command = {
      argv: ['sh', '-c', script] as const,
      env: { PATH: '/bin' },
      cwd: place.directory,
      files: {},
      size: { cols: 100, rows: 30 },
    }
    return { ...(await backend.start(id, name, { ...command, ...rest })), id }
  }
  const exitOf = (id: string): Exit | undefined =>
    reports
      .flatMap((report) => (report.id === id ? report.sights : []))
      .flatMap((sight) => (sight.type === 'exited' ? [sight.exit] : []))[0]
  const end = ({ id }: { id: string }) => until(() => exitOf(id) ?? null, { timeout: 30_000, what: 'the end' })
  const text = async (handle: Handle) => (await backend.capture(handle, 100)).text
  const shows = (handle: Handle, wanted: string) =>
    until(async () => (await text(handle)).includes(wanted), { what: `the screen to show ${wanted}` })
  const type = (handle: Handle, line: string) =>
    backend.send(handle, [
      { type: 'paste', text: line },
      { type: 'key', key: 'Enter' },
    ])
  /** What a script prints. */
  async function printed(script: string, command: Partial<Command> = {}): Promise<string> {
    const session = await start(script, command)
    expect(await end(session)).toMatchObject({ code: 0, signal: null, reason: null })
    return text(session)
  }
  /** Nothing of any session is left, neither a container nor a file. */
  async function nothingLeft(): Promise<void> {
    expect(await dockerd.docker('ps', '--all', '--quiet')).toBe('')
    expect(await readdir(join(place.state, 'sessions'))).toEqual([])
    expect(await place.tmux('list-sessions', '-F', '#{session_name}')).toBe('_keeper')
  }
  it('removes the container when its program has ended, and keeps the screen and the log', async () => {
    const session = await start('echo hello; exit 7', { name: 'builder' })
    expect(await end(session)).toMatchObject({ code: 7, signal: null, reason: null })
    expect(await dockerd.docker('ps', '--all', '--quiet')).toBe('')
    expect(await text(session)).toBe('hello')
    expect(await readFile(join(place.state, 'sessions', session.id, 'output.log'), 'utf8')).toBe('hello\r\n')
    await backend.remove(session.id)
    await nothingLeft()
  })

  it('tells which container is whose, to docker attach as well', async () => {
    const session = await start('exec cat', { name: 'builder' })
    const { Name, Config } = (await place.container(session.id))!
    expect(Name).toBe(`/instar-${session.id}`)
    expect(Config).toMatchObject({
      Hostname: 'builder',
      Labels: { 'instar.session': session.id, 'instar.name': 'builder', 'instar.server': place.socket },
    })
    expect(await backend.check()).toEqual({ ok: true, detail: expect.stringMatching(/^instar-test:small by docker \d+\..*, tmux /) })
    await backend.stop(session, 300)
  })

  describe('keeps in', () => {
    it('what the environment holds: no secret is in an argument list, in the log of events or in what docker tells', async () => {
      const session = await start('printf %s "$TOKEN" | wc -c; exec cat', { env: { PATH: '/bin', TOKEN: 'very-secret-token' } })
      await shows(session, '17')
      const { stdout } = await execa('ps', ['-A', '-ww', '-o', 'args='])
      expect(stdout).toContain(session.id)
      expect(stdout).not.toContain('very-secret-token')
      expect(JSON.stringify(await place.container(session.id))).not.toContain('very-secret-token')
      expect(JSON.stringify(reports)).not.toContain('very-secret-token')
      await backend.stop(session, 300)
    })

    it('every right: no capabilities, and none to be had', async () => {
      expect(await printed(`grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status | tr -s '\\t' ' '`)).toBe(
        'CapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1',
      )
    })

    it('what it is limited to', async () => {
      const labels = { team: 'a' }
      await using({
        memory: '64m',
        cpus: 0.5,
        pids: 20,
        readOnly: true,
        tmpfs: ['/scratch'],
        user: '1000:1001',
        labels,
        newPrivileges: true,
        capabilities: ['CHOWN'],
      })
      await chmod(place.directory, 0o777)
      const id = randomUUID()
      const script = `id -u; id -g; touch /x 2>&1; touch /tmp/x /scratch/x "$HOME/x" mine && echo '{}' | sh "$0/hook.sh" Said; exec cat`
      const command = { cwd: place.directory, files: {}, size: { cols: 100, rows: 30 } }
      const env = { ...(await backend.environment!()), SECRET: 'x' }
      const handle = await backend.start(id, 'limited', { ...command, env, argv: ['sh', '-c', script, backend.directory(id)] })
      await until(() => reports.some(({ sights }) => sights.some(({ type }) => type === 'signal')), { what: 'the signal' })
      expect(await text(handle)).toBe('1000\n1001\ntouch: /x: Read-only file system')
      expect((await place.container(id))!.HostConfig).toMatchObject({
        Memory: 64 * 1024 * 1024,
        MemorySwap: 64 * 1024 * 1024,
        NanoCpus: 500_000_000,
        PidsLimit: 20,
        ReadonlyRootfs: true,
        CapDrop: ['ALL'],
        CapAdd: expect.arrayContaining([expect.stringContaining('CHOWN')]),
        SecurityOpt: null,
        NetworkMode: 'host',
        LogConfig: { Type: 'none' },
        AutoRemove: false,
      })
      expect((await stat(join(place.directory, 'mine'))).uid).toBe(1000)
      expect((await place.container(id))!.Config).toMatchObject({ Labels: labels })
      await backend.stop(handle, 300)
    })

    it('a session: the files of the server and of other sessions are not there', async () => {
      const project = place.directory
      const kept = join(project, '.instar')
      await mkdir(join(kept, 'backends'), { recursive: true })
      await writeFile(join(kept, 'config.json'), '{"auth":{"token":"the-token-of-the-server"}}')
      await writeFile(join(project, 'readme'), 'hello')
      await open(
        docker({ image: dockerd.image, host: dockerd.host, network: 'host' })({
          directory: join(kept, 'backends', 'box'),
          socket: place.socket,
          project,
          kept,
        }),
      )
      const other = await start('exec cat', { name: 'other', files: { 'other.txt': 'a secret of another' } })
      const look = await start(
        `cat readme; ls -A .instar .instar/backends/box .instar/backends/box/sessions; cat "$0/hook.sh" | wc -l; exec cat`,
        { name: 'look' },
      )
      await shows(look, 'sessions')
      expect(await text(look)).not.toContain('config.json')
      expect(await text(look)).not.toContain(other.id)
      expect(await text(look)).toContain(look.id)
      for (const each of [other, look]) await backend.stop(each, 300)
    })

    it('a session of a user who could not enter the directory of the server’s files', async () => {
      const project = place.directory
      const kept = join(project, '.instar')
      const directory = join(kept, 'backends', 'box')
      await mkdir(directory, { recursive: true, mode: 0o700 })
      await chmod(kept, 0o700)
      await writeFile(join(kept, 'config.json'), 'the token')
      const options = { image: dockerd.image, host: dockerd.host, network: 'host', user: '1000:1000' }
      const elsewhere = { source: project, target: '/elsewhere', readOnly: true }
      await open(docker({ ...options, mounts: [elsewhere] })({ directory, socket: place.socket, project, kept }))
      const script = 'echo kept >"$HOME/mine" && cat "$HOME/mine"; for d; do ls -A "$d"; done; find / -name config.json 2>/dev/null; :'
      const argv = ['sh', '-c', script, 'sh', kept, '/elsewhere/.instar'] as const
      expect(await printed('', { argv, env: { ...(await backend.environment!()) } })).toBe('kept\nbackends')
      expect(await dockerd.docker('volume', 'ls', '--quiet')).toBe('')
    })

    it('what a program puts in place of its files: links and pipes are neither followed nor waited for', async () => {
      const secret = join(place.directory, '..', 'secret')
      await writeFile(secret, '0\n')
      const script = `cd "$1"; rm -f launcher.err exit; ln -s ${secret} launcher.err; mkfifo exit
        ln -s ${secret} payload.1-1; ln -s ${secret} answers/1-1; mkfifo payload.2-2
        echo '{"hook":"A","time":1,"mailbox":"1-1","file":"payload.1-1"}' >>signals.jsonl
        echo '{"hook":"B","time":1,"file":"payload.2-2"}' >>signals.jsonl
        echo '{"hook":"C","time":1,"mailbox":"1-1","payload":{}}' >>signals.jsonl
        mv signals.jsonl elsewhere; mv answers elsewhere; ls; exec cat`
      const id = randomUUID()
      const command = { env: { PATH: '/bin' }, cwd: place.directory, files: {}, size: { cols: 100, rows: 30 } }
      const handle = await backend.start(id, 'wicked', { ...command, argv: ['sh', '-c', script, 'sh', backend.directory(id)] })
      await until(() => reports.some(({ sights }) => sights.some((sight) => sight.type === 'signal')), { what: 'the signal' })
      expect(reports.flatMap(({ sights }) => sights).flatMap((sight) => (sight.type === 'signal' ? [sight.signal.event] : []))).toEqual([
        'C',
      ])
      expect(await backend.answer!(handle, '1-1', 'yes')).toBe(false)
      expect(await readFile(secret, 'utf8')).toBe('0\n')
      await shows(handle, 'signals.jsonl')
      await backend.stop(handle, 300)
      expect(exitOf(id)).toMatchObject({ code: null, signal: expect.stringMatching(/^SIG/) })
    })

    it('what is read for it: only files that it could have written', async () => {
      const inside = join(place.directory, 'transcript.jsonl')
      await writeFile(inside, 'one\n')
      await execa('ln', ['-s', '/etc/passwd', join(place.directory, 'link')])
      await execa('ln', ['-s', '/etc', join(place.directory, 'etc')])
      const told: string[] = []
      const tail = await backend.tail!(inside, 0, (lines) => void told.push(...lines))
      expect(told).toEqual(['one'])
      tail.close()
      for (const path of [
        '/etc/passwd',
        join(place.directory, 'link'),
        join(place.directory, 'etc/passwd'),
        `${place.directory}/../../../etc/passwd`,
      ])
        await expect(
          backend.tail!(path, 0, (lines) => void told.push(...lines)),
          path,
        ).rejects.toMatchObject({ code: 'backend_failed' })
      await expect(backend.watch!('/etc', () => {})).rejects.toMatchObject({ code: 'backend_failed' })
      expect(told).toEqual(['one'])
    })
  })

  describe('says what is wrong, and leaves nothing:', () => {
    it.each([
      [
        'an image that there is not',
        { image: 'no-such-image:1' },
        'backend_failed',
        /no image no-such-image:1: build it, or type docker --host=\S+ pull no-such-image:1$/,
      ],
      ['an image whose name is no name', { image: 'Upper//Case' }, 'backend_failed', /invalid reference format/],
      ['a network that there is not', { network: 'no-such-network' }, 'backend_failed', /no-such-network/],
      ['too little memory', { memory: '1k' }, 'backend_failed', /memory/i],
      ['an option that docker does not know', { args: ['--no-such-option'] }, 'backend_failed', /no-such-option/],
      ['a mount that there is not', { mounts: [{ source: '/no/such/place' }] }, 'backend_failed', /\/no\/such\/place/],
      ['no docker', { program: 'no-such-docker' }, 'backend_unavailable', /no-such-docker is not installed/],
      [
        'no daemon',
        { host: 'unix:///no/such/socket' },
        'backend_unavailable',
        /daemon of docker does not run, or cannot be reached at unix:\/\/\/no\/such\/socket/,
      ],
      [
        'no daemon at an address',
        { host: 'tcp://no-such-host.invalid:1' },
        'backend_unavailable',
        /the daemon of docker does not run, or cannot be reached: dial tcp: lookup no-such-host.invalid/,
      ],
    ] as const)('%s', async (_, options, code, message) => {
      await using(options as Partial<DockerOptions>)
      await expect(start('exit 0')).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
      await nothingLeft()
    })

    it.each([
      ['no image', { image: 'no-such-image:1' }, /there is no image no-such-image:1/],
      ['no docker', { program: 'no-such-docker' }, /no-such-docker is not installed: apt-get install docker.io/],
      ['no daemon', { host: 'unix:///no/such/socket' }, /does not run, or cannot be reached/],
    ] as const)('%s, in its health', async (_, options, reason) => {
      expect(await place.with(options).check()).toEqual({ ok: false, reason: expect.stringMatching(reason) })
      await expect(place.with(options).environment!()).rejects.toMatchObject({ name: 'InstarError' })
    })

    it('a daemon that this user may not use', async () => {
      const program = join(place.directory, 'docker-of-nobody')
      await writeFile(program, '#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups docker "$@"\n', { mode: 0o755 })
      // So that only the socket itself forbids it.
      await chmod(dockerd.host.replace(/^unix:\/\/(.*)\/docker.sock$/, '$1'), 0o755)
      const reason = expect.stringMatching(/may not use the daemon of .*: add it to the group docker/)
      expect(await place.with({ program }).check()).toEqual({ ok: false, reason })
    })

    it('an image without sh', async () => {
      await using({ image: dockerd.bare })
      await expect(start('exit 0')).rejects.toMatchObject({
        code: 'backend_failed',
        message: expect.stringMatching(/ended with exit code 127, and nothing ran in it: the image has no sh/),
      })
      await nothingLeft()
    })

    it.each(['/', '/etc', '/tmp/../etc', ''])('a directory that no container may see: %j', async (cwd) => {
      await expect(start('exit 0', { cwd: cwd || join(place.directory, '..') })).rejects.toMatchObject({
        code: 'invalid_request',
        data: { field: 'cwd' },
        message: expect.stringContaining(`it may only see ${place.directory}`),
      })
      await nothingLeft()
    })

    it('a directory that a link in the project leads to', async () => {
      await execa('ln', ['-s', '/var', join(place.directory, 'outside')])
      const session = await start('pwd -P; ls', { cwd: join(place.directory, 'outside') })
      // The container has no such directory, and the machine's is not there.
      expect(await end(session)).toMatchObject({ code: 126, reason: expect.stringContaining('cannot enter the directory') })
    })

    it.each([
      [{ image: '--privileged' }, 'image'],
      [{ image: '' }, 'image'],
      [{ image: 'a b' }, 'image'],
      [{ image: 'x', user: '--privileged' }, 'user'],
      [{ image: 'x', roots: ['relative'] }, 'roots'],
      [{ image: 'x', mounts: [{ source: '../x' }] }, 'mounts'],
      [{ image: 'x', mounts: [{ source: '/x', target: 'y' }] }, 'mounts'],
      [{ image: 'x', tmpfs: ['scratch'] }, 'tmpfs'],
    ] as const)('options that are none: %j', (options, field) => {
      expect(() => docker(options)).toThrow(expect.objectContaining({ code: 'invalid_request', data: { field } }))
    })
  })

  describe('tells how a container ended', () => {
    it('out of memory', async () => {
      await using({ memory: '16m' })
      const session = await start('echo begins; x=$(yes | head -c 300000000); echo never')
      expect(await end(session)).toMatchObject({ code: null, signal: 'SIGKILL', reason: 'its container ran out of memory' })
      expect(await text(session)).not.toContain('never')
    })

    it.each([125, 126, 127])('exit %i, which is the program’s own', async (code) => {
      expect(await end(await start(`exit ${code}`))).toMatchObject({ code, signal: null, reason: null })
    })

    it.each([
      ['docker kill', ['kill'], { code: null, signal: 'SIGKILL' }],
      ['docker stop', ['stop', '--time=0'], { code: null, signal: 'SIGKILL' }],
      ['docker rm --force', ['rm', '--force'], { code: null }],
    ] as const)('by somebody’s %s', async (_, args, exit) => {
      const session = await start('echo ready; exec cat')
      await shows(session, 'ready')
      await dockerd.docker(...args, `instar-${session.id}`)
      expect(await end(session)).toMatchObject(exit)
      expect(await dockerd.docker('ps', '--all', '--quiet')).toBe('')
    })
  })

  describe('goes on', () => {
    /** A program that says what it hears. */
    const echo = 'echo before; while read -r line; do echo "heard $line"; done'
    /** What is typed while nobody is in front of the container is lost. */
    const isUsable = (session: Started) =>
      until(
        async () => {
          await type(session, 'you')
          await until(async () => (await text(session)).includes('heard you'), { timeout: 500, what: 'an answer' })
          return true
        },
        { what: 'the terminal' },
      )

    it('when its tmux server is killed, with what was on the screen', async () => {
      const [one, two] = [await start(echo, { name: 'one', titles: true }), await start(echo, { name: 'two' })]
      for (const each of [one, two]) await shows(each, 'before')
      const container = (await place.container(one.id))!
      kill(Number(await place.tmux('display-message', '-p', '#{pid}')))
      await until(async () => (await backend.list()).length === 2 && (await place.tmux('list-panes', '-a')).split('\n').length === 3, {
        what: 'new terminals',
      })
      for (const each of [one, two]) {
        await shows(each, 'before')
        await isUsable(each)
      }
      expect((await place.container(one.id))!.State).toEqual(container.State)
      expect(reports.flatMap(({ sights }) => sights).filter(({ type }) => type === 'exited')).toEqual([])
      for (const each of [one, two]) await backend.stop(each, 300)
      expect(exitOf(one.id)).toMatchObject({ code: null, signal: 'SIGTERM' })
      expect(await dockerd.docker('ps', '--all', '--quiet')).toBe('')
    })

    it('when that happens while no server is there, and even ends with its code then', async () => {
      const [goes, ends] = [
        await start(echo, { name: 'goes' }),
        await start('echo ready; until [ -e go ]; do sleep 0.05; done; exit 5', { name: 'ends' }),
      ]
      await shows(goes, 'before')
      await shows(ends, 'ready')
      await backend.close()
      kill(Number(await place.tmux('display-message', '-p', '#{pid}')))
      await place.write(join(place.directory, 'go'), '')
      await until(async () => (await place.container(ends.id))?.State.Running === false, { what: 'the end' })
      await open(place.backend())
      for (const { id, ...handle } of [goes, ends]) await backend.follow({ id, handle: { ...handle, id } }, 0)
      expect(await end(ends)).toMatchObject({ code: 5, signal: null, reason: null })
      await isUsable(goes)
      await backend.stop(goes, 300)
      expect(await dockerd.docker('ps', '--all', '--quiet')).toBe('')
    })

    it('and is found when nobody knows of it but docker', async () => {
      const session = await start(echo)
      await backend.close()
      kill(Number(await place.tmux('display-message', '-p', '#{pid}')))
      await open(place.backend())
      const { id, ...handle } = session
      expect(await backend.list()).toEqual([{ id, handle: { ...handle, id } }])
      await backend.follow({ id, handle: { ...handle, id } }, 0)
      await isUsable(session)
      await backend.stop(session, 300)
    })

    it.each([
      ['its launcher', 'launch.sh', [0]],
      ['what its launcher runs', 'launch.sh', [1]],
      ['both', 'launch.sh', [0, 1]],
      ['the client of docker', '--detach-keys', [0]],
    ] as const)('when %s is killed', async (_, words, which) => {
      const session = await start(echo)
      await shows(session, 'before')
      const rows = (await execa('ps', ['-A', '-ww', '-o', 'pid=,args='])).stdout.split('\n')
      const pids = rows.flatMap((row) => (row.includes(words) && row.includes(session.id) ? [Number.parseInt(row, 10)] : []))
      for (const each of which) kill(pids[each]!)
      await isUsable(session)
      await backend.stop(session, 300)
      expect(await dockerd.docker('ps', '--all', '--quiet')).toBe('')
    })

    it('until the daemon that comes after a killed one ends it', async () => {
      const other = await openDockerd()
      const there = await openDockerPlace(other)
      try {
        await open(there.backend())
        const session = await start(echo, { cwd: there.directory })
        await shows(session, 'before')
        await other.kill()
        const reason = expect.stringContaining('the daemon of docker')
        await until(() => reaches.at(-1)?.ok === false, { what: 'the loss' })
        expect(reaches.at(-1)).toEqual({ ok: false, reason })
        await expect(type(session, 'nobody hears')).rejects.toMatchObject({ code: 'backend_unavailable', message: reason })
        // One that takes over meanwhile knows it too.
        await open(there.backend())
        await backend.follow({ id: session.id, handle: session }, 0)
        await until(() => reaches.at(-1)?.ok === false, { what: 'the loss' })
        await other.start()
        await until(() => reaches.at(-1)?.ok, { timeout: 15_000, what: 'the daemon to be found' })
        // Docker tells 137, or that it does not know.
        const { code, signal, reason: why } = await end(session)
        expect([code, signal ?? why]).toEqual([null, expect.stringMatching(/^SIGKILL$|its container was ended, with exit code/)])
        expect(await text(session)).toBe('before')
        expect(await other.docker('ps', '--all', '--quiet')).toBe('')
      } finally {
        await open(place.backend())
        await there.cleanup()
        await other.close()
      }
    })

    it('while the daemon hangs, which is noticed though nobody asks it anything', async () => {
      const session = await start(echo)
      await shows(session, 'before')
      const thaw = await dockerd.freeze()
      try {
        await until(() => reaches.at(-1)?.ok === false, { timeout: 30_000, what: 'the loss' })
        const reason = 'the daemon of docker has not answered for 5 s'
        expect(reaches.at(-1)).toEqual({ ok: false, reason })
        const message = expect.stringContaining(reason)
        const refused = [start('exit 0', { name: 'never' }), backend.stop(session, 300), type(session, 'nobody hears')]
        const began = Date.now()
        await Promise.all(refused.map((each) => expect(each).rejects.toMatchObject({ code: 'backend_unavailable', message })))
        expect(Date.now() - began).toBeLessThan(10_000)
      } finally {
        thaw()
      }
      await until(() => reaches.at(-1)?.ok, { timeout: 15_000, what: 'the daemon to be found' })
      await isUsable(session)
      await backend.stop(session, 300)
      expect(exitOf(session.id)).toBeDefined()
    })

    it('and a container that a killed server made, but never began, is removed', async () => {
      const id = randomUUID()
      await dockerd.docker(
        'create',
        `--name=instar-${id}`,
        `--label=instar.session=${id}`,
        '--label=instar.name=x',
        `--label=instar.server=${place.socket}`,
        dockerd.image,
        'sh',
      )
      expect(await backend.list()).toEqual([])
      expect(await dockerd.docker('ps', '--all', '--quiet')).toBe('')
    })

    it('stops also what an earlier server has left', async () => {
      const session = await start(`trap '' TERM HUP; echo ready; while :; do sleep 0.05; done`)
      await shows(session, 'ready')
      await open(place.backend())
      await backend.stop(session, 300)
      expect(await dockerd.docker('ps', '--all', '--quiet')).toBe('')
      expect(await backend.list()).toEqual([])
    })
  })

  it('mounts nothing when a project is to be carried: an empty directory at the same path, which goes with the session', async () => {
    await using({ mount: false })
    const id = randomUUID()
    const project = backend.project!(id, '/code/somewhere')
    await mkdir(project, { recursive: true })
    await writeFile(join(project, 'carried.txt'), 'hello')
    const command = { env: { PATH: '/bin' }, cwd: '/code/somewhere', files: {}, size: { cols: 100, rows: 30 } }
    const handle = await backend.start(id, 'carried', { ...command, argv: ['sh', '-c', 'pwd; cat carried.txt; echo back >new.txt'] })
    expect(await end({ id })).toMatchObject({ code: 0 })
    expect(await text(handle)).toBe('/code/somewhere\nhello')
    expect(await readFile(join(project, 'new.txt'), 'utf8')).toBe('back\n')
    await backend.remove(id)
    await nothingLeft()
  })

  it('gives sessions worktrees, in what is mounted', async () => {
    await expectWorktrees(docker({ image: dockerd.image, host: dockerd.host }))
  })
})

describe('a container without the project', () => {
  it('gets what makes the agent, and it goes with the session', async () => {
    const box = docker({ image: dockerd.image, host: dockerd.host, mount: false })
    const app = await testApp({ backends: { box }, hooks: [inherit(), identity()] })
    try {
      await mkdir(join(app.project, '.claude'))
      await Promise.all([
        writeFile(join(app.project, 'CLAUDE.md'), 'as it is here'),
        writeFile(join(app.project, 'AGENT.md'), 'I am Anna.'),
        writeFile(join(app.project, '.claude/hook.sh'), '#!/bin/sh\necho "it runs"\n', { mode: 0o755 }),
        writeFile(join(app.project, 'secret.env'), 'not asked for'),
      ])
      const prompt = 'pwd; ls -A1; cat CLAUDE.md; echo; .claude/hook.sh; cat "$INSTAR_INSTRUCTIONS"; echo changed >CLAUDE.md'
      const session = await app.runtime.spawn({ name: 'a', prompt })
      await until(() => app.runtime.get('a').endedAt, { what: 'the end' })
      const { text } = await app.runtime.output('a', 40)
      expect(text.split('\n')).toEqual([
        app.project,
        '.claude',
        '.instar-carried',
        'AGENT.md',
        'CLAUDE.md',
        'as it is here',
        'it runs',
        '# Who you are (AGENT.md)',
        '',
        'I am Anna.',
      ])
      expect(await readFile(join(app.project, 'CLAUDE.md'), 'utf8')).toBe('as it is here')
      expect(session.cwd).toBe(app.project)
      await app.runtime.end('a', { purge: true })
      expect(await readdir(join(app.state, 'backends/box/sessions'))).toEqual([])
    } finally {
      await app.close()
    }
  })
})
