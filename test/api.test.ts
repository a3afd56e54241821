import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import fc from 'fast-check'
import { createStorage } from 'unstorage'
import memory from 'unstorage/drivers/memory'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { shell } from '../src/plugins/agents/shell.ts'
import { isEnded } from '../src/runtime/session.ts'
import type { Agent } from '../src/runtime/agent.ts'
import type { Prompt, Session } from '../src/runtime/types.ts'
import { testApp, type TestApp } from './support/app.ts'
import { scripted } from './support/scripted.ts'
import { until } from './support/wait.ts'

const mebibyte = 1024 * 1024
const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/** A program that is not there. */
const missing: Agent = {
  ...shell(),
  plan: (launch, directory) => ({ ...shell().plan(launch, directory), argv: ['/nonexistent/agent', 'x'] }),
}

/** Types in two parts, and looks in between. */
const careful: Agent = {
  ...shell(),
  type: (text) => [
    { type: 'paste', text: text.slice(0, 2) },
    { type: 'visible', text: text.slice(0, 2) },
    { type: 'paste', text: text.slice(2) },
    { type: 'key', key: 'Enter' },
  ],
}

/** Asks, and knows more of what it asks than it shows. */
const asking: Agent = {
  ...scripted(),
  read(sight, record) {
    const event = scripted().read(sight, record)
    if (event?.type !== 'asked' || !event.prompt) return event
    return { ...event, prompt: { ...event.prompt, input: { path: 'a' }, details: { secret: 'only for the agent' } } }
  },
}

let server: TestApp
beforeAll(async () => {
  server = await testApp({ agents: { shell: shell(), missing, careful, asking }, limits: { maxSessions: 500 } })
})
afterAll(() => server.close())

let count = 0
const freshName = () => `s${++count}`

describe('GET /health', () => {
  test('without a token nothing but the status and the version', async () => {
    for (const authorization of ['', 'Bearer wrong-wrong-wrong-wrong', 'Basic eDp5']) {
      const { status, text, headers } = await ask('/health', { headers: { authorization } })
      expect([status, text]).toEqual([200, '{"status":"ok","version":"1.2.3"}'])
      expect(headers.get('content-type')).toBe('application/json')
    }
  })

  test('with a token also what it has', async () => {
    const { status, json } = await ask('/health')
    expect(status).toBe(200)
    expect(json).toMatchObject({ status: 'ok', version: '1.2.3', sessions: { total: expect.any(Number), live: expect.any(Number) } })
    expect(json).toMatchObject({ backends: { local: { ok: true, detail: expect.stringMatching(/^tmux \d/) } } })
  })
})

describe('POST /sessions/spawn', () => {
  test('201 with the session: every field, null where unknown', async () => {
    const name = freshName()
    const { status, json, headers } = await post('/sessions/spawn', { name, prompt: 'exec cat' })
    expect(status).toBe(201)
    expect(headers.get('content-type')).toBe('application/json')
    expect(json).toEqual({
      id: expect.stringMatching(uuid7),
      name,
      status: 'running',
      agent: 'shell',
      model: null,
      backend: 'local',
      prompt: 'exec cat',
      cwd: server.project,
      jobSlug: null,
      parent: null,
      labels: {},
      createdAt: expect.stringMatching(iso),
      startedAt: expect.stringMatching(iso),
      endedAt: null,
      exitCode: null,
      signal: null,
      reason: null,
      waiting: null,
      lastError: null,
      evidence: { source: 'process', rule: expect.any(String), at: expect.stringMatching(iso) },
      usage: null,
      attach: expect.stringContaining(name),
    })
    expect((await ask(`/sessions/${name}`)).json).toEqual(json)
    expect((await ask(`/sessions/${(json as Session).id}`)).json).toEqual(json)
    expect((await list()).find((each) => each.name === name)).toEqual(json)
  })

  test('keeps what the request says', async () => {
    const given = {
      name: freshName(),
      prompt: 'true',
      model: 'haiku',
      jobSlug: 'nightly',
      parent: 'other',
      labels: { team: 'ü', empty: '' },
      cwd: '/tmp',
    }
    expect((await post('/sessions/spawn', { ...given, agent: 'shell', backend: 'local' })).json).toMatchObject(given)
  })

  test('runs the prompt of a shell session with sh -c, with its directory, environment and arguments', async () => {
    const { name, cwd } = await spawn({
      prompt: 'printf "%s|" "$PWD" "$A" "$B" "$1" "$2" >got; stty size >>got; exit 3',
      env: { A: ` 'x' "y" $HOME \\ ; #{pane_id}\n*`, B: 'grün 🌱' },
      args: ['-n', "it's"],
      size: { cols: 123, rows: 45 },
    })
    expect(await ended(name)).toMatchObject({ status: 'error', exitCode: 3, signal: null, reason: 'the program exited with 3' })
    expect(await readFile(join(cwd, 'got'), 'utf8')).toBe(`${cwd}| 'x' "y" $HOME \\ ; #{pane_id}\n*|grün 🌱|-n|it's|45 123\n`)
  })

  test('its environment is what was given and what is common, and nothing of the server', async () => {
    const { name } = await spawn({ prompt: 'env >environment' })
    expect(await ended(name)).toMatchObject({ status: 'completed', exitCode: 0 })
    const environment = await readFile(join(server.project, 'environment'), 'utf8')
    expect(environment).toContain(`INSTAR_SESSION=${name}\n`)
    expect(environment).not.toContain(server.token)
    expect(environment).not.toMatch(/^(?:VITEST|NODE_|INSTAR_TOKEN|TMUX)/m)
    expect(environment).not.toContain('instar_')
  })

  test.each([
    ['the launcher itself uses', { instar_dir: '/nonexistent', instar_code: '7', instar_path: '/nonexistent', instar_cwd: '/nonexistent' }],
    ['mean something to a shell', { IFS: ',x', OPTIND: '5', PS4: '$(false)', ENV: '/nonexistent', CDPATH: '/', PWD: '/nonexistent' }],
  ])('variables that %s do no harm', async (_, env) => {
    const { name } = await spawn({ prompt: 'echo fine; exit 3', env })
    expect(await ended(name)).toMatchObject({ status: 'error', exitCode: 3, reason: 'the program exited with 3' })
    expect((await ask(`/sessions/${name}/output`)).text).toBe('fine')
  })

  test('nor do variables change which process is taken for the session: it would be the one to be killed', async () => {
    const { name, id } = await spawn({ prompt: 'exit 3', env: { IFS: '0123456789' } })
    expect(await ended(name)).toMatchObject({ status: 'error', exitCode: 3 })
    // Looked up in the session's directory and not by DELETE: process 0 would be this very process and its group.
    const [started = ''] = (await readFile(join(server.state, 'sessions', id, 'signals.jsonl'), 'utf8')).split('\n')
    expect(JSON.parse(started)).toEqual({ launcher: 'started', pid: expect.toSatisfy((pid: number) => pid > 1) })
  })

  test('409 while the name is live; after the end it is free, and each run keeps its own id', async () => {
    const name = freshName()
    const one = await spawn({ name, prompt: 'echo one; exec cat' })
    await until(async () => (await ask(`/sessions/${name}/output`)).text === 'one', { what: 'the first output' })
    const refused = await post('/sessions/spawn', { name, prompt: 'echo two' })
    expect(refused).toMatchObject({ status: 409, json: { error: { code: 'name_in_use', data: { id: one.id } } } })
    expect((await ask(`/sessions/${name}`, { method: 'DELETE' })).status).toBe(200)

    const two = await spawn({ name, prompt: 'echo two; exec cat' })
    expect(two.id > one.id).toBe(true)
    await until(async () => (await ask(`/sessions/${name}/output`)).text === 'two', { what: 'the second output' })
    expect((await ask(`/sessions/${name}`)).json).toMatchObject({ id: two.id })
    expect((await ask(`/sessions/${one.id}`)).json).toMatchObject({ id: one.id, status: 'killed' })
    expect((await ask(`/sessions/${one.id}/output`)).text).toBe('one')
    // Ending the old run by its id leaves the new one alone.
    expect((await ask(`/sessions/${one.id}`, { method: 'DELETE' })).json).toMatchObject({ id: one.id })
    expect((await ask(`/sessions/${name}`)).json).toMatchObject({ id: two.id, status: 'running' })
  })

  test('of many at once with one name exactly one is made', async () => {
    const name = freshName()
    const answers = await Promise.all(Array.from({ length: 8 }, () => post('/sessions/spawn', { name, prompt: 'exec cat' })))
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array.from({ length: 7 }, () => 409)])
    expect((await list()).filter((each) => each.name === name)).toHaveLength(1)
  })

  test('409 when the terminal server has a session of that name that is not ours, which stays', async () => {
    const name = freshName()
    await server.tmux('new-session', '-d', '-s', name, 'exec cat')
    const refused = await post('/sessions/spawn', { name, prompt: 'true' })
    expect(refused).toMatchObject({ status: 409, json: { error: { code: 'name_in_use' } } })
    expect((await ask(`/sessions/${name}`)).status).toBe(404)
    await server.tmux('kill-session', '-t', `=${name}`)
  })

  test('any content type will do', async () => {
    for (const type of ['application/json', 'application/x-www-form-urlencoded', 'text/plain; charset=latin1', 'multipart/form-data']) {
      const body = JSON.stringify({ name: freshName(), prompt: 'true' })
      expect((await ask('/sessions/spawn', { method: 'POST', body, headers: { 'content-type': type } })).status).toBe(201)
    }
  })

  test.each([
    ['a program that is not there', { agent: 'missing' }, 127, '/nonexistent/agent'],
    ['a directory that is not there', { cwd: '/nonexistent/directory' }, 126, '/nonexistent/directory'],
    ['a directory that is a file', { cwd: '/etc/passwd' }, 126, '/etc/passwd'],
  ])('201 with %s: the session says why it could not start', async (_, given, exitCode, words) => {
    const { name } = await spawn({ prompt: 'true', ...given })
    const session = await ended(name)
    expect(session).toMatchObject({ status: 'error', exitCode, reason: expect.stringMatching(/^could not start: /) })
    expect(session.reason).toContain(words)
    expect(JSON.stringify(session)).not.toContain(server.state)
    expect((await ask(`/sessions/${name}/output`)).text).toContain(words)
  })
})

describe('the limits of a spawn', () => {
  /** A script of exactly so many bytes, whose last line is the only one that does anything. */
  function script(bytes: number, filler: string, last: string): string {
    const line = `: ${filler.repeat(40)}\n`
    const lines = line.repeat(Math.floor((bytes - last.length) / Buffer.byteLength(line)) - 1)
    return `${lines}${'#'.repeat(bytes - last.length - 1 - Buffer.byteLength(lines))}\n${last}`
  }

  test.each([
    ['1 MiB', mebibyte, 'x'],
    ['1 MiB of longer characters', mebibyte, '€'],
    ['more bytes than one argument may have, in fewer characters', 200_000, '€'],
  ])('a prompt of %s runs whole', async (_, bytes, filler) => {
    const name = freshName()
    const prompt = script(bytes, filler, `printf whole >whole-${name}`)
    expect(Buffer.byteLength(prompt)).toBe(bytes)
    await spawn({ name, prompt })
    expect(await ended(name)).toMatchObject({ status: 'completed', exitCode: 0, prompt })
    expect(await readFile(join(server.project, `whole-${name}`), 'utf8')).toBe('whole')
  })

  test.each([
    ['1 MiB and 1 byte', 'x'.repeat(mebibyte + 1)],
    ['1 MiB and 1 byte, in fewer characters', `${'€'.repeat(349_525)}xx`],
    ['15 MiB', 'x'.repeat(15 * mebibyte)],
  ])('a prompt of %s is refused', async (_, prompt) => {
    const { status, json, text } = await post('/sessions/spawn', { name: freshName(), prompt })
    expect(status).toBe(400)
    expect(json).toMatchObject({ error: { code: 'invalid_request', data: { field: 'prompt' } } })
    expect(text.length).toBeLessThan(1000)
  })

  const over = (bytes: number) => new Uint8Array(bytes + 1).fill(32)
  test.each([
    ['/sessions/spawn', 16 * mebibyte],
    ['/sessions/x/input', mebibyte],
    ['/sessions/x/prompts/p', mebibyte],
    ['/sessions/x/resume', 16 * mebibyte],
  ])('%s takes %d bytes at most', async (path, limit) => {
    const told = await ask(path, { method: 'POST', body: over(limit), headers: { 'content-length': String(limit + 1) } })
    expect(told).toMatchObject({ status: 413, json: { error: { code: 'body_too_large', data: { limit } } } })
    const counted = await ask(path, { method: 'POST', body: over(limit) })
    expect(counted.status).toBe(413)
    const lied = await ask(path, { method: 'POST', body: over(limit), headers: { 'content-length': '5' } })
    expect(lied.status).toBe(413)
    expect((await ask(path, { method: 'POST', body: over(limit).slice(1) })).json).toMatchObject({ error: { code: 'invalid_json' } })
  })

  test('429 with Retry-After beyond maxSessions, also for many at once; an end makes room', async () => {
    const small = await testApp({ limits: { maxSessions: 2 } })
    try {
      const make = (name: string) => askOf(small, '/sessions/spawn', { method: 'POST', body: JSON.stringify({ name, prompt: 'exec cat' }) })
      const answers = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(make))
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 429, 429, 429])
      const refused = answers.find(({ status }) => status === 429)!
      expect(refused.json).toMatchObject({ error: { code: 'too_many_sessions', data: { limit: 2 } } })
      expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/)
      const live = small.runtime.list()
      expect(live).toHaveLength(2)
      await askOf(small, `/sessions/${live[0]!.name}`, { method: 'DELETE' })
      expect((await make('f')).status).toBe(201)
    } finally {
      await small.close()
    }
  })
})

describe('GET /sessions', () => {
  test('an array, newest first, and only the statuses that are asked for', async () => {
    const [live, done, failed, killed] = await Promise.all(['exec cat', 'true', 'exit 5', 'exec cat'].map((prompt) => spawn({ prompt })))
    await Promise.all([ended(done!.name), ended(failed!.name), ask(`/sessions/${killed!.name}`, { method: 'DELETE' })])
    const all = await list()
    const ids = all.map(({ id }) => id)
    expect(ids).toEqual([...ids].sort().reverse())
    expect(ids).toEqual(expect.arrayContaining([live, done, failed, killed].map((each) => each!.id)))

    const byStatus = async (status: string) => new Set((await list(`?status=${status}`)).map(({ id }) => id))
    const table: [string, boolean[]][] = [
      ['running', [true, false, false, false]],
      ['completed', [false, true, false, false]],
      ['error', [false, false, true, false]],
      ['killed', [false, false, false, true]],
      ['error,killed', [false, false, true, true]],
      ['running%2Ccompleted', [true, true, false, false]],
      ['waiting', [false, false, false, false]],
      ['starting,running,idle,waiting,completed,error,killed', [true, true, true, true]],
    ]
    for (const [status, expected] of table) {
      const found = await byStatus(status)
      expect([live, done, failed, killed].map((each) => found.has(each!.id))).toEqual(expected)
    }
  })

  test.each(['live', 'running,live', 'Running', '', 'running,', ',', 'running;idle', 'toString', 'running running'])(
    'an unknown status is 400: %j',
    async (status) => {
      const { status: code, json } = await ask(`/sessions?status=${encodeURIComponent(status)}`)
      expect(code).toBe(400)
      expect(json).toMatchObject({ error: { code: 'invalid_request', data: { field: expect.stringMatching(/^status\b/) } } })
    },
  )

  test('an empty list is an empty array', async () => {
    expect((await ask('/sessions?status=waiting')).text).toBe('[]')
  })
})

describe('GET /sessions/tmux', () => {
  test('lists what the tmux server lists, also what this server did not start', async () => {
    const ours = await spawn({ prompt: 'exec cat' })
    const byHand = freshName()
    await server.tmux('new-session', '-d', '-s', byHand, 'exec cat')
    const { sessions, ...rest } = await get<{ sessions: Record<string, unknown>[] }>('/sessions/tmux')
    expect(rest).toEqual({})
    expect(sessions.find(({ name }) => name === ours.name)).toMatchObject({ managed: true, id: ours.id, attached: false })
    expect(sessions.find(({ name }) => name === byHand)).toMatchObject({ managed: false, id: null, createdAt: expect.stringMatching(iso) })
    const listed = (await server.tmux('list-sessions', '-F', '#{session_name}')).split('\n')
    expect(sessions.map(({ name }) => name).sort()).toEqual(listed.sort())
    await server.tmux('kill-session', '-t', `=${byHand}`)
    expect((await get<typeof rest & { sessions: { name: string }[] }>('/sessions/tmux')).sessions.map(({ name }) => name)).not.toContain(
      byHand,
    )
  })

  test('its command to attach names a session of that server', async () => {
    const { attach, name } = await spawn({ prompt: 'exec cat' })
    const [, target] = /attach -t (=\S+)$/.exec(attach ?? '') ?? []
    expect(await server.tmux('display-message', '-p', '-t', `${target}:`, '#{session_name}')).toBe(name)
  })
})

describe('GET /sessions/:name/output', () => {
  const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => String(from + i)).join('\n')

  test('the last lines as plain text, while it runs and after the end', async () => {
    const { name } = await spawn({ prompt: 'seq 1 300; read -r line' })
    const check = async () => {
      for (const [query, text] of [
        ['', numbers(201, 300)],
        ['?lines=1', '300'],
        ['?lines=3', numbers(298, 300)],
        ['?lines=100', numbers(201, 300)],
        ['?lines=300', numbers(1, 300)],
        ['?lines=5000', numbers(1, 300)],
      ]) {
        const answer = await ask(`/sessions/${name}/output${query}`)
        expect([answer.status, answer.headers.get('content-type'), answer.text]).toEqual([200, 'text/plain; charset=utf-8', text])
      }
    }
    await until(async () => (await ask(`/sessions/${name}/output?lines=1`)).text === '300', { what: 'the whole output' })
    await check()
    expect((await post(`/sessions/${name}/input`, { text: '300' })).status).toBe(200)
    await ended(name)
    // The terminal echoes what was typed.
    expect((await ask(`/sessions/${name}/output?lines=2`)).text).toBe('300\n300')
  })

  test('keeps blank lines inside, and takes away those at the end', async () => {
    const { name } = await spawn({ prompt: String.raw`printf '\n a\n\n\tb  \n\n \n\n'; exit 0` })
    await ended(name)
    expect((await ask(`/sessions/${name}/output`)).text.split('\n').map((line) => line.trimEnd())).toEqual(['', ' a', '', '        b'])
  })

  test('is empty when nothing was said', async () => {
    const { name } = await spawn({ prompt: 'true' })
    await ended(name)
    const { status, text } = await ask(`/sessions/${name}/output`)
    expect([status, text]).toEqual([200, ''])
    expect(await get(`/sessions/${name}/output`, { accept: 'application/json' })).toEqual({
      session: name,
      output: '',
      lines: 0,
      truncated: false,
    })
  })

  test('keeps every character, and nothing that only looks like the end of an answer', async () => {
    const text = 'grün € 🌱 日本 %end 1 2 1 \\033 #{pane_id} <b>&amp;</b>'
    await writeFile(join(server.project, 'text'), `${text}\n%begin 1 1 1\n%end 1 1 1\n%exit\n`)
    const { name } = await spawn({ prompt: 'cat text' })
    await ended(name)
    expect((await ask(`/sessions/${name}/output`)).text).toBe(`${text}\n%begin 1 1 1\n%end 1 1 1\n%exit`)
  })

  test('as JSON when that is asked for', async () => {
    const { name } = await spawn({ prompt: 'seq 1 20' })
    await ended(name)
    const json = (lines: number) => ({ session: name, output: numbers(21 - lines, 20), lines, truncated: lines < 20 })
    expect(await get(`/sessions/${name}/output?lines=5`, { accept: 'application/json' })).toEqual(json(5))
    expect(await get(`/sessions/${name}/output?lines=20`, { accept: 'application/json' })).toEqual(json(20))
    const typeFor = async (accept: string) => (await ask(`/sessions/${name}/output`, { headers: { accept } })).headers.get('content-type')
    for (const accept of ['application/json', 'application/json, text/plain', 'application/json;q=0.9', 'text/html, application/json'])
      expect(await typeFor(accept)).toBe('application/json')
    for (const accept of ['', '*/*', 'text/plain', 'text/*', 'text/plain, application/json', 'text/html', 'nonsense'])
      expect(await typeFor(accept)).toBe('text/plain; charset=utf-8')
  })

  test.each(['0', '-1', '1.5', 'abc', '100000', '5001', '', ' 5', '1e2', '0x10', '+5', '５', '99999999999999999999', 'NaN'])(
    'lines=%s is 400',
    async (lines) => {
      const { name } = await spawn({ prompt: 'true' })
      const { status, json } = await ask(`/sessions/${name}/output?lines=${encodeURIComponent(lines)}`)
      expect(status).toBe(400)
      expect(json).toMatchObject({ error: { code: 'invalid_request', data: { field: 'lines' } } })
    },
  )
})

describe('POST /sessions/:name/input', () => {
  test('types the text and Enter; the receipt says what is proven', async () => {
    const { name, cwd } = await spawn({ prompt: 'cat >typed' })
    const texts = ['one', 'two\nthree\n\nfour', `;#{pane_id} $HOME "q" 'x' \\ ~ -n ! /exit ;`, 'grün € 🌱', '\ta tab']
    for (const text of texts) {
      const { status, json } = await post(`/sessions/${name}/input`, { text })
      expect(status).toBe(200)
      expect(json).toEqual({ id: expect.stringMatching(uuid7), stage: 'typed', at: expect.stringMatching(iso) })
    }
    const expected = texts.map((text) => `${text}\n`).join('')
    await until(async () => (await readFile(join(cwd, 'typed'), 'utf8')) === expected, {
      what: `the program to have read ${JSON.stringify(expected)}`,
    })
  })

  test.each(['shell', 'careful'])('one at a time and in order: %s', async (agent) => {
    const { name, cwd } = await spawn({ prompt: `cat >ordered-${agent}`, agent })
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => post(`/sessions/${name}/input`, { text: `a${i}\nb${i}` })))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    const expected = Array.from({ length: 20 }, (_, i) => `a${i}\nb${i}\n`).join('')
    await until(async () => (await readFile(join(cwd, `ordered-${agent}`), 'utf8')) === expected, { what: 'all inputs, in order' })
  })

  test('a long text arrives whole', async () => {
    const { name, cwd } = await spawn({ prompt: 'stty -echo; cat >long' })
    const text = Array.from({ length: 3000 }, (_, i) => `${i} ${'x'.repeat(60)}`).join('\n')
    expect((await post(`/sessions/${name}/input`, { text })).status).toBe(200)
    await until(async () => (await readFile(join(cwd, 'long'), 'utf8')) === `${text}\n`, { what: 'the whole text' })
  })

  test('409 when the session has ended', async () => {
    const { name } = await spawn({ prompt: 'true' })
    await ended(name)
    expect(await post(`/sessions/${name}/input`, { text: 'x' })).toMatchObject({ status: 409, json: { error: { code: 'session_ended' } } })
  })
})

describe('what else is said of a session that has said nothing', () => {
  test('its inputs, prompts and messages are empty arrays, also after its end', async () => {
    const { name } = await spawn({ prompt: 'read -r line' })
    const check = async () => {
      for (const path of ['inputs', 'prompts', 'messages']) expect((await ask(`/sessions/${name}/${path}`)).text).toBe('[]')
    }
    await check()
    await ask(`/sessions/${name}`, { method: 'DELETE' })
    await check()
  })

  test('its status, which explains itself when it is asked to', async () => {
    const { id, name, evidence } = await spawn({ prompt: 'exec cat' })
    const plain = { id, name, status: 'running', waiting: null, lastError: null, evidence }
    for (const query of ['', '?explain=0', '?explain=false']) expect(await get(`/sessions/${name}/status${query}`)).toEqual(plain)
    const step = { at: evidence.at, source: 'process', rule: evidence.rule, event: 'working', status: 'running' }
    for (const query of ['?explain=1', '?explain=true'])
      expect(await get(`/sessions/${id}/status${query}`)).toEqual({
        ...plain,
        trail: [{ ...step, rule: expect.any(String), event: 'launched', status: 'starting' }, step],
      })
  })

  test('its inputs, as far as each is proven', async () => {
    const { name } = await spawn({ prompt: 'exec cat' })
    const { json } = await post(`/sessions/${name}/input`, { text: 'a text', submit: false })
    expect(json).toEqual({ id: expect.stringMatching(uuid7), stage: 'typed', at: expect.stringMatching(iso) })
    const keys = await post(`/sessions/${name}/input`, { keys: ['BSpace', 'C-u', ';', 'a', 'Enter'] })
    expect(keys).toMatchObject({ status: 200, json: { id: expect.stringMatching(uuid7), stage: 'typed' } })
    expect(await get(`/sessions/${name}/inputs`)).toEqual([json, keys.json])
    await until(async () => (await ask(`/sessions/${name}/output`)).text === ';a\n;a', { what: 'the keys' })
  })

  test('a text for later is refused where nothing tells when that is', async () => {
    const { name } = await spawn({ prompt: 'exec cat' })
    expect(await post(`/sessions/${name}/input`, { text: 'x', mode: 'queue' })).toMatchObject({
      status: 400,
      json: { error: { code: 'invalid_request', data: { field: 'mode' } } },
    })
  })

  test('an interrupt stops what it does; of one that has ended it is 409', async () => {
    const { name } = await spawn({ prompt: `trap 'exit 9' INT; echo ready; while :; do sleep 0.02; done` })
    await until(async () => (await ask(`/sessions/${name}/output`)).text === 'ready', { what: 'the program' })
    expect(await ask(`/sessions/${name}/interrupt`, { method: 'POST' })).toMatchObject({ status: 200, json: { name } })
    expect(await ended(name)).toMatchObject({ exitCode: 9 })
    expect(await ask(`/sessions/${name}/interrupt`, { method: 'POST' })).toMatchObject({
      status: 409,
      json: { error: { code: 'session_ended' } },
    })
  })

  test('a wait is over at once when it is what is waited for, and says when it was in vain', async () => {
    const { name } = await spawn({ prompt: 'exec cat' })
    expect(await get(`/sessions/${name}/wait?for=idle,running&timeout=60`)).toMatchObject({ name, status: 'running', timedOut: false })
    expect(await get(`/sessions/${name}/wait?timeout=0`)).toMatchObject({ name, status: 'running', timedOut: true })
    expect(await get(`/sessions/${name}/wait?for=idle&timeout=0.05`)).toMatchObject({ status: 'running', timedOut: true })
  })

  test.each(['p', '..%2f..%2fsignals.jsonl', '%00', '1-1', 'x'.repeat(3000), "'%22%3Cscript%3E", '__proto__'])(
    'the prompt %j is not open: 409',
    async (id) => {
      const { name } = await spawn({ prompt: 'exec cat' })
      expect(await post(`/sessions/${name}/prompts/${id}`, { choice: 'allow' })).toMatchObject({
        status: 409,
        json: { error: { code: 'prompt_closed' } },
      })
    },
  )

  test('what told of no conversation cannot be resumed: 409, with or without a body, also by a spawn', async () => {
    const { name, id } = await spawn({ prompt: 'true' })
    await ended(name)
    const before = (await list()).length
    const nothing = { status: 409, json: { error: { code: 'nothing_to_resume' } } }
    expect(await ask(`/sessions/${name}/resume`, { method: 'POST' })).toMatchObject(nothing)
    expect(await post(`/sessions/${id}/resume`, { prompt: 'go on', name: freshName(), labels: { a: 'b' } })).toMatchObject(nothing)
    expect(await post('/sessions/spawn', { name: freshName(), prompt: 'go on', resume: id })).toMatchObject(nothing)
    expect(await post('/sessions/spawn', { name: freshName(), prompt: 'go on', resume: 'never-there' })).toMatchObject({
      status: 404,
      json: { error: { code: 'session_not_found' } },
    })
    for (const given of [{ agent: 'missing' }, { cwd: '/tmp' }]) {
      const field = Object.keys(given)[0]
      expect(await post(`/sessions/${name}/resume`, given)).toMatchObject({
        status: 400,
        json: { error: { code: 'invalid_request', data: { field } } },
      })
    }
    expect(await list()).toHaveLength(before)
  })
})

describe('a session that asks', () => {
  test('shows what it asks and what may be answered, and nothing of how; the answer must be one of those', async () => {
    const { name } = await spawn({ agent: 'asking', prompt: '[ask one]' })
    const [prompt, ...more] = await until(
      async () => {
        const prompts = await get<Prompt[]>(`/sessions/${name}/prompts`)
        return prompts.length > 0 && prompts
      },
      { what: 'the prompt' },
    )
    expect(more).toEqual([])
    expect(prompt).toEqual({
      id: expect.any(String),
      kind: 'permission',
      message: 'one',
      tool: 'one',
      input: { path: 'a' },
      options: [
        { id: 'allow', label: 'allow' },
        { id: 'deny', label: 'deny' },
      ],
      openedAt: expect.stringMatching(iso),
    })
    const answers = await Promise.all(
      ['', '/prompts', '/status?explain=1', '/wait', '/inputs', '/output'].map((path) => ask(`/sessions/${name}${path}`)),
    )
    const path = `/sessions/${name}/prompts/${prompt!.id}`
    for (const choice of ['Allow', 'constructor', 'allow ', ['allow', 'never'], 'x'.repeat(1000)]) {
      const refused = await post(path, { choice })
      expect(refused).toMatchObject({ status: 400, json: { error: { code: 'invalid_request', data: { field: 'choice' } } } })
      answers.push(refused)
    }
    answers.push(await post(`/sessions/${name}/input`, { text: 'yes' }))
    expect(answers.at(-1)).toMatchObject({ status: 409, json: { error: { code: 'session_waiting' } } })
    answers.push(await post(path, { choice: 'allow', message: 'go on' }))
    expect(answers.at(-1)).toMatchObject({ status: 200, json: { name, waiting: null } })
    answers.push(await post(path, { choice: 'allow' }))
    expect(answers.at(-1)).toMatchObject({ status: 409, json: { error: { code: 'prompt_closed' } } })
    for (const { text } of answers) expect(text).not.toMatch(/only for the agent|mailbox|details|hook\.sh/)
    for (const { text } of answers) expect(text).not.toContain(server.state)
    await until(async () => (await get<Prompt[]>(`/sessions/${name}/prompts`)).length === 0, { what: 'no prompt to be open' })
  })
})

test('what is resumed runs as it did: by its agent, in its directory', async () => {
  const cwd = join(server.project, 'elsewhere')
  await mkdir(cwd)
  const { name, id } = await spawn({ agent: 'asking', prompt: 'first', cwd, labels: { a: 'b' } })
  await get(`/sessions/${name}/wait?for=idle`)
  await ask(`/sessions/${name}`, { method: 'DELETE' })
  const { status, json } = await ask(`/sessions/${name}/resume`, { method: 'POST' })
  expect(status).toBe(201)
  expect(json).toMatchObject({ name, agent: 'asking', cwd, labels: { a: 'b' } })
  expect((json as Session).id).not.toBe(id)
  await ask(`/sessions/${name}`, { method: 'DELETE' })
})

describe('DELETE /sessions/:name', () => {
  test('ends the session; again changes nothing and is 200', async () => {
    const { name } = await spawn({ prompt: 'echo said; exec cat' })
    await until(async () => (await ask(`/sessions/${name}/output`)).text === 'said', { what: 'some output' })
    const first = await ask(`/sessions/${name}`, { method: 'DELETE' })
    expect(first.status).toBe(200)
    expect(first.json).toMatchObject({ name, status: 'killed', endedAt: expect.stringMatching(iso), signal: 'SIGTERM', attach: null })
    const again = await ask(`/sessions/${name}`, { method: 'DELETE' })
    expect([again.status, again.text]).toEqual([200, first.text])
    expect((await ask(`/sessions/${name}`)).text).toBe(first.text)
    expect((await ask(`/sessions/${name}/output`)).text).toBe('said')
  })

  test('of many at once each is 200 with the same session', async () => {
    const { name } = await spawn({ prompt: 'exec cat' })
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(`/sessions/${name}`, { method: 'DELETE' })))
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1)
    expect(answers[0]).toMatchObject({ status: 200, json: { status: 'killed' } })
  })

  test('a session that ended by itself stays as it ended', async () => {
    const { name } = await spawn({ prompt: 'exit 4' })
    const session = await ended(name)
    expect((await ask(`/sessions/${name}`, { method: 'DELETE' })).json).toEqual(session)
  })

  test.each(['exec cat', 'true'])('purge removes the record and the logs: %s', async (prompt) => {
    const { name, id } = await spawn({ prompt })
    const { status, json } = await ask(`/sessions/${name}?purge=true`, { method: 'DELETE' })
    expect([status, isEnded((json as Session).status)]).toEqual([200, true])
    for (const path of [`/sessions/${name}`, `/sessions/${id}`, `/sessions/${name}/output`])
      expect(await ask(path)).toMatchObject({ status: 404, json: { error: { code: 'session_not_found' } } })
    expect((await ask(`/sessions/${name}`, { method: 'DELETE' })).status).toBe(404)
    expect((await list()).map((each) => each.id)).not.toContain(id)
    await expect(readFile(join(server.state, 'sessions', id, 'output.log'))).rejects.toThrow('ENOENT')
    await expect(readFile(join(server.state, 'store', 'sessions', `${id}.json`))).rejects.toThrow('ENOENT')
  })

  test('purge of a name takes its newest run; the run before is the newest then', async () => {
    const name = freshName()
    const one = await spawn({ name, prompt: 'true' })
    await ended(name)
    await spawn({ name, prompt: 'exec cat' })
    await ask(`/sessions/${name}?purge=true`, { method: 'DELETE' })
    expect((await ask(`/sessions/${name}`)).json).toMatchObject({ id: one.id })
  })

  test.each(['1', 'yes', '', 'TRUE'])('purge=%j is 400', async (purge) => {
    const { json, status } = await ask(`/sessions/x?purge=${purge}`, { method: 'DELETE' })
    expect([status, json]).toEqual([
      400,
      expect.objectContaining({ error: expect.objectContaining({ data: expect.objectContaining({ field: 'purge' }) }) }),
    ])
  })
})

describe('what a client may not say', () => {
  const valid = {
    get name() {
      return freshName()
    },
    prompt: 'true',
  }
  const refused = async (path: string, init: RequestInit, field: string) => {
    const before = server.runtime.list().length
    const answer = await ask(path, init)
    expect(answer).toMatchObject({ status: 400, json: { error: { code: 'invalid_request' } } })
    const { message, data } = (answer.json as { error: { message: string; data: { field: string } } }).error
    expect(data.field).toMatch(new RegExp(`^${field.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)}(?:$|\\.)`))
    expect(message).toContain(field)
    expect(server.runtime.list()).toHaveLength(before)
  }
  const body = (given: unknown): RequestInit => ({ method: 'POST', body: typeof given === 'string' ? given : JSON.stringify(given) })
  /** What takes a body. */
  const bodies = ['/sessions/spawn', '/sessions/x/input', '/sessions/x/prompts/p', '/sessions/x/resume']

  test.each([
    ['nothing', ''],
    ['not JSON', '{name:1}'],
    ['cut off', '{"name":"a"'],
    ['two values', '{}{}'],
    ['a form', 'name=a&prompt=b'],
    ['invalid UTF-8', Uint8Array.from([...Buffer.from('{"name":"a","prompt":"'), 0xff, ...Buffer.from('"}')])],
    ['half a character', Uint8Array.from([...Buffer.from('{"name":"a","prompt":"'), 0xe2, 0x82, ...Buffer.from('"}')])],
    ['UTF-16', Buffer.from('{"name":"a"}', 'utf16le')],
    ['a NUL', '\0'],
  ])('a body that is %s is invalid_json', async (_, given) => {
    for (const path of bodies) {
      if (given === '' && path.endsWith('/resume')) continue
      expect(await ask(path, { method: 'POST', body: given })).toMatchObject({ status: 400, json: { error: { code: 'invalid_json' } } })
    }
  })

  test.each(['[]', 'null', '5', '"text"', 'true', '[{"name":"a","prompt":"b"}]'])('a body that is no object: %s', async (given) => {
    for (const path of bodies) await refused(path, body(given), 'body')
  })

  test('deeply nested JSON is refused as anything else is', async () => {
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`
    await refused('/sessions/spawn', body(deep), 'body')
    await refused('/sessions/spawn', body(`{"name":"never-made","prompt":"true","labels":{"a":${deep}}}`), 'labels')
  })

  test.each(['name', 'prompt'])('%s is needed', async (field) => {
    await refused('/sessions/spawn', body({ ...valid, [field]: undefined }), field)
    await refused('/sessions/spawn', body({ ...valid, [field]: null }), field)
  })
  test('text is needed', () => refused('/sessions/x/input', body({}), 'text'))

  const names = [
    '',
    'A',
    'aB',
    '-a',
    '_a',
    'a_b',
    'a b',
    ' a',
    'a ',
    'a.b',
    'a/b',
    'a:b',
    '..',
    'ü',
    'a\n',
    'a\0',
    '=a',
    '$1',
    'x'.repeat(64),
  ]
  test.each(names)('the name %j', (name) => refused('/sessions/spawn', body({ ...valid, name }), 'name'))
  test.each(['a', '0', 'a-b', 'a-', '0-0--', 'x'.repeat(63)])('the name %j is fine', async (name) => {
    expect((await post('/sessions/spawn', { name, prompt: 'true' })).status).toBe(201)
    await ended(name)
  })

  const wrongTypes: Record<string, unknown[]> = {
    name: [5, true, [], {}, ['a']],
    prompt: [5, true, [], {}, ''],
    model: [5, [], {}, '', '-x', '--dangerous', ' opus'],
    jobSlug: [5, [], {}, true, 'x'.repeat(1001)],
    agent: [5, [], {}, 'x'.repeat(1001)],
    backend: [5, [], {}],
    cwd: [5, [], {}, '', 'relative', './x', '~'],
    env: [5, 'A=1', [], ['A'], { A: 1 }, { A: null }, { A: ['x'] }, { '': 'x' }, { 'A B': 'x' }, { '1A': 'x' }, { 'A=B': 'x' }, { Ä: 'x' }],
    args: [5, 'x', {}, [1], [null], [['x']], Array.from({ length: 201 }, () => 'x')],
    labels: [5, 'x', [], { a: 1 }, { a: {} }, Object.fromEntries(Array.from({ length: 201 }, (_, i) => [`l${i}`, 'x']))],
    parent: [5, [], {}],
    size: [
      5,
      'x',
      [],
      {},
      { cols: 80 },
      { cols: 80, rows: '24' },
      { cols: 0, rows: 24 },
      { cols: 80.5, rows: 24 },
      { cols: 1e9, rows: 24 },
    ],
  }
  test.each(Object.entries(wrongTypes))('a wrong %s', async (field, values) => {
    for (const value of values) await refused('/sessions/spawn', body({ ...valid, [field]: value }), field)
  })
  test.each(Object.entries({ ...wrongTypes, resume: [5, true, [], {}, 'x'.repeat(1001)] }))(
    'a wrong %s of a resume',
    async (field, values) => {
      if (field === 'resume') for (const value of values) await refused('/sessions/spawn', body({ ...valid, resume: value }), field)
      // What is resumed stands in the path.
      for (const value of field === 'resume' ? ['x'] : values) await refused('/sessions/x/resume', body({ [field]: value }), field)
    },
  )
  test.each(names)('the name %j of a resumed run', (name) => refused('/sessions/x/resume', body({ name }), 'name'))
  test.each([5, true, [], {}, null, ''])('an input of %j', (text) => refused('/sessions/x/input', body({ text }), 'text'))

  const wrongInputs: Record<string, unknown[]> = {
    keys: [
      5,
      'Escape',
      {},
      null,
      [],
      [5],
      [null],
      [['Up']],
      [''],
      ['a b'],
      ['ab'],
      ['Enter;'],
      ['C-c ; kill-server'],
      ['\n'],
      ['ü'],
      ['\x1b'],
      ['C-C-C-C-a'],
      ['X-a'],
      ['Up', 'nonsense\0'],
      ['ThisIsNoKeyAtAll'],
      Array.from({ length: 101 }, () => 'Up'),
    ],
  }
  test.each(Object.entries(wrongInputs))('wrong %s of an input', async (field, values) => {
    for (const value of values) await refused('/sessions/x/input', body({ [field]: value }), field)
  })
  test.each(Object.entries({ submit: [5, 'true', null, [], {}], mode: [5, '', 'later', 'Steer', null, [], {}] }))(
    'a wrong %s of an input',
    async (field, values) => {
      for (const value of values) await refused('/sessions/x/input', body({ text: 'a', [field]: value }), field)
    },
  )
  test.each([
    ['text', { text: 'a', keys: ['Up'] }],
    ['text', { submit: false }],
    ['text', { mode: 'queue' }],
    ['submit', { keys: ['Up'], submit: true }],
    ['submit', { keys: ['Up'], submit: false }],
    ['mode', { keys: ['Up'], mode: 'steer' }],
    ['mode', { text: 'a', submit: false, mode: 'queue' }],
  ])('an input that says two things at once, by its %s: %j', (field, given) => refused('/sessions/x/input', body(given), field))

  test.each(Object.entries({ choice: [undefined, null, 5, true, {}, '', 'x'.repeat(1001), [], [5], [''], [['a']], Array(21).fill('a')] }))(
    'a wrong %s of an answer',
    async (field, values) => {
      for (const value of values) await refused('/sessions/x/prompts/p', body({ [field]: value, message: 'm' }), field)
    },
  )
  test.each([null, 5, true, [], {}, 'x'.repeat(10_001), 'a\0b'])('a message of an answer: %j', (message) =>
    refused('/sessions/x/prompts/p', body({ choice: 'allow', message }), 'message'),
  )

  const statusLists = ['live', 'running,live', 'Running', '', 'running,', ',', 'running;idle', 'toString']
  const times = ['', '-1', 'abc', '1e2', '0x10', ' 1', '+1', '１', 'NaN', 'Infinity', '1.2345', '.5', '3601', '999999', '9999999']
  const waits: [method: string, path: string, field: string, given: unknown][] = [
    ['GET', '/sessions/x/wait', 'for', undefined],
    ['POST', '/sessions/spawn', 'wait', { name: 'never-made', prompt: 'true' }],
    ['POST', '/sessions/x/input', 'wait', { text: 'a' }],
    ['POST', '/sessions/x/resume', 'wait', {}],
  ]
  test.each(waits)('what %s %s waits for, and how long', async (method, path, field, given) => {
    const init = { ...(given ? body(given) : {}), method }
    for (const list of statusLists) await refused(`${path}?${field}=${encodeURIComponent(list)}`, init, field)
    for (const time of times) await refused(`${path}?${field}=idle&timeout=${encodeURIComponent(time)}`, init, 'timeout')
    await refused(`${path}?${field}=idle&${field}=bogus`, init, field)
    await refused(`${path}?${field}=idle&timeout=1&timeout=2`, init, 'timeout')
    await refused(`${path}?${field === 'for' ? 'wait' : 'for'}=idle`, init, field === 'for' ? 'wait' : 'for')
  })
  test.each(['', '2', 'yes', 'TRUE'])('explain=%j', (explain) => refused(`/sessions/x/status?explain=${explain}`, {}, 'explain'))

  const badKeys = ['', ' ', 'a b', 'a\tb', 'ü', '\x7f', 'x'.repeat(201), 'one, two']
  test.each(badKeys)('the Idempotency-Key %j', async (key) => {
    const headers = { 'idempotency-key': key }
    for (const [path, given] of [
      ['/sessions/spawn', valid],
      ['/sessions/x/input', { text: 'a' }],
      ['/sessions/x/input?wait=idle', { text: 'a' }],
    ] as const)
      await refused(path, { ...body(given), headers }, 'Idempotency-Key')
  })

  test.each(['prompt', 'model', 'jobSlug', 'agent', 'cwd', 'parent'])('a NUL in %s', (field) =>
    refused('/sessions/spawn', body({ ...valid, [field]: '/a\0b' }), field),
  )
  test('a NUL anywhere else', async () => {
    await refused('/sessions/spawn', body({ ...valid, env: { A: 'a\0b' } }), 'env')
    await refused('/sessions/spawn', body({ ...valid, args: ['a\0b'] }), 'args')
    await refused('/sessions/spawn', body({ ...valid, labels: { a: 'a\0b' } }), 'labels')
    await refused('/sessions/x/input', body({ text: 'a\0b' }), 'text')
  })

  const unknown = ['promt', 'Name', 'id', 'status', '', 'a b', 'toString', 'constructor', 'hasOwnProperty', 'valueOf', '__proto__']
  test.each(unknown)('the unknown field %j', async (field) => {
    await refused('/sessions/spawn', body(`{"name":"never-made","prompt":"true",${JSON.stringify(field)}:1}`), field)
    await refused('/sessions/x/input', body(`{"text":"a",${JSON.stringify(field)}:1}`), field)
    await refused('/sessions/x/prompts/p', body(`{"choice":"a",${JSON.stringify(field)}:1}`), field)
    await refused('/sessions/x/resume', body(`{${JSON.stringify(field)}:1}`), field)
    await refused(
      '/sessions/spawn',
      body(`{"name":"never-made","prompt":"true","size":{"cols":80,"rows":24,${JSON.stringify(field)}:1}}`),
      'size',
    )
  })

  test('of an unknown field only its name is said', async () => {
    const { json } = await ask('/sessions/spawn', { method: 'POST', ...body({ ...valid, promt: 250 }) })
    expect((json as { error: { data: unknown } }).error.data).toEqual({ field: 'promt' })
  })

  test.each(['__proto__', 'constructor', 'prototype'])('a label or a variable called %s is kept or refused, never dropped', async (key) => {
    for (const field of ['labels', 'env']) {
      const name = freshName()
      const prompt = `printf %s "$${key}" >kept`
      const { status, json } = await ask(
        '/sessions/spawn',
        body(`{"name":"${name}","prompt":${JSON.stringify(prompt)},"${field}":{"${key}":"x"}}`),
      )
      if (status === 400) expect(json).toMatchObject({ error: { data: { field: expect.stringContaining(field) } } })
      else if (field === 'labels') expect(JSON.stringify((json as Session).labels)).toBe(`{"${key}":"x"}`)
      else {
        await ended(name)
        expect(await readFile(join(server.project, 'kept'), 'utf8')).toBe('x')
      }
    }
  })

  test.each([
    ['GET', '/sessions'],
    ['GET', '/sessions/tmux'],
    ['GET', '/sessions/x'],
    ['GET', '/sessions/x/output'],
    ['GET', '/sessions/x/wait'],
    ['GET', '/sessions/x/status'],
    ['GET', '/sessions/x/inputs'],
    ['GET', '/sessions/x/prompts'],
    ['GET', '/sessions/x/messages'],
    ['DELETE', '/sessions/x'],
    ['POST', '/sessions/spawn'],
    ['POST', '/sessions/x/input'],
    ['POST', '/sessions/x/interrupt'],
    ['POST', '/sessions/x/prompts/p'],
    ['POST', '/sessions/x/resume'],
  ])('an unknown query parameter: %s %s', async (method, path) => {
    for (const parameter of ['line', 'Status', 'token', 'toString', '__proto__'])
      await refused(`${path}?${parameter}=1`, { method, ...(method === 'POST' ? body(valid) : {}) }, parameter)
  })

  test.each([
    ['agent', 'nobody'],
    ['agent', 'constructor'],
    ['agent', '__proto__'],
    ['agent', ''],
    ['backend', 'nowhere'],
    ['backend', 'toString'],
    ['backend', ''],
  ])('an unknown %s: %j', (field, value) => refused('/sessions/spawn', body({ ...valid, [field]: value }), field))

  test('a query parameter that is given twice is not read by half', async () => {
    await refused('/sessions?status=running&status=bogus', {}, 'status')
    await refused('/sessions/x/output?lines=5&lines=abc', {}, 'lines')
    await refused('/sessions/x?purge=false&purge=true', { method: 'DELETE' }, 'purge')
  })

  test('more than a program can be given: in one word 128 KiB, in all about 2 MiB, counted in bytes', async () => {
    await refused('/sessions/spawn', body({ ...valid, args: ['€'.repeat(50_000)] }), 'args')
    await refused('/sessions/spawn', body({ ...valid, env: { A: '€'.repeat(50_000) } }), 'env')
    const many = Array.from({ length: 100 }, (_, i) => [`A${i}`, 'x'.repeat(50_000)] as const)
    await refused('/sessions/spawn', body({ ...valid, args: many.map(([, text]) => text) }), 'args')
    await refused('/sessions/spawn', body({ ...valid, env: Object.fromEntries(many) }), 'env')
  })

  test('a long name of a field does not come back whole', async () => {
    const long = 'k'.repeat(500_000)
    for (const given of [{ [long]: 1 }, { labels: { [long]: 1 } }]) {
      const { status, text } = await post('/sessions/spawn', { ...valid, ...given })
      expect(status).toBe(400)
      expect(text.length).toBeLessThan(2000)
    }
  })

  test('a lone surrogate does not break the answer', async () => {
    const { status, bytes } = await ask(
      '/sessions/spawn',
      body(`{"name":"${freshName()}","prompt":"true #\\ud800","labels":{"a":"\\udfff"}}`),
    )
    expect(status).toBeLessThan(500)
    expect(() => new TextDecoder('utf-8', { fatal: true }).decode(bytes)).not.toThrow()
  })
})

describe('paths and methods', () => {
  test.each([
    ['/health', ['GET']],
    ['/sessions', ['GET']],
    ['/sessions/spawn', ['POST']],
    ['/sessions/tmux', ['GET']],
    ['/sessions/x', ['GET', 'DELETE']],
    ['/sessions/x/output', ['GET']],
    ['/sessions/x/input', ['POST']],
    ['/sessions/x/inputs', ['GET']],
    ['/sessions/x/wait', ['GET']],
    ['/sessions/x/status', ['GET']],
    ['/sessions/x/messages', ['GET']],
    ['/sessions/x/prompts', ['GET']],
    ['/sessions/x/prompts/p', ['POST']],
    ['/sessions/x/interrupt', ['POST']],
    ['/sessions/x/resume', ['POST']],
  ])('%s takes only its methods: 405 with Allow', async (path, allowed) => {
    for (const method of ['PUT', 'PATCH', 'OPTIONS', 'PROPFIND', ...['GET', 'POST', 'DELETE'].filter((each) => !allowed.includes(each))]) {
      // A name of a session may be that of a route.
      if (method !== 'PUT' && (path === '/sessions/spawn' || path === '/sessions/tmux') && ['GET', 'DELETE'].includes(method)) continue
      const { status, json, headers } = await ask(path, { method })
      expect([method, status]).toEqual([method, 405])
      expect(json).toMatchObject({ error: { code: 'method_not_allowed', data: { methods: expect.arrayContaining(allowed) } } })
      expect(headers.get('allow')?.split(', ')).toEqual(expect.arrayContaining(allowed))
    }
  })

  test.each([
    '/nope',
    '/sessions/x/nope',
    '/sessions/x/output/y',
    '/session',
    '/Sessions',
    '/health/x',
    '/sessions/x/y/z',
    '/%00',
    '/%ff',
    '/..;/health',
  ])('%s is 404', async (path) => {
    for (const method of ['GET', 'POST', 'DELETE'])
      expect(await ask(path, { method })).toMatchObject({ status: 404, json: { error: { code: 'not_found' } } })
  })

  test.each(['/sessions/', '/health/', '/sessions/x/', '/sessions//', '//sessions', '/sessions//output'])(
    '%s: a 405 never says that the method which was used is the one to use',
    async (path) => {
      for (const method of ['GET', 'POST', 'DELETE']) {
        const { status, headers } = await ask(path, { method })
        if (status === 405) expect(headers.get('allow')?.split(', ')).not.toContain(method)
      }
    },
  )

  test.each(['x', '%2e%2e%2fstore', 'a%00b', '%F0%9F%8C%B1', 'A', 'x'.repeat(3000), '%ZZ', '\'"<script>'])(
    'no session has the name %j: 404',
    async (name) => {
      for (const [method, path] of [
        ['GET', ''],
        ['DELETE', ''],
        ['GET', '/output'],
        ['GET', '/wait'],
        ['GET', '/wait?for=idle&timeout=0'],
        ['GET', '/status?explain=1'],
        ['GET', '/inputs'],
        ['GET', '/prompts'],
        ['GET', '/messages'],
        ['POST', '/interrupt'],
        ['POST', '/resume'],
      ])
        expect(await ask(`/sessions/${name}${path}`, { method: method! })).toMatchObject({
          status: 404,
          json: { error: { code: 'session_not_found' } },
        })
      for (const [path, given] of [
        ['/input', { text: 'x' }],
        ['/input', { keys: ['Up'] }],
        ['/input?wait=idle&timeout=1', { text: 'x' }],
        ['/prompts/p', { choice: 'allow' }],
        ['/resume', { prompt: 'go on' }],
      ] as const)
        expect(await post(`/sessions/${name}${path}`, given)).toMatchObject({ status: 404, json: { error: { code: 'session_not_found' } } })
    },
  )

  test('GET and DELETE take any content type with an empty body', async () => {
    for (const type of ['application/json', 'text/plain', 'application/x-www-form-urlencoded', 'nonsense']) {
      const { name } = await spawn({ prompt: 'true' })
      for (const [method, path] of [
        ['GET', '/sessions'],
        ['GET', `/sessions/${name}/output`],
        ['DELETE', `/sessions/${name}`],
      ])
        expect((await ask(path!, { method: method!, headers: { 'content-type': type } })).status).toBe(200)
    }
  })

  test('HEAD is GET without the body', async () => {
    for (const path of ['/health', '/sessions']) {
      const { status, text } = await ask(path, { method: 'HEAD' })
      expect([status, text]).toEqual([200, ''])
    }
  })
})

describe('who may ask', () => {
  const routes: [string, string][] = [
    ['GET', '/sessions'],
    ['GET', '/sessions/tmux'],
    ['GET', '/sessions/x'],
    ['GET', '/sessions/x/output'],
    ['POST', '/sessions/spawn'],
    ['POST', '/sessions/x/input'],
    ['GET', '/sessions/x/inputs'],
    ['GET', '/sessions/x/wait'],
    ['GET', '/sessions/x/status'],
    ['GET', '/sessions/x/prompts'],
    ['POST', '/sessions/x/prompts/p'],
    ['GET', '/sessions/x/messages'],
    ['POST', '/sessions/x/interrupt'],
    ['POST', '/sessions/x/resume'],
    ['DELETE', '/sessions/x'],
    ['PUT', '/sessions'],
  ]

  test.each(routes)('%s %s: no token 401, a wrong one 403', async (method, path) => {
    const none = ['', 'Basic dXNlcjpwYXNz', 'Bearer', 'Bearer ', server.token, `Token ${server.token}`, `Bearer${server.token}`]
    for (const authorization of none) {
      const { status, json, headers } = await ask(path, { method, headers: { authorization } })
      expect([authorization.replace(server.token, '…'), status]).toEqual([authorization.replace(server.token, '…'), 401])
      expect(json).toMatchObject({ error: { code: 'unauthorized' } })
      expect(headers.get('www-authenticate')).toBe('Bearer')
    }
    const { token } = server
    const wrong = [
      'x',
      token.slice(0, -1),
      `${token}x`,
      token.toUpperCase(),
      token.repeat(2),
      [...token].reverse().join(''),
      `"${token}"`,
      'undefined',
    ]
    for (const each of wrong)
      expect(await ask(path, { method, headers: { authorization: `Bearer ${each}` } })).toMatchObject({
        status: 403,
        json: { error: { code: 'forbidden' } },
      })
  })

  test('the scheme may be written in any case', async () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER'])
      expect((await ask('/sessions', { headers: { authorization: `${scheme} ${server.token}` } })).status).toBe(200)
  })

  test('a token in the query or in a cookie is none', async () => {
    for (const parameter of ['token', 'access_token', 'authorization'])
      expect((await ask(`/sessions?${parameter}=${server.token}`, { headers: { authorization: '' }, mayShowToken: true })).status).toBe(401)
    expect((await ask('/sessions', { headers: { authorization: '', cookie: `token=${server.token}` } })).status).toBe(401)
  })

  test('a token is not worth anything for another site', async () => {
    const { status, json } = await ask('/sessions', { headers: { origin: 'https://evil.example' } })
    expect([status, json]).toEqual([403, expect.objectContaining({ error: expect.objectContaining({ code: 'origin_not_allowed' }) })])
  })
})

describe('every answer', () => {
  test('bears an id; one that the client gives is kept when it is a plain word', async () => {
    const ids = new Set<string | null>()
    for (const path of ['/health', '/sessions', '/nope', '/sessions/x']) ids.add((await ask(path)).headers.get('x-request-id'))
    expect(ids.size).toBe(4)
    const idFor = async (given: string) => (await ask('/sessions/x', { headers: { 'x-request-id': given } })).headers.get('x-request-id')
    expect(await idFor('my-id_1')).toBe('my-id_1')
    for (const odd of ['<script>', 'a b', 'ü', 'x'.repeat(200)]) expect(await idFor(odd)).not.toBe(odd)
  })
})

describe('through a real listener', () => {
  let url: string
  beforeAll(async () => {
    url = await server.listen()
  })
  const port = () => new URL(url).port
  const raw = (given: RawRequest = {}) =>
    askRaw(url, { ...given, headers: { authorization: `Bearer ${server.token}`, ...given.headers } }).then((answer) => {
      if (!given.adapterMayAnswer) checkAnswer(answer)
      expect(answer.text).not.toContain(server.token)
      if (answer.status >= 400) expect(answer.text).not.toContain(server.state)
      return answer
    })

  test('spawn, list, input, output, delete, as any HTTP client does it', async () => {
    const name = freshName()
    const spawned = await raw({ method: 'POST', path: '/sessions/spawn', body: JSON.stringify({ name, prompt: 'exec cat' }) })
    expect([spawned.status, spawned.headers['content-type']]).toEqual([201, 'application/json'])
    const listed = await raw({ path: '/sessions?status=running,idle' })
    expect(JSON.parse(listed.text)).toContainEqual(JSON.parse(spawned.text))
    expect((await raw({ method: 'POST', path: `/sessions/${name}/input`, body: '{"text":"hello"}' })).status).toBe(200)
    await until(async () => (await raw({ path: `/sessions/${name}/output?lines=5` })).text === 'hello\nhello', {
      what: 'the echo and the answer',
    })
    const output = await raw({ path: `/sessions/${name}/output` })
    expect(output.headers['content-type']).toBe('text/plain; charset=utf-8')
    const deleted = await raw({ method: 'DELETE', path: `/sessions/${name}`, headers: { 'content-type': 'application/json' } })
    expect([deleted.status, JSON.parse(deleted.text)]).toEqual([200, expect.objectContaining({ status: 'killed' })])
  })

  test.each([
    ['localhost', 200],
    ['LocalHost:4040', 200],
    ['127.0.0.1', 200],
    ['127.0.0.1:4040', 200],
    ['127.8.8.8:80', 200],
    ['[::1]', 200],
    ['[::1]:4040', 200],
    ['instar.example.com', 200],
    ['INSTAR.example.com:8443', 200],
    ['instar.localhost:4040', 200],
    ['127.0.0.1.evil.com', 403],
    ['127.0.0.1.evil.com:4040', 403],
    ['localhost.evil.com', 403],
    ['evil.com', 403],
    ['evil.com:4040', 403],
    ['evil-localhost', 403],
    ['instar.example.com.evil.com', 403],
    ['xinstar.example.com', 403],
    ['0.0.0.0:4040', 403],
    ['[::]:4040', 403],
    ['192.168.0.1', 403],
    ['128.0.0.1', 403],
    ['localhost:4040, evil.com', 400],
    ['evil.com@127.0.0.1', 400],
    ['127.0.0.1@evil.com', 400],
    ['evil.com/127.0.0.1', 400],
    ['evil.com#127.0.0.1', 400],
    ['', 403],
  ])('Host: %s is %i', async (host, expected) => {
    for (const path of ['/health', '/sessions']) {
      const { status, text } = await raw({ path, headers: { host }, adapterMayAnswer: expected === 400 || host === '' })
      // The adapter itself refuses a Host that is no host at all, with 400.
      expect(expected === 200 ? [200] : [400, 403]).toContain(status)
      if (expected === 403 && host !== '') expect(JSON.parse(text)).toMatchObject({ error: { code: 'host_not_allowed' } })
    }
  })

  test('Origin: only this very server', async () => {
    const status = async (origin: string, host = `127.0.0.1:${port()}`) =>
      (await raw({ path: '/sessions', headers: { origin, host } })).status
    expect(await status(`http://127.0.0.1:${port()}`)).toBe(200)
    expect(await status('http://localhost', 'localhost:80')).toBe(200)
    expect(await status('https://instar.example.com', 'instar.example.com')).toBe(200)
    for (const origin of [
      'null',
      'https://evil.com',
      `http://127.0.0.1:1`,
      `http://127.0.0.1`,
      `http://evil.com:${port()}`,
      'file://',
      'nonsense',
      '',
      '*',
    ])
      expect([origin, await status(origin)]).toEqual([origin, 403])
    expect(await status(`http://evil.com@127.0.0.1:${port()}`, 'evil.com')).toBe(403)
    // Also where no token is needed.
    expect((await raw({ path: '/health', headers: { origin: 'null' } })).status).toBe(403)
  })

  test.each([
    ['an input of 3 MiB', '/sessions/x/input', 3 * mebibyte, false],
    ['an input of 3 MiB in chunks', '/sessions/x/input', 3 * mebibyte, true],
    ['a spawn of 20 MiB', '/sessions/spawn', 20 * mebibyte, false],
    ['a spawn of 20 MiB in chunks', '/sessions/spawn', 20 * mebibyte, true],
  ])('%s is 413, and the client gets to read that', async (_, path, size, chunked) => {
    for (let i = 0; i < 3; i++) {
      const { status, text } = await raw({ method: 'POST', path, body: Buffer.alloc(size, 32), chunked })
      expect([status, JSON.parse(text)]).toEqual([
        413,
        expect.objectContaining({ error: expect.objectContaining({ code: 'body_too_large' }) }),
      ])
    }
  })

  test('413 comes at once when the length is told, before the body', async () => {
    const began = Date.now()
    const { status } = await raw({
      method: 'POST',
      path: '/sessions/spawn',
      headers: { 'content-length': String(1024 ** 3) },
      body: 'x',
      unfinished: true,
    })
    expect(status).toBe(413)
    expect(Date.now() - began).toBeLessThan(1000)
  })

  test('fetch gets the 413 as well', async () => {
    const response = await fetch(`${url}/sessions/x/input`, {
      method: 'POST',
      headers: { authorization: `Bearer ${server.token}` },
      body: 'x'.repeat(2 * mebibyte),
    })
    expect([response.status, await response.json()]).toEqual([
      413,
      expect.objectContaining({ error: expect.objectContaining({ code: 'body_too_large' }) }),
    ])
  })

  test('a prompt of 1 MiB goes through', async () => {
    const body = JSON.stringify({ name: freshName(), prompt: `exit 0 #${'x'.repeat(mebibyte - 8)}` })
    expect((await raw({ method: 'POST', path: '/sessions/spawn', body })).status).toBe(201)
  })

  test('a connection goes on after every kind of error', async () => {
    const agent = new HttpAgent({ keepAlive: true, maxSockets: 1 })
    try {
      const requests: [number, RawRequest][] = [
        [400, { method: 'POST', path: '/sessions/spawn', body: 'not JSON' }],
        [400, { method: 'POST', path: '/sessions/spawn?x=1', body: JSON.stringify({ name: 'a', prompt: 'x'.repeat(300_000) }) }],
        [401, { path: '/sessions', headers: { authorization: '' } }],
        [401, { method: 'POST', path: '/sessions/spawn', body: 'x'.repeat(100_000), headers: { authorization: '' } }],
        [403, { path: '/sessions', headers: { host: 'evil.com' } }],
        [404, { path: '/nope' }],
        [404, { method: 'POST', path: '/nope', body: 'x'.repeat(100_000) }],
        [405, { method: 'PUT', path: '/sessions', body: 'x'.repeat(100_000) }],
        [413, { method: 'POST', path: '/sessions/x/input', body: 'x'.repeat(mebibyte + 1) }],
        [404, { method: 'DELETE', path: '/sessions/x', body: 'x'.repeat(100_000) }],
        [200, { method: 'GET', path: '/sessions', body: '{}' }],
      ]
      for (const [expected, request] of requests) {
        expect([request, (await raw({ ...request, agent })).status]).toEqual([request, expected])
        const after = await raw({ path: '/health', agent })
        expect([request, after.status]).toEqual([request, 200])
      }
    } finally {
      agent.destroy()
    }
  })

  test.each(['TRACE', 'OPTIONS', 'PROPFIND', 'PURGE'])('%s is answered with 405', async (method) => {
    expect((await raw({ method, path: '/sessions' })).status).toBe(405)
  })

  test('a client that goes away does no harm', async () => {
    for (let i = 0; i < 5; i++) {
      const request = httpRequest(`${url}/sessions/spawn`, {
        method: 'POST',
        headers: { authorization: `Bearer ${server.token}`, 'content-length': '1000' },
      })
      request.on('error', () => {})
      request.write('{"name":')
      await new Promise((resolve) => setTimeout(resolve, 5))
      request.destroy()
    }
    expect((await raw({ path: '/health' })).status).toBe(200)
    expect(server.logged.filter((line) => line.includes('unexpected'))).toEqual([])
  })
})

describe('random requests', () => {
  // Nothing random may be run as a command line here.
  const quiet: Agent = {
    ...shell(),
    plan: (launch) => ({ argv: ['true'], env: launch.env, cwd: launch.cwd, files: {}, size: launch.size }),
  }
  let random: TestApp
  beforeAll(async () => {
    random = await testApp({ agents: { quiet }, limits: { maxSessions: 100_000 } })
  })
  afterAll(() => random.close())

  const text = fc.string({ unit: 'binary', maxLength: 30 })
  const odd = fc.oneof(text, fc.constantFrom('a', 'b', 'true', '1', '-1', '../..', '__proto__', 'x'.repeat(5000), '\ud800', '\0'))
  const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), odd)
  const field = (valid: fc.Arbitrary<unknown>) => fc.oneof({ weight: 12, arbitrary: valid }, { weight: 1, arbitrary: value })
  const plain = fc.string({ maxLength: 20 })
  const spawnBody = fc
    .record(
      {
        name: field(fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,5}$/)),
        prompt: field(text.filter((given) => given !== '')),
        model: field(fc.stringMatching(/^[a-z0-9]\S{0,10}$/)),
        jobSlug: field(plain),
        cwd: field(fc.constantFrom('/', '/dev/null/nowhere', '/etc/passwd')),
        env: field(fc.dictionary(fc.stringMatching(/^X[A-Z]{0,3}$/), text, { maxKeys: 3 })),
        labels: field(fc.dictionary(plain, text, { maxKeys: 3 })),
        args: field(fc.array(odd, { maxLength: 3 })),
        parent: field(plain),
        size: field(fc.record({ cols: fc.integer({ min: 20, max: 500 }), rows: fc.integer({ min: 5, max: 200 }) })),
      },
      { requiredKeys: ['name', 'prompt'] },
    )
    .map((given) => JSON.stringify(given))
  const anyBody = fc.oneof(
    spawnBody,
    spawnBody.map((json) => json.slice(0, -1)),
    fc.record({ text: value }).map((given) => JSON.stringify(given)),
    fc.json(),
    text,
    fc.uint8Array({ maxLength: 50 }),
    fc.constant(''),
  )
  const segment = fc.oneof(
    odd.map(encodeURIComponentSafely),
    fc.constantFrom('sessions', 'spawn', 'tmux', 'output', 'input', 'health', 'wait', 'prompts', 'resume', '.', '..', '', '*', '%', '%2f'),
  )
  const path = fc.oneof(
    fc.constantFrom('/sessions', '/sessions/spawn', '/sessions/tmux', '/sessions/a', '/sessions/a/output', '/sessions/a/input', '/health'),
    fc
      .constantFrom('interrupt', 'resume', 'prompts', 'prompts/p', 'messages', 'inputs', 'status', 'wait?timeout=0')
      .map((verb) => `/sessions/a/${verb}`),
    fc.array(segment, { maxLength: 4 }).map((segments) => `/${segments.join('/')}`),
  )
  const query = fc.oneof(
    fc.constant(''),
    fc.dictionary(fc.oneof(fc.constantFrom('status', 'lines', 'purge'), odd), odd, { maxKeys: 2 }).map(
      (given) =>
        `?${Object.entries(given)
          .map(([key, value]) => `${encodeURIComponentSafely(key)}=${encodeURIComponentSafely(value)}`)
          .join('&')}`,
    ),
    text.map((given) => `?${given.replace(/#/g, '')}`),
  )
  const method = fc.constantFrom('GET', 'GET', 'POST', 'POST', 'POST', 'DELETE', 'PUT', 'PATCH', 'HEAD', 'OPTIONS', 'FOO')
  const headers = fc.dictionary(
    fc.constantFrom('content-type', 'accept', 'x-request-id', 'content-length', 'range', 'if-none-match', 'expect'),
    fc.stringMatching(/^[ -~]{0,20}$/),
    { maxKeys: 3 },
  )

  test('are never answered with 5xx', async () => {
    await fc.assert(
      fc.asyncProperty(method, path, query, headers, anyBody, async (method, path, query, headers, body) => {
        const init: RequestInit = { method, headers, ...(['GET', 'HEAD'].includes(method) ? {} : { body: body as string | Uint8Array }) }
        const { status } = await askOf(random, `${path}${query}`, init)
        expect(status).toBeLessThan(500)
      }),
      { numRuns: 300 },
    )
  })

  test('nor are valid spawns of random values, and each says how it ended', async () => {
    let made = 0
    await fc.assert(
      fc.asyncProperty(spawnBody, async (body) => {
        const { status, json } = await askOf(random, '/sessions/spawn', { method: 'POST', body })
        expect([201, 400, 409]).toContain(status)
        if (status === 201) {
          made++
          const { id } = json as Session
          const session = await until(() => random.runtime.list().find((each) => each.id === id && isEnded(each.status)), {
            what: 'the end',
          })
          expect([session.status, session.exitCode]).toEqual(
            session.cwd === '/' || session.cwd === random.project ? ['completed', 0] : ['error', 126],
          )
        }
      }),
      { numRuns: 100 },
    )
    expect(made).toBeGreaterThan(20)
  })
})

describe('when something else fails', () => {
  test('without tmux a spawn is 503 in about two seconds, says what to install, and leaves nothing', { timeout: 30_000 }, async () => {
    const without = await testApp({ program: '/nonexistent/tmux' })
    try {
      const began = Date.now()
      const answer = await askOf(without, '/sessions/spawn', { method: 'POST', body: JSON.stringify({ name: 'a', prompt: 'true' }) })
      expect(Date.now() - began).toBeLessThan(2500)
      expect(answer).toMatchObject({
        status: 503,
        json: { error: { code: 'backend_unavailable', message: expect.stringContaining('install') } },
      })
      expect((await askOf(without, '/sessions')).text).toBe('[]')
      expect((await askOf(without, '/sessions/a')).status).toBe(404)
      expect((await askOf(without, '/health')).json).toMatchObject({
        status: 'ok',
        backends: { local: { ok: false, reason: expect.stringContaining('install') } },
      })
      expect(await askOf(without, '/sessions/tmux')).toMatchObject({ status: 503, json: { error: { code: 'backend_unavailable' } } })
    } finally {
      await without.close()
    }
  })

  test('stopping does not wait for a tmux that is not there', async () => {
    const without = await testApp({ program: '/nonexistent/tmux' })
    const began = Date.now()
    await without.close()
    expect(Date.now() - began).toBeLessThan(1000)
  })

  test('a storage that refuses to write: 503, nothing is listed and nothing runs', async () => {
    let full = true
    const driver = memory()
    const storage = createStorage({
      driver: {
        ...driver,
        setItem: (key: string, value: string) => {
          if (full) throw new Error(`ENOSPC: no space left on device, open '/secret/${key}'`)
          return driver.setItem!(key, value, {})
        },
      },
    })
    const broken = await testApp({ storage })
    try {
      const make = () => askOf(broken, '/sessions/spawn', { method: 'POST', body: JSON.stringify({ name: 'a', prompt: 'exec cat' }) })
      const { status, json, text } = await make()
      expect([status, json]).toEqual([503, expect.objectContaining({ error: expect.objectContaining({ code: 'storage_failed' }) })])
      expect(text).not.toContain('/secret')
      expect((await askOf(broken, '/sessions')).text).toBe('[]')
      expect(await broken.tmux('list-sessions', '-F', '#{session_name}')).not.toMatch(/^a$/m)
      full = false
      expect((await make()).status).toBe(201)
    } finally {
      await broken.close()
    }
  })
})

// ---- asking -----------------------------------------------------------------------------------------------------------

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly bytes: Uint8Array
  readonly json: unknown
}
type Init = RequestInit & { mayShowToken?: boolean }

const ask = (path: string, init?: Init): Promise<Answer> => askOf(server, path, init)

/** What holds for every answer is checked on every answer. */
async function askOf(app: TestApp, path: string, init: Init = {}): Promise<Answer> {
  const response = await app.request(path, init)
  const bytes = new Uint8Array(await response.arrayBuffer())
  const text = new TextDecoder().decode(bytes)
  checkAnswer({ status: response.status, headers: Object.fromEntries(response.headers), text })
  expect(text).not.toContain(app.token)
  if (response.status >= 400) expect(text).not.toContain(app.state)
  // What stands in a record and is no client's business.
  expect(text).not.toMatch(/"(?:mailbox|details|handle|cursor|registry|stopping|deliveries|transcripts)":/)
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true && text !== ''
  return { status: response.status, headers: response.headers, text, bytes, json: isJson ? JSON.parse(text) : undefined }
}

function checkAnswer({
  status,
  headers,
  text,
}: {
  status: number
  headers: IncomingHttpHeaders | Record<string, string>
  text: string
}): void {
  expect(headers['x-request-id']).toMatch(/^[\w=-]{1,100}$/)
  if (status < 400 || text === '') return
  expect(headers['content-type']).toBe('application/json')
  const json = JSON.parse(text) as { error: { code: string; message: string; data: object } }
  expect(json).toEqual({ error: { code: expect.stringMatching(/^[a-z_]+$/), message: expect.any(String), data: expect.any(Object) } })
  expect(json.error.message).toMatch(/^Cannot .+[^.]$/su)
  // A stack, or a file of the server.
  expect(text).not.toMatch(/\bat .+:\d+:\d+|node_modules|\.ts:\d|node:internal/)
}

const post = (path: string, body: unknown): Promise<Answer> => ask(path, { method: 'POST', body: JSON.stringify(body) })

async function get<T>(path: string, headers: Record<string, string> = {}): Promise<T> {
  const { status, json } = await ask(path, { headers })
  expect(status).toBe(200)
  return json as T
}

const list = (query = ''): Promise<Session[]> => get<Session[]>(`/sessions${query}`)

async function spawn(given: Record<string, unknown>): Promise<Session> {
  const { status, json, text } = await post('/sessions/spawn', { name: freshName(), ...given })
  expect([status, status === 201 ? '' : text]).toEqual([201, ''])
  return json as Session
}

function ended(name: string): Promise<Session> {
  return until(
    async () => {
      const session = await get<Session>(`/sessions/${name}`)
      return isEnded(session.status) && session
    },
    { what: `session ${name} to end` },
  )
}

/** encodeURIComponent throws at half a character. */
function encodeURIComponentSafely(text: string): string {
  return encodeURIComponent(new TextDecoder().decode(new TextEncoder().encode(text)))
}

interface RawRequest {
  readonly method?: string
  readonly path?: string
  readonly headers?: Record<string, string>
  readonly body?: string | Buffer
  /** Without a content length. */
  readonly chunked?: boolean
  /** The body is never ended. */
  readonly unfinished?: boolean
  readonly agent?: HttpAgent
  readonly adapterMayAnswer?: boolean
}

/** As bytes over a socket: nothing is added, and a Host is sent as it is given. */
function askRaw(
  url: string,
  { method = 'GET', path = '/', headers = {}, body, chunked = false, unfinished = false, agent }: RawRequest,
): Promise<{ status: number; headers: IncomingHttpHeaders; text: string }> {
  return new Promise((resolve, reject) => {
    const length = body === undefined || chunked ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const request = httpRequest(
      url,
      { method, path, setHost: !('host' in headers), headers: { ...length, ...headers }, ...(agent ? { agent } : { agent: false }) },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          if (unfinished) request.destroy()
          resolve({ status: response.statusCode!, headers: response.headers, text: Buffer.concat(chunks).toString() })
        })
      },
    )
    request.on('error', reject)
    if (chunked && Buffer.isBuffer(body)) for (let i = 0; i < body.length; i += 65_536) request.write(body.subarray(i, i + 65_536))
    else if (body !== undefined) request.write(body)
    if (!unfinished) request.end()
  })
}
