import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, test, type TestContext } from 'vitest'
import { cli } from './support/cli.ts'
import { createClient, type ListedBackend } from '../src/client.ts'
import { claude } from '../src/plugins/agents/claude.ts'
import { codex } from '../src/plugins/agents/codex.ts'
import { shell } from '../src/plugins/agents/shell.ts'
import { process as processes } from '../src/plugins/backends/process/process.ts'
import { tmux } from '../src/plugins/backends/tmux/tmux.ts'
import type { Agent } from '../src/runtime/agent.ts'
import type { Backend, Health } from '../src/runtime/backend.ts'
import { InstarError } from '../src/runtime/error.ts'
import type { Session, Sight } from '../src/runtime/types.ts'
import { testApp, type TestAppOptions } from './support/app.ts'
import { losable } from './support/lost.ts'
import { until } from './support/wait.ts'

/** An app of a test's own. */
async function begin({ onTestFinished }: TestContext, options: TestAppOptions = {}) {
  const app = await testApp(options)
  onTestFinished(() => app.close())
  const call = async (
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; headers: Headers; text: string; json: any }> => {
    const answer = await app.request(path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    const text = await answer.text()
    return { status: answer.status, headers: answer.headers, text, json: JSON.parse(text) as unknown }
  }
  return {
    ...app,
    /** The runtime of the server that runs now. */
    current: () => app.runtime,
    call,
    spawn: (name: string, more: object = {}) => call('POST', '/sessions/spawn', { name, prompt: 'exec cat', ...more }),
    show: async (name: string) => (await call('GET', `/sessions/${name}`)).json as Session,
    list: async () => (await call('GET', '/sessions')).json as Session[],
    backends: async () => (await call('GET', '/backends')).json as ListedBackend[],
  }
}

/** A backend that answers `check` so, and can do nothing else. */
const checked = (check: () => Promise<Health>): Backend => ({ ...losable(), check })

describe.concurrent('GET /backends', () => {
  test('an array in the order of the config, each with its health, its reason and its room', async (context) => {
    const app = await begin(context, {
      backends: {
        local: tmux({ maxSessions: 3 }),
        missing: tmux({ program: '/nonexistent/tmux' }),
        memory: losable(),
      },
      limits: { maxSessions: 7 },
    })
    await app.spawn('a')
    await app.spawn('b', { backend: 'memory' })
    await app.spawn('c', { backend: 'memory' })
    await app.call('DELETE', '/sessions/c')
    const { status, json } = await app.call('GET', '/backends')
    expect(status).toBe(200)
    expect(json).toEqual([
      { name: 'local', ok: true, detail: expect.stringMatching(/^tmux \d/), sessions: 1, maxSessions: 3, cannot: {} },
      { name: 'missing', ok: false, reason: expect.stringContaining('install'), sessions: 0, maxSessions: 7, cannot: {} },
      { name: 'memory', ok: true, detail: 'a place in memory', sessions: 1, maxSessions: 7, cannot: {} },
    ])
    const client = createClient({ url: 'http://127.0.0.1', token: app.token, fetch: (url, init) => app.request(String(url), init) })
    expect(await client.backends()).toEqual(json)
    expect(await app.call('GET', '/backends?x=1')).toMatchObject({ status: 400, json: { error: { data: { field: 'x' } } } })
    expect(await app.call('POST', '/backends')).toMatchObject({ status: 405 })
    expect((await app.request('/backends', { headers: { authorization: '' } })).status).toBe(401)
  })

  test('one that hangs, and one that throws, keep no other from being told of, and no secret is told', async (context) => {
    let checks = 0
    const never = () => {
      checks++
      return new Promise<Health>(() => {})
    }
    const app = await begin(context, {
      backends: {
        memory: losable(),
        hangs: checked(never),
        throws: checked(() => Promise.reject(new Error('token=s3cret'))),
        bursts: checked(() => {
          throw new Error('at once')
        }),
      },
    })
    const began = Date.now()
    const answers = await Promise.all([1, 2, 3].map(() => app.call('GET', '/backends')))
    const health = await app.call('GET', '/health')
    expect(Date.now() - began).toBeLessThan(8000)
    expect(checks).toBe(2)
    for (const { json, text } of answers) {
      expect(json).toMatchObject([
        { name: 'memory', ok: true },
        { name: 'hangs', ok: false, reason: 'it did not answer within 3 s' },
        { name: 'throws', ok: false, reason: expect.stringContaining('failed') },
        { name: 'bursts', ok: false, reason: expect.stringContaining('failed') },
      ])
      expect(text).not.toContain('s3cret')
    }
    expect(health.json.backends).toMatchObject({ memory: { ok: true }, hangs: { ok: false }, throws: { ok: false } })
  }, 15_000)
})

describe.concurrent('a backend that is full', () => {
  test('takes no more, which is 429 and names it; another one does, and an end makes room', async (context) => {
    const app = await begin(context, { backends: { small: losable({ maxSessions: 2 }), other: losable() }, limits: { maxSessions: 4 } })
    const answers = await Promise.all(['a', 'b', 'c', 'd'].map((name) => app.spawn(name)))
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 429, 429])
    const refused = answers.find(({ status }) => status === 429)!
    expect(refused).toMatchObject({ json: { error: { code: 'too_many_sessions', data: { limit: 2, backend: 'small' } } } })
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
    for (const name of ['e', 'f']) expect((await app.spawn(name, { backend: 'other' })).status).toBe(201)
    // The server's own limit is no backend's.
    const over = await app.spawn('g', { backend: 'other' })
    expect(over).toMatchObject({ status: 429, json: { error: { code: 'too_many_sessions', data: { limit: 4 } } } })
    expect(over.text).not.toContain('"backend"')
    await app.call('DELETE', `/sessions/${app.runtime.list()[3]!.name}`)
    expect((await app.spawn('h')).status).toBe(201)
  })

  test('one that is not there is 400, and says which are', async (context) => {
    const app = await begin(context, { backends: { small: losable(), other: losable() } })
    const { status, json } = await app.call('POST', '/sessions/spawn', { name: 'a', prompt: 'x', backend: 'nowhere' })
    expect([status, json]).toMatchObject([400, { error: { data: { field: 'backend' }, message: expect.stringContaining('small, other') } }])
    expect((await app.spawn('b')).json).toMatchObject({ backend: 'small' })
    expect((await app.spawn('c', { backend: 'other' })).json).toMatchObject({ backend: 'other' })
  })
})

describe.concurrent('GET /sessions/tmux', () => {
  test('lists the terminals of the other backends when one cannot be asked, and says which', async (context) => {
    const terminal = { name: 'by-hand', id: null, createdAt: new Date().toISOString(), attached: false }
    const there: Backend = { ...losable(), terminals: async () => [terminal] }
    const gone: Backend = {
      ...losable(),
      terminals: () => Promise.reject(new InstarError('backend_unavailable', 'Cannot reach far: no route to host')),
    }
    const app = await begin(context, { backends: { there, gone } })
    expect(await app.call('GET', '/sessions/tmux')).toMatchObject({
      status: 200,
      json: {
        sessions: [{ ...terminal, managed: false, backend: 'there' }],
        unreachable: [{ backend: 'gone', reason: 'no route to host' }],
      },
    })
    const none = await begin(context, { backends: { gone } })
    expect(await none.call('GET', '/sessions/tmux')).toMatchObject({ status: 503, json: { error: { code: 'backend_unavailable' } } })
  })
})

/** Works and rests when its signals say so. */
const simple: Agent = {
  ...shell(),
  read(sight) {
    if (sight.type !== 'signal') return null
    const { event, at } = sight.signal
    return { type: event as 'working' | 'rested', evidence: { source: 'hook', rule: event, at } }
  },
}
const signal = (event: 'working' | 'rested', at = new Date().toISOString()): Sight => ({
  type: 'signal',
  signal: { event, payload: null, at },
})

describe.concurrent('while the place of a backend is lost', () => {
  const evidence = (rule: string) => ({ source: 'backend', rule, at: expect.any(String) })

  test('its live sessions say so wherever they are shown, and nothing is taken for ended', async (context) => {
    const [place, other] = [losable(), losable()]
    const app = await begin(context, { agents: { simple }, backends: { place, other } })
    const { id } = (await app.spawn('far')).json
    await app.spawn('near', { backend: 'other' })
    await app.spawn('gone')
    await app.call('DELETE', '/sessions/gone')
    place.say(id, signal('working'))
    const before = await app.show('far')
    expect(before).toMatchObject({ status: 'running', evidence: { source: 'hook', rule: 'working' } })
    const listed = async (name: string) => (await app.list()).find((each) => each.name === name)
    expect(await listed('far')).toEqual(before)

    const waiting = app.call('GET', '/sessions/far/wait?for=idle')
    place.lose('no route to host')
    const unreachable = { ...before, evidence: evidence('unreachable: no route to host') }
    expect(await app.show('far')).toEqual(unreachable)
    expect(await listed('far')).toEqual(unreachable)
    expect((await app.call('GET', '/sessions?status=running')).json).toContainEqual(unreachable)
    expect((await app.call('GET', '/sessions/far/status?explain=1')).json).toMatchObject({
      status: 'running',
      evidence: unreachable.evidence,
      trail: expect.arrayContaining([{ ...unreachable.evidence, event: null, status: 'running' }]),
    })
    expect((await app.call('GET', '/sessions/far/wait?for=running')).json).toEqual({ ...unreachable, timedOut: false })
    expect((await app.call('GET', '/sessions/far/wait?for=idle&timeout=0.1')).json).toEqual({ ...unreachable, timedOut: true })
    expect((await app.show('near')).evidence.rule).not.toContain('unreachable')
    expect((await app.show('gone')).evidence.rule).not.toContain('unreachable')
    const refused = { ok: false, reason: 'no route to host' }
    expect(await app.backends()).toMatchObject([
      { name: 'place', ...refused, sessions: 1 },
      { name: 'other', ok: true },
    ])
    expect((await app.call('GET', '/health')).json).toMatchObject({ backends: { place: refused, other: { ok: true } } })
    expect(await app.call('POST', '/sessions/far/input', { text: 'hello' })).toMatchObject({
      status: 503,
      json: { error: { code: 'backend_unavailable' } },
    })

    // Another reason, the same beginning.
    const { at } = (await app.show('far')).evidence
    place.lose('connection refused')
    expect((await app.show('far')).evidence).toEqual({ source: 'backend', rule: 'unreachable: connection refused', at })
    expect(await listed('far')).toMatchObject({ evidence: { rule: 'unreachable: connection refused' } })

    // What happened meanwhile is older than the loss is known for, and counts.
    place.say(id, signal('rested', before.evidence.at))
    place.regain()
    expect(await app.show('far')).toMatchObject({ status: 'idle', evidence: { source: 'hook', rule: 'rested', at: before.evidence.at } })
    expect(await listed('far')).toMatchObject({ status: 'idle', evidence: { source: 'hook', rule: 'rested' } })
    expect((await waiting).json).toMatchObject({ status: 'idle', timedOut: false, evidence: { rule: 'rested' } })
    expect(await app.backends()).toMatchObject([{ name: 'place', ok: true }, { ok: true }])
    expect((await app.call('GET', '/sessions/far/status?explain=1')).text).not.toContain('unreachable')
    expect(place.typed).toEqual([])
    const told = app.logged.filter((line) => line.includes('be reached'))
    expect(told).toHaveLength(3)
  })

  test('nothing is typed, nothing is noted as if it could have been, and it may be sent again', async (context) => {
    const place = losable()
    const app = await begin(context, { agents: { simple }, backends: { place } })
    const { id } = (await app.spawn('far')).json
    place.say(id, signal('working'))
    place.lose('no route to host')
    expect(await app.call('POST', '/sessions/far/input', { text: 'once' })).toMatchObject({
      status: 503,
      json: { error: { code: 'backend_unavailable', message: expect.stringContaining('no route to host') } },
    })
    expect((await app.call('GET', '/sessions/far/inputs')).json).toEqual([])
    place.regain()
    expect(await app.call('POST', '/sessions/far/input', { text: 'once' })).toMatchObject({ status: 200 })
    expect(place.typed).toEqual(['once'])
  })

  test('what is to end is ended once the place is found, and no end is made up', async (context) => {
    const place = losable()
    const app = await begin(context, { agents: { simple }, backends: { place } })
    await app.spawn('far')
    place.lose('no route to host')
    expect(await app.call('DELETE', '/sessions/far')).toMatchObject({ status: 503, json: { error: { code: 'backend_unavailable' } } })
    expect(await app.show('far')).toMatchObject({ status: 'starting', endedAt: null, evidence: evidence('unreachable: no route to host') })
    expect(await app.spawn('another')).toMatchObject({ status: 503 })
    expect(await app.list()).toHaveLength(1)
    place.regain()
    expect((await app.call('GET', '/sessions/far/wait?for=killed')).json).toMatchObject({ status: 'killed', reason: 'ended on request' })
  })
})

describe.concurrent('a server that starts while a place is lost', () => {
  test('shows what it knows, and goes on at once when the place is found', async (context) => {
    const place = losable()
    const app = await begin(context, { agents: { simple }, backends: { place } })
    const { id } = (await app.spawn('far')).json
    place.say(id, signal('working'))
    const [before, ending] = [await app.show('far'), (await app.spawn('ending')).json]
    place.lose('no route to host')
    await app.call('DELETE', '/sessions/ending')
    await app.restart()
    const lost = { status: 'running', evidence: { source: 'backend', rule: 'unreachable: no route to host' } }
    expect(app.current().get('far')).toMatchObject(lost)
    place.say(id, signal('rested', before.evidence.at))
    place.regain()
    await until(() => app.current().get('far').status === 'idle', { timeout: 2000, what: 'what happened meanwhile' })
    const ended = await until(() => (app.current().get(ending.id).endedAt === null ? null : app.current().get(ending.id)), {
      timeout: 2000,
      what: 'the end',
    })
    expect(ended).toMatchObject({ status: 'killed', reason: 'ended on request' })
    place.say(id, signal('working'))
    expect(app.current().get('far')).toMatchObject({ status: 'running', evidence: { rule: 'working' } })
  })
})

describe.concurrent('tmux', () => {
  test('whose server does not answer is lost, and found when it does', async (context) => {
    const app = await begin(context)
    await app.spawn('a')
    const { evidence } = app.runtime.get('a')
    const pid = Number(await app.tmux('display-message', '-p', '#{pid}'))
    process.kill(pid, 'SIGSTOP')
    try {
      await until(() => app.runtime.get('a').evidence.rule.startsWith('unreachable: '), { timeout: 20_000, what: 'the loss' })
      expect(app.runtime.get('a')).toMatchObject({ status: 'running', endedAt: null, evidence: { source: 'backend' } })
      expect(await app.backends()).toMatchObject([{ name: 'local', ok: false, sessions: 1 }])
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await until(() => app.runtime.get('a').evidence.rule === evidence.rule, { what: 'the place to be found' })
    expect(app.runtime.get('a').evidence).toEqual(evidence)
    expect(await app.backends()).toMatchObject([{ name: 'local', ok: true, detail: expect.stringMatching(/^tmux \d/) }])
    expect((await app.call('POST', '/sessions/a/input', { text: 'hello' })).status).toBe(200)
  }, 40_000)

  // A pane's id was looked for on the next server, where it is another's.
  test('whose server was killed took its sessions along, which is known once another one can be asked', async (context) => {
    const app = await begin(context)
    await app.spawn('a', { prompt: 'exec sleep 600' })
    const pid = Number(await app.tmux('display-message', '-p', '#{pid}'))
    process.kill(pid, 'SIGKILL')
    const ended = await app.call('GET', '/sessions/a/wait?for=error')
    expect(ended.json).toMatchObject({ status: 'error', evidence: { rule: expect.not.stringContaining('unreachable') } })
    expect(await app.backends()).toMatchObject([{ name: 'local', ok: true, sessions: 0 }])
    expect(app.logged.some((line) => line.includes('a backend cannot be reached'))).toBe(true)
  })
})

/** Ends its turn at a usage limit. */
const limited: Agent = {
  ...simple,
  read(sight) {
    if (sight.type !== 'signal') return null
    const { at } = sight.signal
    const waiting = { kind: 'limit', message: 'out of tokens', until: new Date(Date.now() + 3_600_000).toISOString() } as const
    return { type: 'turn_failed', evidence: { source: 'hook', rule: 'limited', at }, error: 'out of tokens', waiting }
  },
}

describe.concurrent('GET /agents', () => {
  test('an array in the order of the config, each with whether it can start, somewhere and in each backend, and why not', async (context) => {
    const bin = await mkdtemp(join(tmpdir(), 'instar-bin-'))
    context.onTestFinished(() => rm(bin, { recursive: true }))
    await writeFile(join(bin, 'claude'), '#!/bin/sh\n', { mode: 0o755 })
    const memory = losable()
    const app = await begin(context, {
      agents: {
        claude: claude(),
        codex: codex(),
        shell: shell(),
        limited,
        elsewhere: claude({ program: '/nonexistent/claude', model: 'opus' }),
      },
      backends: { local: tmux(), plain: processes(), memory, gone: checked(async () => ({ ok: false, reason: 'it burnt down' })) },
      environment: { PATH: `${bin}:/usr/bin:/bin`, HOME: '/nonexistent' },
    })
    const { id } = (await app.spawn('a', { agent: 'limited', backend: 'memory' })).json
    memory.say(id, signal('rested'))
    const { status, json } = await app.call('GET', '/agents')
    expect(status).toBe(200)
    const no = (reason: string) => ({ ok: false, reason: expect.stringContaining(reason) })
    const yes = (detail: unknown) => ({ ok: true, detail })
    const untold = yes(expect.stringContaining('does not tell'))
    const gone = no('burnt down')
    const each = (name: string, model: string | null, health: object, local: object, plain: object, rest: object = untold) => ({
      name,
      model,
      ...health,
      backends: { local, plain, memory: rest, gone },
    })
    const terminal = no('needs a terminal')
    const sh = yes(expect.stringMatching(/^\/.*\/sh$/))
    const limit = no('usage limit')
    const missing = no('there is no program "/nonexistent/claude"')
    expect(json).toEqual([
      each('claude', 'sonnet', yes(join(bin, 'claude')), yes(join(bin, 'claude')), terminal),
      each('codex', null, untold, no('there is no program "codex"'), terminal),
      each('shell', null, sh, sh, sh),
      each('limited', null, limit, limit, limit, limit),
      each('elsewhere', 'opus', untold, missing, terminal),
    ])
    const client = createClient({ url: 'http://127.0.0.1', token: app.token, fetch: (url, init) => app.request(String(url), init) })
    expect(await client.agents()).toEqual(json)
    expect((await app.call('GET', '/agents?x=1')).status).toBe(400)
    expect((await app.request('/agents', { headers: { authorization: '' } })).status).toBe(401)
  })

  test('a backend that hangs while it is asked keeps no other from being told of', async (context) => {
    const hangs = { ...losable(), environment: () => new Promise<never>(() => {}) }
    const throws = { ...losable(), find: () => Promise.reject(new Error('token=s3cret')) }
    const app = await begin(context, { agents: { simple }, backends: { plain: processes(), hangs, throws } })
    const began = Date.now()
    const [{ json, text }] = (await Promise.all([1, 2, 3].map(() => app.call('GET', '/agents')))) as [Awaited<ReturnType<typeof app.call>>]
    expect(Date.now() - began).toBeLessThan(8000)
    expect(json).toMatchObject([
      {
        name: 'simple',
        ok: true,
        backends: { plain: { ok: true }, hangs: { ok: false, reason: expect.stringContaining('5 s') }, throws: { ok: false } },
      },
    ])
    expect(text).not.toContain('s3cret')
  })
})

test.concurrent('the CLI lists them', async (context) => {
  const app = await begin(context, {
    backends: { memory: losable({ maxSessions: 5 }), gone: checked(async () => ({ ok: false, reason: 'it burnt down' })) },
  })
  const run = (...args: string[]) => execa('node', [cli, 'backends', ...args], { env: { INSTAR_URL: url, INSTAR_TOKEN: app.token } })
  const url = await app.listen()
  expect((await run()).stdout.split('\n').map((row) => row.split(/ {2,}/))).toEqual([
    ['NAME', 'HEALTH', 'SESSIONS', 'DETAIL'],
    ['memory', 'ok', '0 of 5', 'a place in memory'],
    ['gone', 'not ok', '0 of 50', 'it burnt down'],
  ])
  expect(JSON.parse((await run('--json')).stdout)).toEqual(await app.backends())
  const { stdout } = await execa('node', [cli, 'agents'], {
    env: { INSTAR_URL: url, INSTAR_TOKEN: app.token },
  })
  expect(stdout).toMatch(/^NAME +HEALTH +MODEL +DETAIL\nshell +ok +a place in memory; whether "sh" is there/)
})

test('instar ls says of which sessions nobody can tell how they are now', async (context) => {
  const far = losable()
  const app = await begin(context, { backends: { far } })
  await app.spawn('a', { backend: 'far' })
  far.lose('no route to host')
  const { stdout } = await execa('node', [cli, 'ls'], { env: { INSTAR_URL: await app.listen(), INSTAR_TOKEN: app.token } })
  expect(stdout).toMatch(/^a +running +shell +\d+s +unreachable: no route to host$/m)
})
