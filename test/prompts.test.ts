import { randomUUID } from 'node:crypto'
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
/** A session that asks for something, each in a prompt of its own. */
async function asking(...names: readonly string[]): Promise<string> {
  const name = `p-${count++}`
  await app.spawn(name, names.map((each) => (each.startsWith('keys ') ? `[${each}]` : `[ask ${each}]`)).join(' '))
  await until(async () => (await app.prompts(name)).length === names.length, { what: 'the prompts' })
  return name
}
const answer = (name: string, prompt: string, body: object) => app.call<Session>('POST', `/sessions/${name}/prompts/${prompt}`, body)
const first = async (name: string) => (await app.prompts(name))[0]!
const press = (name: string, ...keys: string[]) => app.tmux('send-keys', '-t', `=${name}:`, ...keys)
/** What became of the hook that waited for a prompt, once it has ended. */
const hookOf = (name: string, prompt: string) =>
  until(async () => (await app.happenings(name)).find((each) => each.prompt === prompt && each.said !== undefined), {
    what: `the hook of ${prompt} to end`,
  })
const closed = { status: 409, body: { error: { code: 'prompt_closed' } } }

describe('a prompt', () => {
  test('is what the agent asks, and its answer reaches the hook that waits', async () => {
    const name = await asking('a')
    expect(await app.prompts(name)).toEqual([
      {
        id: expect.any(String),
        kind: 'permission',
        message: 'a',
        tool: 'a',
        options: [
          { id: 'allow', label: 'allow' },
          { id: 'deny', label: 'deny' },
        ],
        openedAt: expect.any(String),
      },
    ])
    expect(await app.session(name)).toMatchObject({
      status: 'waiting',
      waiting: { kind: 'permission', message: 'a', options: ['allow', 'deny'] },
    })
    const { status, body } = await answer(name, (await first(name)).id, { choice: 'allow' })
    expect([status, body.status]).toEqual([200, 'running'])
    expect(await hookOf(name, 'a')).toMatchObject({ said: '{"choice":"allow"}', code: 0 })
    expect(await app.prompts(name)).toEqual([])
    expect((await app.reaches(name, 'idle')).waiting).toBeNull()
  })

  test('of which the hook was told much', async () => {
    const name = await asking('long one')
    expect(await first(name)).toMatchObject({ message: 'long one' })
    expect((await answer(name, (await first(name)).id, { choice: 'deny' })).status).toBe(200)
    expect(await hookOf(name, 'long one')).toMatchObject({ said: '{"choice":"deny"}' })
  })

  test.each([
    [{ choice: 'maybe' }, 'choice'],
    [{ choice: ['allow', 'maybe'] }, 'choice'],
    [{ choice: 'toString' }, 'choice'],
    [{ choice: [] }, 'choice'],
    [{ choice: '' }, 'choice'],
    [{ choice: 5 }, 'choice'],
    [{}, 'choice'],
    [{ choice: 'allow', message: 5 }, 'message'],
    [{ choice: 'allow', message: 'a\0b' }, 'message'],
    [{ choice: 'allow', message: 'x'.repeat(10_001) }, 'message'],
    [{ choice: 'allow', mesage: 'x' }, 'mesage'],
  ])('is not answered by what is no choice: %#', async (body, field) => {
    const name = await asking('a')
    const { id } = await first(name)
    expect(await answer(name, id, body)).toMatchObject({ status: 400, body: { error: { code: 'invalid_request', data: { field } } } })
    expect((await app.prompts(name)).map((prompt) => prompt.id)).toEqual([id])
    expect((await app.session(name)).status).toBe('waiting')
    await app.runtime.end(name)
  })

  test('is answered once: of many at the same time one is taken', async () => {
    const name = await asking('a')
    const { id } = await first(name)
    const answers = await Promise.all(Array.from({ length: 5 }, (_, i) => answer(name, id, { choice: i % 2 ? 'deny' : 'allow' })))
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409, 409, 409, 409])
    expect(await answer(name, id, { choice: 'allow' })).toMatchObject(closed)
    expect((await hookOf(name, 'a')).said).toMatch(/^\{"choice":"(allow|deny)"\}$/)
  })

  test.each([randomUUID(), '1-1', '../signals.jsonl', '..%2Fsignals.jsonl', '%2e%2e', '__proto__', 'x'.repeat(500), '%00'])(
    'that never was is closed: %#',
    async (id) => {
      const name = await asking('a')
      const { status, body } = await answer(name, id, { choice: 'allow' })
      expect([404, 409]).toContain(status)
      expect(['not_found', 'prompt_closed']).toContain(body.error?.code)
      expect((await app.session(name)).status).toBe('waiting')
      await app.runtime.end(name)
    },
  )

  test('of a session that there is not: 404', async () => {
    expect((await app.call('GET', '/sessions/nobody/prompts')).status).toBe(404)
    expect((await answer('nobody', '1-1', { choice: 'allow' })).status).toBe(404)
  })
})

describe('two prompts at once', () => {
  test('are both listed; while one is open the session goes on waiting, for that', async () => {
    const name = await asking('a', 'b')
    const [one, two] = await app.prompts(name)
    expect((await answer(name, one!.id, { choice: 'allow' })).body).toMatchObject({
      status: 'waiting',
      waiting: { message: two!.message },
    })
    await hookOf(name, one!.message)
    // The agent tells of the answer as well.
    await until(async () => (await app.happenings(name)).some(({ by, prompt }) => by === 'hook' && prompt === one!.message), {
      what: 'the agent to take it',
    })
    expect(await app.session(name)).toMatchObject({ status: 'waiting', waiting: { message: two!.message } })
    expect((await app.prompts(name)).map(({ id }) => id)).toEqual([two!.id])
    expect((await answer(name, two!.id, { choice: 'deny' })).body).toMatchObject({ status: 'running', waiting: null })
    await app.reaches(name, 'idle')
  })

  test('can be answered at the same time', async () => {
    const name = await asking('a', 'b', 'c')
    const prompts = await app.prompts(name)
    const answers = await Promise.all(prompts.map(({ id }) => answer(name, id, { choice: 'allow' })))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    for (const { message } of prompts) expect((await hookOf(name, message)).said).toBe('{"choice":"allow"}')
    await app.reaches(name, 'idle')
  })
})

describe('a prompt that a person answers at the terminal', () => {
  test('is closed, and its hook waits no more', async () => {
    const name = await asking('a')
    const { id } = await first(name)
    const { hook } = (await app.happenings(name)).find(({ hook }) => hook !== undefined)!
    expect(isAlive(hook!)).toBe(true)
    await press(name, '1')
    expect(await hookOf(name, 'a')).toMatchObject({ said: '', code: 0 })
    expect(isAlive(hook!)).toBe(false)
    expect(await app.prompts(name)).toEqual([])
    expect(await answer(name, id, { choice: 'deny' })).toMatchObject(closed)
    await app.reaches(name, 'idle')
  })

  test('and dismisses leaves no prompt', async () => {
    const name = await asking('a', 'b')
    const { id } = await first(name)
    await press(name, 'Escape')
    await app.reaches(name, 'idle')
    expect(await app.prompts(name)).toEqual([])
    expect(await answer(name, id, { choice: 'allow' })).toMatchObject(closed)
    for (const prompt of ['a', 'b']) expect(await hookOf(name, prompt)).toMatchObject({ said: '', signal: 'SIGKILL' })
  })

  test('is dismissed by POST …/interrupt as well', async () => {
    const name = await asking('a')
    expect((await app.call('POST', `/sessions/${name}/interrupt`)).status).toBe(200)
    await app.reaches(name, 'idle')
    expect(await app.prompts(name)).toEqual([])
  })

  test('of two leaves the other one open, whose hook goes on waiting', async () => {
    const name = await asking('a', 'b')
    const shown = /Allow (\w)\?/.exec((await app.runtime.output(name, 50)).text)![1]!
    const other = shown === 'a' ? 'b' : 'a'
    await press(name, '1')
    await hookOf(name, shown)
    expect((await app.prompts(name)).map(({ message }) => message)).toEqual([other])
    expect(await app.session(name)).toMatchObject({ status: 'waiting', waiting: { message: other } })
    expect((await answer(name, (await first(name)).id, { choice: 'allow' })).status).toBe(200)
    expect((await hookOf(name, other)).said).toBe('{"choice":"allow"}')
  })
})

describe('a prompt whose hook was killed', () => {
  test('cannot be answered: 409, and it is not offered again', async () => {
    const name = await asking('a')
    const { id } = await first(name)
    const { hook } = (await app.happenings(name)).find(({ hook }) => hook !== undefined)!
    process.kill(hook!, 'SIGKILL')
    await hookOf(name, 'a')
    expect(await answer(name, id, { choice: 'allow' })).toMatchObject(closed)
    // The dialog is still there, and can be answered at the terminal only.
    expect((await app.session(name)).status).toBe('waiting')
    expect((await app.prompts(name)).filter(({ options }) => options.length > 0)).toEqual([])
    await press(name, '1')
    await app.reaches(name, 'idle')
  })
})

describe('a prompt that is answered with keys', () => {
  test('is typed into the dialog', async () => {
    const name = await asking('keys a')
    const { status, body } = await answer(name, (await first(name)).id, { choice: 'allow' })
    expect([status, body.waiting]).toEqual([200, null])
    expect((await app.happenings(name)).flatMap(({ dialog }) => dialog ?? [])).toEqual(['1'])
    await app.reaches(name, 'idle')
  })
})

describe('a prompt and restarts', () => {
  test('is open after one, and is answered', async () => {
    const name = await asking('a', 'b')
    const before = await app.prompts(name)
    await app.restart()
    expect(await app.prompts(name)).toEqual(before)
    expect(await app.session(name)).toMatchObject({ status: 'waiting' })
    for (const { id } of before) expect((await answer(name, id, { choice: 'allow' })).status).toBe(200)
    for (const { message } of before) expect((await hookOf(name, message)).said).toBe('{"choice":"allow"}')
    await app.reaches(name, 'idle')
  })

  test('that came while nobody was there is open after it', async () => {
    const name = `p-${count++}`
    await app.spawn(name, '[work] [ask a]')
    await until(() => app.runtime.get(name).evidence.rule === 'Work', { what: 'it works' })
    await app.restart(async () => {
      await app.go(name)
      await until(async () => (await app.happenings(name)).some(({ hook }) => hook !== undefined), { what: 'the hook' })
    })
    await until(async () => (await app.prompts(name)).length === 1, { what: 'the prompt' })
    expect((await answer(name, (await first(name)).id, { choice: 'deny' })).status).toBe(200)
    expect((await hookOf(name, 'a')).said).toBe('{"choice":"deny"}')
  })

  test('that a person answered while nobody was there is closed, and its hook is released', async () => {
    const name = await asking('a')
    const { id } = await first(name)
    await app.restart(async () => {
      await press(name, '1')
      await until(async () => (await app.happenings(name)).some(({ by }) => by === '1'), { what: 'the answer' })
    })
    await app.reaches(name, 'idle')
    expect(await app.prompts(name)).toEqual([])
    expect(await answer(name, id, { choice: 'allow' })).toMatchObject(closed)
    expect(await hookOf(name, 'a')).toMatchObject({ said: '', code: 0 })
  })
})

test('a session that has ended asks nothing', async () => {
  const name = await asking('a', 'b')
  const { id } = await first(name)
  await app.call('DELETE', `/sessions/${name}`)
  expect(await app.prompts(name)).toEqual([])
  expect(await app.session(name)).toMatchObject({ status: 'killed', waiting: null })
  expect(await answer(name, id, { choice: 'allow' })).toMatchObject(closed)
})

test('while a prompt is open no text is typed, which would answer it', async () => {
  const name = await asking('a')
  expect(await app.send(name, { text: '1' })).toMatchObject({ status: 409, body: { error: { code: 'session_waiting' } } })
  expect(await app.inputs(name)).toEqual([])
  expect((await app.happenings(name)).flatMap(({ dialog }) => dialog ?? [])).toEqual([])
})

describe('GET /sessions/:name/status', () => {
  test('says how the status is known, and with explain=1 what led to it', async () => {
    const name = await asking('a')
    const plain = await app.call('GET', `/sessions/${name}/status`)
    expect(plain.body).toEqual({
      id: expect.any(String),
      name,
      status: 'waiting',
      waiting: expect.objectContaining({ kind: 'permission' }),
      lastError: null,
      evidence: { source: 'hook', rule: 'PermissionRequest', at: expect.any(String) },
    })
    for (const explain of ['1', 'true']) {
      const { body } = await app.call<{ trail: { rule: string; event: string | null; status: string }[] }>(
        'GET',
        `/sessions/${name}/status?explain=${explain}`,
      )
      expect(body).toMatchObject(plain.body)
      expect(body.trail.map(({ rule, event, status }) => [rule, event, status])).toEqual([
        ['its launcher runs', 'launched', 'starting'],
        ['SessionStart', null, 'starting'],
        ['UserPromptSubmit', 'working', 'running'],
        ['Work', 'working', 'running'],
        ['PermissionRequest', 'asked', 'waiting'],
      ])
    }
    await app.restart()
    const after = await app.call<{ trail: unknown[] }>('GET', `/sessions/${name}/status?explain=1`)
    expect(after.body.trail).toHaveLength(5)
    expect((await app.call('GET', `/sessions/${name}/status?explain=0`)).body).toEqual(plain.body)
  })

  test.each(['explain=2', 'explain=', 'explain=yes', 'explain', 'explian=1', 'explain=1&explain=1'])('?%s is refused', async (query) => {
    expect((await app.call('GET', `/sessions/${await asking('a')}/status?${query}`)).status).toBe(400)
  })
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
