import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createBus, first } from '../src/runtime/bus.ts'
import { inheritedEnvironment } from '../src/runtime/config.ts'
import { createIds } from '../src/runtime/id.ts'
import { createLock } from '../src/runtime/lock.ts'
import { advance, ending, isEnded, next, reduce, waitingFor } from '../src/runtime/session.ts'
import {
  statuses,
  type Event,
  type Evidence,
  type Exit,
  type OpenPrompt,
  type Session,
  type SessionRecord,
  type Status,
} from '../src/runtime/types.ts'
import { sampleRecord, sampleSession } from './support/session.ts'

const at = '2026-03-04T05:06:07.000Z'
const evidence: Evidence = { source: 'hook', rule: 'a rule', at }

function session(status: Status, given: Partial<Session> = {}): Session {
  return sampleSession({
    status,
    createdAt: at,
    startedAt: status === 'starting' ? null : at,
    endedAt: isEnded(status) ? at : null,
    exitCode: isEnded(status) ? 0 : null,
    waiting: status === 'waiting' ? { kind: 'question', message: 'which?' } : null,
    attach: isEnded(status) ? null : 'tmux attach',
    ...given,
  })
}

const exit: Exit = { code: 3, signal: null, reason: 'why', at }
const events = {
  launched: { type: 'launched', evidence },
  working: { type: 'working', evidence },
  rested: { type: 'rested', evidence },
  turn_failed: { type: 'turn_failed', evidence, error: 'overloaded' },
  asked: { type: 'asked', evidence, waiting: { kind: 'permission', message: 'may I?' } },
  settled: { type: 'settled', evidence, prompt: 'p1' },
  completed: { type: 'completed', evidence, exit },
  failed: { type: 'failed', evidence, exit },
  killed: { type: 'killed', evidence, exit },
} satisfies Record<Event['type'], Event>

describe('what an event makes of a status', () => {
  const live = {
    working: 'running',
    rested: 'idle',
    turn_failed: 'idle',
    asked: 'waiting',
    completed: 'completed',
    failed: 'error',
    killed: 'killed',
  }
  const table: Record<Status, Record<string, string>> = {
    starting: { ...live, launched: 'starting' },
    running: live,
    idle: live,
    waiting: { ...live, settled: 'running' },
    completed: {},
    error: {},
    killed: {},
  }

  test('is this table, and no more', () => {
    expect(next).toEqual(table)
  })

  for (const status of statuses) {
    for (const event of Object.values(events)) {
      const expected = table[status][event.type]
      test(`${status} + ${event.type} → ${expected ?? 'unchanged'}`, () => {
        const before = Object.freeze(session(status))
        const after = reduce(before, event)
        if (expected === undefined) expect(after).toBe(before)
        else expect(after).toMatchObject({ status: expected, evidence })
      })
    }
  }

  test('an end keeps how it ended, and takes away what only a live session has', () => {
    expect(reduce(session('waiting'), events.failed)).toMatchObject({
      status: 'error',
      exitCode: 3,
      signal: null,
      reason: 'why',
      endedAt: at,
      waiting: null,
      attach: null,
    })
  })

  test('a failed turn is remembered until the next one begins', () => {
    const failed = reduce(session('running'), events.turn_failed)
    expect(failed.lastError).toBe('overloaded')
    expect(reduce(failed, events.rested).lastError).toBe('overloaded')
    expect(reduce(failed, events.working).lastError).toBeNull()
  })

  test('what a session waits for is what was asked last', () => {
    const asked = reduce(session('running'), events.asked)
    expect(asked.waiting).toEqual({ kind: 'permission', message: 'may I?' })
    const again: Event = { ...events.asked, waiting: { kind: 'login', message: 'log in' } }
    expect(reduce(asked, again).waiting).toEqual(again.waiting)
  })

  test('the start is the first sign of life, and stays', () => {
    const later = '2026-03-04T06:00:00.000Z'
    const started = reduce(session('starting'), events.launched)
    expect(started.startedAt).toBe(at)
    expect(reduce(started, { type: 'working', evidence: { ...evidence, at: later } }).startedAt).toBe(at)
  })
})

describe('what an event makes of a record', () => {
  const promptOf = (id: string, labels: readonly string[] = ['Yes', 'No']): OpenPrompt => ({
    id,
    mailbox: null,
    kind: 'permission',
    message: `may I ${id}?`,
    options: labels.map((label) => ({ id: label, label })),
    openedAt: at,
  })
  const asked = (prompt: OpenPrompt): Event => ({ type: 'asked', evidence, waiting: waitingFor(prompt), prompt })
  const settled = (prompt: string): Event => ({ type: 'settled', evidence: { ...evidence, rule: `${prompt} is over` }, prompt })
  const record = (status: Status, prompts: readonly OpenPrompt[] = []): SessionRecord =>
    sampleRecord(session(status, prompts[0] ? { waiting: waitingFor(prompts.at(-1)!) } : {}), { prompts })
  const ids = ({ prompts }: SessionRecord) => prompts.map(({ id }) => id)
  const [one, two] = [promptOf('one'), promptOf('two', [])]

  test('a prompt is opened: the session waits for what it asks', () => {
    const after = advance(record('running'), asked(one))
    expect(after).toMatchObject({
      session: { status: 'waiting', waiting: { kind: 'permission', message: 'may I one?', options: ['Yes', 'No'] } },
      prompts: [one],
    })
  })

  test('without options it waits for no option', () => {
    expect(advance(record('running'), asked(two)).session.waiting).toEqual({ kind: 'permission', message: 'may I two?' })
  })

  test('what is asked without a prompt opens none', () => {
    expect(advance(record('running'), events.asked)).toMatchObject({ session: { status: 'waiting' }, prompts: [] })
  })

  test('a prompt that is asked again is asked once, as it is now, last', () => {
    const again = { ...one, message: 'may I one, please?' }
    const after = advance(record('waiting', [one, two]), asked(again))
    expect(after.prompts).toEqual([two, again])
    expect(after.session.waiting?.message).toBe('may I one, please?')
  })

  test('of two the first is over: it goes on waiting, for the other', () => {
    const after = advance(record('waiting', [one, two]), settled('one'))
    expect(ids(after)).toEqual(['two'])
    expect(after.session).toMatchObject({ status: 'waiting', waiting: { message: 'may I two?' }, evidence: { rule: 'one is over' } })
    expect(after.trail.at(-1)).toMatchObject({ event: 'settled', status: 'waiting' })
  })

  test('of two the second is over: it goes on waiting, for the first', () => {
    const after = advance(record('waiting', [one, two]), settled('two'))
    expect(ids(after)).toEqual(['one'])
    expect(after.session).toMatchObject({ status: 'waiting', waiting: { message: 'may I one?', options: ['Yes', 'No'] } })
  })

  test.each([
    ['one', 'two'],
    ['two', 'one'],
  ])('both are over, %s first: it works', (first, second) => {
    const after = advance(advance(record('waiting', [one, two]), settled(first)), settled(second))
    expect(after).toMatchObject({ session: { status: 'running', waiting: null, lastError: null }, prompts: [] })
  })

  test('one that begins after its last prompt is starting still', () => {
    const begins: Event = { type: 'settled', evidence, prompt: 'one', begins: true }
    const after = advance(record('waiting', [one]), begins)
    expect(after).toMatchObject({ session: { status: 'starting', waiting: null }, prompts: [] })
    expect(advance(after, events.working).session.status).toBe('running')
    expect(advance(record('waiting', [one, two]), begins).session).toMatchObject({ status: 'waiting', waiting: { message: 'may I two?' } })
  })

  test.each(statuses)('the end of a prompt that is not open changes nothing but the trail: %s', (status) => {
    const prompts = status === 'waiting' ? [one] : []
    const before = record(status, prompts)
    for (const begins of [false, true]) {
      const after = advance(before, { type: 'settled', evidence, prompt: 'never asked', begins })
      expect(after.session).toBe(before.session)
      expect(ids(after)).toEqual(ids(before))
      expect(after.trail).toEqual([{ at, source: 'hook', rule: 'a rule', event: 'settled', status }])
    }
  })

  test.each(['working', 'rested', 'turn_failed', 'completed', 'failed', 'killed'] as const)('%s ends all prompts', (type) => {
    expect(advance(record('waiting', [one, two]), events[type])).toMatchObject({ prompts: [], session: { waiting: null } })
  })

  test('but what has no meaning for it ends none', () => {
    const before = record('waiting', [one, two])
    for (const event of [events.launched, null]) {
      const after = advance(before, event, evidence)
      expect(after.session).toBe(before.session)
      expect(after.prompts).toBe(before.prompts)
    }
  })

  test('a turn that failed and needs a person waits without a prompt', () => {
    const waiting = { kind: 'limit', message: 'the limit', until: at } as const
    const after = advance(record('waiting', [one]), { ...events.turn_failed, waiting })
    expect(after).toMatchObject({ prompts: [], session: { status: 'waiting', waiting, lastError: 'overloaded' } })
  })

  test('an ended session is asked nothing', () => {
    for (const status of ['completed', 'error', 'killed'] as const)
      expect(advance(record(status), asked(one))).toMatchObject({ prompts: [], session: { status, waiting: null } })
  })

  test('what was observed is kept, also when it means nothing', () => {
    const observed = { at: '2026-03-04T05:06:08.000Z', source: 'transcript', rule: 'a line' } as const
    const first = advance(record('running'), null, observed)
    expect(first.trail).toEqual([{ ...observed, event: null, status: 'running' }])
    const second = advance(first, events.rested)
    expect(second.trail).toEqual([...first.trail, { at, source: 'hook', rule: 'a rule', event: 'rested', status: 'idle' }])
    const third = advance(second, events.working, observed)
    expect(third.trail.at(-1)).toEqual({ ...observed, event: 'working', status: 'running' })
    expect(third.session.evidence).toEqual(evidence)
  })

  test('of what was observed the last twenty are kept, oldest first', () => {
    let current = record('running')
    for (let i = 0; i < 45; i++) current = advance(current, i % 2 ? events.working : null, { at, source: 'screen', rule: `rule ${i}` })
    expect(current.trail.map(({ rule }) => rule)).toEqual(Array.from({ length: 20 }, (_, i) => `rule ${25 + i}`))
  })

  test('nothing else of the record changes, and not the record that was given', () => {
    const before = Object.freeze({
      ...record('waiting', [one, two]),
      cursor: 7,
      pending: 2,
      stopping: 'on request',
      handle: Object.freeze({ id: 'x' }),
      conversation: { id: 'c', transcripts: ['t'] },
      deliveries: [{ id: 'd', stage: 'queued', at, text: 'x' } as const],
    })
    const copy = structuredClone(before)
    const { session: _session, prompts: _prompts, trail: _trail, ...rest } = before
    for (const event of [...Object.values(events), asked(one), settled('one'), settled('two')]) {
      expect(advance(before, event)).toMatchObject(rest)
      expect(before).toEqual(copy)
    }
  })

  describe('in any order', () => {
    const someEvidence = fc.record({ source: fc.constantFrom('hook', 'screen', 'transcript'), rule: fc.string(), at: fc.constant(at) })
    const id = fc.constantFrom('a', 'b', 'c', 'd')
    const someEvent = fc.oneof(
      { weight: 4, arbitrary: fc.tuple(id, someEvidence).map(([id, evidence]) => ({ ...asked(promptOf(id)), evidence })) },
      {
        weight: 4,
        arbitrary: fc.record({ type: fc.constant('settled'), prompt: id, evidence: someEvidence, begins: fc.boolean() }),
      },
      { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('launched', 'working', 'rested'), evidence: someEvidence }) },
      {
        weight: 1,
        arbitrary: fc.record(
          {
            type: fc.constant('turn_failed'),
            evidence: someEvidence,
            error: fc.string(),
            waiting: fc.constant({ kind: 'limit', message: 'the limit' }),
          },
          { requiredKeys: ['type', 'evidence', 'error'] },
        ),
      },
      {
        weight: 1,
        arbitrary: fc.record({
          type: fc.constant('asked'),
          evidence: someEvidence,
          waiting: fc.constant({ kind: 'question', message: 'which?' }),
        }),
      },
      { weight: 1, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.constantFrom(events.completed, events.failed, events.killed) },
    ) as fc.Arbitrary<Event | null>
    const always = (check: (before: SessionRecord, event: Event | null, after: SessionRecord, events: readonly (Event | null)[]) => void) =>
      fc.assert(
        fc.property(fc.array(someEvent, { maxLength: 40 }), fc.boolean(), (sequence, lives) => {
          let current = sampleRecord(session('starting'))
          const seen: (Event | null)[] = []
          for (const event of sequence) {
            if (lives && event && 'exit' in event) continue
            seen.push(event)
            const after = advance(current, event, event?.evidence ?? { at, source: 'screen', rule: 'nothing' })
            check(current, event, after, seen)
            current = after
          }
        }),
        { numRuns: 1000 },
      )

    test('an ended session has no prompts and stays as it ended', () => {
      always((before, _, after) => {
        if (isEnded(after.session.status)) expect(after.prompts).toEqual([])
        if (isEnded(before.session.status)) expect(after.session).toBe(before.session)
      })
    })

    test('it is waiting exactly when it says for what; and as long as a prompt is open', () => {
      always((_, __, { session, prompts }) => {
        expect(session.waiting !== null).toBe(session.status === 'waiting')
        if (prompts.length > 0) expect(session.status).toBe('waiting')
      })
    })

    test('what it waits for is asked in an open prompt, unless it was asked without one', () => {
      always((_, __, { session: { waiting }, prompts }, seen) => {
        const plain = seen.findLast((event) => event?.type === 'asked')
        if (prompts.length === 0 || (plain?.type === 'asked' && !plain.prompt)) return
        expect(prompts.map(waitingFor)).toContainEqual(waiting)
      })
    })

    test('no prompt is open twice, and none that was not asked or is over', () => {
      always((_, event, after, seen) => {
        expect(new Set(ids(after)).size).toBe(after.prompts.length)
        const known = seen.flatMap((each) => (each?.type === 'asked' && each.prompt ? [each.prompt.id] : []))
        expect(known).toEqual(expect.arrayContaining(ids(after)))
        if (event?.type === 'settled') expect(ids(after)).not.toContain(event.prompt)
      })
    })

    test('every observation is the last of the trail, which is never longer than twenty', () => {
      always((_, event, { session, trail }, seen) => {
        expect(trail).toHaveLength(Math.min(seen.length, 20))
        expect(trail.at(-1)).toMatchObject({ event: event?.type ?? null, status: session.status, rule: event?.evidence.rule ?? 'nothing' })
      })
    })
  })
})

describe('any order of events', () => {
  const time = fc.integer({ min: -5000, max: 5000 }).map((ms) => new Date(Date.parse(at) + ms).toISOString())
  const anyEvidence = fc.record({ source: fc.constantFrom('hook', 'process', 'screen'), rule: fc.string(), at: time })
  const anyExit: fc.Arbitrary<Exit> = fc.oneof(
    fc.record({
      code: fc.integer({ min: 0, max: 255 }),
      signal: fc.constant(null),
      reason: fc.option(fc.string()),
      at: time,
    }),
    fc.record({ code: fc.constant(null), signal: fc.constantFrom('SIGKILL', 'SIGTERM'), reason: fc.constant(null), at: time }),
    fc.record({ code: fc.constant(null), signal: fc.constant(null), reason: fc.string(), at: time }),
  )
  const anyEvent = fc.oneof(
    fc.record({ type: fc.constantFrom('launched', 'working', 'rested'), evidence: anyEvidence }),
    fc.record({ type: fc.constant('turn_failed'), evidence: anyEvidence, error: fc.string() }),
    fc.record({
      type: fc.constant('asked'),
      evidence: anyEvidence,
      waiting: fc.record({ kind: fc.constantFrom('permission', 'question'), message: fc.string() }),
    }),
    fc.tuple(anyExit, fc.option(fc.string({ minLength: 1 }))).map(([exit, stopping]) => ending(exit, stopping)),
  ) as fc.Arbitrary<Event>
  const always = (check: (before: Session, event: Event, after: Session) => void) =>
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 20 }), (sequence) => {
        let current = session('starting')
        for (const event of sequence) {
          const after = reduce(current, event)
          check(current, event, after)
          current = after
        }
      }),
      { numRuns: 500 },
    )

  test('never changes an ended session', () => {
    always((before, _, after) => {
      if (isEnded(before.status)) expect(after).toBe(before)
    })
  })

  test('leaves the very same object when it is not listed for the status', () => {
    always((before, event, after) => expect(after === before).toBe(next[before.status][event.type] === undefined))
  })

  test('sets the time of the end, and only with an end', () => {
    always((_, __, after) => expect(after.endedAt !== null).toBe(isEnded(after.status)))
  })

  test('says what is waited for, and only while waiting', () => {
    always((_, __, after) => expect(after.waiting !== null).toBe(after.status === 'waiting'))
  })

  test('keeps the times in order: created, started, ended', () => {
    always((_, __, { createdAt, startedAt, endedAt }) => {
      const times = [createdAt, startedAt, endedAt].filter((each) => each !== null)
      expect(times).toEqual([...times].sort())
    })
  })

  test('ends with an exit code, a signal or a reason', () => {
    always((_, __, { status, exitCode, signal, reason }) => {
      if (isEnded(status)) expect(exitCode !== null || signal !== null || reason !== null).toBe(true)
      else expect([exitCode, signal, reason]).toEqual([null, null, null])
    })
  })

  test('changes nothing of what the client asked for', () => {
    const { id, name, agent, prompt, cwd, createdAt, labels } = session('starting')
    always((_, __, after) => expect(after).toMatchObject({ id, name, agent, prompt, cwd, createdAt, labels }))
  })
})

describe('what an exit means', () => {
  test.each([
    ['0', { code: 0, signal: null, reason: null }, null, 'completed', null],
    ['another code', { code: 7, signal: null, reason: null }, null, 'failed', 'the program exited with 7'],
    ['a signal', { code: null, signal: 'SIGSEGV', reason: null }, null, 'failed', 'the program was ended by SIGSEGV'],
    ['a known reason', { code: 127, signal: null, reason: 'could not start' }, null, 'failed', 'could not start'],
    ['nothing known', { code: null, signal: null, reason: 'its terminal is gone' }, null, 'failed', 'its terminal is gone'],
    ['0 after a request to end', { code: 0, signal: null, reason: null }, 'on request', 'killed', 'on request'],
    ['a signal after a request to end', { code: null, signal: 'SIGTERM', reason: null }, 'on request', 'killed', 'on request'],
  ] as const)('%s', (_, exit, stopping, type, reason) => {
    const event = ending({ ...exit, at }, stopping)
    expect(event).toMatchObject({ type, exit: { code: exit.code, signal: exit.signal, reason, at }, evidence: { at } })
    expect(event.evidence.source).toBe(exit.code === null && exit.signal === null ? 'backend' : 'process')
  })
})

describe('createLock', () => {
  const tick = () => new Promise((resolve) => setTimeout(resolve, 1))

  test('runs the tasks of a key one after the other, in order', async () => {
    const lock = createLock()
    const seen: string[] = []
    await Promise.all(
      [3, 1, 2, 0].map((ms, i) =>
        lock('a', async () => {
          seen.push(`begin ${i}`)
          await new Promise((resolve) => setTimeout(resolve, ms))
          seen.push(`end ${i}`)
        }),
      ),
    )
    expect(seen).toEqual([0, 1, 2, 3].flatMap((i) => [`begin ${i}`, `end ${i}`]))
  })

  test('runs the tasks of different keys together', async () => {
    const lock = createLock()
    let meet = () => {}
    const met = new Promise<void>((resolve) => (meet = resolve))
    // `a` can end only when `b` has begun.
    await Promise.all([lock('a', () => met), lock('b', async () => meet())])
  })

  test('hands back what a task gives, and its failure to its own caller only', async () => {
    const lock = createLock()
    const failed = lock('a', () => Promise.reject(new Error('no')))
    const threw = lock('a', () => {
      throw new Error('never a promise')
    })
    const given = lock('a', async () => 5)
    await expect(failed).rejects.toThrow('no')
    await expect(threw).rejects.toThrow('never a promise')
    expect(await given).toBe(5)
  })

  test('never runs two tasks of one key together, whatever they do', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.boolean()), { maxLength: 30 }), async (tasks) => {
        const lock = createLock()
        const inside = new Map<string, number>()
        let most = 0
        const runs = tasks.map(([key, fails]) =>
          lock(key, async () => {
            inside.set(key, (inside.get(key) ?? 0) + 1)
            most = Math.max(most, inside.get(key)!)
            await tick()
            inside.set(key, inside.get(key)! - 1)
            if (fails) throw new Error('no')
          }),
        )
        const settled = await Promise.allSettled(runs)
        expect(settled.map(({ status }) => status)).toEqual(tasks.map(([, fails]) => (fails ? 'rejected' : 'fulfilled')))
        expect(most).toBeLessThanOrEqual(1)
      }),
      { numRuns: 30 },
    )
  })
})

describe('createIds', () => {
  const shape = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
  const ascending = (ids: readonly string[]) => ids.every((id, i) => i === 0 || id > ids[i - 1]!)

  test('makes UUIDs of version 7 that hold the time', () => {
    const id = createIds(() => 0x0123456789ab)()
    expect(id).toMatch(shape)
    expect(id.slice(0, 13)).toBe('01234567-89ab')
  })

  test.each([
    ['stands still', () => 1_700_000_000_000],
    ['goes backwards', (i: number) => 1_700_000_000_000 - i * 1000],
    ['goes on', (i: number) => 1_700_000_000_000 + i],
    ['jumps', (i: number) => 1_700_000_000_000 + ((i * 7919) % 1000)],
  ])('ascend over 10,000 when the clock %s', (_, clock) => {
    let i = 0
    const newId = createIds(() => clock(i++))
    const ids = Array.from({ length: 10_000 }, newId)
    expect(ids.every((id) => shape.test(id))).toBe(true)
    expect(ascending(ids)).toBe(true)
  })

  test('ascend whatever the clock says', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 2 ** 47 }), { minLength: 1 }), (times) => {
        const left = [...times]
        const newId = createIds(() => left.shift()!)
        expect(ascending(times.map(() => newId()))).toBe(true)
      }),
    )
  })
})

describe('inheritedEnvironment', () => {
  const server = {
    PATH: '/bin',
    HOME: '/home/a',
    LC_ALL: 'C.UTF-8',
    LANG: 'C',
    TZ: 'UTC',
    INSTAR_TOKEN: 'secret',
    AWS_SECRET_ACCESS_KEY: 'secret',
    GITHUB_TOKEN: 'secret',
    ANTHROPIC_API_KEY: 'key',
    PATHOLOGY: 'no',
    NODE_OPTIONS: '--inspect',
    USER: undefined,
    EMPTY: '',
  }

  test('lets through what every program needs, and no credentials', () => {
    expect(inheritedEnvironment(server)).toEqual({ PATH: '/bin', HOME: '/home/a', LC_ALL: 'C.UTF-8', LANG: 'C', TZ: 'UTC' })
  })

  test('lets through what an agent or the config names, exactly or by its beginning', () => {
    expect(inheritedEnvironment(server, ['ANTHROPIC_*'], undefined, ['EMPTY', 'MISSING', 'NODE'])).toEqual({
      ...inheritedEnvironment(server),
      ANTHROPIC_API_KEY: 'key',
      EMPTY: '',
    })
  })

  test('never lets through a name that is not allowed', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ minLength: 1 }), fc.string()), (given) => {
        const names = Object.keys(inheritedEnvironment(given, ['A_*']))
        expect(names.every((name) => /^(?:A_.*|LC_.*|PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|TZ|TMPDIR)$/s.test(name))).toBe(true)
      }),
    )
  })
})

describe('bus', () => {
  test('tells every listener in order, until it stops listening', () => {
    const bus = createBus<number>()
    const heard: string[] = []
    const off = bus.on((value) => heard.push(`a${value}`))
    bus.on((value) => heard.push(`b${value}`))
    bus.emit(1)
    off()
    off()
    bus.emit(2)
    expect(heard).toEqual(['a1', 'b1', 'b2'])
  })

  test('a listener may stop listening while it is told', () => {
    const bus = createBus<number>()
    const heard: string[] = []
    const off = bus.on((value) => {
      heard.push(`a${value}`)
      off()
    })
    bus.on((value) => heard.push(`b${value}`))
    bus.emit(1)
    bus.emit(2)
    expect(heard).toEqual(['a1', 'b1', 'b2'])
  })

  test('first gives the first value that is wanted', async () => {
    const bus = createBus<number>()
    const found = first(bus, (value) => value > 2, 10_000)
    for (const value of [1, 2, 3, 4]) bus.emit(value)
    expect(await found).toBe(3)
  })

  test('first gives null when its time is over, and listens no more', async () => {
    const bus = createBus<number>()
    let asked = 0
    const began = Date.now()
    const found = first(
      bus,
      () => {
        asked++
        return false
      },
      40,
    )
    bus.emit(1)
    expect(await found).toBeNull()
    expect(Date.now() - began).toBeGreaterThanOrEqual(35)
    bus.emit(2)
    expect(asked).toBe(1)
  })
})
