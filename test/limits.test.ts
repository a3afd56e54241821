import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Session } from '../src/runtime/types.ts'
import { killable, scriptedApp, type ScriptedApp } from './support/scripted-app.ts'
import type { TestAppOptions } from './support/app.ts'
import { pass, until } from './support/wait.ts'

let app: ScriptedApp
const open = async (options: TestAppOptions = {}) => void (app = await scriptedApp(options))
afterEach(() => app?.close())

const limited = (name: string) =>
  until(async () => (await app.session(name)).waiting?.kind === 'limit' && app.session(name), { what: 'the limit to be reached' })
const spawn = (name: string, more: object = {}) =>
  app.call<Session>('POST', '/sessions/spawn', { name, prompt: 'hello', agent: 'scripted', ...more })
const press = (name: string, ...keys: string[]) => app.tmux('send-keys', '-t', `=${name}:`, ...keys)
/** Long enough after the end of a limit for everything that should not happen to have happened. */
const longAfter = (until: string) => pass(Math.max(0, Date.parse(until) - Date.now()) + 4000)

describe('an agent whose usage limit is reached', () => {
  beforeEach(() => open())

  test('waits until it ends, and still takes texts', async () => {
    await app.spawn('a', '[limit 3600000]')
    const session = await limited('a')
    expect(session).toMatchObject({
      status: 'waiting',
      waiting: { kind: 'limit', message: 'the limit is reached', until: expect.any(String) },
      lastError: 'the limit is reached',
      evidence: { rule: 'StopFailure' },
    })
    expect(Date.parse(session.waiting!.until!) - Date.now()).toBeGreaterThan(3_590_000)
    expect(await app.prompts('a')).toEqual([])
    expect((await app.call<Session[]>('GET', '/sessions?status=waiting')).body.map(({ name }) => name)).toEqual(['a'])
    expect((await app.send('a', { text: 'try again' })).body.stage).toMatch(/submitted|started/)
    expect(await app.reaches('a', 'idle')).toMatchObject({ waiting: null, lastError: null })
    expect(await app.submitted('a')).toEqual(['[limit 3600000]', 'try again'])
  })

  test('gets no other session: 429 with the time that is left; another agent is not held back', async () => {
    await app.spawn('a', '[limit 3600000]')
    const { waiting } = await limited('a')
    const { status, body, headers } = await spawn('b')
    expect([status, body.error]).toEqual([
      429,
      {
        code: 'agent_limited',
        message: expect.stringContaining(waiting!.until!),
        data: { until: waiting!.until, retryAfter: expect.any(Number) },
      },
    ])
    const seconds = Number(headers.get('retry-after'))
    expect(Math.abs(seconds - (Date.parse(waiting!.until!) - Date.now()) / 1000)).toBeLessThan(2)
    expect((await app.call('GET', '/sessions/b')).status).toBe(404)
    expect((await spawn('c', { agent: 'other' })).status).toBe(201)
    expect((await spawn('d', { agent: 'shell', prompt: 'true' })).status).toBe(201)
    await app.restart()
    expect((await spawn('b')).status).toBe(429)
    await app.runtime.end('a')
    expect((await spawn('b')).status).toBe(201)
  })

  test('gets another session when it goes on, and when the limit has ended', async () => {
    await app.spawn('a', '[limit 3600000]')
    await limited('a')
    await app.send('a', { text: 'it goes' })
    await app.reaches('a', 'idle')
    expect((await spawn('b')).status).toBe(201)
    await app.send('a', { text: '[limit 700]' })
    const { waiting } = await limited('a')
    expect((await spawn('c')).status).toBe(429)
    await until(() => Date.now() > Date.parse(waiting!.until!), { what: 'the end of the limit' })
    expect((await spawn('c')).status).toBe(201)
  })

  test('is held back for the longest of several limits', async () => {
    await Promise.all([app.spawn('a', '[limit 3600000]'), app.spawn('b', '[limit 7200000]')])
    await limited('a')
    const { waiting } = await limited('b')
    expect((await spawn('c')).body.error?.data['until']).toBe(waiting!.until)
  })

  test('a refused spawn leaves its key free', async () => {
    await app.spawn('a', '[limit 3600000]')
    await limited('a')
    const headers = { 'idempotency-key': 'k' }
    const request = { name: 'b', prompt: 'hello', agent: 'scripted' }
    expect((await app.call('POST', '/sessions/spawn', request, headers)).status).toBe(429)
    await app.runtime.end('a')
    expect((await app.call('POST', '/sessions/spawn', request, headers)).status).toBe(201)
  })

  test('does not go on by itself', async () => {
    await app.spawn('a', '[limit 100]')
    const { waiting } = await limited('a')
    await longAfter(waiting!.until!)
    expect(await app.submitted('a')).toEqual(['[limit 100]'])
    expect((await app.session('a')).status).toBe('waiting')
  })
})

describe('onLimit: resume', () => {
  beforeEach(() => open({ onLimit: 'resume' }))

  test('tells the agent to go on when the limit ends, once', async () => {
    await app.spawn('a', '[limit 500]')
    const { waiting } = await limited('a')
    await until(async () => (await app.submitted('a')).length === 2, { what: 'continue' })
    expect(Date.now()).toBeGreaterThan(Date.parse(waiting!.until!))
    await app.reaches('a', 'idle')
    await longAfter(waiting!.until!)
    expect(await app.submitted('a')).toEqual(['[limit 500]', 'continue'])
    expect(await app.inputs('a')).toMatchObject([{ stage: 'started' }])
  })

  test('tells it once, also when an Enter is swallowed', { timeout: 30_000 }, async () => {
    await app.spawn('a', '[limit 300]')
    await limited('a')
    const deaf = join(app.project, 'a.deaf')
    await writeFile(deaf, '')
    await until(async () => (await app.happenings('a')).some(({ swallowed }) => swallowed === 0), { what: 'an Enter to be swallowed' })
    await rm(deaf)
    // Another one is pressed three seconds later.
    await until(async () => (await app.submitted('a')).length === 2, { what: 'continue' })
    await app.reaches('a', 'idle')
    await pass(6000)
    expect(await app.submitted('a')).toEqual(['[limit 300]', 'continue'])
  })

  test('waits for a person who has left a text in the composer', { timeout: 30_000 }, async () => {
    await app.spawn('a', '[limit 300]')
    const { waiting } = await limited('a')
    await press('a', '-l', 'half a thought')
    await until(async () => (await app.runtime.output('a', 50)).text.includes('half a thought'), { what: 'the draft' })
    await longAfter(waiting!.until!)
    expect(await app.submitted('a')).toEqual(['[limit 300]'])
    await press('a', 'C-u')
    await until(async () => (await app.submitted('a')).length === 2, { what: 'continue' })
    await app.reaches('a', 'idle')
    await pass(4000)
    expect(await app.submitted('a')).toEqual(['[limit 300]', 'continue'])
    expect((await app.inputs('a')).length, 'receipts of what was tried').toBeLessThanOrEqual(1)
  })

  test('goes on after a restart that lasted longer than the limit', async () => {
    await app.spawn('a', '[limit 500]')
    const { waiting } = await limited('a')
    await app.restart(() => until(() => Date.now() > Date.parse(waiting!.until!), { what: 'the end of the limit' }).then(() => {}))
    await until(async () => (await app.submitted('a')).length === 2, { what: 'continue' })
    expect(await app.submitted('a')).toEqual(['[limit 500]', 'continue'])
  })

  test('goes on after a restart in the middle of the limit', async () => {
    await app.spawn('a', '[limit 1500]')
    const { waiting } = await limited('a')
    await app.restart()
    expect((await app.session('a')).waiting).toEqual(waiting)
    await until(async () => (await app.submitted('a')).length === 2, { what: 'continue' })
    expect(Date.now()).toBeGreaterThan(Date.parse(waiting!.until!))
    await app.reaches('a', 'idle')
    expect(await app.submitted('a')).toEqual(['[limit 1500]', 'continue'])
  })

  test('says nothing when a person went on meanwhile', async () => {
    await app.spawn('a', '[limit 1500]')
    const { waiting } = await limited('a')
    await press('a', '-l', 'a person')
    await press('a', 'Enter')
    await app.reaches('a', 'idle')
    await longAfter(waiting!.until!)
    expect(await app.submitted('a')).toEqual(['[limit 1500]', 'a person'])
  })

  test('says nothing to a session that has ended, and to one whose limit has no end', async () => {
    await app.spawn('a', '[limit 700]')
    const { waiting } = await limited('a')
    await app.runtime.end('a')
    await longAfter(waiting!.until!)
    expect(await app.submitted('a')).toEqual(['[limit 700]'])
    expect(app.logged.filter((line) => line.includes('limit'))).toEqual([])
  })

  test('goes on again when the limit is reached again', async () => {
    await app.spawn('a', '[limit 200]')
    await limited('a')
    await until(async () => (await app.submitted('a')).length === 2, { what: 'continue' })
    await app.reaches('a', 'idle')
    await app.send('a', { text: '[limit 300] again' })
    await until(async () => (await app.submitted('a')).length === 4, { what: 'continue, again' })
    expect(await app.submitted('a')).toEqual(['[limit 200]', 'continue', '[limit 300] again', 'continue'])
  })

  test('of several sessions each goes on', async () => {
    const names = ['a', 'b', 'c']
    await Promise.all(names.map((name) => app.spawn(name, '[limit 2000]')))
    await Promise.all(names.map((name) => until(async () => (await app.submitted(name)).length === 2, { what: `${name} to go on` })))
    for (const name of names) expect((await app.submitted(name))[1]).toBe('continue')
  })
})

describe('onLimit', () => {
  test('can be said in instar.config.ts, and goes on after a kill', { timeout: 60_000 }, async () => {
    const server = await killable(`onLimit: 'resume'`)
    try {
      await server.spawn('a', '[limit 2500]')
      await server.reaches('a', 'waiting')
      await server.kill()
      await server.start()
      await until(async () => (await server.submitted('a')).length === 2, { what: 'continue' })
      expect(await server.submitted('a')).toEqual(['[limit 2500]', 'continue'])
    } finally {
      await server.close()
    }
  })
})

describe('what was queued while an agent waits for its limit', () => {
  beforeEach(() => open({ onLimit: 'resume' }))

  test('is typed after it went on', async () => {
    await app.spawn('a', '[limit 800]')
    await limited('a')
    const { body } = await app.send('a', { text: 'queued', mode: 'queue' })
    expect(body.stage).toBe('queued')
    await until(async () => (await app.submitted('a')).length === 3, { what: 'both' })
    expect(await app.submitted('a')).toEqual(['[limit 800]', 'continue', 'queued'])
  })
})
