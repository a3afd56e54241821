import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { complete } from '../src/entry/complete.ts'
import { shell } from '../src/plugins/agents/shell.ts'
import { badge } from '../src/plugins/functions/badge.ts'
import { chat } from '../src/plugins/functions/chat.ts'
import { createFunctions } from '../src/routes/functions.ts'
import { InstarError } from '../src/runtime/error.ts'
import { defineHook } from '../src/runtime/hook.ts'
import { definePlugin, wrongInPlugin, type LazyPlugin, type Plugin, type PluginContext } from '../src/runtime/plugin.ts'
import type { Session } from '../src/runtime/types.ts'
import { testApp, type TestApp } from './support/app.ts'
import { until } from './support/wait.ts'

let app: TestApp
let loads = 0
let isBroken = true
const contexts: PluginContext[] = []
const signals: AbortSignal[] = []
let answerHanging: (() => void)[] = []

const echo = definePlugin({
  name: 'echo',
  maxBodyBytes: 1000,
  async fetch(request, context) {
    contexts.push(context)
    const { pathname, search } = new URL(request.url)
    const headers = Object.fromEntries(request.headers)
    return Response.json(
      { method: request.method, pathname, search, headers, body: await request.text() },
      { status: 201, headers: { 'x-own': 'yes' } },
    )
  },
})
const bad = definePlugin({
  name: 'bad',
  timeoutMs: 150,
  async fetch(request, context) {
    const what = new URL(request.url).pathname.slice(1)
    signals.push(request.signal)
    if (what === 'throws') throw new Error('a secret of the plugin')
    if (what === 'nothing') return undefined as never
    if (what === 'none') return Response.error()
    if (what === 'read') {
      const answer = new Response('once')
      await answer.text()
      return answer
    }
    if (what === 'hangs') return new Promise(() => {})
    if (what === 'fails-late') {
      await new Promise((resolve) => setTimeout(resolve, 300))
      throw new Error('too late')
    }
    if (what === 'conflict') throw new InstarError('name_in_use', 'Cannot do it: it is there')
    if (what === 'spawns') return Response.json(await context.spawn({ name: '../x', prompt: 'true', agent: 'shell' }))
    return new Response('fine')
  },
})
const endless: { method: string; signal: AbortSignal; isCancelled: boolean }[] = []
const endlessly = definePlugin({
  name: 'endless',
  fetch({ method, signal }) {
    const seen = { method, signal, isCancelled: false }
    endless.push(seen)
    const start = (controller: ReadableStreamDefaultController) => controller.enqueue(new Uint8Array(1))
    return new Response(new ReadableStream({ start, cancel: () => void (seen.isCancelled = true) }))
  },
})
const hanging = definePlugin({
  name: 'hanging',
  fetch: () => new Promise((resolve) => answerHanging.push(() => resolve(new Response('at last')))),
})
const lazy: LazyPlugin = async () => {
  loads++
  if (isBroken) throw new Error('it cannot be loaded yet')
  return { default: definePlugin({ name: 'lazy', fetch: () => new Response('loaded') }) }
}
const streaming = definePlugin({
  name: 'streaming',
  fetch: ({ body }) => new Response(body!.pipeThrough(new TransformStream())),
})

beforeAll(async () => {
  app = await testApp({
    plugins: [echo, bad, endlessly, hanging, streaming, badge(), chat({ spawn: { agent: 'shell' } }), lazy],
    access: true,
  })
})
afterAll(() => app?.close())
afterEach(() => {
  for (const answer of answerHanging) answer()
  answerHanging = []
})

const errorOf = async (answer: Response) => ((await answer.json()) as { error: { code: string; message: string; data: unknown } }).error

describe('a request to a plugin', () => {
  test.each([
    ['/plugins/echo', '/', ''],
    ['/plugins/echo/', '/', ''],
    ['/plugins/echo/a/b%2Fc?q=1&q=2', '/a/b%2Fc', '?q=1&q=2'],
    ['/plugins/e%63h%6F/a%62', '/a%62', ''],
    ['/pl%75gins/echo//b', '//b', ''],
  ])('%s arrives as %s%s', async (path, pathname, search) => {
    const answer = await app.request(path, { method: 'PUT', body: 'the body', headers: { 'x-given': '1', cookie: 'a=b' } })
    expect(answer.status).toBe(201)
    expect(answer.headers.get('x-own')).toBe('yes')
    expect(answer.headers.get('x-request-id')).toBeTruthy()
    const seen = (await answer.json()) as { headers: Record<string, string> }
    expect(seen).toMatchObject({ method: 'PUT', pathname, search, body: 'the body', headers: { 'x-given': '1' } })
    expect(Object.keys(seen.headers)).not.toContain('authorization')
    expect(Object.keys(seen.headers)).not.toContain('cookie')
  })

  test('needs the token like any other', async () => {
    expect((await app.request('/plugins/echo', { headers: { authorization: '' } })).status).toBe(401)
    expect((await app.request('/plugins/echo', { headers: { authorization: 'Bearer another-token-entirely' } })).status).toBe(403)
    expect(await errorOf(await app.request('/plugins/nobody/x'))).toMatchObject({ code: 'plugin_failed' })
  })

  test('streams in both directions', async () => {
    const url = await app.listen()
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const writer = writable.getWriter()
    const asked = fetch(`${url}/plugins/streaming`, {
      method: 'POST',
      body: readable,
      duplex: 'half',
      headers: { authorization: `Bearer ${app.token}` },
    } as RequestInit)
    await writer.write(new TextEncoder().encode('one '))
    const reader = (await asked).body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('one ')
    await writer.write(new TextEncoder().encode('two'))
    await writer.close()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('two')
    expect((await reader.read()).done).toBe(true)
  })

  test('with HEAD is answered as with GET, without the body', async () => {
    expect((await app.request('/plugins/echo', { method: 'HEAD' })).status).toBe(201)
    await app.request('/plugins/endless', { method: 'HEAD' })
    expect(endless.at(-1)).toMatchObject({ method: 'GET', isCancelled: true })
  })

  test('tells the plugin in the middle of the answer that the client is gone', async () => {
    const url = await app.listen()
    const client = new AbortController()
    const headers = { authorization: `Bearer ${app.token}` }
    const { body } = await fetch(`${url}/plugins/endless`, { headers, signal: client.signal })
    expect((await body!.getReader().read()).done).toBe(false)
    expect(endless.at(-1)!.signal.aborted).toBe(false)
    client.abort()
    await until(() => endless.at(-1)!.signal.aborted, { what: 'the plugin to be told' })
  })

  test('gives it the verbs and nothing else', async () => {
    const [context] = contexts
    expect(Object.isFrozen(context)).toBe(true)
    for (const forbidden of ['close', 'once', 'dialled', 'terminals', 'health']) expect(context).not.toHaveProperty(forbidden)
    expect(Object.keys(context!)).toContain('spawn')
    const seen: Session[] = []
    const stop = context!.changes((session) => void seen.push(session))
    await context!.spawn({ name: 'seen', agent: 'shell', prompt: 'exit 2' })
    await context!.wait('seen', { for: ['error'], timeoutMs: 10_000 })
    stop()
    expect(seen.map(({ name, status }) => `${name} ${status}`)).toEqual(expect.arrayContaining(['seen running', 'seen error']))
    expect(new Set(seen.map((session) => JSON.stringify(session))).size).toBe(seen.length)
  })

  test('of a session is within what the session may do', async () => {
    const { spawn } = contexts[0]!
    await spawn({ name: 'parent', agent: 'shell', prompt: 'echo "=$INSTAR_TOKEN="; read -r line' })
    const url = await app.listen()
    const token = await until(async () => /=([^=\s]+)=/.exec((await app.runtime.output('parent', 50)).text.replaceAll('\n', ''))?.[1], {
      what: 'its token',
    })
    const own = await fetch(`${url}/plugins/echo`, { headers: { authorization: `Bearer ${token}` } })
    expect(own.status).toBe(201)
    expect(contexts.at(-1)!.list()).toEqual([])
    expect(() => contexts.at(-1)!.get('seen')).toThrow('no session of yours')
    await app.runtime.end('parent')
  })
})

describe('a plugin that misbehaves', () => {
  test.each([
    ['throws', 502, 'plugin_failed', 'Cannot answer: plugin "bad" failed; the server\'s log says why'],
    ['none', 502, 'plugin_failed', 'Cannot answer: plugin "bad" has answered with what is no Response, or was read already'],
    ['read', 502, 'plugin_failed', 'Cannot answer: plugin "bad" has answered with what is no Response, or was read already'],
    ['nothing', 502, 'plugin_failed', 'Cannot answer: plugin "bad" has answered with what is no Response'],
    ['hangs', 502, 'plugin_failed', 'Cannot answer: plugin "bad" has not answered within 0.15 s'],
    ['fails-late', 502, 'plugin_failed', 'Cannot answer: plugin "bad" has not answered within 0.15 s'],
    ['conflict', 409, 'name_in_use', 'Cannot do it: it is there'],
    ['spawns', 400, 'invalid_request', 'Cannot read the body: name must be'],
  ])('%s', async (what, status, code, message) => {
    const asked = app.request(`/plugins/bad/${what}`)
    // Nobody else waits.
    expect(await (await app.request('/plugins/bad/else')).text()).toBe('fine')
    const answer = await asked
    expect(answer.status).toBe(status)
    const error = await errorOf(answer)
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) })
    expect(JSON.stringify(error)).not.toContain('secret')
    if (what === 'throws') expect(app.logged.some((line) => line.includes('a secret of the plugin'))).toBe(true)
    if (what === 'hangs') expect(signals.some(({ aborted }) => aborted)).toBe(true)
  })

  test('gets no more than its share of requests', async () => {
    const asked = Array.from({ length: 64 }, () => app.request('/plugins/hanging'))
    await until(() => answerHanging.length === 64, { what: '64 requests' })
    const refused = await app.request('/plugins/hanging')
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await errorOf(refused)).toMatchObject({ code: 'plugin_busy', data: { plugin: 'hanging' } })
    expect(await (await app.request('/plugins/bad/else')).text()).toBe('fine')
    expect((await app.request('/sessions')).status).toBe(200)
    for (const answer of answerHanging) answer()
    for (const each of asked) expect(await (await each).text()).toBe('at last')
    answerHanging = []
    const again = app.request('/plugins/hanging')
    await until(() => answerHanging.length === 1, { what: 'one more' })
    answerHanging[0]!()
    expect((await again).status).toBe(200)
  })

  test('gets no body beyond its limit, whether that is announced or not', async () => {
    const url = await app.listen()
    const ask = (body: NonNullable<RequestInit['body']>) =>
      fetch(`${url}/plugins/echo`, {
        method: 'POST',
        body,
        duplex: 'half',
        headers: { authorization: `Bearer ${app.token}` },
      } as RequestInit)
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(300)) })
    for (const body of ['x'.repeat(1001), endless]) {
      const answer = await ask(body)
      expect(answer.status).toBe(413)
      expect(await errorOf(answer)).toMatchObject({ code: 'body_too_large', data: { limit: 1000 } })
    }
    expect((await ask('x'.repeat(1000))).status).toBe(201)
  })
})

describe('a plugin that is loaded later', () => {
  test('is loaded once, by the first request for a name that nobody has; a failure is tried again', async () => {
    loads = 0
    await app.request('/plugins/echo')
    expect(loads).toBe(0)
    expect(await errorOf(await app.request('/plugins/lazy'))).toMatchObject({ code: 'plugin_failed' })
    expect(app.logged.some((line) => line.includes('it cannot be loaded yet'))).toBe(true)
    isBroken = false
    const answers = await Promise.all(Array.from({ length: 5 }, async () => (await app.request('/plugins/lazy/x')).text()))
    expect(new Set(answers)).toEqual(new Set(['loaded']))
    expect(loads).toBe(2)
    expect(await errorOf(await app.request('/plugins/nobody'))).toMatchObject({ code: 'not_found' })
    expect(loads).toBe(2)
  })
})

describe('plugins that are loaded later', () => {
  const quick: LazyPlugin = async () => definePlugin({ name: 'quick', fetch: () => new Response('quick') })
  const never: LazyPlugin = () => new Promise(() => {})
  const throws: LazyPlugin = () => {
    throw new Error('it is not there')
  }

  test('do not wait for one that hangs', async () => {
    const logged: string[] = []
    const { find } = createFunctions([never, quick], (message) => void logged.push(message))
    expect((await find('quick')).name).toBe('quick')
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const asked = expect(find('nobody')).rejects.toMatchObject({ code: 'plugin_failed' })
      await vi.advanceTimersByTimeAsync(10_000)
      await asked
    } finally {
      vi.useRealTimers()
    }
    expect(logged).toEqual(['plugins are not loaded yet, and are waited for no longer'])
  })

  test('are tried again also when they throw at once', async () => {
    const logged: string[] = []
    const { find } = createFunctions([throws], (_, data) => void logged.push(String(data?.['error'])))
    await expect(find('any')).rejects.toMatchObject({ code: 'plugin_failed' })
    await expect(find('any')).rejects.toMatchObject({ code: 'plugin_failed' })
    expect(logged).toEqual(['it is not there', 'it is not there'])
  })
})

describe('what a plugin brings', () => {
  const hook = (name: string) => defineHook({ name, launch: (launch, next) => next(launch) })
  const config = { backends: { local: () => ({}) as never }, agents: { shell: shell() }, hooks: [hook('own')] }
  const completed = (...plugins: Plugin[]) => complete({ ...config, plugins }, { backends: {}, hooks: [] })

  test('is beside what the config has', () => {
    const brought = { name: 'more', backends: { far: () => ({}) as never }, agents: { also: shell() }, hooks: [hook('another')] }
    const { backends, agents, hooks } = completed(brought)
    expect([Object.keys(backends), Object.keys(agents), hooks.map(({ name }) => name)]).toEqual([
      ['local', 'far'],
      ['shell', 'also'],
      ['own', 'another'],
    ])
  })

  test.each([
    [
      'a backend',
      { name: 'more', backends: { local: () => ({}) as never } },
      'plugin "more" brings the backend "local", which is there already',
    ],
    ['an agent', { name: 'more', agents: { shell: shell() } }, 'plugin "more" brings the agent "shell", which is there already'],
    ['a hook', { name: 'more', hooks: [hook('own')] }, 'plugin "more" brings the hook "own", which is there already'],
  ])('must not have the name of %s of the config', (_, plugin, message) => {
    expect(() => completed(plugin)).toThrow(`Cannot use the config: ${message}`)
  })

  test('comes from plugins of different names', () => {
    expect(() => completed({ name: 'a' }, { name: 'a' })).toThrow('there are two plugins "a"')
  })

  test.each([
    [5, 'it must be a plugin'],
    [{}, 'name must be'],
    [{ name: 'A' }, 'name must be'],
    [{ name: 'a', fetch: 5 }, 'fetch of "a" must be a function'],
    [{ name: 'a', timeoutMs: -1 }, 'timeoutMs'],
    [{ name: 'a', timeoutMs: Infinity }, 'timeoutMs of "a" must be a number of milliseconds above 0, and 2147483647 at most'],
    [{ name: 'a', maxBodyBytes: 0 }, 'maxBodyBytes of "a" must be a number of bytes above 0'],
    [{ name: 'a', hooks: {} }, 'hooks of "a" must be a list'],
    [{ name: 'a', hooks: [{ name: 'b' }] }, 'hooks of "a" must be a list of hooks'],
    [{ name: 'a', fecth: () => null }, 'fecth of "a" is not known'],
  ])('%j is refused: %s', (given, words) => {
    expect(wrongInPlugin(given)).toContain(words)
  })
})

describe('the plugins that are there', () => {
  const say = (body: NonNullable<RequestInit['body']>, headers = {}) => app.request('/plugins/chat', { method: 'POST', body, headers })

  test('chat: a thread is a session, a message begins it or goes to it', async () => {
    const first = await say(JSON.stringify({ text: 'while read -r line; do echo "got $line"; done', thread: 'T1', user: 'ann' }))
    expect(first.status).toBe(201)
    const { session } = (await first.json()) as { session: string }
    expect(session).toMatch(/^chat-[0-9a-f]{16}$/)
    expect(app.runtime.get(session)).toMatchObject({ labels: { thread: 'T1', user: 'ann' }, status: 'running' })
    const second = await say('text=hello+there&thread=T1', { 'content-type': 'application/x-www-form-urlencoded' })
    expect([second.status, await second.json()]).toMatchObject([200, { session, stage: expect.any(String) }])
    await until(
      async () => ((await (await app.request('/plugins/chat?thread=T1')).json()) as { text: string }).text.includes('got hello there'),
      { what: 'the answer' },
    )
    const third = await say('{"text": "as curl -d says it", "thread": "T1"}', { 'content-type': 'application/x-www-form-urlencoded' })
    expect([third.status, await third.json()]).toMatchObject([200, { session }])
    expect((await app.request('/plugins/chat?thread=T2')).status).toBe(404)
    await app.runtime.end(session)
  })

  test.each([
    ['not JSON', '{', 'it must be there: send {"text": …}'],
    ['no text', '{"txt":"a"}', 'text must be there: send {"text": …}'],
    ['an empty text', '{"text":" "}', 'text must not be empty'],
    ['a text that is none', '{"text":5}', 'text must be a string'],
  ])('chat: %s is refused in words', async (_, body, words) => {
    const answer = await say(body)
    expect(answer.status).toBe(400)
    expect(((await answer.json()) as { text: string }).text).toContain(words)
  })

  test('badge: the status of a session, and a label that stays text', async () => {
    const answer = await app.request(`/plugins/badge/seen.svg?label=${encodeURIComponent('<script>"&')}`)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'image/svg+xml; charset=utf-8'])
    const svg = await answer.text()
    expect(svg).toContain('>error</text>')
    expect(svg).toContain('&#60;script&#62;&#34;&#38;')
    expect(svg).not.toContain('<script')
    expect((await app.request('/plugins/badge/nobody.svg')).status).toBe(404)
  })
})
