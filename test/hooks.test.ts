import { mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as v from 'valibot'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { complete } from '../src/entry/complete.ts'
import { SettingsError, socketName, stateDirectory } from '../src/entry/settings.ts'
import { shell } from '../src/plugins/agents/shell.ts'
import type { Agent } from '../src/runtime/agent.ts'
import { InstarError } from '../src/runtime/error.ts'
import { defineHook, type Hook, type HookContext } from '../src/runtime/hook.ts'
import type { Session, Step } from '../src/runtime/types.ts'
import { foreground, listening } from './support/foreground.ts'
import { testApp, type TestApp } from './support/app.ts'
import { endServer } from './support/tmux.ts'
import { until } from './support/wait.ts'

/** Three hooks, whose launches are what a test says: outer, middle, inner. */
type Launch = Hook<unknown, unknown>['launch']
let launches: Readonly<Record<string, Launch>> = {}
let told: string[] = []
let whileUndoing = async () => {}
const tell = (what: string) => void told.push(what)

const scripted = (name: string, more: Partial<Hook> = {}): Hook => ({
  name,
  async launch(launch, next, context) {
    tell(`${name} begins`)
    const run = launches[name] ?? (async (given, next) => next(given))
    const handle = await run(launch, next, context)
    tell(`${name} ends`)
    return handle
  },
  undo: async (kept) => {
    await whileUndoing()
    tell(`${name} undoes ${JSON.stringify(kept)}`)
  },
  ...more,
})

const moody = (): Agent => {
  const agent = shell()
  return {
    ...agent,
    plan(launch, directory) {
      if (launch.prompt === 'no plan')
        throw new InstarError('invalid_request', 'Cannot spawn a session: it has no plan', { field: 'prompt' })
      const command = agent.plan(launch, directory)
      return launch.prompt === 'no start' ? { ...command, size: { cols: -1, rows: -1 } } : command
    },
  }
}

let app: TestApp
beforeAll(async () => {
  app = await testApp({
    agents: { shell: moody() },
    environment: { PATH: process.env['PATH'] ?? '', SERVER_TOKEN: 'the-secret-of-the-server' },
    hooks: [
      scripted('outer', { timeoutMs: 400 }),
      scripted('middle', { options: v.strictObject({ depth: v.optional(v.object({ by: v.pipe(v.number(), v.maxValue(3)) })) }) }),
      scripted('inner', { passOn: () => ({ passed: true }), options: v.looseObject({}) }),
    ],
  })
})
afterAll(() => app?.close())
beforeEach(() => {
  launches = {}
  told = []
  whileUndoing = async () => {}
})

let runs = 0
interface Spawned {
  readonly status: number
  readonly body: Session & { readonly error: { readonly code: string; readonly message: string; readonly data: Record<string, unknown> } }
}
async function spawn(more: object = {}): Promise<Spawned> {
  const body = JSON.stringify({ name: `s${++runs}`, prompt: 'exec sleep 60', ...more })
  const answer = await app.request('/sessions/spawn', { method: 'POST', body })
  return { status: answer.status, body: (await answer.json()) as Spawned['body'] }
}
const isGone = async (name: string, { known = false } = {}) => {
  expect(app.runtime.has(name)).toBe(known)
  expect((await app.runtime.terminals()).sessions.map((terminal) => terminal.name)).not.toContain(name)
}
const keeping = (context: HookContext, value: unknown) => (context as HookContext).keep(value)

describe('a launch', () => {
  it('goes through the hooks in their order, and back', async () => {
    launches = {
      middle: async (launch, next) => next({ ...launch, prompt: 'echo "<$ADDED>"', env: { ...launch.env, ADDED: 'by a hook' } }),
    }
    const { status, body } = await spawn()
    expect(status).toBe(201)
    expect(told).toEqual(['outer begins', 'middle begins', 'inner begins', 'inner ends', 'middle ends', 'outer ends'])
    await until(async () => (await app.runtime.output(body.name, 10)).text.includes('<by a hook>'), { what: 'what the hook added' })
  })

  it('tells how long each hook took by itself', async () => {
    launches = {
      inner: async (launch, next) => {
        const end = Date.now() + 60
        await until(() => Date.now() >= end, { what: 'some time' })
        return next(launch)
      },
    }
    const { body } = await spawn()
    const { trail } = (await (await app.request(`/sessions/${body.name}/status?explain=1`)).json()) as { trail: Step[] }
    const times = Object.fromEntries(
      trail.flatMap(({ rule }) => {
        const [, name, ms] = /^hook (\w+) took ([\d.]+) ms$/.exec(rule) ?? []
        return name === undefined ? [] : [[name, Number(ms)]]
      }),
    )
    expect(Object.keys(times)).toEqual(['inner', 'middle', 'outer'])
    expect(times['inner']).toBeGreaterThanOrEqual(60)
    expect(times['outer']).toBeLessThan(60)
  })

  it.each(['outer', 'middle', 'inner'])('names the hook that fails: %s', async (name) => {
    launches = {
      [name]: async () => {
        throw new Error('it rains')
      },
    }
    const { status, body } = await spawn()
    expect({ status, ...body.error }).toEqual({
      status: 422,
      code: 'hook_failed',
      message: `Cannot spawn session "s${runs}": its hook "${name}" failed: it rains`,
      data: { hook: name },
    })
    await isGone(`s${runs}`)
  })

  it('keeps the code of an error that says more exactly what is wrong', async () => {
    launches = {
      inner: async () => {
        throw new InstarError('backend_unavailable', 'Cannot ask: it is away', { since: 'noon' })
      },
    }
    const { status, body } = await spawn()
    expect({ status, ...body.error }).toEqual({
      status: 503,
      code: 'backend_unavailable',
      message: 'Cannot ask: it is away',
      data: { since: 'noon', hook: 'inner' },
    })
  })

  it.each([
    ['calls next() twice', async (launch, next) => (await next(launch), next(launch)), 'it called next() twice'],
    ['does not call next()', async () => ({ id: 'made up' }), 'it did not resolve to what next() gave it'],
    ['resolves to something else', async (launch, next) => ({ ...(await next(launch)) }), 'it did not resolve to what next() gave it'],
    [
      'does not wait for next()',
      async (launch, next) => {
        void next(launch)
        return {}
      },
      'it did not resolve to what next() gave it',
    ],
    [
      'throws at once',
      () => {
        throw new TypeError('at once')
      },
      'at once',
    ],
    ['gives next() nothing', (_, next) => next(undefined as never), 'it gave next() undefined, and not a launch'],
    [
      'gives next() a number in env',
      (launch, next) => next({ ...launch, env: { ...launch.env, PORT: 3000 as never } }),
      'it gave next() a launch with env.PORT, which is a number and not a string',
    ],
    [
      'gives next() words in one text',
      (launch, next) => next({ ...launch, args: '--fast' as never }),
      'it gave next() a launch with args, which is no array of strings',
    ],
    [
      'gives next() a text without a title',
      (launch, next) => next({ ...launch, instructions: ['Be brief'] as never }),
      'it gave next() a launch with instructions, which is no array of objects with a title and a text',
    ],
    [
      "gives next() a file outside of the session's directory",
      (launch, next) => next({ ...launch, files: { '../x': '' } }),
      'it gave next() a file named "../x", which is no name in the session\'s directory',
    ],
    [
      'gives next() a guard without its script',
      (launch, next) => next({ ...launch, guards: ['mine.sh'] }),
      'it gave next() the guard "mine.sh", which is not among the files',
    ],
    ['throws what is no error', () => Promise.reject('a word' as unknown as Error), 'a word'], // eslint-disable-line typescript/prefer-promise-reject-errors
  ] satisfies [string, Launch, string][])('a hook that %s is told apart, and nothing runs', async (_, launch, problem) => {
    launches = { middle: launch, outer: async (given, next, context) => (await keeping(context, 1), next(given)) }
    const { status, body } = await spawn()
    expect({ status, message: body.error.message }).toEqual({
      status: 422,
      message: `Cannot spawn session "s${runs}": its hook "middle" failed: ${problem}`,
    })
    expect(told.at(-1)).toBe('outer undoes 1')
    await isGone(`s${runs}`)
  })

  it('gives up a hook that hangs, which can do nothing more then', async () => {
    let late: Promise<unknown>[] = []
    let reason: unknown
    launches = {
      outer: async (launch, next, context) => {
        await keeping(context, 'begun')
        await new Promise((resolve) => context.signal.addEventListener('abort', resolve))
        reason = context.signal.reason
        late = [next(launch), keeping(context, 'more')]
        return Promise.any(late) as never
      },
    }
    const { status, body } = await spawn()
    expect({ status, message: body.error.message }).toEqual({
      status: 422,
      message: `Cannot spawn session "s${runs}": its hook "outer" failed: it did not get on within 0.4 s`,
    })
    expect(String(reason)).toContain('it did not get on')
    expect((await Promise.allSettled(late)).map((each) => each.status)).toEqual(['rejected', 'rejected'])
    // Once at once, and once more when it had stopped to make things.
    await until(() => told.filter((each) => each === 'outer undoes "begun"').length === 2, { what: 'the second undoing' })
    expect(told).not.toContain('middle begins')
    await isGone(`s${runs}`)
  })

  it('does not count the time of the hooks further in', async () => {
    launches = {
      inner: async (launch, next) => {
        const end = Date.now() + 600
        await until(() => Date.now() >= end, { what: 'longer than the outer hook may take' })
        return next(launch)
      },
    }
    expect((await spawn()).status).toBe(201)
  })
})

describe('what a hook has made', () => {
  const making: Readonly<Record<string, Launch>> = Object.fromEntries(
    ['outer', 'inner'].map((name) => [
      name,
      async (launch, next, context) => {
        await keeping(context, { made: name })
        return next(launch)
      },
    ]),
  )
  const undone = ['inner undoes {"made":"inner"}', 'outer undoes {"made":"outer"}']

  it('stays when the launch succeeds', async () => {
    launches = making
    expect((await spawn()).status).toBe(201)
    expect(told.filter((each) => each.includes('undoes'))).toEqual([])
  })

  it.each([
    ['the agent has no plan', 'no plan', 400, 'invalid_request'],
    ['the backend cannot start it', 'no start', 502, 'backend_failed'],
  ])('is undone, innermost first, when %s', async (_, prompt, status, code) => {
    launches = making
    const spawned = await spawn({ prompt })
    expect({ status: spawned.status, code: spawned.body.error.code }).toEqual({ status, code })
    // It is no hook's error.
    expect(spawned.body.error.data).not.toHaveProperty('hook')
    expect(told.filter((each) => each.includes('undoes'))).toEqual(undone)
    await isGone(`s${runs}`)
  })

  it('is undone when the program is gone that a hook outside of it refuses late', async () => {
    let live: string[] = []
    launches = {
      ...making,
      middle: async (launch, next) => {
        await next(launch)
        live = (await app.runtime.terminals()).sessions.map(({ name }) => name)
        throw new Error('on second thoughts')
      },
      inner: making['inner']!,
    }
    whileUndoing = () => isGone(`s${runs}`, { known: true })
    const { status, body } = await spawn()
    expect(status).toBe(422)
    expect(live).toContain(`s${runs}`)
    expect(body.error.data).toEqual({ hook: 'middle' })
    expect(told.filter((each) => each.includes('undoes'))).toEqual(undone)
    await isGone(`s${runs}`)
  })

  it('that a hook keeps twice is the latter', async () => {
    launches = {
      inner: async (launch, next, context) => {
        await keeping(context, 1)
        await keeping(context, 2)
        return next(launch)
      },
    }
    await spawn({ prompt: 'no plan' })
    expect(told.at(-1)).toBe('inner undoes 2')
  })

  it('and cannot undo is told in the log, without its secrets, and the others undo', async () => {
    const failing = await testApp({
      environment: { PATH: process.env['PATH'] ?? '', SERVER_TOKEN: 'the-secret-of-the-server' },
      hooks: [
        scripted('first'),
        scripted('second', {
          undo: () => {
            throw new Error('stuck with the-secret-of-the-server')
          },
        }),
      ],
    })
    try {
      const launch: Launch = async (launch, next, context) => (await keeping(context, 1), next(launch))
      launches = { first: launch, second: async (...given) => (await launch(...given), Promise.reject(new Error('no'))) }
      const answer = await failing.request('/sessions/spawn', { method: 'POST', body: JSON.stringify({ name: 'a', prompt: 'sleep 60' }) })
      expect(answer.status).toBe(422)
      expect(told.at(-1)).toBe('first undoes 1')
      const line = failing.logged.find((each) => each.includes('could not undo'))
      expect(line).toContain('stuck with [redacted]')
      expect(failing.logged.join('\n')).not.toContain('the-secret-of-the-server')
    } finally {
      await failing.close()
    }
  })
})

describe('what a spawn says of hooks', () => {
  it('leaves one out', async () => {
    expect((await spawn({ hooks: { middle: false } })).status).toBe(201)
    expect(told).toEqual(['outer begins', 'inner begins', 'inner ends', 'outer ends'])
  })

  it('reaches the hook as its schema makes it', async () => {
    let options: unknown
    launches = {
      middle: async (launch, next, context) => {
        ;({ options } = context as HookContext)
        return next(launch)
      },
    }
    await spawn({ hooks: { middle: { depth: { by: 2 } } } })
    expect(options).toEqual({ depth: { by: 2 } })
  })

  it.each([
    [{ nobody: {} }, 'hooks.nobody', 'is not the name of a hook; there is outer, middle, inner'],
    [{ constructor: {} }, 'hooks.constructor', 'is not the name of a hook'],
    [{ outer: {} }, 'hooks.outer', 'takes no options, only false'],
    [{ outer: true }, 'hooks.outer', 'takes no options, only false'],
    [{ middle: { depht: 1 } }, 'hooks.middle.depht', 'is wrong'],
    [{ middle: { depth: { by: 4 } } }, 'hooks.middle.depth.by', 'is wrong'],
    [{ middle: null }, 'hooks.middle', 'is wrong'],
  ])('is checked: %j', async (hooks, field, problem) => {
    const { status, body } = await spawn({ hooks })
    expect({ status, code: body.error.code, field: body.error.data['field'] }).toEqual({ status: 400, code: 'invalid_request', field })
    expect(body.error.message).toContain(`${field} ${problem}`)
    expect(told).toEqual([])
  })

  it('is passed on to children as each hook wants it, and a resumed run has it again', async () => {
    const { body: parent } = await spawn({ hooks: { middle: false, inner: { own: 1 } }, labels: { team: 'a', tier: 'one' } })
    let options: unknown
    launches = { inner: async (launch, next, context) => ((options = (context as HookContext).options), next(launch)) }
    told = []
    const { status, body: child } = await spawn({ parent: parent.name, labels: { tier: 'two' } })
    expect({ status, labels: child.labels, parent: child.parent }).toEqual({
      status: 201,
      labels: { team: 'a', tier: 'two' },
      parent: parent.id,
    })
    expect(told).not.toContain('middle begins')
    expect(options).toEqual({ passed: true })
    await spawn({ parent: parent.name, hooks: { inner: { mine: 2 } } })
    expect(options).toEqual({ mine: 2 })
  })
})

describe('the children of a session', () => {
  it('are counted and bounded in depth, also when many are spawned at once, and less when the parent says so', async () => {
    const { body: parent } = await spawn({ limits: { children: 2, depth: 1 } })
    const all = await Promise.all(Array.from({ length: 6 }, () => spawn({ parent: parent.id })))
    expect(all.map(({ status }) => status).toSorted()).toEqual([201, 201, 429, 429, 429, 429])
    const refused = all.find(({ status }) => status === 429)!
    expect(refused.body.error).toMatchObject({ code: 'too_many_children', data: { limit: 2 } })
    const child = all.find(({ status }) => status === 201)!.body
    const grandchild = await spawn({ parent: child.id, limits: { depth: 5 } })
    expect({ status: grandchild.status, code: grandchild.body.error.code }).toEqual({ status: 422, code: 'too_deep' })
    await app.runtime.end(child.id)
    expect((await spawn({ parent: parent.id })).status).toBe(201)
  })
})

describe('secrets', () => {
  it('that a hook throws are not shown: of the server, of the launch, and of what a hook has added', async () => {
    launches = {
      outer: async (launch, next) => next({ ...launch, env: { ...launch.env, ADDED_PASSWORD: 'added-by-a-hook' } }),
      middle: async () => {
        const error = new Error('the-secret-of-the-server, given-by-request, added-by-a-hook, --token=typed-somewhere, fine')
        throw Object.assign(error, { cause: new Error('given-by-request') })
      },
    }
    const { body } = await spawn({ env: { GIVEN_KEY: 'given-by-request', OTHER: 'fine' } })
    expect(body.error.message).toMatch(/failed: \[redacted\], \[redacted\], \[redacted\], --token=\[redacted\], fine$/)
    expect(app.logged.join('\n')).not.toMatch(/given-by-request|added-by-a-hook|typed-somewhere/)
  })

  it('are not shown in the data of an error either, and nobody gets to read a whole log', async () => {
    launches = {
      middle: async () => {
        throw new InstarError('backend_failed', 'x'.repeat(100_000), { output: 'SOME_SECRET=abcdefgh' }, new Error('SOME_SECRET=abcdefgh'))
      },
    }
    const { body } = await spawn()
    expect(body.error.data['output']).toBe('SOME_SECRET=[redacted]')
    expect(body.error.message.length).toBe(2000)
    expect(app.logged.join('\n')).not.toContain('abcdefgh')
  })

  it('are known to a hook', async () => {
    let shown = ''
    launches = { middle: async (launch, next, context) => ((shown = context.redact('is it given-by-request?')), next(launch)) }
    await spawn({ env: { GIVEN_KEY: 'given-by-request' } })
    expect(shown).toBe('is it [redacted]?')
  })
})

describe('a server that is killed while a hook makes something', () => {
  let project: string
  beforeEach(async () => {
    project = await realpath(await mkdtemp(join(tmpdir(), 'instar-hooks-')))
  })
  afterEach(async () => {
    await endServer(socketName(stateDirectory(project)))
    await rm(project, { recursive: true, force: true, maxRetries: 10 })
  })

  it('is followed by one that unmakes it', async () => {
    await writeFile(
      join(project, 'instar.config.js'),
      `import { defineConfig, defineHook } from 'instar'
       import { mkdirSync, rmSync } from 'node:fs'
       export default defineConfig({
         hooks: [defineHook({
           name: 'maker',
           async launch(launch, next, { keep, session }) {
             await keep({ directory: ${JSON.stringify(project)} + '/made-' + session.name })
             mkdirSync(${JSON.stringify(project)} + '/made-' + session.name)
             return session.name === 'hangs' ? new Promise(() => {}) : next(launch)
           },
           async undo({ directory }) { rmSync(directory, { recursive: true, force: true }) },
         })],
       })`,
    )
    const made = async () => (await readdir(project)).filter((each) => each.startsWith('made')).toSorted()
    const start = async () => {
      const child = foreground(project)
      const url = await listening(child)
      const { auth } = JSON.parse(await readFile(join(stateDirectory(project), 'config.json'), 'utf8')) as { auth: { token: string } }
      const call = (path: string, init: RequestInit = {}) =>
        fetch(url + path, { ...init, headers: { authorization: `Bearer ${auth.token}` } })
      const spawn = (name: string) =>
        call('/sessions/spawn', { method: 'POST', body: JSON.stringify({ name, prompt: 'exec sleep 60', agent: 'shell' }) })
      return { child, call, spawn }
    }
    const first = await start()
    expect((await first.spawn('begins')).status).toBe(201)
    const hanging = first.spawn('hangs').catch(() => null)
    await until(async () => (await made()).length === 2, { what: 'what both have made' })
    first.child.kill('SIGKILL')
    await Promise.all([first.child, hanging])

    const second = await start()
    try {
      await until(async () => (await made()).length === 1, { what: 'the unmaking' })
      expect(await made()).toEqual(['made-begins'])
      const session = async (name: string) => (await (await second.call(`/sessions/${name}`)).json()) as Session
      expect(await session('hangs')).toMatchObject({ status: 'error', reason: 'the server stopped before it was started' })
      expect(await session('begins')).toMatchObject({ status: 'running' })
      await second.call('/sessions/begins', { method: 'DELETE' })
    } finally {
      second.child.kill('SIGTERM')
      await second.child
    }
  })
})

it('of one name are refused when the config is read', () => {
  const twice = { hooks: [scripted('one'), scripted('two'), scripted('one')] }
  expect(() => complete(twice, { backends: {}, hooks: [] })).toThrow(new SettingsError('Cannot use the config: there are two hooks "one"'))
})

it('takes the types of a hook from its schema', () => {
  const hook = defineHook<{ by: number }, { at: string }>({
    name: 'typed',
    options: v.object({ by: v.number() }),
    async launch(launch, next, { options, keep }) {
      await keep({ at: String(options?.by) })
      return next(launch)
    },
  })
  expect(hook.name).toBe('typed')
})
