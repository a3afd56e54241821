import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Session } from '../src/runtime/types.ts'
import { happenings, killable, scriptedApp, submittedTo, type ScriptedApp } from './support/scripted-app.ts'
import { pass, until } from './support/wait.ts'

let app: ScriptedApp
beforeAll(async () => {
  app = await scriptedApp({ limits: { maxSessions: 500 } })
})
afterAll(() => app?.close())

let count = 0
/** A session that has nothing to do. */
async function idle(more: object = {}): Promise<string> {
  const name = `d-${count++}`
  await app.spawn(name, 'hello', more)
  await app.reaches(name, 'idle')
  return name
}
/** A session that works until it is told to go on. */
async function busy(more: object = {}): Promise<string> {
  const name = `d-${count++}`
  await app.spawn(name, '[work]', more)
  await until(() => app.runtime.get(name).evidence.rule === 'Work', { what: 'it works' })
  return name
}
const since = async (name: string, place = 1) => (await app.submitted(name)).slice(place)
const stageOf = async (name: string, id: string) => (await app.inputs(name)).find((each) => each.id === id)?.stage
const reachesStage = (name: string, id: string, stage: string) =>
  until(async () => (await stageOf(name, id)) === stage, { what: `an input of ${name} to be ${stage}` })
const press = (name: string, ...keys: string[]) => app.tmux('send-keys', '-t', `=${name}:`, ...keys)
const screen = async (name: string) => (await app.runtime.output(name, 60)).text
const shows = (name: string, text: string) => until(async () => (await screen(name)).includes(text), { what: `${name} shows ${text}` })

describe('texts', () => {
  /** What a composer gets of a text: what a terminal acts on is left out, and lines end with a newline. */
  const typed = (text: string) => text.replace(/\r\n?/g, '\n').replace(/[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f]/g, '')
  const pieces = [
    'plain words and ',
    'a;b; ;; \\; ',
    '#{pane_id} #(touch x) ##[fg=red] ',
    'two\nlines',
    'dos\r\nlines',
    'old\rlines',
    '\n\n\n',
    '\ttab\t',
    '\x1b[31mred\x1b[201~ \x1b]0;t\x07 \x03\x04\x16',
    'ünï ß 漢字 👍🏽 e\u0301 \u200d ',
    '$HOME `x` $(y) "q" \'s\' ~ %d %% %H ',
    '[Pasted text #1] ',
    '\u009b31m\u0085\x7f',
    '-n -- --help ',
    'x'.repeat(300),
  ]
  const starts = ['', '!', '/', '#', '&', '-', ' ', '\n', '{', '"']
  const ends = ['', '\\', '\\\\', ';', ' ', '\n', '\t', '#']
  /** From 1 byte to 64 KiB, each another one, of which something is left. */
  function someText(i: number): string {
    const random = generator(i)
    const length = i % 100 === 99 ? 65_000 : i % 10 === 9 ? 4000 : Math.ceil(random() * 120)
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!
    let text = pick(starts)
    while (text.length < length) text += pick(pieces)
    return `${text.slice(0, length).replace(/[\ud800-\udbff]$/, '')}${i}${pick(ends)}`
  }

  test('a thousand, of many senders, arrive as they are, in order, once', { timeout: 100_000 }, async () => {
    const sessions = await Promise.all(Array.from({ length: 4 }, () => busy()))
    const perSession = 250
    await Promise.all(
      sessions.map(async (name, place) => {
        const texts = Array.from({ length: perSession }, (_, i) =>
          i === 0 ? ['!', 'x', '7', '漢'][place]! : someText(place * perSession + i),
        )
        // Five at a time: their order is that in which they were sent.
        for (let i = 0; i < texts.length; i += 5) {
          const answers = await Promise.all(texts.slice(i, i + 5).map((text) => app.send(name, { text })))
          expect(answers.map(({ status, body }) => [status, body.stage])).toEqual(answers.map(() => [200, 'submitted']))
        }
        const arrived = await since(name)
        expect(arrived).toHaveLength(texts.length)
        texts.forEach((text, i) => expect(arrived[i], `text ${i} of ${name}`).toBe(typed(text)))
      }),
    )
  })

  test('of 64 KiB exactly', async () => {
    const name = await busy()
    const text = 'äöü€ '.repeat(8192).slice(0, 32_768)
    await app.send(name, { text: 'x'.repeat(65_536) })
    await app.send(name, { text })
    expect(await since(name)).toEqual(['x'.repeat(65_536), text])
  })
})

describe('a receipt', () => {
  test('says that a turn was begun when it was', async () => {
    const name = await idle()
    const { body } = await app.send(name, { text: '[slow 50] go' })
    expect(['submitted', 'started']).toContain(body.stage)
    await reachesStage(name, body.id, 'started')
    expect(await app.inputs(name)).toEqual([{ id: body.id, stage: 'started', at: expect.any(String) }])
  })

  test('says no more than that it was submitted, when the agent works on something else', async () => {
    const name = await busy()
    const { body } = await app.send(name, { text: 'also this' })
    expect(body.stage).toBe('submitted')
    await app.go(name)
    await app.reaches(name, 'idle')
    expect(await stageOf(name, body.id)).toBe('submitted')
  })

  test('says no more than that it was submitted, when no turn begins', async () => {
    const name = await idle()
    const { body } = await app.send(name, { text: '[refused]' })
    expect(body.stage).toBe('submitted')
    await until(() => app.runtime.get(name).evidence.rule === 'Quiet', { what: 'the agent to say that it rests' })
    expect(await stageOf(name, body.id)).toBe('submitted')
  })

  test('says no more than that it was submitted, when the session ends', async () => {
    const name = await idle()
    // It tells that it took the text, and is ended before it tells of any work.
    const { body } = await app.send(name, { text: '[refused]' })
    await app.runtime.end(name)
    expect(await stageOf(name, body.id)).toBe('submitted')
  })

  test('says that a turn was begun, also of one that is over at once', async () => {
    const name = await idle()
    const { body } = await app.send(name, { text: '[at-once]' })
    await app.send(name, { text: '[refused]' })
    expect(['submitted', 'started']).toContain(await stageOf(name, body.id))
    expect(await since(name)).toEqual(['[at-once]', '[refused]'])
  })

  test('says no more than that it was typed, when it was not submitted', async () => {
    const name = await idle()
    const { body } = await app.send(name, { text: 'only typed', submit: false })
    expect(body.stage).toBe('typed')
    await shows(name, '> only typed')
    expect(await since(name)).toEqual([])
  })

  test('is kept of the last twenty', async () => {
    const name = await busy()
    const ids: string[] = []
    for (let i = 0; i < 25; i++) ids.push((await app.send(name, { text: `text ${i}` })).body.id)
    expect((await app.inputs(name)).map(({ id }) => id)).toEqual(ids.slice(-20))
  })
})

describe('an Enter that is swallowed', () => {
  test('is pressed again while the composer shows the text', async () => {
    const name = await idle()
    const { body } = await app.send(name, { text: 'take [swallow 1] this' })
    expect(['submitted', 'started']).toContain(body.stage)
    expect(await since(name)).toEqual(['take [swallow 1] this'])
  })

  test('is pressed three times at most', { timeout: 30_000 }, async () => {
    const name = await idle()
    const { body } = await app.send(name, { text: 'take [swallow 9] this' })
    expect(body.stage).toBe('typed')
    expect((await happenings(app.project, name)).filter(({ key }) => key === 'Enter')).toHaveLength(3)
    expect(await since(name)).toEqual([])
  })

  test('is not pressed into a dialog that no hook tells of', async () => {
    const name = await idle()
    const { body } = await app.send(name, { text: '[dialog] opens' })
    expect(body.stage).toBe('typed')
    expect((await happenings(app.project, name)).filter(({ dialog }) => dialog !== undefined)).toEqual([])
  })

  test('is not pressed when the text was taken, and a person has begun another', async () => {
    const name = await idle()
    const sending = app.send(name, { text: '[late 4500] slow to say' })
    await until(async () => (await since(name)).length === 1, { what: 'the text to be taken' })
    await press(name, '-l', 'a draft of a person')
    expect((await sending).body.stage).toMatch(/^(typed|submitted|started)$/)
    expect(await since(name)).toEqual(['[late 4500] slow to say'])
    await shows(name, '> a draft of a person')
  })
})

describe('a dialog that no hook tells of', () => {
  test('is not answered by a text: there is no composer to type it into', async () => {
    const name = await idle()
    await app.send(name, { text: '[silent a]' })
    await shows(name, 'Allow a?')
    const { status } = await app.send(name, { text: '1' })
    expect((await happenings(app.project, name)).flatMap(({ dialog }) => dialog ?? [])).toEqual([])
    expect(status).toBe(409)
  })
})

describe('what a person has left in the composer', () => {
  test('is not sent along: 409 with the draft, and nothing is typed', async () => {
    const name = await idle()
    await press(name, '-l', 'half a thought')
    await shows(name, 'half a thought')
    expect(await app.send(name, { text: 'mine' })).toMatchObject({
      status: 409,
      body: { error: { code: 'composer_in_use', data: { draft: 'half a thought' } } },
    })
    expect(await screen(name)).not.toContain('mine')
    await press(name, 'Enter')
    await until(async () => (await since(name)).length === 1, { what: 'the draft to be sent by its person' })
    await app.reaches(name, 'idle')
    expect((await app.send(name, { text: 'mine' })).status).toBe(200)
    expect(await since(name)).toEqual(['half a thought', 'mine'])
  })

  test('of what was typed by us can be emptied, where the agent says how', async () => {
    const name = await idle({ agent: 'erasing' })
    await app.send(name, { text: 'take [swallow 9] this' })
    expect((await app.send(name, { text: 'and now this' })).body.stage).toMatch(/submitted|started/)
    expect(await since(name)).toEqual(['and now this'])
    await app.reaches(name, 'idle')
    await press(name, '-l', 'a person')
    await shows(name, '> a person')
    expect((await app.send(name, { text: 'x' })).status).toBe(409)
  })

  test('of what was typed by us may still go by itself, as on a screen that is being drawn after an interrupt', async () => {
    const name = await idle()
    await app.send(name, { text: 'take [swallow 9] this' })
    const next = app.send(name, { text: 'and now this' })
    // Later than it looks for the first time.
    await pass(200)
    await press(name, 'C-u')
    expect((await next).body.stage).toMatch(/submitted|started/)
    expect(await since(name)).toEqual(['and now this'])
  })

  test('does not keep the session from taking keys', async () => {
    const name = await idle()
    await press(name, '-l', 'half')
    await shows(name, 'half')
    expect((await app.send(name, { keys: ['Enter'] })).status).toBe(200)
    await until(async () => (await since(name)).join() === 'half', { what: 'the Enter' })
  })
})

describe('mode: queue', () => {
  const queue = (name: string, text: string, headers = {}) => app.send(name, { text, mode: 'queue' }, headers)

  test('keeps a text while the agent works, and types one each time that it rests', async () => {
    const name = await busy()
    const texts = ['[work] one', '[work] two', 'three']
    const ids: string[] = []
    for (const text of texts) {
      const { status, body } = await queue(name, text)
      expect([status, body.stage]).toEqual([200, 'queued'])
      ids.push(body.id)
    }
    expect(await since(name)).toEqual([])
    for (let i = 0; i < texts.length; i++) {
      await app.go(name)
      await reachesStage(name, ids[i]!, 'started')
      expect(await since(name)).toEqual(texts.slice(0, i + 1))
      expect((await app.inputs(name)).map(({ stage }) => stage)).toEqual(texts.map((_, j) => (j <= i ? 'started' : 'queued')))
    }
    await app.reaches(name, 'idle')
  })

  test('types at once when there is nothing to do', async () => {
    const name = await idle()
    const { body } = await queue(name, 'now')
    await reachesStage(name, body.id, 'started')
    expect(await since(name)).toEqual(['now'])
  })

  test('types all of many, however short their turns are', async () => {
    const name = await busy()
    const texts = Array.from({ length: 12 }, (_, i) => `[at-once] ${i}`)
    for (const text of texts) await queue(name, text)
    await app.go(name)
    await until(async () => (await since(name)).length === texts.length, { what: 'all to be typed' })
    expect(await since(name)).toEqual(texts)
  })

  test('loses none of more than are kept receipts of, and tells of each while it is typed', async () => {
    const name = await busy()
    const texts = Array.from({ length: 25 }, (_, i) => `${i < 2 ? '[swallow 1] ' : ''}${i}`)
    const ids: string[] = []
    for (const text of texts) ids.push((await queue(name, text)).body.id)
    expect(await app.inputs(name)).toHaveLength(25)
    await app.go(name)
    const seen = new Set<string | undefined>()
    await until(
      async () => {
        seen.add(await stageOf(name, ids[0]!))
        return (await since(name)).length === 1
      },
      { what: 'the first to be typed' },
    )
    for (const stage of seen) expect(['queued', 'typing', 'submitted', 'started']).toContain(stage)
    await until(async () => (await since(name)).length === texts.length, { timeout: 30_000, what: 'all to be typed' })
    expect(await since(name)).toEqual(texts)
  })

  test('keeps a text while the agent waits for a person', async () => {
    const name = await idle()
    await app.send(name, { text: '[ask a]' })
    const waiting = await app.reaches(name, 'waiting')
    expect(waiting.waiting).toMatchObject({ kind: 'permission', message: 'a' })
    const { body } = await queue(name, 'later')
    expect(body.stage).toBe('queued')
    await press(name, 'Escape')
    await reachesStage(name, body.id, 'started')
    expect(await since(name)).toEqual(['[ask a]', 'later'])
    expect((await happenings(app.project, name)).flatMap(({ dialog }) => dialog ?? [])).toEqual(['Escape'])
  })

  test('is over a restart of the server', async () => {
    const name = await busy()
    const first = await queue(name, '[work] over a restart')
    const second = await queue(name, 'and the next')
    await app.restart()
    expect((await app.inputs(name)).map(({ stage }) => stage)).toEqual(['queued', 'queued'])
    expect(await since(name)).toEqual([])
    // It rests while nobody is there.
    await app.restart(async () => {
      await app.go(name)
      const terminal = () => app.tmux('capture-pane', '-p', '-t', `=${name}:`)
      await until(async () => (await terminal()).includes(' ready'), { what: 'its rest' })
    })
    await reachesStage(name, first.body.id, 'started')
    await app.go(name)
    await reachesStage(name, second.body.id, 'started')
    expect(await since(name)).toEqual(['[work] over a restart', 'and the next'])
  })

  test('is dropped when the session ends', async () => {
    const name = await busy()
    const { body } = await queue(name, 'never')
    await app.runtime.end(name)
    await reachesStage(name, body.id, 'dropped')
    expect(await since(name)).toEqual([])
    expect(await queue(name, 'too late')).toMatchObject({ status: 409, body: { error: { code: 'session_ended' } } })
  })

  test('is dropped when the session ends while no server is there', async () => {
    const name = await busy()
    const { body } = await queue(name, 'never')
    const pid = Number(await app.tmux('display-message', '-p', '-t', `=${name}:`, '#{pane_pid}'))
    await app.restart(async () => {
      process.kill(-pid, 'SIGKILL')
      await until(() => !isAlive(pid), { what: 'the end' })
    })
    await until(() => app.runtime.get(name).endedAt, { what: 'the end to be known' })
    await reachesStage(name, body.id, 'dropped')
  })

  test('is not typed over what a person has left, and is when that is gone', { timeout: 30_000 }, async () => {
    const name = await busy()
    await press(name, '-l', 'half a thought')
    await shows(name, 'half a thought')
    const waiting = app.call<{ stage: string; timedOut: boolean; session: Session }>(
      'POST',
      `/sessions/${name}/input?wait=idle&timeout=20`,
      {
        text: 'mine',
        mode: 'queue',
      },
    )
    await until(async () => (await app.inputs(name)).length === 1, { what: 'the receipt' })
    let isAnswered = false
    void waiting.then(() => (isAnswered = true))
    await app.go(name)
    await app.reaches(name, 'idle')
    const stages = new Set<string>()
    const began = Date.now()
    await until(
      async () => {
        stages.add((await app.inputs(name))[0]!.stage)
        return Date.now() - began > 1000
      },
      { what: 'a look at the composer' },
    )
    expect(await since(name)).toEqual([])
    expect([...stages]).not.toContain('dropped')
    expect(isAnswered, 'the client that waits is not answered before its text was typed').toBe(false)
    await press(name, 'C-u')
    await until(async () => (await since(name)).join() === 'mine', { what: 'the text' })
    expect((await waiting).body).toMatchObject({ timedOut: false, session: { status: 'idle' } })
  })

  test.each([
    [{ keys: ['Enter'], mode: 'queue' }, 'mode'],
    [{ keys: ['Enter'], mode: 'steer' }, 'mode'],
    [{ text: 'x', submit: false, mode: 'queue' }, 'mode'],
    [{ text: 'x', mode: 'later' }, 'mode'],
  ])('%j is refused', async (body, field) => {
    const name = await busy()
    expect(await app.send(name, body)).toMatchObject({ status: 400, body: { error: { code: 'invalid_request', data: { field } } } })
    expect(await app.inputs(name)).toEqual([])
  })

  test('is refused for an agent that does not tell when it rests', async () => {
    await app.spawn('plain', 'exec cat', { agent: 'shell' })
    expect(await queue('plain', 'x')).toMatchObject({
      status: 400,
      body: { error: { code: 'invalid_request', data: { field: 'mode' } } },
    })
    expect(await app.inputs('plain')).toEqual([])
  })

  test('?wait waits for the turn of that very text', async () => {
    const name = await busy()
    const waiting = app.call<{ stage: string; timedOut: boolean; session: Session }>('POST', `/sessions/${name}/input?wait=idle`, {
      text: '[slow 200] mine',
      mode: 'queue',
    })
    await until(async () => (await app.inputs(name)).length === 1, { what: 'the receipt' })
    await app.go(name)
    expect((await waiting).body).toMatchObject({ timedOut: false, session: { status: 'idle' } })
    expect(await since(name)).toEqual(['[slow 200] mine'])
  })

  test('?wait says that the time is over when it was not even typed', async () => {
    const name = await busy()
    const path = `/sessions/${name}/input?timeout=0.4&wait=running`
    const began = Date.now()
    const { body } = await app.call<{ stage: string; timedOut: boolean }>('POST', path, { text: 'mine', mode: 'queue' })
    expect(Date.now() - began).toBeGreaterThanOrEqual(390)
    expect(body).toMatchObject({ stage: 'queued', timedOut: true })
  })
})

describe('a server that is killed while it types', () => {
  test('does not know what became of the text, and never types it again', { timeout: 60_000 }, async () => {
    const server = await killable()
    try {
      await server.spawn('a', 'hello')
      await server.reaches('a', 'idle')
      // The composer swallows the first Enter, so that there is time to kill the server between two of them.
      void server.send('a', { text: '[swallow 1] once' }).catch(() => {})
      await until(async () => (await server.happenings('a')).some(({ swallowed }) => swallowed === 1), { what: 'the text to be typed' })
      await server.kill()
      await server.start()
      await until(async () => (await server.inputs('a')).every(({ stage }) => stage === 'unknown'), { what: 'the stage' })
      expect(await server.inputs('a')).toHaveLength(1)
      expect(await submittedTo(server.project, 'a')).toEqual(['hello'])
      await server.kill()
    } finally {
      await server.close()
    }
  })

  test('types what was queued once at most and in order, wherever it is killed', { timeout: 120_000 }, async () => {
    const server = await killable()
    try {
      await server.spawn('a', '[work]')
      await until(async () => (await server.session('a')).evidence.rule === 'Work', { what: 'it works' })
      const texts = Array.from({ length: 10 }, (_, i) => `[work] ${i}`)
      const ids: string[] = []
      for (const text of texts) ids.push((await server.send('a', { text, mode: 'queue' })).body.id)
      for (let kills = 0; kills < 8; kills++) {
        await server.go('a')
        await pass(kills * 8)
        await server.kill()
        await server.start()
      }
      const output = '/sessions/a/output'
      const json = { accept: 'application/json' }
      const stages = async () => new Map((await server.inputs('a')).map(({ id, stage }) => [id, stage]))
      await until(
        async () => {
          await server.go('a')
          // What was typed and not submitted before a kill is in the way, and is for a person to delete.
          const left = /> (\[work\] \d)/.exec((await server.call<{ output: string }>('GET', output, undefined, json)).body.output)?.[1]
          if (left !== undefined && (await stages()).get(ids[texts.indexOf(left)]!) === 'unknown') await server.send('a', { keys: ['C-u'] })
          return [...(await stages()).values()].every((stage) => stage !== 'queued' && stage !== 'typing')
        },
        { timeout: 30_000, what: 'all to be typed' },
      )
      const arrived = (await submittedTo(server.project, 'a')).slice(1)
      expect(arrived).toEqual(texts.filter((text) => arrived.includes(text)))
      const after = await stages()
      // Only of what may have been typed in the moment of a kill nobody knows.
      for (const [i, text] of texts.entries()) if (after.get(ids[i]!) !== 'unknown') expect(arrived).toContain(text)
      expect(arrived.length).toBeGreaterThanOrEqual(2)
    } finally {
      await server.close()
    }
  })
})

/** Numbers from 0 to 1 that are the same each time. */
function generator(seed: number): () => number {
  let state = seed * 2_654_435_761 + 1
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_507) + 0x9e3779b9) | 0
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
