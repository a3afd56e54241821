import { randomUUID } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Control } from '../../src/plugins/backends/tmux/control.ts'
import { tmux } from '../../src/plugins/backends/tmux/tmux.ts'
import { backendConformance } from '../../src/conformance.ts'
import { nasty } from '../../src/conformance/stage.ts'
import type { Backend } from '../../src/runtime/backend.ts'
import type { Command, Exit, Handle, Keystroke, Report } from '../../src/runtime/types.ts'
import { kill, openPlace, program, programVersion, type TmuxPlace } from '../support/tmux.ts'
import { until } from '../support/wait.ts'

backendConformance('tmux', openPlace)

describe('tmux, beside the contract,', () => {
  let place: TmuxPlace
  let backend: Backend
  let reports: Report[]

  beforeEach(async () => {
    place = await openPlace()
    await open(place.backend())
  })
  afterEach(async () => {
    await backend?.close()
    await place?.cleanup()
  })

  async function open(next: Backend): Promise<void> {
    backend = next
    reports = []
    await backend.open(async (report) => void reports.push(report))
  }

  async function start(
    script: string,
    { name = 'agent', ...rest }: Partial<Command> & { name?: string } = {},
  ): Promise<Handle & { id: string }> {
    const env = { PATH: process.env['PATH']! }
    const size = { cols: 80, rows: 24 }
    const id = randomUUID()
    const handle = await backend.start(id, name, { argv: ['sh', '-c', script], env, cwd: place.directory, files: {}, size, ...rest })
    return { ...handle, id }
  }
  const exitOf = (id: string): Exit | undefined =>
    reports
      .flatMap((report) => (report.id === id ? report.sights : []))
      .flatMap((sight) => (sight.type === 'exited' ? [sight.exit] : []))[0]
  const end = ({ id }: { id: string }) => until(() => exitOf(id), { what: 'the end' })
  const text = async (handle: Handle) => (await backend.capture(handle, 100)).text
  const shows = (handle: Handle, wanted: string) =>
    until(async () => (await text(handle)).includes(wanted), { what: `the screen to show ${wanted}` })
  const type = (handle: Handle, text: string) => backend.send(handle, line(text))
  const directory = (id: string) => join(place.state, 'sessions', id)
  const serverPid = async () => Number(await place.tmux('display-message', '-p', '#{pid}'))
  const panePid = async (name: string) => Number(await place.tmux('display-message', '-p', '-t', `=${name}:`, '#{pane_pid}'))
  const keeperPid = () => panePid('_keeper')
  const clientPid = async () => Number((await place.tmux('list-clients', '-F', '#{client_pid}')).split('\n').at(-1))

  describe('keeps', () => {
    it.each([
      [
        '5000 lines',
        'awk "BEGIN { for (i = 1; i <= 5000; i++) print i }"',
        Array.from({ length: 5000 }, (_, i) => `${i + 1}\r\n`).join(''),
      ],
      [
        '100 KB',
        'awk "BEGIN { for (i = 0; i < 20000; i++) printf \\"%05d\\", i }"',
        Array.from({ length: 20_000 }, (_, i) => String(i).padStart(5, '0')).join(''),
      ],
      ['escape sequences', `printf '\\033[31mred\\033[m\\007'`, '\x1b[31mred\x1b[m\x07'],
      ['nothing', ':', ''],
    ])('every byte of a program that ended at once: %s', async (_, script, bytes) => {
      const session = await start(script)
      await end(session)
      // The last of it is on its way through a pipe when the end is told.
      const log = () => readFile(join(directory(session.id), 'output.log'), 'utf8')
      await until(async () => (await log()).length >= bytes.length, { what: 'the log' })
      expect(await log()).toBe(bytes)
    })

    it('every byte of ten that wrote 1 MB each and ended at the same time', async () => {
      const script = 'awk "BEGIN { for (i = 0; i < 200000; i++) printf \\"%05d\\", i % 100000 }"'
      const sessions = await Promise.all(Array.from({ length: 10 }, (_, i) => start(script, { name: `big-${i}` })))
      await Promise.all(sessions.map((session) => until(() => exitOf(session.id), { timeout: 30_000, what: 'the end' })))
      for (const { id } of sessions) {
        await until(async () => (await stat(join(directory(id), 'output.log'))).size === 1_000_000, { what: 'the log' })
      }
    })

    it('every byte of a program whose log was slow to be written', async () => {
      const session = await start('read -r go; awk "BEGIN { for (i = 0; i < 200000; i++) printf \\"%05d\\", i % 100000 }"')
      const server = await serverPid()
      // tmux starts a shell, which becomes it.
      const sink = await until(
        async () => {
          const { stdout } = await execa('ps', ['-A', '-o', 'pid=,ppid=,args='])
          const row = stdout.split('\n').find((each) => new RegExp(`^\\s*\\d+\\s+${server}\\s+cat$`).test(each))
          return row !== undefined && Number.parseInt(row, 10)
        },
        { what: 'what writes the log' },
      )
      process.kill(sink, 'SIGSTOP')
      try {
        await type({ ...session }, 'go')
        await end(session)
      } finally {
        process.kill(sink, 'SIGCONT')
      }
      await until(async () => (await stat(join(directory(session.id), 'output.log'))).size >= 1_000_000, { what: 'the log' })
    })

    it('what it keeps from everybody else', async () => {
      const session = await start('echo hi', { files: { 'settings.json': '{}' } })
      await end(session)
      for (const path of [place.state, join(place.state, 'sessions'), directory(session.id)])
        expect((await stat(path)).mode & 0o077, path).toBe(0)
      const names = await readdir(directory(session.id))
      expect(names).toEqual(
        expect.arrayContaining(['command', 'exit', 'hook.sh', 'output.log', 'screen.txt', 'settings.json', 'signals.jsonl']),
      )
      for (const name of ['command', 'hook.sh', 'screen.txt', 'settings.json', 'signals.jsonl']) {
        expect((await stat(join(directory(session.id), name))).mode & 0o777, name).toBe(0o600)
      }
    })

    it('secrets out of every argument list, and out of what tmux tells', async () => {
      const secret = `secret-${randomUUID()}`
      const session = await start('read -r line; exec cat', { env: { PATH: process.env['PATH']!, TOKEN: secret } })
      await type(session, secret)
      const told = await Promise.all([
        execa('ps', ['-A', '-ww', '-o', 'args=']).then(({ stdout }) => stdout),
        place.tmux('show-environment', '-g'),
        place.tmux('show-environment', '-t', '=agent:'),
        place.tmux('show-messages', '-t', await place.tmux('list-clients', '-F', '#{client_name}')),
        place.tmux('list-sessions'),
        place.tmux('list-buffers'),
      ])
      expect(told.join('\n')).not.toContain(secret)
    })

    it('no buffer behind', async () => {
      const session = await start('read -r line; exit 0')
      // Some of these reach it after its end.
      await Promise.allSettled(Array.from({ length: 20 }, () => type(session, 'x')))
      await end(session)
      await backend.capture(session, 10)
      expect(await place.tmux('list-buffers')).toBe('')
    })

    it('its files where a path holds what tmux and sh would act on', async () => {
      const state = join(place.directory, `it's "a" #(touch ${join(place.directory, 'touched')}) #{b} #[c] %H $HOME ; ~`)
      await mkdir(state, { recursive: true })
      await backend.close()
      await open(tmux({ program })({ directory: state, socket: place.socket }))
      const session = await start('echo hello')
      expect(await end(session)).toMatchObject({ code: 0 })
      expect(await text(session)).toBe('hello')
      expect(await readFile(join(state, 'sessions', session.id, 'output.log'), 'utf8')).toBe('hello\r\n')
      expect(await readdir(place.directory)).not.toContain('touched')
    })
  })

  describe('a hook that waits', () => {
    const mailboxOf = ({ id }: { id: string }) =>
      until(
        () => {
          const sights = reports.flatMap((report) => (report.id === id ? report.sights : []))
          return sights.flatMap((sight) => (sight.type === 'signal' ? (sight.signal.mailbox ?? []) : []))[0]
        },
        { what: 'the hook' },
      )
    const ask = `hook=$(ls -d ../state/sessions/*/hook.sh); echo '{}' | sh "$hook" Ask wait`

    it('does so where nobody else can answer, and leaves nothing there', async () => {
      const session = await start(`${ask} >answer; exec cat`)
      const mailbox = await mailboxOf(session)
      const answers = join(directory(session.id), 'answers')
      expect([(await stat(answers)).mode & 0o777, (await stat(join(answers, mailbox))).mode & 0o777]).toEqual([0o700, 0o600])
      expect(await backend.answer!(session, mailbox, 'yes')).toBe(true)
      expect(await readdir(answers)).toEqual([])
    })

    it('and stops reading in the middle has not taken it', async () => {
      const session = await start(`${ask} | { dd bs=1 count=10 2>/dev/null; exec sleep 60; }`)
      const mailbox = await mailboxOf(session)
      expect(await backend.answer!(session, mailbox, 'x'.repeat(1_000_000))).toBe(false)
      expect(await backend.answer!(session, mailbox, 'again')).toBe(false)
    })

    it('and ends in the middle has not taken it', async () => {
      const session = await start(`${ask} | dd bs=1 count=10 2>/dev/null; exec cat`)
      expect(await backend.answer!(session, await mailboxOf(session), 'x'.repeat(1_000_000))).toBe(false)
    })
  })

  it('rings no bell for the titles of a session whose titles nobody wants', async () => {
    await start('exec cat')
    await start('exec cat', { name: 'titled', titles: true })
    expect(await place.tmux('show-hooks', '-p', '-t', '=agent:')).toBe('')
    expect(await place.tmux('show-hooks', '-p', '-t', '=titled:')).toContain('pane-title-changed')
    expect(await place.tmux('list-sessions', '-F', '#{session_name} #{@instar_titles}')).toMatch(/^agent $/m)
  })

  describe('when its control connection is killed', () => {
    it('connects again and goes on', async () => {
      const [session, server] = [await start('exec cat'), await serverPid()]
      /** Whether a command ran whose answer was cut off is unknown, so it fails; the next one has a new connection. */
      const cut = async () => {
        const pid = await clientPid()
        kill(pid)
        await until(async () => ![0, pid].includes(await clientPid()), { what: 'another client' })
        await until(() => backend.list(), { what: 'another connection' })
      }
      await cut()
      await type(session, 'hello')
      await shows(session, 'hello\nhello')
      await cut()
      const second = await start('echo there; exec cat', { name: 'second' })
      await shows(second, 'there')
      await cut()
      await backend.stop(session, 1000)
      expect(exitOf(session.id)).toBeDefined()
      await until(async () => (await backend.list()).map(({ id }) => id).join() === second.id, { what: 'only the second to be left' })
      expect(await serverPid()).toBe(server)
    })

    it('says so, and tells nobody its command line', async () => {
      const session = await start('exec cat')
      kill(await clientPid())
      // Which of them meets the broken connection is a matter of luck.
      const looks = await Promise.allSettled(Array.from({ length: 50 }, () => backend.capture(session, 10)))
      for (const look of looks) {
        if (look.status === 'fulfilled') continue
        expect(look.reason).toMatchObject({ name: 'InstarError', code: 'backend_unavailable' })
        expect(look.reason).toMatchObject({ message: expect.not.stringContaining(place.socket) })
      }
    })

    it('again and again, while sessions come and go, it loses none', async () => {
      let done = false
      const killer = (async () => {
        for (let kills = 0; kills < 10 && !done; kills++) {
          const pid = await until(async () => (await clientPid()) || null, { what: 'a client' })
          kill(pid)
          await until(async () => (await clientPid()) !== pid, { what: 'another client' })
        }
      })()
      const started: { id: string; code: number }[] = []
      for (let i = 0; i < 20; i++) {
        // Whether a start ran whose answer was cut off is unknown; then nothing of it may stay.
        const session = await start(`exit ${i}`, { name: `n-${i}` }).catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'backend_unavailable' })
          return null
        })
        if (session) started.push({ id: session.id, code: i })
      }
      done = true
      await killer
      for (const { id, code } of started) expect(await end({ id })).toMatchObject({ code })
      await until(async () => (await backend.list()).length === 0, { what: 'nothing to be left' }).catch(async (error: unknown) => {
        throw new Error(`tmux has:\n${await place.tmux('list-sessions')}`, { cause: error })
      })
      const ends = reports.flatMap(({ id, sights }) => sights.filter(({ type }) => type === 'exited').map(() => id))
      expect(ends.toSorted()).toEqual(started.map(({ id }) => id).toSorted())
    })

    it('finds the launcher that was killed meanwhile', async () => {
      const session = await start('exec sleep 60')
      const [client, launcher] = [await clientPid(), await panePid('agent')]
      kill(client)
      kill(launcher)
      expect(await end(session)).toMatchObject({ code: null, reason: expect.any(String) })
    })
  })

  it('takes a tmux that cannot be asked for no answer, and never for an empty one', async () => {
    const wrapper = join(place.directory, 'tmux')
    await writeFile(wrapper, `#!/bin/sh\n[ -e ${place.directory}/broken ] && exit 1\nexec ${program} "$@"\n`)
    await chmod(wrapper, 0o755)
    await backend.close()
    await open(tmux({ program: wrapper })({ directory: place.state, socket: place.socket }))
    const [runs, ends] = [
      await start('exec cat', { name: 'runs' }),
      await start('until [ -e go ]; do sleep 0.02; done; exit 4', { name: 'ends' }),
    ]
    await writeFile(join(place.directory, 'broken'), '')
    const pid = await clientPid()
    kill(pid)
    await until(async () => (await place.tmux('list-clients')) === '', { what: 'no client' })
    await writeFile(join(place.directory, 'go'), '')
    const unavailable = { name: 'InstarError', code: 'backend_unavailable' }
    const asks = [backend.list(), backend.terminals!(), backend.capture(runs, 10), type(runs, 'x'), start('exit 0', { name: 'new' })]
    for (const ask of await Promise.allSettled(asks)) expect(ask).toMatchObject({ status: 'rejected', reason: unavailable })
    expect(await backend.check()).toMatchObject({ ok: false, reason: expect.any(String) })
    expect(exitOf(runs.id)).toBeUndefined()
    await execa('rm', [join(place.directory, 'broken')])
    expect(await end(ends)).toMatchObject({ code: 4 })
    await until(async () => (await backend.list()).map(({ id }) => id).join() === runs.id, { what: 'the list' })
    await type(runs, 'again')
    await shows(runs, 'again\nagain')
  })

  describe('when its tmux server is killed', () => {
    it('says how its sessions ended, and starts others', async () => {
      const polite = await start(`trap 'echo hung up; exit 3' HUP; echo ready; while :; do sleep 0.05; done`, { name: 'polite' })
      const plain = await start('echo some; echo output; exec sleep 60', { name: 'plain' })
      const stubborn = await start(`trap '' HUP TERM; echo ready; while :; do sleep 0.05; done`, { name: 'stubborn' })
      for (const session of [polite, stubborn]) await shows(session, 'ready')
      await shows(plain, 'output')
      const launcher = await panePid('stubborn')
      const programs = await childrenOf(launcher)
      kill(await serverPid())
      const next = await until(() => start('exec cat', { name: 'plain' }).catch(() => null), { what: 'a new session' })
      expect(await end(polite)).toMatchObject({ code: 3, signal: null })
      const { signal, reason } = await end(plain)
      expect(signal === 'SIGHUP' || signal === 'SIGTERM' || reason !== null).toBe(true)
      expect(await end(stubborn)).toMatchObject({ code: null })
      expect(await text(plain)).toBe('some\noutput')
      expect(await text(polite)).toContain('ready')
      expect(await running([launcher, ...programs])).toEqual([])
      await type(next, 'hello')
      await shows(next, 'hello\nhello')
      expect((await backend.list()).map(({ id }) => id)).toEqual([next.id])
    })

    it('while nobody was there, the next server finds out, and ends what has no terminal any more', async () => {
      const session = await start('echo some output; trap "" HUP; exec sleep 60')
      await shows(session, 'output')
      const [pid, launcher] = [await serverPid(), await panePid('agent')]
      const programs = await childrenOf(launcher)
      await backend.close()
      kill(pid)
      await open(place.backend())
      await backend.follow({ id: session.id, handle: session }, 1)
      expect(await end(session)).toMatchObject({ code: null })
      expect(await text(session)).toBe('some output')
      expect(programs).toHaveLength(1)
      expect(await running(programs)).toEqual([])
      expect(await end(await start('exit 5', { name: 'next' }))).toMatchObject({ code: 5 })
    })
  })

  it('tells that a launcher was killed', async () => {
    const session = await start('echo hello; exec sleep 60')
    await shows(session, 'hello')
    const launcher = await panePid('agent')
    const began = Date.now()
    kill(launcher)
    const exit = await end(session)
    const known = (await programVersion()) >= 303
    expect(exit).toMatchObject({ code: null, signal: known ? 'SIGKILL' : null, reason: expect.stringContaining('launcher') })
    expect(Date.now() - began).toBeLessThan(known ? 2500 : 5000)
    expect(await text(session)).toBe('hello')
    await until(async () => (await backend.list()).length === 0, { what: 'nothing to be left' })
  })

  it('tells that a person has killed its tmux session, and ends its program', async () => {
    const session = await start('echo hello; exec sleep 60', { name: 'by-hand' })
    await shows(session, 'hello')
    const launcher = await panePid('by-hand')
    const programs = await childrenOf(launcher)
    await place.tmux('kill-session', '-t', '=by-hand')
    expect(await end(session)).toMatchObject({ code: null, signal: 'SIGHUP' })
    expect(programs).toHaveLength(1)
    expect(await running([launcher, ...programs])).toEqual([])
    expect(await text(session)).toBe('hello')
  })

  it('starts no process in its keeper', async () => {
    const keeper = await keeperPid()
    const before = await countersOf(keeper)
    // Long enough for three of the nudges that tmux before 3.6 is given.
    const until = Date.now() + 3200
    do expect(await childrenOf(keeper)).toEqual([])
    while (Date.now() < until)
    expect(await countersOf(keeper)).toEqual(before)
  })

  it('has its bell again when its keeper was killed', async () => {
    const session = await start('exec sleep 60')
    const keeper = await keeperPid()
    kill(keeper)
    await until(async () => (await keeperPid()) !== keeper, { timeout: 3000, what: 'another keeper' }).catch(() => {})
    kill(await panePid('agent'))
    expect(await end(session)).toMatchObject({ code: null, reason: expect.stringContaining('launcher') })
  })

  it('leaves a session of somebody else with the wanted name as it is', async () => {
    await place.intrude!('agent')
    const pid = await panePid('agent')
    await expect(start('exit 0')).rejects.toMatchObject({ code: 'name_in_use' })
    expect(await panePid('agent')).toBe(pid)
    expect(await place.tmux('show-options', '-t', '=agent:')).toBe('')
    expect(await readdir(join(place.state, 'sessions'))).toEqual([])
    expect(reports).toEqual([])
  })

  it('types past a person who has scrolled back', async () => {
    const session = await start('exec cat')
    await place.tmux('copy-mode', '-t', '=agent:')
    await type(session, 'hello')
    await shows(session, 'hello\nhello')
  })

  it('is not confused by being started inside another tmux', async () => {
    const before = { TMUX: process.env['TMUX'], TMUX_PANE: process.env['TMUX_PANE'], TMUX_TMPDIR: process.env['TMUX_TMPDIR'] }
    Object.assign(process.env, { TMUX: '/nowhere/default,1,0', TMUX_PANE: '%0', TMUX_TMPDIR: place.directory })
    try {
      await backend.close()
      await open(place.backend())
      const session = await start('exec cat')
      expect((await backend.list()).map(({ id }) => id)).toEqual([session.id])
    } finally {
      for (const [name, value] of Object.entries(before)) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    }
  })

  // As in a container, whose first terminal is a pts/0 as well.
  it.runIf(process.getuid?.() === 0)('ends nobody at a terminal that only has the same name', async () => {
    const handle = await start('exec sleep 60')
    const terminal = (await place.tmux('display-message', '-p', '-t', '=agent:', '#{pane_tty}')).trim().replace('/dev/', '')
    const count = Number(terminal.replace('pts/', '')) + 1
    const others = `mount -t devpts -o newinstance,ptmxmode=666 devpts /dev/pts && mount --bind /dev/pts/ptmx /dev/ptmx || exit
for i in $(seq ${count}); do script -qc 'exec sleep 57.${count}' /dev/null & done; wait`
    const namespace = execa('unshare', ['--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', others], { reject: false })
    // ps names a terminal only as long as there is one of that name here.
    const sleeping = async (columns: string) => {
      const { stdout } = await execa('ps', ['-A', '-o', columns])
      return stdout.split('\n').filter((row) => ` ${row}`.endsWith(` sleep 57.${count}`))
    }
    const named = async () => (await sleeping('tty=,args=')).some((row) => row.startsWith(`${terminal} `))
    try {
      await until(async () => (await sleeping('args=')).length === count && named(), { what: `another ${terminal}` })
      const before = await sleeping('pid=,args=')
      await backend.stop(handle, 1000)
      await end(handle)
      expect(await sleeping('pid=,args=')).toEqual(before)
    } finally {
      namespace.kill('SIGKILL')
      await namespace
    }
  })

  it('takes two that end a session at once, and one that reads it, for none too many', async () => {
    const sessions = await Promise.all(Array.from({ length: 8 }, (_, i) => start('seq 200; exec cat', { name: `s-${i}` })))
    await Promise.all(sessions.map((session) => shows(session, '200')))
    const looks = sessions.map(async (session) => {
      for (; !exitOf(session.id);) expect(await text(session)).toMatch(/199\n200$/)
      expect(await text(session)).toMatch(/199\n200$/)
    })
    await Promise.all([...looks, ...sessions.flatMap((session) => [backend.stop(session, 500), backend.stop(session, 500)])])
  })
})

describe('without a tmux that it can use, tmux', () => {
  let place: TmuxPlace
  beforeAll(async () => {
    place = await openPlace()
  })
  afterAll(() => place.cleanup())

  const command: Command = { argv: ['true'], env: {}, cwd: '/', files: {}, size: { cols: 80, rows: 24 } }

  it.each([
    ['missing', null, 'missing is not installed on this machine: apt-get install tmux'],
    [
      'too old',
      '#!/bin/sh\n[ "$1" = -V ] && echo tmux 3.1c && exit\nexit 1\n',
      'too-old on this machine is version 3.1c, which is too old',
    ],
    ['broken', '#!/bin/sh\nexit 1\n', 'broken on this machine does not answer as tmux does'],
  ])('says what is wrong: %s', async (name, script, reason) => {
    const program = join(place.directory, name.replace(' ', '-'))
    if (script) await writeFile(program, script, { mode: 0o755 })
    const backend = tmux({ program })({ directory: place.state, socket: place.socket })
    expect(await backend.check()).toEqual({ ok: false, reason: expect.stringContaining(reason) })
    const began = Date.now()
    await backend.open(async () => {})
    await expect(backend.start(randomUUID(), 'x', command)).rejects.toMatchObject({
      code: 'backend_unavailable',
      message: expect.stringContaining(reason),
    })
    await expect(backend.list()).rejects.toMatchObject({ code: 'backend_unavailable' })
    await backend.close()
    expect(Date.now() - began).toBeLessThan(8000)
    expect(await readdir(join(place.state, 'sessions'))).toEqual([])
  })
})

describe('tmux itself', () => {
  let place: TmuxPlace
  let control: Control
  beforeAll(async () => {
    place = await openPlace()
    control = new Control(
      {
        argv: [program, '-L', place.socket, '-f', '/dev/null', '-u', '-C', 'new-session', '-s', 'x', 'cat'],
        env: { PATH: process.env['PATH']!, TERM: 'xterm' },
      },
      () => {},
    )
  })
  afterAll(async () => {
    await control.close()
    await place.cleanup()
  })

  const anyText = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...nasty('touched'))).map((text) => text.replaceAll('\0', ''))

  it('reads what quote writes', async () => {
    const path = join(place.directory, 'buffer')
    await fc.assert(
      fc.asyncProperty(anyText, async (text) => {
        fc.pre(text !== '')
        await control.run(['set-buffer', '-b', 'b', '--', text], ['save-buffer', '-b', 'b', path])
        expect(await readFile(path, 'utf8')).toBe(text)
      }),
      { numRuns: 300 },
    )
  })

  it('answers in order, also when commands fail between', async () => {
    const answers = await Promise.allSettled(
      Array.from({ length: 200 }, (_, i) =>
        i % 7 === 3
          ? control.run(['no-such-command', `${i}`])
          : control.run(['display-message', '-p', `${i}`], ['display-message', '-p', 'x']),
      ),
    )
    answers.forEach((answer, i) => {
      if (i % 7 === 3) expect(answer).toMatchObject({ status: 'rejected', reason: { code: 'backend_failed' } })
      else expect(answer).toEqual({ status: 'fulfilled', value: [[`${i}`], ['x']] })
    })
  })
})

const line = (text: string): Keystroke[] => [
  { type: 'paste', text },
  { type: 'key', key: 'Enter' },
]

async function processes(): Promise<{ pid: number; parent: number }[]> {
  const { stdout } = await execa('ps', ['-A', '-o', 'pid=', '-o', 'ppid=', '-o', 'stat='])
  const rows = stdout.split('\n').map((row) => row.trim().split(/\s+/))
  // One that has ended and that nobody has collected is listed too.
  return rows.filter(([, , state = '']) => !state.startsWith('Z')).map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }))
}

const childrenOf = async (parent: number): Promise<number[]> =>
  (await processes()).filter((each) => each.parent === parent).map(({ pid }) => pid)
const running = async (pids: readonly number[]): Promise<number[]> =>
  (await processes()).map(({ pid }) => pid).filter((pid) => pids.includes(pid))

/** What Linux counts of the children that a process has waited for: page faults and time. Elsewhere nothing. */
async function countersOf(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return [8, 10, 13, 14].map((field) => fields[field] ?? '')
}
