import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Session } from '../src/runtime/types.ts'
import { testApp, type TestApp } from './support/app.ts'
import { until } from './support/wait.ts'

let app: TestApp
beforeAll(async () => {
  app = await testApp({ limits: { maxSessions: 500 } })
})
afterAll(() => app?.close())

let count = 0
const freshName = () => `w-${count++}`
const call = async (method: string, path: string, body?: unknown) => {
  const answer = await app.request(path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  return {
    status: answer.status,
    json: (await answer.json()) as Session & { timedOut?: boolean; stage?: string; error?: { code: string; data: { field?: string } } },
  }
}
const spawn = async (prompt: string, query = '') => {
  const name = freshName()
  const { status, json } = await call('POST', `/sessions/spawn${query}`, { name, prompt })
  expect(status).toBe(201)
  return { name, json }
}
const shows = (name: string, text: string) =>
  until(async () => (await app.runtime.output(name, 100)).text.includes(text), { what: `${name} shows ${text}` })

describe('GET /sessions/:name/wait', () => {
  test('answers at once when it is so already, also for what can never be', async () => {
    const { name } = await spawn('exec cat')
    expect((await call('GET', `/sessions/${name}/wait?for=running`)).json).toMatchObject({ status: 'running', timedOut: false })
    await call('DELETE', `/sessions/${name}`)
    expect((await call('GET', `/sessions/${name}/wait?for=idle`)).json).toMatchObject({ status: 'killed', timedOut: false })
  })

  test('answers when it becomes so; the default is anything but work', async () => {
    const { name } = await spawn('read -r line; exit 4')
    const waiting = call('GET', `/sessions/${name}/wait`)
    await app.runtime.input(name, { text: 'go' })
    expect(await waiting).toMatchObject({ status: 200, json: { name, status: 'error', exitCode: 4, timedOut: false } })
  })

  test('tells that the time is over', async () => {
    const { name } = await spawn('exec cat')
    const began = Date.now()
    expect(await call('GET', `/sessions/${name}/wait?timeout=0.2`)).toMatchObject({
      status: 200,
      json: { status: 'running', timedOut: true },
    })
    expect(Date.now() - began).toBeGreaterThanOrEqual(190)
  })

  test('a thousand can wait for one', async () => {
    const { name } = await spawn('read -r line')
    const waiting = Array.from({ length: 1000 }, () => call('GET', `/sessions/${name}/wait?for=completed`))
    await app.runtime.input(name, { text: 'go' })
    const statuses = new Set((await Promise.all(waiting)).map(({ json }) => json.status))
    expect([...statuses]).toEqual(['completed'])
  })

  test.each([
    ['for=bogus', 'for'],
    ['timeout=-1', 'timeout'],
    ['timeout=1e9', 'timeout'],
    ['timeout=99999', 'timeout'],
    ['until=idle', 'until'],
  ])('?%s is refused', async (query, field) => {
    const { name } = await spawn('true')
    expect(await call('GET', `/sessions/${name}/wait?${query}`)).toMatchObject({
      status: 400,
      json: { error: { data: { field: expect.stringContaining(field) } } },
    })
  })

  test('for a session that there is not: 404', async () => {
    expect((await call('GET', '/sessions/nobody/wait')).status).toBe(404)
  })
})

describe('?wait', () => {
  test('on spawn answers with how it came out', async () => {
    const { json } = await spawn('exit 7', '?wait=completed,error')
    expect(json).toMatchObject({ status: 'error', exitCode: 7, timedOut: false })
  })

  test('on input answers with what it brought about', async () => {
    const { name } = await spawn('read -r line; exit 3')
    expect((await call('POST', `/sessions/${name}/input?wait=error`, { text: 'go' })).json).toMatchObject({
      stage: 'typed',
      timedOut: false,
      session: { status: 'error', exitCode: 3 },
    })
  })

  test('on an input that is refused does not wait', async () => {
    const { name } = await spawn('true', '?wait=completed')
    expect(await call('POST', `/sessions/${name}/input?wait=idle`, { text: 'x' })).toMatchObject({
      status: 409,
      json: { error: { code: 'session_ended' } },
    })
  })
})

describe('POST /sessions/:name/input', () => {
  test('takes keys, and text without Enter', async () => {
    const { name } = await spawn('exec cat')
    expect((await call('POST', `/sessions/${name}/input`, { text: 'abcd', submit: false })).json.stage).toBe('typed')
    await shows(name, 'abcd')
    await call('POST', `/sessions/${name}/input`, { keys: ['BSpace', 'x', 'Enter'] })
    await shows(name, 'abcx\nabcx')
    await call('POST', `/sessions/${name}/input`, { keys: ['C-d'] })
    expect((await call('GET', `/sessions/${name}/wait`)).json.status).toBe('completed')
  })

  test.each([
    [{ keys: ['Enter; run-shell x'] }, 'keys'],
    [{ keys: [] }, 'keys'],
    [{ keys: 'Enter' }, 'keys'],
    [{ text: 'x', keys: ['Enter'] }, 'text'],
    [{}, 'text'],
    [{ keys: ['Enter'], submit: false }, 'submit'],
    [{ text: 'x', submit: 'no' }, 'submit'],
  ])('%j is refused', async (body, field) => {
    const { name } = await spawn('exec cat')
    expect(await call('POST', `/sessions/${name}/input`, body)).toMatchObject({
      status: 400,
      json: { error: { data: { field: expect.stringContaining(field) } } },
    })
  })
})

describe('POST /sessions/:name/interrupt', () => {
  test('stops what runs, and not the session', async () => {
    const { name } = await spawn(`trap 'echo interrupted' INT; echo ready; while :; do sleep 0.05; done`)
    await shows(name, 'ready')
    expect(await call('POST', `/sessions/${name}/interrupt`)).toMatchObject({ status: 200, json: { name, status: 'running' } })
    await shows(name, 'interrupted')
    expect(app.runtime.get(name).status).toBe('running')
  })

  test('409 after the end', async () => {
    const { name } = await spawn('true', '?wait=completed')
    expect((await call('POST', `/sessions/${name}/interrupt`)).status).toBe(409)
  })
})
