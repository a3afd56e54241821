import { randomUUID } from 'node:crypto'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { createStorage } from 'unstorage'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createApp } from '../src/app.ts'
import { dial } from '../src/dial.ts'
import { remote } from '../src/plugins/backends/remote/remote.ts'
import { createTunnel } from '../src/plugins/backends/remote/tunnel.ts'
import { tmux } from '../src/plugins/backends/tmux/tmux.ts'
import type { Backend, Health } from '../src/runtime/backend.ts'
import { InstarError } from '../src/runtime/error.ts'
import { answerHeader, maxPart, type Call } from '../src/runtime/executor.ts'
import { jsonLines } from '../src/runtime/json-lines.ts'
import type { Runtime } from '../src/runtime/runtime.ts'
import type { Command, Handle, Report, Sight } from '../src/runtime/types.ts'
import { openRemotePlace, type RemotePlace } from './support/executor.ts'
import { openProxy, type Proxy } from './support/proxy.ts'
import { pass, until } from './support/wait.ts'

const env = { PATH: process.env['PATH']! }

/** What a runtime sees of a backend. */
interface Plane {
  readonly backend: Backend
  readonly reports: Report[]
  readonly reached: Health[]
  start(script: string, options?: Partial<Command> & { name?: string; id?: string }): Promise<{ id: string; name: string; handle: Handle }>
  sights(id: string): Sight[]
}

const opened: Backend[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((backend) => backend.close()))
})

async function plane(backend: Backend, directory: string): Promise<Plane> {
  const reports: Report[] = []
  const reached: Health[] = []
  opened.push(backend)
  await backend.open(
    async (report) => void reports.push(report),
    (health) => reached.push(health),
  )
  return {
    backend,
    reports,
    reached,
    async start(script, { id = randomUUID(), name = `s-${id.slice(0, 8)}`, ...rest } = {}) {
      const command = { argv: ['sh', '-c', script], env, cwd: directory, files: {}, size: { cols: 80, rows: 24 }, ...rest } as const
      return { id, name, handle: await backend.start(id, name, command) }
    },
    sights: (id) => reports.filter((report) => report.id === id).flatMap(({ sights }) => sights),
  }
}

describe('a connection to an executor', () => {
  let place: RemotePlace
  let proxy: Proxy

  beforeAll(async () => {
    place = await openRemotePlace()
    proxy = await openProxy(() => place.executor.url)
  })
  afterAll(async () => {
    await proxy?.close()
    await place?.cleanup()
  })
  afterEach(() => {
    proxy.decide = () => 'pass'
    proxy.stalled = false
  })

  const through = (options = {}, storage = createStorage()) => place.remote({ url: proxy.url, ...options }, storage)
  const open = (options = {}, storage = createStorage()) => plane(through(options, storage), place.directory)
  const ids = async ({ backend }: Plane) => (await backend.list()).map(({ id }) => id)
  /** Calls a task when a client's bytes hold a text, the first time. */
  const once = (text: string, fate: ReturnType<Proxy['decide']>) => {
    proxy.decide = (bytes) => {
      if (!bytes.includes(text)) return 'pass'
      proxy.decide = () => 'pass'
      return fate
    }
  }

  it('that is cut again and again loses no report, repeats none, and keeps their order', async () => {
    const { backend, start, sights, reached } = await open()
    const script = `hook="sh $1/hook.sh"; i=0; while [ $i -lt 120 ]; do i=$((i + 1)); echo "{\\"n\\":$i}" | $hook Count; sleep 0.01; done; exit 7`
    const id = randomUUID()
    const { handle } = await start('', { id, argv: ['sh', '-c', script, 'sh', backend.directory(id)] })
    for (let cuts = 0, seen = 0; !sights(id).some(({ type }) => type === 'exited'); cuts++) {
      proxy.cut()
      await until(() => sights(id).length > seen, { what: 'a report' })
      seen = sights(id).length
      if (cuts > 200) throw new Error('it does not end')
    }
    const counted = sights(id).flatMap((sight) => (sight.type === 'signal' ? [(sight.signal.payload as { n: number }).n] : []))
    expect(counted).toEqual(Array.from({ length: 120 }, (_, i) => i + 1))
    expect(sights(id).map(({ type }) => type)).toEqual(['launched', ...counted.map(() => 'signal'), 'exited'])
    expect(sights(id).at(-1)).toMatchObject({ exit: { code: 7 } })
    await until(async () => (await backend.list()).length === 0, { what: 'nothing to be left' })
    expect((await backend.capture(handle, 10)).text).toBe('')
    // Each loss is told, and each return once.
    expect(reached.filter(({ ok }) => ok).length).toBeGreaterThan(1)
    expect(reached[0]).toMatchObject({ ok: false })
    expect(reached.filter(({ ok }, i) => ok && reached[i - 1]?.ok)).toEqual([])
  })

  it.each(['start', 'send', 'stop', 'list', 'capture', 'acknowledge', 'follow', 'remove'])(
    'whose answer to %s is lost asks again, and the executor does it once',
    async (verb) => {
      const { backend, start, sights } = await open()
      const text = `/executor/-/${verb}`
      if (verb === 'start' || verb === 'acknowledge') once(text, 'lose answer')
      const { id, handle } = await start('exec cat')
      if (verb === 'follow') {
        once(text, 'lose answer')
        proxy.cut()
      }
      if (verb === 'list') once(text, 'lose answer')
      expect((await backend.list()).map((each) => each.id)).toEqual([id])
      if (verb === 'send') once(text, 'lose answer')
      await backend.send(handle, [
        { type: 'paste', text: 'typed' },
        { type: 'key', key: 'Enter' },
      ])
      if (verb === 'capture') once(text, 'lose answer')
      await until(async () => (await backend.capture(handle, 10)).text === 'typed\ntyped', { what: 'the echo' })
      if (verb === 'stop') once(text, 'lose answer')
      await backend.stop(handle, 1000)
      expect(sights(id).map(({ type }) => type)).toEqual(['launched', 'exited'])
      if (verb === 'remove') once(text, 'lose answer')
      await backend.remove(id)
    },
  )

  it.each(['lose', 'lose all'] as const)('that breaks in the middle of a start (%s) starts it once or not at all', async (fate) => {
    const { start, sights, backend, ...rest } = await open()
    proxy.decide = (bytes) => {
      if (!bytes.includes('/executor/-/start')) return 'pass'
      proxy.decide = () => 'pass'
      if (fate === 'lose') proxy.cut()
      return fate
    }
    const id = randomUUID()
    const outcome = await start('exec cat', { id }).catch((error: unknown) => error)
    if (fate === 'lose') {
      expect(outcome).toMatchObject({
        code: 'backend_unavailable',
        message: expect.stringMatching(/^Cannot start session "s-.*": the executor at /),
      })
      expect(await ids({ start, sights, backend, ...rest })).toEqual([])
      expect((await start('exec cat', { id })).id).toBe(id)
    } else expect(outcome).toMatchObject({ id })
    await until(() => sights(id).length === 1, { what: 'the launch' })
    expect(await ids({ start, sights, backend, ...rest })).toEqual([id])
    await backend.stop((outcome as { handle?: Handle }).handle ?? (await backend.list())[0]!.handle, 500)
    expect(sights(id).map(({ type }) => type)).toEqual(['launched', 'exited'])
  })

  it('tells what was reported before it answers, also when that comes late', async () => {
    proxy.decide = (bytes) => (bytes.includes('/executor/-/connect') ? 'hold' : 'pass')
    const { backend, start, sights } = await open()
    proxy.hold(true)
    let isStarted = false
    const id = randomUUID()
    const before = place.executor.answered('start')
    const starting = start('exec cat', { id }).finally(() => (isStarted = true))
    await until(() => place.executor.answered('start') > before, { what: 'the answer' })
    await pass(100)
    expect([isStarted, sights(id)]).toEqual([false, []])
    proxy.hold(false)
    const { handle } = await starting
    expect(sights(id).map(({ type }) => type)).toEqual(['launched'])
    await backend.stop(handle, 300)
  })

  it('is asked for no start before its control plane is ready, and for none at all when that fails', async () => {
    const { backend, sights } = await open()
    const command = (file: string) => ({
      argv: ['sh', '-c', `: >${file}; exec cat`] as const,
      env,
      cwd: place.directory,
      files: {},
      size: { cols: 80, rows: 24 },
    })
    const [id, other] = [randomUUID(), randomUUID()]
    let save = () => {}
    const before = place.executor.asked('start')
    const starting = backend.start(id, 'saved', command('saved'), new Promise<void>((resolve) => (save = resolve)))
    await pass(100)
    expect([place.executor.asked('start'), sights(id)]).toEqual([before, []])
    save()
    await backend.stop(await starting, 300)
    await expect(backend.start(other, 'full', command('full'), Promise.reject(new Error('the disk is full')))).rejects.toThrow(
      'the disk is full',
    )
    expect([place.executor.asked('start'), await backend.list()]).toEqual([before + 1, []])
    expect(await place.read(`${place.directory}/full`)).toBeNull()
  })

  it('whose answer to a start is lost whenever it is asked for finds on the next one what was started', async () => {
    const { backend, start, sights } = await open()
    const asked = () => place.executor.asked('connect')
    const before = asked()
    proxy.decide = (bytes) => (bytes.includes('/executor/-/start') ? 'lose answer' : 'pass')
    const { id } = await start('exec cat')
    expect(asked()).toBe(before + 1)
    expect((await backend.list()).map((each) => each.id)).toEqual([id])
    expect(sights(id).map(({ type }) => type)).toEqual(['launched'])
  })

  it('waits for a start that the connection before has not finished', async () => {
    const gate: { open(): void; readonly opened: Promise<void> } = (() => {
      let open = () => {}
      const opened = new Promise<void>((resolve) => (open = resolve))
      return { open: () => open(), opened }
    })()
    const slow = await openRemotePlace(() => (state) => {
      const backend = tmux()(state)
      return {
        ...backend,
        async start(...given) {
          await gate.opened
          return backend.start(...given)
        },
      }
    })
    const between = await openProxy(() => slow.executor.url)
    try {
      const asked = new Promise<void>((resolve) => {
        between.decide = (bytes) => {
          if (bytes.includes('/executor/-/start')) resolve()
          return 'pass'
        }
      })
      const { backend, start, sights } = await plane(slow.remote({ url: between.url }), slow.directory)
      const starting = start('exec cat')
      await asked
      // It has to have come there; then the connection is lost, and another one asks what became of it.
      await until(() => slow.executor.asked('start') > 0, { what: 'the executor to be asked' })
      between.cut()
      await until(() => slow.executor.asked('connect') > 1, { what: 'another connection' })
      gate.open()
      const { id } = await starting
      expect((await backend.list()).map((each) => each.id)).toEqual([id])
      expect(sights(id).map(({ type }) => type)).toEqual(['launched'])
      await backend.close()
    } finally {
      await between.close()
      await slow.cleanup()
    }
  })

  it('that stays away in the middle of a start gives it up, and ends what was started as soon as it is back, also after a restart', async () => {
    const storage = createStorage()
    const { backend, start, sights } = await open({ patienceMs: 300 }, storage)
    const [one, two] = [randomUUID(), randomUUID()]
    for (const id of [one, two]) {
      const gone: { down?: Promise<void> } = {}
      proxy.decide = (bytes) => {
        if (!bytes.includes('/executor/-/start')) return 'pass'
        proxy.decide = () => {
          gone.down ??= proxy.down()
          return 'lose'
        }
        return 'lose all'
      }
      await expect(start(`echo $$ >${id}.new; mv ${id}.new ${id}; exec cat`, { id })).rejects.toMatchObject({
        code: 'backend_unavailable',
        message: expect.stringContaining('if it was started there, it is ended as soon as that can be asked'),
      })
      expect(sights(id).some(({ type }) => type === 'exited')).toBe(false)
      await gone.down
      if (id === two) await backend.close()
      proxy.decide = () => 'pass'
      const pid = await until(() => place.read(`${place.directory}/${id}`), { what: 'the program' })
      if (id === one) {
        await proxy.up()
        await until(async () => (await backend.list()).length === 0, { what: 'the end of what was given up' })
      } else {
        await proxy.up()
        const next = await open({}, storage)
        await until(async () => (await next.backend.list()).length === 0, { what: 'the end of what was given up' })
        expect(next.reports).toEqual([])
      }
      expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH')
      await until(async () => (await storage.getKeys('given-up:')).length === 0, { what: 'nothing to be given up' })
    }
  })

  it('that is silent counts as lost, and what was asked says so', async () => {
    const { backend, start, sights, reached } = await open({ silenceMs: 1500 })
    const { id, handle } = await start('exec cat')
    proxy.stalled = true
    const capture = backend.capture(handle, 10)
    await expect(capture).rejects.toMatchObject({ code: 'backend_unavailable' })
    await until(() => reached.length > 0, { what: 'the loss' })
    expect(reached[0]).toEqual({ ok: false, reason: `the executor at ${proxy.url} has said nothing for 1.5 s` })
    expect(await backend.check()).toMatchObject({ ok: false, reason: expect.stringContaining(`the executor at ${proxy.url}`) })
    proxy.stalled = false
    proxy.cut()
    await until(() => reached.at(-1)?.ok, { what: 'the return' })
    expect((await backend.capture(handle, 10)).text).toBe('')
    await backend.stop(handle, 500)
    expect(sights(id).map(({ type }) => type)).toEqual(['launched', 'exited'])
  })

  it('goes on reading in a file and watching a directory where it was cut', async () => {
    const { backend } = await open()
    const file = `${place.directory}/read-on`
    await place.write(file, 'line 0\n')
    const told: string[] = []
    const texts: string[] = []
    const tail = await backend.tail!(file, 0, (lines) => told.push(...lines))
    const stop = await backend.watch!(place.directory, (text) => texts.push(text))
    for (let i = 2; i < 12; i++) {
      proxy.cut()
      await place.write(file, Array.from({ length: i }, (_, n) => `line ${n}\n`).join(''))
      await until(() => tail.catchUp().then(() => true), { what: 'the executor' })
    }
    expect(told).toEqual(Array.from({ length: 11 }, (_, n) => `line ${n}`))
    await place.write(`${place.directory}/entry.json`, '{"a":1}')
    await until(() => texts.at(-1) === '{"a":1}', { what: 'the entry' })
    stop()
    tail.close()
  })

  it('runs programs there, with what they are to read, and tells what they wrote', async () => {
    const { backend } = await open()
    const bytes = new Uint8Array(3_000_000).map((_, i) => (i * 7) % 256)
    expect(
      await backend.run!(['sh', '-c', 'wc -c; echo "$X $PWD" >&2; exit 3'], {
        input: bytes,
        env: { ...env, X: "it's" },
        cwd: place.directory,
      }),
    ).toEqual({
      code: 3,
      stdout: expect.stringMatching(/^ *3000000\n$/),
      stderr: `it's ${place.directory}\n`,
    })
    const { stdout } = await backend.run!(['od', '-An', '-tx1'], { input: bytes.slice(0, 300) })
    expect(stdout.replace(/\s/g, '')).toBe(Buffer.from(bytes.slice(0, 300)).toString('hex'))
    expect(await backend.run!(['cat'], { input: '' })).toMatchObject({ stdout: '' })
    const long = await backend.run!(['awk', 'BEGIN { for (i = 0; i < 1000000; i++) print "日本" }'])
    expect(long.stdout).toHaveLength(3_000_000)
    await expect(backend.run!(['sleep', '60'], { timeoutMs: 200 })).rejects.toThrow(Error)
    const aborter = new AbortController()
    const run = backend.run!(['sh', '-c', `echo $$ >${place.directory}/pid; exec sleep 59`], { signal: aborter.signal })
    const pid = await until(() => place.read(`${place.directory}/pid`), { what: 'the program' })
    aborter.abort()
    await expect(run).rejects.toThrow(Error)
    await until(async () => (await backend.run!(['sh', '-c', `kill -0 ${pid.trim()}`])).code !== 0, { what: 'the end of the program' })
  })

  it('tells the environment of the other machine, without what opens it', async () => {
    const { backend } = await open()
    expect(await backend.environment!()).toEqual({ PATH: '/executor/bin', HOME: '/executor' })
  })

  it('is one for each control plane: none sees the sessions of another, and none takes its names', async () => {
    const [a, b] = [await open(), await open()]
    const started = [await a.start('exec cat', { name: 'same' }), await b.start('exec cat', { name: 'same' })]
    expect([await ids(a), await ids(b)]).toEqual(started.map(({ id }) => [id]))
    expect((await a.backend.terminals!()).filter(({ name }) => name === 'same')).toHaveLength(1)
    // Another one's handle leads nowhere.
    await expect(b.backend.send(started[0]!.handle, [{ type: 'key', key: 'C-c' }])).rejects.toMatchObject({ code: 'session_ended' })
    await b.backend.stop(started[0]!.handle, 100)
    expect(await ids(a)).toEqual([started[0]!.id])
    await Promise.all([a.backend.stop(started[0]!.handle, 500), b.backend.stop(started[1]!.handle, 500)])
    expect([a.sights(started[1]!.id), b.sights(started[0]!.id)]).toEqual([[], []])
  })

  it('is not made while nothing can remember who asks, and tells nothing of where that is kept', async () => {
    const storage = createStorage()
    storage.setItem = () => Promise.reject(new Error('ENOSPC: /secret/owner'))
    const { backend } = await open({}, storage)
    const reason = `the executor at ${proxy.url} is not asked: the storage does not tell or keep who this server is to it`
    expect(await backend.check()).toEqual({ ok: false, reason })
    await expect(backend.list()).rejects.toMatchObject({ code: 'backend_unavailable', message: `Cannot ask the executor: ${reason}` })
  })

  it('takes over from one with the same records, which says so', async () => {
    const storage = createStorage()
    const one = await open({}, storage)
    const two = await open({}, storage)
    await until(() => one.reached.length > 0, { what: 'the loss' })
    expect(one.reached[0]).toEqual({ ok: false, reason: `the executor at ${proxy.url} is used by another server with the same records` })
    // It does not take it back for every request.
    for (let i = 0; i < 3; i++) {
      await expect(one.backend.list()).rejects.toMatchObject({ code: 'backend_unavailable' })
      expect(await two.backend.list()).toEqual([])
    }
    expect(two.reached).toEqual([])
  })

  it('outlives restarts of the executor, which keeps nothing of its own', async () => {
    const { backend, start, sights, reached } = await open()
    const ends = await start('until [ -e go-1 ]; do sleep 0.02; done; : >over-1; exit 4')
    const stays = await start('exec cat')
    await place.executor.restart(async () => {
      await until(() => reached.at(-1)?.ok === false, { what: 'the loss' })
      await expect(backend.send(stays.handle, [{ type: 'key', key: 'a' }])).rejects.toMatchObject({ code: 'backend_unavailable' })
      await place.write(`${place.directory}/go-1`, '')
      await until(async () => (await place.read(`${place.directory}/over-1`)) !== null, { what: 'the end' })
    })
    await until(() => sights(ends.id).length === 2, { what: 'the end to be told' })
    expect(sights(ends.id)).toMatchObject([{ type: 'launched' }, { type: 'exited', exit: { code: 4 } }])
    await backend.send(stays.handle, [{ type: 'key', key: 'b' }])
    await until(async () => (await backend.capture(stays.handle, 10)).text === 'b', { what: 'the key' })
    await backend.stop(stays.handle, 500)
    expect(sights(stays.id).map(({ type }) => type)).toEqual(['launched', 'exited'])
  })

  it('tells a report again until it is stored', async () => {
    const backend = through()
    opened.push(backend)
    const told: Report[] = []
    let isFull = true
    await backend.open(async (report) => {
      told.push(report)
      if (isFull && report.sights.some(({ type }) => type === 'exited')) throw new Error('the disk is full')
    })
    const id = randomUUID()
    const command = { argv: ['sh', '-c', 'exit 3'], env, cwd: place.directory, files: {}, size: { cols: 80, rows: 24 } } as const
    const handle = await backend.start(id, 'full', command)
    await until(() => told.some(({ sights }) => sights.some(({ type }) => type === 'exited')), { what: 'the end' })
    expect((await backend.list()).map((each) => each.id)).toEqual([id])
    isFull = false
    proxy.cut()
    await until(async () => (await backend.list()).length === 0, { what: 'the end to be safe' })
    expect((await backend.capture(handle, 5)).text).toBe('')
  })

  it('carries a start of 16 MiB', async () => {
    const { backend, start, sights } = await open()
    const id = randomUUID()
    const big = '日"\\\n'.repeat(3_000_000)
    await start('', { id, argv: ['sh', '-c', 'wc -c <"$1/big"', 'sh', backend.directory(id)], files: { big } })
    await until(() => sights(id).length === 2, { what: 'the end' })
    expect((await backend.capture((await backend.list())[0]?.handle ?? { id, name: 'x' }, 10)).text.trim()).toBe(
      String(Buffer.byteLength(big)),
    )
  })
})

describe('an executor that dials in', () => {
  let place: RemotePlace
  let server: ReturnType<typeof createAdaptorServer>
  let proxy: Proxy
  /** The backend that the control plane's app has now. */
  let there: Backend | null = null
  let hangUp = () => {}
  const problems: (string | null)[] = []

  beforeAll(async () => {
    place = await openRemotePlace()
    // The app of a control plane, as far as it is dialled.
    const runtime = {
      dialled: (name: string, request: Request) =>
        name === 'there' && there
          ? there.dialled!(request)
          : Promise.reject(new InstarError('not_found', 'Cannot answer: there is no such path')),
    }
    const app = createApp(runtime as unknown as Runtime, { token: 'the-token-of-the-server', version: '1.2.3' })
    server = createAdaptorServer({ fetch: (request: Request) => app.fetch(request) })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    proxy = await openProxy(() => `http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  })
  afterEach(() => {
    hangUp()
    there = null
    proxy.decide = () => 'pass'
  })
  afterAll(async () => {
    await proxy?.close()
    if (server && 'closeAllConnections' in server) server.closeAllConnections()
    server?.close()
    await place?.cleanup()
  })

  const dialIn = (token = place.executor.token, path = '/dial/there') => {
    problems.length = 0
    hangUp = dial({ url: proxy.url + path, token, executor: place.executor, told: (problem) => problems.push(problem) })
  }
  async function open(storage = createStorage()): Promise<Plane> {
    there = remote({ dial: true, token: place.executor.token })({ directory: '/nowhere', socket: 'none', storage })
    return plane(there, place.directory)
  }

  it('is asked over what it dialled, and says before why not', async () => {
    const { backend, start, sights, reached } = await open()
    const reason = 'the executor that dials in does not answer (it has not dialled in)'
    expect(await backend.check()).toEqual({ ok: false, reason })
    expect(reached.at(-1)).toEqual({ ok: false, reason })
    await expect(backend.list()).rejects.toMatchObject({ code: 'backend_unavailable', message: `Cannot ask the executor: ${reason}` })
    dialIn()
    await until(() => reached.at(-1)?.ok, { what: 'the executor' })
    const { id, handle } = await start('read -r line; echo "$line"; exit 6')
    await backend.send(handle, [
      { type: 'paste', text: 'hello' },
      { type: 'key', key: 'Enter' },
    ])
    await until(() => sights(id).length === 2, { what: 'the end' })
    expect(sights(id)).toMatchObject([{ type: 'launched' }, { type: 'exited', exit: { code: 6 } }])
    expect((await backend.capture(handle, 5)).text).toBe('hello\nhello')
    expect(problems).toEqual([null])
  })

  it('loses and repeats nothing when it is cut again and again, and carries what is large both ways', async () => {
    const { backend, start, sights, reached } = await open()
    dialIn()
    await until(() => reached.at(-1)?.ok, { what: 'the executor' })
    const script = `hook="sh $1/hook.sh"; i=0; while [ $i -lt 60 ]; do i=$((i + 1)); echo "{\\"n\\":$i}" | $hook Count; done; wc -c <"$1/big"; exit 7`
    const id = randomUUID()
    const { handle } = await start('', {
      id,
      argv: ['sh', '-c', script, 'sh', backend.directory(id)],
      files: { big: 'x'.repeat(5_000_000) },
    })
    for (let seen = 0; !sights(id).some(({ type }) => type === 'exited');) {
      proxy.cut()
      await until(() => sights(id).length > seen, { what: 'a report' })
      seen = sights(id).length
    }
    const counted = sights(id).flatMap((sight) => (sight.type === 'signal' ? [(sight.signal.payload as { n: number }).n] : []))
    expect(counted).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
    expect(sights(id).map(({ type }) => type)).toEqual(['launched', ...counted.map(() => 'signal'), 'exited'])
    expect((await backend.capture(handle, 5)).text.trim()).toBe('5000000')
    const input = new Uint8Array(3_000_000).map((_, i) => (i * 7) % 256)
    const { stdout } = await backend.run!(['awk', 'BEGIN { for (i = 0; i < 300000; i++) print "日本語" }'])
    expect(stdout).toBe('日本語\n'.repeat(300_000))
    expect((await backend.run!(['sh', '-c', 'wc -c'], { input })).stdout.trim()).toBe('3000000')
  })

  it('starts once what was asked for once, whatever part of its answer is lost', async () => {
    const { backend, start, sights, reached } = await open()
    dialIn()
    await until(() => reached.at(-1)?.ok, { what: 'the executor' })
    // The last ones and every other one, when they are sent for the first time: what is lost three times ends the connection.
    const parts = new Set<string>()
    proxy.decide = (bytes) => {
      const [part] = /\S+\?part=\d+/.exec(bytes) ?? []
      if (part === undefined || parts.has(part)) return 'pass'
      parts.add(part)
      return parts.size % 2 === 1 || bytes.includes(`${part}&last`) ? 'lose answer' : 'pass'
    }
    const started = await Promise.all([1, 2, 3].map(() => start('exec cat')))
    expect(parts.size).toBeGreaterThan(3)
    proxy.decide = () => 'pass'
    // What has come does not have to come again, and is no reason to dial anew.
    expect(problems).toEqual([null])
    expect((await backend.list()).map(({ id }) => id).toSorted()).toEqual(started.map(({ id }) => id).toSorted())
    await Promise.all(started.map(({ handle }) => backend.stop(handle, 300)))
    for (const { id } of started) expect(sights(id).map(({ type }) => type)).toEqual(['launched', 'exited'])
  })

  it('gives way to another one, and says so', async () => {
    const { backend } = await open()
    dialIn()
    const first = hangUp
    await until(() => problems.length === 1, { what: 'the executor' })
    dialIn()
    const before = problems
    await until(() => before.includes('another executor has dialled in there'), { what: 'the other one' })
    first()
    await until(async () => (await backend.check()).ok, { what: 'the other one to be asked' })
  })

  it('that is a stranger gets nothing, and is told why', async () => {
    const { reached } = await open()
    dialIn('another-token-that-is-long')
    await until(() => problems[0], { what: 'a problem' })
    expect(problems[0]).toBe('Cannot answer: the token is not that of the executor')
    hangUp()
    dialIn(place.executor.token, '/dial/elsewhere')
    await until(() => problems[0], { what: 'a problem' })
    expect(problems[0]).toBe('Cannot answer: there is no such path')
    const at = (path: string, token: string, init: RequestInit = {}) =>
      fetch(proxy.url + path, { method: 'POST', ...init, headers: { authorization: `Bearer ${token}`, ...init.headers } })
    const code = async (answer: Response) => ((await answer.json()) as { error: { code: string } }).error.code
    expect(await code(await at('/dial/there', 'the-token-of-the-server'))).toBe('forbidden')
    expect(await code(await fetch(`${proxy.url}/dial/there`, { method: 'POST' }))).toBe('unauthorized')
    expect(await code(await at('/sessions', place.executor.token))).toBe('forbidden')
    expect((await at(`/dial/there/${randomUUID()}?part=0`, place.executor.token)).status).toBe(404)
    expect(reached.every(({ ok }) => !ok)).toBe(true)
  })

  it('takes no answer that makes no sense, and the right one after it', async () => {
    const tunnel = createTunnel('the-token-of-the-executor', () => {})
    const to = (path: string, init: RequestInit = {}) =>
      tunnel.answer(
        new Request(`http://localhost/dial/there${path}`, {
          method: 'POST',
          ...init,
          headers: { authorization: 'Bearer the-token-of-the-executor', ...init.headers },
        }),
      )
    const calls = jsonLines((await to('')).body!) as AsyncGenerator<Call>
    const answer = tunnel.fetch('http://executor/executor', { signal: AbortSignal.timeout(10_000) })
    let call: Call
    do call = (await calls.next()).value as Call
    while (call.type !== 'ask')
    const path = `/${call.id}`
    const wrong = { code: 'invalid_request' }
    for (const query of ['', '?part=', '?part=x&last', '?part=-1', '?part=0.5', '?part=1'])
      await expect(to(path + query, { body: 'x' }), query).rejects.toMatchObject(wrong)
    await expect(to(`${path}?part=0`, { body: 'x', headers: { [answerHeader]: '{"status":99}' } })).rejects.toMatchObject(wrong)
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(maxPart)) })
    await expect(to(`${path}?part=0`, { body: endless, duplex: 'half' } as RequestInit)).rejects.toMatchObject({ code: 'body_too_large' })
    const given = { [answerHeader]: '{"status":200,"headers":{}}' }
    expect((await to(`${path}?part=0&last`, { body: 'right', headers: given })).status).toBe(204)
    expect(await (await answer).text()).toBe('right')
    tunnel.close()
  })
})

describe('what is no executor', () => {
  const cleanups: (() => void)[] = []
  afterEach(() => {
    for (const cleanup of cleanups.splice(0)) cleanup()
  })

  /** A backend whose executor answers so. */
  async function answered(
    listener: RequestListener,
    options = {},
  ): Promise<{ url: string; reason(): Promise<string>; backend: Backend; reached: Health[] }> {
    const server = createServer(listener)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    cleanups.push(() => (server.closeAllConnections(), server.close()))
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const backend = remote({ url, token: 'a-token-that-is-long', ...options })({
      directory: '/nowhere',
      socket: 'none',
      storage: createStorage(),
    })
    const reached: Health[] = []
    opened.push(backend)
    const before = await backend.check()
    await backend.open(
      async () => {},
      (health) => reached.push(health),
    )
    const reason = async () => {
      const health = await backend.check()
      if (health.ok || before.ok) throw new Error('it says that it is there')
      return health.reason
    }
    return { url, reason, backend, reached }
  }

  const hello = (protocol: unknown) => `${JSON.stringify({ type: 'hello', protocol, version: '9.9.9', connection: randomUUID() })}\n`
  const lines = { 'content-type': 'application/x-ndjson' }

  it.each<[string, RequestListener, RegExp]>([
    ['a page', (_, res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<html>'), /no executor \(HTTP 200, text\/html\)/],
    [
      'a page of a proxy',
      (_, res) => res.writeHead(502, { 'content-type': 'text/html' }).end('<html>'),
      /no executor \(HTTP 502, text\/html\)/,
    ],
    ['a redirect', (_, res) => res.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(), /no executor \(HTTP (302|0)/],
    ['JSON of another kind', (_, res) => res.writeHead(200, { 'content-type': 'application/json' }).end('{"a":1}'), /no executor/],
    ['cut-off JSON', (_, res) => res.writeHead(200, lines).end(hello(1).slice(0, 20)), /no executor|closed the connection|no JSON/],
    ['lines that are no JSON', (_, res) => res.writeHead(200, lines).end('hello\n'), /no executor|no JSON/],
    [
      'lines that make no sense',
      (_, res) => res.writeHead(200, lines).end(`${hello(1)}{"type":"open","directory":7}\n`),
      /no executor|no JSON|makes no sense/,
    ],
    ['reports before a greeting', (_, res) => res.writeHead(200, lines).end(`{"type":"ping"}\n`), /no executor/],
    [
      'another version in its greeting',
      (_, res) => res.writeHead(200, lines).end(hello(7)),
      /speaks protocol 7 \(Instar 9\.9\.9\), and this server protocol 1/,
    ],
    [
      'another version in its refusal',
      (_, res) =>
        res
          .writeHead(400, { 'content-type': 'application/json' })
          .end(JSON.stringify({ error: { code: 'invalid_request', message: 'Cannot x: y', data: { protocol: 2, version: '2.0.0' } } })),
      /speaks protocol 2 \(Instar 2\.0\.0\), and this server protocol 1/,
    ],
    ['nothing, and hangs up', (_, res) => res.socket!.destroy(), /does not answer/],
  ])('that answers with %s is unavailable, with the reason', async (_, listener, pattern) => {
    const { url, reason, backend, reached } = await answered(listener)
    await until(() => reached.length > 0, { what: 'the loss' })
    expect(await reason()).toMatch(pattern)
    expect(reached[0]).toMatchObject({ ok: false, reason: expect.stringMatching(pattern) })
    expect(await reason()).toContain(`the executor at ${url} `)
    for (const verb of [
      backend.list(),
      backend.start(randomUUID(), 'a', { argv: ['true'], env, cwd: '/', files: {}, size: { cols: 80, rows: 24 } }),
    ])
      await expect(verb).rejects.toMatchObject({
        name: 'InstarError',
        code: 'backend_unavailable',
        message: expect.stringMatching(pattern),
      })
    expect(() => backend.directory(randomUUID())).toThrow(pattern)
  })

  it('or says of the place behind it how that is, is there no sooner than its backend is open, and then as it says', async () => {
    const push = (res: ServerResponse, ...pushes: object[]) => res.write(pushes.map((each) => `${JSON.stringify(each)}\n`).join(''))
    let connects = 0
    let stream: ServerResponse | null = null
    const { backend, reached } = await answered((req, res) => {
      if (req.url!.endsWith('/list'))
        return res.writeHead(200, { 'content-type': 'application/json', 'instar-pushed': '0' }).end('{"value":[]}')
      if (!req.url!.endsWith('/connect') || connects++ === 0) return res.writeHead(500).end()
      stream = res.writeHead(200, lines)
      res.write(hello(1))
      push(res, { type: 'reach', health: { ok: true, detail: 'its tmux' } })
    })
    await until(() => stream, { what: 'the connection' })
    await expect(backend.list()).rejects.toMatchObject({ code: 'backend_unavailable' })
    expect(reached.map(({ ok }) => ok)).toEqual([false])
    const directory = '/x/00000000-0000-7000-8000-000000000000'
    push(stream!, { type: 'reach', health: { ok: false, reason: 'its tmux is away' } }, { type: 'open', directory, project: null })
    await until(() => backend.list().catch(() => null), { what: 'the executor' })
    expect(reached.slice(1)).toEqual([{ ok: false, reason: 'its tmux is away' }])
    push(stream!, { type: 'reach', health: { ok: true, detail: 'its tmux' } })
    await until(() => reached.at(-1)?.ok, { what: 'the place' })
  })

  it('in its answers to verbs is unavailable too', async () => {
    const { backend } = await answered((req, res) => {
      if (req.method === 'GET') return res.writeHead(500).end()
      if (req.url!.endsWith('/connect'))
        return res
          .writeHead(200, lines)
          .write(`${hello(1)}{"type":"open","directory":"/x/00000000-0000-7000-8000-000000000000","project":null}\n`)
      if (req.url!.endsWith('/list'))
        return res.writeHead(200, { 'content-type': 'application/json', 'instar-pushed': '0' }).end('{"value":[')
      if (req.url!.endsWith('/capture'))
        return res.writeHead(200, { 'content-length': '1000' }).write('{"value":', () => res.socket!.destroy())
      return res.writeHead(200, { 'content-type': 'text/html' }).end('<html>')
    })
    const id = randomUUID()
    expect(backend.directory(id)).toBe(`/x/${id}`)
    await expect(backend.list()).rejects.toMatchObject({ code: 'backend_unavailable' })
    await expect(backend.capture({ id }, 5)).rejects.toMatchObject({ code: 'backend_unavailable' })
    await expect(backend.send({ id }, [])).rejects.toMatchObject({
      code: 'backend_unavailable',
      message: expect.stringContaining('no executor (HTTP 200, text/html)'),
    })
  })

  it('that answers without an end is unavailable, and is not read to it', async () => {
    const mebibyte = Buffer.alloc(1024 * 1024, 'x')
    let sent = 0
    const endless = (res: ServerResponse) => {
      const go = () => {
        while (!res.destroyed && res.write(mebibyte)) sent++
      }
      res.on('drain', go)
      go()
    }
    const { backend } = await answered((req, res) => {
      if (req.method === 'GET') return endless(res.writeHead(200, { 'content-type': 'application/json' }))
      if (req.url!.endsWith('/connect'))
        return res.writeHead(200, lines).write(`${hello(1)}{"type":"open","directory":null,"project":null}\n`)
      endless(res.writeHead(200, { 'content-type': 'application/json', 'instar-pushed': '0' }))
    })
    await expect(backend.list()).rejects.toMatchObject({
      code: 'backend_unavailable',
      message: expect.stringContaining('answers with more than 200 MiB'),
    })
    expect(sent).toBeLessThan(250)
    const pushing = await answered((req, res) => {
      if (req.url!.endsWith('/connect')) return endless(res.writeHead(200, lines))
      res.writeHead(500).end()
    })
    const why = 'it sent a line of more than 64 MiB'
    await until(() => pushing.reached.some((health) => !health.ok && health.reason.includes(why)), { timeout: 20_000, what: 'the loss' })
  })

  it('that does not answer at all is unavailable after some time', async () => {
    const { backend } = await answered(
      (req, res) => {
        if (req.url!.endsWith('/connect')) res.writeHead(200, lines).write(`${hello(1)}{"type":"open","directory":null,"project":null}\n`)
        if (req.method === 'GET') res.writeHead(500).end()
      },
      { silenceMs: 300 },
    )
    await expect(backend.list()).rejects.toMatchObject({
      code: 'backend_unavailable',
      message: expect.stringContaining('the executor at '),
    })
  })
})

describe('a token', () => {
  let place: RemotePlace
  beforeAll(async () => {
    place = await openRemotePlace()
  })
  afterAll(async () => {
    await place?.cleanup()
  })

  it('that is wrong is a reason', async () => {
    const { backend } = await plane(place.remote({ token: 'another-token-that-is-long' }), place.directory)
    const reason = `the executor at ${place.executor.url} refuses the token: it is under executor.token in .instar/config.json of the executor's project`
    expect(await backend.check()).toEqual({ ok: false, reason })
    await expect(backend.list()).rejects.toMatchObject({ code: 'backend_unavailable', message: `Cannot ask the executor: ${reason}` })
  })

  it('opens the executor, and nothing else is there', async () => {
    const ask = (path: string, init: RequestInit = {}) => fetch(place.executor.url + path, init)
    const authorization = `Bearer ${place.executor.token}`
    expect((await ask('/health')).status).toBe(200)
    expect(await (await ask('/health')).json()).toEqual({ status: 'ok', version: '1.2.3' })
    for (const path of ['/executor', '/executor/-/connect', '/executor/-/list', '/sessions', '/nothing']) {
      expect((await ask(path)).status, path).toBe(401)
      expect((await ask(path, { headers: { authorization: `${authorization}x` } })).status, path).toBe(403)
    }
    expect((await ask('/sessions', { headers: { authorization } })).status).toBe(404)
    const at = (path: string, headers = {}, body = '{}') =>
      ask(path, { method: 'POST', body, headers: { authorization, 'instar-protocol': '1', ...headers } })
    const error = async (response: Response) =>
      ((await response.json()) as { error: { code: string; data: object; message: string } }).error
    expect(await error(await at('/executor/-/list', { 'instar-protocol': '2' }))).toMatchObject({
      code: 'invalid_request',
      data: { protocol: 1, version: '1.2.3' },
    })
    expect(await error(await at('/executor/-/list'))).toMatchObject({ code: 'invalid_request', data: { field: 'owner' } })
    const headers = { 'instar-owner': randomUUID(), 'instar-connection': randomUUID(), 'instar-request': randomUUID() }
    expect(await error(await at('/executor/-/list', { ...headers, 'instar-owner': '../../etc' }))).toMatchObject({
      code: 'invalid_request',
      data: { field: 'owner' },
    })
    expect(await error(await at('/executor/-/list', headers))).toMatchObject({ code: 'backend_unavailable' })
    expect(await error(await at('/executor/other/list', headers))).toMatchObject({
      code: 'not_found',
      message: 'Cannot ask that backend: this executor has local',
    })
    expect(await error(await at('/executor/-/constructor', headers))).toMatchObject({ code: 'not_found' })
    expect(await error(await at('/executor/-/connect', headers, '{"silenceMs":1}'))).toMatchObject({
      code: 'invalid_request',
      data: { field: 'silenceMs' },
    })
  })
})
