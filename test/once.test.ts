import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createStorage, type Storage } from 'unstorage'
import memory from 'unstorage/drivers/memory'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createIds } from '../src/runtime/id.ts'
import { openOnce } from '../src/runtime/once.ts'
import type { Receipt } from '../src/runtime/deliveries.ts'
import type { Session } from '../src/runtime/types.ts'
import { killable, scriptedApp, type ScriptedApp } from './support/scripted-app.ts'
import { pass, until } from './support/wait.ts'

let app: ScriptedApp
beforeAll(async () => {
  app = await scriptedApp({ limits: { maxSessions: 500 } })
})
afterAll(() => app?.close())

let count = 0
const fresh = () => `o-${count++}`
const keyed = (key: string) => ({ 'idempotency-key': key })
const spawn = (body: object, key: string, query = '') => app.call<Session>('POST', `/sessions/spawn${query}`, body, keyed(key))
const replayed = ({ headers }: { headers: Headers }) => headers.get('idempotency-replayed')
const reused = { status: 409, body: { error: { code: 'idempotency_key_reused', data: { field: 'Idempotency-Key' } } } }
const shell = { agent: 'shell', prompt: 'exec cat' }

describe('a spawn with a key', () => {
  test('is answered again as it was answered first, and done once', async () => {
    const name = fresh()
    const one = await spawn({ name, ...shell }, name)
    expect([one.status, replayed(one)]).toEqual([201, null])
    await app.runtime.end(name)
    const two = await spawn({ name, ...shell }, name)
    expect([two.status, replayed(two)]).toEqual([201, 'true'])
    expect(two.body).toEqual(one.body)
    expect(app.runtime.list().filter((session) => session.name === name)).toHaveLength(1)
  })

  test('of many at the same time is one', async () => {
    const name = fresh()
    const answers = await Promise.all(Array.from({ length: 10 }, () => spawn({ name, ...shell }, name)))
    expect(new Set(answers.map(({ status, body }) => `${status} ${JSON.stringify(body)}`)).size).toBe(1)
    expect(answers[0]!.status).toBe(201)
    expect(answers.filter((answer) => replayed(answer) === null)).toHaveLength(1)
  })

  test('is the same after a restart', async () => {
    const name = fresh()
    const one = await spawn({ name, ...shell }, name)
    await app.restart()
    const two = await spawn({ name, ...shell }, name)
    expect([two.status, replayed(two), two.body]).toEqual([201, 'true', one.body])
    expect(app.runtime.list().filter((session) => session.name === name)).toHaveLength(1)
  })

  test('and another request is refused: another body, another path, another wait', async () => {
    const name = fresh()
    await spawn({ name, ...shell }, name)
    expect(await spawn({ name, ...shell, prompt: 'true' }, name)).toMatchObject(reused)
    expect(await spawn({ name: fresh(), ...shell }, name)).toMatchObject(reused)
    expect(await spawn({ name, ...shell }, name, '?wait=running')).toMatchObject(reused)
    expect(await app.send(name, { text: 'x' }, keyed(name))).toMatchObject(reused)
    await app.restart()
    expect(await spawn({ name, ...shell, prompt: 'true' }, name)).toMatchObject(reused)
  })

  test('is the same request when only its JSON is written otherwise', async () => {
    const name = fresh()
    await spawn({ name, ...shell }, name)
    const other = await spawn({ prompt: shell.prompt, agent: shell.agent, name }, name)
    expect([other.status, replayed(other)]).toEqual([201, 'true'])
  })

  test('that was refused frees its key', async () => {
    const name = fresh()
    await app.spawn(name, 'exec cat', { agent: 'shell' })
    const key = fresh()
    const refused = await spawn({ name, ...shell }, key)
    expect([refused.status, refused.body.error?.code]).toEqual([409, 'name_in_use'])
    // The key is free, also for another request.
    expect((await spawn({ name: fresh(), ...shell }, key)).status).toBe(201)
    const again = fresh()
    expect((await spawn({ name, ...shell }, again)).status).toBe(409)
    await app.runtime.end(name)
    expect((await spawn({ name, ...shell }, again)).status).toBe(201)
  })

  test('that is invalid never takes its key', async () => {
    const key = fresh()
    expect((await spawn({ name: 'A', ...shell }, key)).status).toBe(400)
    expect((await spawn({ name: fresh(), ...shell }, key)).status).toBe(201)
  })

  test('?wait is answered again as it was', async () => {
    const name = fresh()
    const one = await spawn({ name, agent: 'shell', prompt: 'exit 3' }, name, '?wait=error')
    const two = await spawn({ name, agent: 'shell', prompt: 'exit 3' }, name, '?wait=error')
    expect(one.body).toMatchObject({ status: 'error', exitCode: 3, timedOut: false })
    expect([two.body, replayed(two)]).toEqual([one.body, 'true'])
  })

  test.each(['', ' ', 'a b', 'ü', 'x'.repeat(201)])('that is no key is refused: %#', async (key) => {
    const name = fresh()
    const { status, body } = await spawn({ name, ...shell }, key)
    expect([status, body.error?.data['field']]).toEqual([400, 'Idempotency-Key'])
    expect((await app.call('GET', `/sessions/${name}`)).status).toBe(404)
  })

  test('may have any visible character', async () => {
    const name = fresh()
    const key = `!"#$%&'()*+,-./:;<=>?@[\\]^_\`{|}~${name}`.padEnd(200, 'x')
    expect((await spawn({ name, ...shell }, key)).status).toBe(201)
    expect(replayed(await spawn({ name, ...shell }, key))).toBe('true')
  })
})

describe('an input with a key', () => {
  async function idle(): Promise<string> {
    const name = fresh()
    await app.spawn(name, 'hello')
    await app.reaches(name, 'idle')
    return name
  }

  test('is typed once, also for many at the same time and after a restart', async () => {
    const name = await idle()
    const send = () => app.send(name, { text: 'once' }, keyed(name))
    const answers = await Promise.all([send(), send(), send()])
    await app.restart()
    answers.push(await send())
    expect(new Set(answers.map(({ status, body }) => `${status} ${body.id} ${body.stage}`)).size).toBe(1)
    expect(answers.filter((answer) => replayed(answer) === null)).toHaveLength(1)
    await app.reaches(name, 'idle')
    expect(await app.submitted(name)).toEqual(['hello', 'once'])
  })

  test('of which the body, the session or the wait is another is refused', async () => {
    const [name, other] = [await idle(), await idle()]
    await app.send(name, { text: 'a' }, keyed(name))
    expect(await app.send(name, { text: 'b' }, keyed(name))).toMatchObject(reused)
    expect(await app.send(name, { text: 'a', mode: 'queue' }, keyed(name))).toMatchObject(reused)
    expect(await app.send(other, { text: 'a' }, keyed(name))).toMatchObject(reused)
    expect(await app.submitted(other)).toEqual(['hello'])
  })

  test.each([
    ['waits for a person', '[ask a]', async (name: string) => app.reaches(name, 'waiting'), 'session_waiting', 'Escape'],
    [
      'has a draft in its composer',
      'then a draft',
      async (name: string) => {
        await app.reaches(name, 'idle')
        await app.send(name, { text: 'draft', submit: false })
      },
      'composer_in_use',
      'C-u',
    ],
  ])('that was refused because the session %s frees its key', async (_, text, prepare, code, key) => {
    const name = await idle()
    await app.send(name, { text })
    await prepare(name)
    const send = () => app.send(name, { text: 'wanted' }, keyed(name))
    expect((await send()).body.error?.code).toBe(code)
    await app.send(name, { keys: [key] })
    await app.reaches(name, 'idle')
    const again = await send()
    expect([again.status, again.body.stage]).toEqual([200, expect.stringMatching(/submitted|started/)])
    expect(await app.submitted(name)).toEqual(['hello', text, 'wanted'])
  })

  test('to a session that there is not frees its key', async () => {
    const name = fresh()
    expect((await app.send(name, { text: 'x' }, keyed(name))).status).toBe(404)
    expect((await spawn({ name, ...shell }, name)).status).toBe(201)
  })

  test('of keys are pressed once', async () => {
    const name = await idle()
    await app.send(name, { text: 'ab', submit: false })
    for (let i = 0; i < 3; i++) expect((await app.send(name, { keys: ['c'] }, keyed(name))).status).toBe(200)
    await app.send(name, { keys: ['Enter'] })
    await until(async () => (await app.submitted(name)).length === 2, { what: 'the text' })
    expect(await app.submitted(name)).toEqual(['hello', 'abc'])
  })

  test('that was queued is typed once', async () => {
    const name = fresh()
    await app.spawn(name, '[work]')
    await until(() => app.runtime.get(name).evidence.rule === 'Work', { what: 'it works' })
    const send = () => app.send(name, { text: 'queued', mode: 'queue' }, keyed(name))
    const one = await send()
    await app.restart()
    expect((await send()).body).toEqual(one.body)
    await app.go(name)
    await until(async () => (await app.submitted(name)).length === 2, { what: 'the text' })
    await app.reaches(name, 'idle')
    expect(await app.submitted(name)).toEqual(['[work]', 'queued'])
  })
})

describe('how long keys are kept', () => {
  const hour = 60 * 60 * 1000
  function clock(storage: Storage = createStorage({ driver: memory() })) {
    let time = Date.parse('2026-01-01T00:00:00Z')
    let done = 0
    const open = () => openOnce(storage, createIds(), () => new Date(time))
    return {
      storage,
      open,
      pass: (ms: number) => (time += ms),
      ask: async (once: Awaited<ReturnType<typeof open>>, key: string) =>
        once.run(key, { key }, { make: async () => ({ n: ++done }), isMade: () => false, answer: async () => ({ n: 0 }) }),
    }
  }

  test('a day', async () => {
    const { open, pass, ask, storage } = clock()
    const once = await open()
    expect(await ask(once, 'a')).toEqual({ answer: { n: 1 }, replayed: false })
    pass(24 * hour - 1)
    expect(await ask(once, 'a')).toEqual({ answer: { n: 1 }, replayed: true })
    pass(2)
    expect(await ask(once, 'a')).toEqual({ answer: { n: 2 }, replayed: false })
    expect(await storage.getKeys('keys:')).toHaveLength(1)
  })

  test('a day over restarts, each by itself, in whatever order a storage lists them', async () => {
    const driver = memory()
    const backwards = { ...driver, getKeys: async () => [...(await driver.getKeys('', {}))].toReversed() }
    const { open, pass, ask, storage } = clock(createStorage({ driver: backwards }))
    let once = await open()
    const keys = Array.from({ length: 20 }, (_, i) => `key ${i}`)
    for (const key of keys) {
      await ask(once, key)
      pass(hour)
    }
    // The first is 20 hours old, the last one hour.
    once = await open()
    pass(14 * hour)
    for (const [i, key] of keys.entries()) {
      const { replayed } = await ask(once, key)
      expect([key, replayed]).toEqual([key, 34 - i < 24])
    }
    pass(25 * hour)
    await open()
    expect(await storage.getKeys('keys:')).toEqual([])
  })

  test('what cannot be read is no key', async () => {
    const { open, ask, storage } = clock()
    await ask(await open(), 'a')
    const [name] = await storage.getKeys('keys:')
    for (const damaged of ['{"request":', '5', '{"request":5}', '']) {
      await storage.setItem(name!, damaged)
      expect((await ask(await open(), 'a')).replayed).toBe(false)
    }
  })

  test('a key that could not be stored is free, and nothing was done', async () => {
    let full = true
    const driver = memory()
    const storage = createStorage({
      driver: {
        ...driver,
        setItem(key: string, value: string) {
          if (full) throw new Error('ENOSPC')
          return driver.setItem!(key, value, {})
        },
      },
    })
    const { open } = clock(storage)
    const once = await open()
    let done = 0
    const ask = (request: string) => once.run('a', request, { make: async () => ++done, isMade: () => false, answer: async () => 0 })
    await expect(ask('one')).rejects.toMatchObject({ code: 'storage_failed' })
    expect(done).toBe(0)
    full = false
    expect(await ask('another')).toEqual({ answer: 1, replayed: false })
    expect(await storage.getKeys('keys:')).toHaveLength(1)
  })
})

describe('a server that is killed between the steps', () => {
  test('does what a key asks for at most once, wherever it is killed', { timeout: 240_000 }, async () => {
    const server = await killable()
    const read = (name: string) => readFile(join(server.project, name), 'utf8').catch(() => '')
    try {
      await server.spawn('typed', 'stty -echo; cat >typed', { agent: 'shell' })
      const rounds = 24
      for (let round = 0; round < rounds; round++) {
        const name = `s-${round}`
        const requests = [
          () => server.call<Session>('POST', '/sessions/spawn', { name, prompt: `echo ran >>${name}`, agent: 'shell' }, keyed(name)),
          () => server.send('typed', { text: name }, keyed(`i-${round}`)),
          () => server.send('typed', { keys: ['k', 'Enter'] }, keyed(`k-${round}`)),
        ] as const
        const ask = requests[round % 3]!
        const asking = ask().catch(() => null)
        await pass((round / rounds) * 30)
        await server.kill()
        const before = await asking
        await server.start()
        const after = await ask()
        // A spawn that a key asked for is there once; what a person may do about one that was not started, too.
        expect(after.status, JSON.stringify(after.body)).toBe(before?.status ?? (round % 3 === 0 ? 201 : 200))
        if (before) expect((after.body as { id: string }).id).toBe((before.body as { id: string }).id)
        expect((await ask()).body).toEqual(after.body)
        const kind = round % 3
        if (kind === 0) {
          const runs = (await server.call<Session[]>('GET', '/sessions')).body.filter((each) => each.name === name)
          expect(runs).toHaveLength(1)
          await until(async () => (await server.session(name)).endedAt, { what: 'the end' })
          expect(['', 'ran\n']).toContain(await read(name))
          if (before) expect(await read(name)).toBe('ran\n')
        } else if (kind === 1) {
          const times = async () => (await read('typed')).split('\n').filter((line) => line === name).length
          const { stage } = after.body as Receipt
          if (stage === 'typed') await until(async () => (await times()) === 1, { what: `${name} to be typed` })
          else expect(await times()).toBeLessThanOrEqual(1)
        } else {
          await server.send('typed', { text: `after ${round}` })
          await until(async () => (await read('typed')).includes(`after ${round}\n`), { what: 'the next text' })
          const keys = (await read('typed')).split('\n').filter((line) => line === 'k').length
          expect(keys, 'how often keys were pressed').toBeLessThanOrEqual(Math.floor(round / 3) + 1)
        }
      }
    } finally {
      await server.close()
    }
  })

  test('answers a ?wait in the form that was asked for', { timeout: 60_000 }, async () => {
    const server = await killable()
    try {
      await server.spawn('a', '[work]')
      await until(async () => (await server.session('a')).evidence.rule === 'Work', { what: 'it works' })
      const spawn = () =>
        server.call('POST', '/sessions/spawn?wait=completed', { name: 'b', prompt: 'sleep 1', agent: 'shell' }, keyed('spawn'))
      const send = () => server.call('POST', '/sessions/a/input?wait=idle&timeout=1', { text: 'x' }, keyed('send'))
      void spawn().catch(() => {})
      void send().catch(() => {})
      await until(async () => (await server.submitted('a')).length === 2 && (await server.session('b')), { what: 'both to be under way' })
      await server.kill()
      await server.start()
      expect((await spawn()).body).toMatchObject({ name: 'b', timedOut: false, status: 'completed' })
      expect((await send()).body).toMatchObject({ id: expect.any(String), timedOut: true, session: { status: 'running' } })
    } finally {
      await server.close()
    }
  })
})
