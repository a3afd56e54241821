import { readdir, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Session } from '../src/runtime/types.ts'
import { scriptedApp, type ScriptedApp } from './support/scripted-app.ts'
import { until } from './support/wait.ts'

let app: ScriptedApp
beforeAll(async () => {
  app = await scriptedApp({ limits: { maxSessions: 500 } })
})
afterAll(() => app?.close())

let count = 0
/** An ended session whose agent has told of its conversation, unless it is another agent. */
async function ended(more: object = {}): Promise<Session> {
  const name = `m-${count++}`
  await app.spawn(name, '[exit 0]', more)
  return until(async () => (await app.session(name)).endedAt !== null && app.session(name), { what: 'the end' })
}
const resume = (ref: string, body?: object) => app.call<Session>('POST', `/sessions/${ref}/resume`, body)
/** What a session's program was started with. */
async function argumentsOf(name: string): Promise<string[]> {
  const { id } = app.runtime.get(name)
  const command = await readFile(`${app.state}/sessions/${id}/command`, 'utf8')
  const line = /^set -- (.*)$/m.exec(command)![1]!
  return [...line.matchAll(/'([^']*)'/g)].map((each) => each[1]!).slice(2)
}

describe('GET /sessions/:name/messages', () => {
  test.each(['scripted', 'shell'])('of an agent that keeps no record that can be read is empty: %s', async (agent) => {
    const { name } = await ended({ agent, ...(agent === 'shell' ? { prompt: 'true' } : {}) })
    expect(await app.call('GET', `/sessions/${name}/messages`)).toMatchObject({ status: 200, body: [] })
  })

  test('of a session that there is not is 404', async () => {
    expect((await app.call('GET', '/sessions/nobody/messages')).status).toBe(404)
  })
})

describe('POST /sessions/:name/resume', () => {
  test('with an empty body goes on with the conversation, by the same name and as it was', async () => {
    const given = { args: ['--x', 'y z'], size: { cols: 120, rows: 40 }, labels: { a: 'b' }, jobSlug: 'job', parent: 'p', model: 'm' }
    const one = await ended(given)
    const { status, body } = await resume(one.name)
    expect(status).toBe(201)
    expect(body).toMatchObject({
      name: one.name,
      agent: 'scripted',
      prompt: '',
      cwd: one.cwd,
      labels: { a: 'b' },
      jobSlug: 'job',
      parent: 'p',
      model: 'm',
      endedAt: null,
    })
    expect(body.id > one.id).toBe(true)
    await app.reaches(one.name, 'idle')
    expect(await argumentsOf(one.name)).toEqual([`talk-${one.id}`, '--x', 'y z'])
    expect(await app.tmux('display-message', '-p', '-t', `=${one.name}:`, '#{window_width}x#{window_height}')).toBe('120x40')
    expect((await app.call<Session>('GET', `/sessions/${one.id}`)).body).toEqual(one)
  })

  test('takes another name, prompt and arguments', async () => {
    const one = await ended({ args: ['old'] })
    const name = `${one.name}-on`
    const { status, body } = await resume(one.id, { name, prompt: 'and now?', args: ['new'], labels: {} })
    expect(status).toBe(201)
    expect(body).toMatchObject({ name, prompt: 'and now?', labels: {} })
    await app.reaches(name, 'idle')
    expect(await app.submitted(name)).toEqual(['and now?'])
    expect(await argumentsOf(name)).toEqual([`talk-${one.id}`, 'and now?', 'new'])
  })

  test('again and again goes on with the same conversation', async () => {
    const one = await ended()
    for (let i = 0; i < 2; i++) {
      expect((await resume(one.name)).status).toBe(201)
      await app.reaches(one.name, 'idle')
      expect(await argumentsOf(one.name)).toEqual([`talk-${one.id}`])
      await app.runtime.end(one.name)
    }
  })

  test('of a run that ended before it told of its conversation goes on with the one before', async () => {
    const one = await ended()
    await app.restart()
    await resume(one.name)
    await app.runtime.end(one.name)
    expect((await resume(one.name)).status).toBe(201)
    await app.reaches(one.name, 'idle')
    expect(await argumentsOf(one.name)).toEqual([`talk-${one.id}`])
  })

  test('?wait answers with what came of it', async () => {
    const one = await ended()
    const { status, body } = await app.call('POST', `/sessions/${one.name}/resume?wait=idle`)
    expect([status, body['status'], body['timedOut']]).toEqual([201, 'idle', false])
  })

  test('of a live session is 409', async () => {
    const name = `m-${count++}`
    await app.spawn(name, 'hello')
    const { id } = await app.reaches(name, 'idle')
    for (const body of [undefined, { name: `${name}-other` }])
      expect(await resume(name, body)).toMatchObject({ status: 409, body: { error: { code: 'session_live', data: { id } } } })
    expect((await app.call('GET', `/sessions/${name}-other`)).status).toBe(404)
  })

  test('of a conversation that goes on in another session is 409', async () => {
    const one = await ended()
    const { body } = await resume(one.name, { name: `${one.name}-a` })
    // Before its agent has told of anything, and after.
    expect(await resume(one.name, { name: `${one.name}-b` })).toMatchObject({
      status: 409,
      body: { error: { code: 'session_live', data: { id: body.id } } },
    })
    await app.reaches(`${one.name}-a`, 'idle')
    expect(await resume(one.name, { name: `${one.name}-b` })).toMatchObject({ status: 409, body: { error: { code: 'session_live' } } })
    await app.runtime.end(`${one.name}-a`)
    expect((await resume(one.name, { name: `${one.name}-b` })).status).toBe(201)
  })

  test('of many at the same time one goes on', async () => {
    const one = await ended()
    const answers = await Promise.all(Array.from({ length: 5 }, (_, i) => resume(one.id, { name: `${one.name}-${i}` })))
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409, 409, 409, 409])
  })

  test('of an agent that tells of no conversation is 409', async () => {
    const { name } = await ended({ agent: 'shell', prompt: 'true' })
    for (const body of [undefined, { prompt: 'true' }])
      expect(await resume(name, body)).toMatchObject({ status: 409, body: { error: { code: 'nothing_to_resume' } } })
  })

  test('by another agent or in another place is 400', async () => {
    const { name } = await ended()
    const before = app.runtime.list().length
    for (const [field, value] of [
      ['agent', 'other'],
      ['agent', 'nobody'],
      ['cwd', '/tmp'],
      ['backend', 'nowhere'],
      ['resume', 'x'],
      ['prompt', ''],
      ['nmae', 'x'],
    ] as const)
      expect(await resume(name, { [field]: value }), field).toMatchObject({
        status: 400,
        body: { error: { code: 'invalid_request', data: { field } } },
      })
    expect(app.runtime.list()).toHaveLength(before)
  })

  test('says what it is given that is the same', async () => {
    const one = await ended()
    expect((await resume(one.name, { agent: 'scripted', cwd: one.cwd, backend: 'local' })).status).toBe(201)
  })

  test('of a session that there is not is 404', async () => {
    expect((await resume('nobody')).status).toBe(404)
    expect((await resume('nobody', {})).status).toBe(404)
  })

  test('after a restart of the server', async () => {
    const one = await ended({ args: ['kept'] })
    await app.restart()
    expect((await resume(one.name)).status).toBe(201)
    await app.reaches(one.name, 'idle')
    expect(await argumentsOf(one.name)).toEqual([`talk-${one.id}`, 'kept'])
  })
})

describe('POST /sessions/spawn with resume', () => {
  const spawn = (body: object) => app.call<Session>('POST', '/sessions/spawn', body)

  test('goes on with the conversation of that run', async () => {
    const one = await ended({ args: ['kept'] })
    const name = `${one.name}-spawned`
    const { status, body } = await spawn({ name, prompt: 'go on', resume: one.id })
    expect([status, body.agent, body.cwd]).toEqual([201, 'scripted', one.cwd])
    await app.reaches(name, 'idle')
    expect(await argumentsOf(name)).toEqual([`talk-${one.id}`, 'go on', 'kept'])
  })

  test('is refused as POST …/resume is, and makes nothing', async () => {
    const one = await ended()
    const shell = await ended({ agent: 'shell', prompt: 'true' })
    const name = `m-${count++}`
    const before = (await readdir(`${app.state}/sessions`)).length
    const refusals: [object, number, string][] = [
      [{ resume: 'nobody' }, 404, 'session_not_found'],
      [{ resume: one.id, agent: 'other' }, 400, 'invalid_request'],
      [{ resume: one.id, cwd: '/tmp' }, 400, 'invalid_request'],
      [{ resume: shell.id }, 409, 'nothing_to_resume'],
      [{ resume: 5 }, 400, 'invalid_request'],
    ]
    for (const [given, status, code] of refusals)
      expect(await spawn({ name, prompt: 'x', ...given })).toMatchObject({ status, body: { error: { code } } })
    expect((await app.call('GET', `/sessions/${name}`)).status).toBe(404)
    expect(await readdir(`${app.state}/sessions`)).toHaveLength(before)
  })
})

describe('GET /sessions/:name/wait', () => {
  test('two thousand that wait for one are all answered', async () => {
    const name = `m-${count++}`
    await app.spawn(name, '[work]')
    await until(() => app.runtime.get(name).evidence.rule === 'Work', { what: 'it works' })
    const waiting = Array.from({ length: 2000 }, () => app.call('GET', `/sessions/${name}/wait?for=idle&timeout=60`))
    await app.go(name)
    const answers = new Set((await Promise.all(waiting)).map(({ body }) => `${String(body['status'])} ${String(body['timedOut'])}`))
    expect([...answers]).toEqual(['idle false'])
  })
})
