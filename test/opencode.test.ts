import { execa } from 'execa'
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { opencode } from '../src/plugins/agents/opencode.ts'
import type { Launch, OpenPrompt, Session, Signal, Step } from '../src/runtime/types.ts'
import { sampleLaunch } from './support/hook.ts'
import { lastUserText } from './support/chat.ts'
import { opencodeApp, type OpencodeApp } from './support/opencode.ts'
import { sampleRecord } from './support/session.ts'
import { until } from './support/wait.ts'

const patience = { timeout: 30_000 }
const startMs = 180_000

/** What is done with the session `first` of an app. */
function hands(app: OpencodeApp) {
  const screen = async () => (await app.runtime.output('first', 60)).text
  const prompt = () => until(() => app.runtime.prompts('first')[0], { ...patience, what: 'it asks' })
  return {
    prompt,
    screen,
    press: (...keys: string[]) => app.tmux('send-keys', '-t', '=first:', ...keys),
    shows: (text: string) => until(async () => (await screen()).includes(text), { ...patience, what: `the screen shows "${text}"` }),
    input: (text: string) => app.runtime.input('first', { text }),
    heard: () => lastUserText(app.model.requests.at(-1)!),
    exists: (file: string) =>
      readFile(join(app.project, file)).then(
        () => true,
        () => false,
      ),
    async answer(choice: string | string[], message?: string) {
      const { id } = await prompt()
      return app.runtime.answer('first', id, { choice, message })
    },
    is: (status: Session['status'], rule: string) =>
      until(
        () => {
          const session = app.runtime.get('first')
          return session.status === status && session.evidence.rule === rule && session
        },
        { ...patience, what: `it is ${status} by ${rule}` },
      ),
    /** Says a text, and resolves after the turn. */
    async turn(text: string, meanwhile: () => Promise<unknown> = async () => {}) {
      const before = app.runtime.explain('first').trail.at(-1)!
      await app.runtime.input('first', { text })
      await meanwhile()
      const isOver = (steps: string[]) => steps.includes('chat.message: running') && app.runtime.get('first').status === 'idle' && steps
      return until(() => isOver(since(app, before)), { ...patience, what: 'the turn is over' })
    },
  }
}

/** What was observed since a step, as "rule: status"; what happens often once. */
function since(app: OpencodeApp, step: Step): string[] {
  const { trail } = app.runtime.explain('first')
  const seen = trail.slice(trail.findLastIndex((each) => JSON.stringify(each) === JSON.stringify(step)) + 1)
  return seen.map(({ rule, status }) => `${rule}: ${status}`).filter((each, place, all) => each !== all[place - 1])
}

describe('opencode', () => {
  let app: OpencodeApp
  let { prompt, screen, press, shows, input, heard, exists, answer, is, turn } = {} as ReturnType<typeof hands>

  beforeAll(async () => {
    app = await opencodeApp({ permission: { bash: { '*': 'allow', 'touch *': 'ask' } } })
    ;({ prompt, screen, press, shows, input, heard, exists, answer, is, turn } = hands(app))
    // A plugin of the project's own: ours must merge with it.
    await mkdir(join(app.project, '.opencode/plugin'), { recursive: true })
    await app.usedBefore(join(app.project, '.opencode'))
    await writeFile(
      join(app.project, '.opencode/plugin/own.js'),
      `export default async () => ({ 'chat.message': async () => Bun.write('${join(app.project, 'own-plugin')}', 'x') })`,
    )
    await app.runtime.spawn({ name: 'first', prompt: `"$HOME" 'x' \`y\` #{pane_id}; [say all good] "` })
    await app.reaches('first', 'idle')
  }, startMs)
  afterAll(() => app?.close())

  it('does its first turn as it was asked, with the plugins of the project', async () => {
    expect(heard()).toBe(` "$HOME" 'x' \`y\` #{pane_id}; [say all good] "`)
    expect(app.runtime.get('first')).toMatchObject({ model: 'stand-in/one', evidence: { source: 'hook', rule: 'session.idle' } })
    await shows('all good')
    expect(await exists('own-plugin')).toBe(true)
  })

  const question = (...questions: object[]) => `[tool question ${JSON.stringify({ questions })}]`
  const color = {
    question: 'Which color?',
    header: 'Color',
    options: [
      { label: 'Red', description: 'warm' },
      { label: 'Blue', description: 'cold' },
    ],
  }
  const size = {
    question: 'Which sizes?',
    header: 'Size',
    multiple: true,
    options: [
      { label: 'S', description: 's' },
      { label: 'L', description: 'l' },
    ],
  }
  const agent = (text: string) => `[tool task ${JSON.stringify({ description: 'look', prompt: text, subagent_type: 'general' })}]`
  const long = '[slow 60000] [say a long answer that takes its time and comes in several pieces]'
  const interrupt = () => app.runtime.interrupt('first')
  const pressed = (key: string) => () => prompt().then(() => press(key))

  const begins = ['chat.message: running', 'session.busy: running']
  const calls = [...begins, 'tool.execute.before: running']
  const asks = [...calls, 'permission.asked: waiting']
  const inquires = [...calls, 'question.asked: waiting']
  const allowed = ['permission.replied: running', 'tool.execute.after: running', 'session.idle: idle']
  const over = 'session.idle: idle'
  const answered = 'its hook took the answer: running'

  it.each<[string, string, (() => Promise<unknown>) | undefined, string[]]>([
    ['a turn', '[say hello]', undefined, [...begins, over]],
    ['a tool', '[bash echo x]', undefined, [...calls, 'tool.execute.after: running', over]],
    ['a permission given at the terminal', '[bash touch a]', pressed('Enter'), [...asks, ...allowed]],
    ['a permission given from outside', '[bash touch b]', () => answer('allow'), [...asks, answered, ...allowed]],
    ['a permission dismissed', '[bash touch c]', pressed('Escape'), [...asks, over]],
    ['a permission denied', '[bash touch c]', () => answer('deny'), [...asks, answered, over]],
    ['a permission that is interrupted', '[bash touch c]', () => prompt().then(interrupt), [...asks, over]],
    [
      'a permission denied with words',
      '[bash touch c]',
      () => answer('deny', 'no'),
      [...asks, answered, 'permission.replied: running', over],
    ],
    [
      'a question answered',
      question(color),
      () => answer('Blue'),
      [...inquires, answered, 'question.replied: running', 'tool.execute.after: running', over],
    ],
    ['a question dismissed', question(color), pressed('Escape'), [...inquires, over]],
    ['a question that is denied', question(color), () => answer('deny'), [...inquires, answered, over]],
    ['interrupted while it answers', long, () => shows('a long answer').then(interrupt), [...begins, over]],
    ['interrupted while a tool runs', '[bash sleep 60]', () => is('running', 'tool.execute.before').then(interrupt), [...calls, over]],
    ['an error of the provider', '[fail 400]', undefined, [...begins, over]],
    [
      'a try that is repeated',
      '[fail 503]',
      () => is('running', 'session.retry').then(interrupt),
      [...begins, 'session.retry: running', over],
    ],
    ['a usage limit', '[limit 3600]', () => is('waiting', 'session.retry').then(interrupt), [...begins, 'session.retry: waiting', over]],
    ['a sub-agent', agent('[say found]'), undefined, [...calls, 'tool.execute.after: running', over]],
    ['a sub-agent that asks', agent('[bash touch d]'), () => answer('allow'), [...asks, answered, ...allowed]],
    [
      'a sub-agent that is interrupted',
      agent(long),
      () => until(() => heard() === long, { ...patience, what: 'it works' }).then(interrupt),
      [...calls, over],
    ],
  ])('is what it is: %s', async (_, text, meanwhile, steps) => {
    expect(await turn(text, meanwhile)).toEqual(steps)
  })

  it('has let run what was allowed, and nothing else', async () => {
    expect(await Promise.all(['a', 'b', 'c', 'd'].map(exists))).toEqual([true, true, false, true])
  })

  it('says why a turn failed, and until when a limit lasts', async () => {
    await turn('[fail 400]')
    expect(app.runtime.get('first')).toMatchObject({ status: 'idle', lastError: 'as asked' })
    await turn('[limit 3600]', async () => {
      const { waiting } = await is('waiting', 'session.retry')
      expect(waiting).toMatchObject({ kind: 'limit', message: 'the limit is reached' })
      expect(Math.abs(Date.parse(waiting!.until!) - Date.now() - 3_600_000)).toBeLessThan(30_000)
      await interrupt()
    })
    await turn('[say on]')
    expect(app.runtime.get('first').lastError).toBeNull()
  })

  it('shows what is asked, with the options that opencode has', async () => {
    await turn('[bash touch e; touch f]', async () => {
      const asked = await prompt()
      expect(asked).toMatchObject({
        kind: 'permission',
        tool: 'bash',
        message: 'bash touch e; touch f',
        input: { command: 'touch e; touch f' },
      })
      expect(asked.options).toEqual([
        { id: 'allow', label: 'Allow once' },
        { id: 'always', label: 'Allow always: touch *' },
        { id: 'deny', label: 'Reject' },
      ])
      await answer('deny', 'not with touch')
      await expect(app.runtime.answer('first', asked.id, { choice: 'allow' })).rejects.toMatchObject({ code: 'prompt_closed' })
    })
    expect(JSON.stringify(app.model.requests.at(-1)!.messages)).toContain('not with touch')
    await turn(question(color, size), async () => {
      const asked = await prompt()
      expect(asked).toMatchObject({ kind: 'question', message: 'Which color?\nWhich sizes?' })
      expect(asked.options.map(({ id }) => id)).toEqual(['Red', 'Blue', 'S', 'L', 'other', 'deny'])
      await answer(['other', 'L'], 'Green')
    })
    expect(JSON.stringify(app.model.requests.at(-1)!.messages)).toMatch(/Which color\?.{1,9}Green.*Which sizes\?.{1,9}L/)
    await turn(question(size), () => answer(['S', 'L']))
    expect(JSON.stringify(app.model.requests.at(-1)!.messages)).toMatch(/Which sizes\?.{1,9}S, L/)
  })

  it('keeps a prompt when another server takes over', async () => {
    await turn('[bash touch g]', async () => {
      const asked = await prompt()
      await app.restart()
      expect(app.runtime.prompts('first')).toEqual([asked])
      await answer('allow')
    })
    expect(await exists('g')).toBe(true)
  })

  it.each([
    ['blanks at both ends', '  \n one\n two\n  three\n', '  \n one\n two\n  three '],
    ['a long line', 'word '.repeat(900).trim(), `${'word '.repeat(900).trim()} `],
    ['what is the path of an image', 'picture.png', 'picture.png'],
    ['the beginning of a name', 'look at @own', 'look at @own '],
    ['what is a command', '/compact', ' /compact'],
    ['what would be a shell line', '!touch must-not-exist', '!touch must-not-exist'],
    ['what would quit', 'exit', 'exit.'],
  ])('takes %s for a text', async (_, text, said) => {
    await writeFile(join(app.project, 'picture.png'), 'not read')
    await turn(text)
    expect(heard()).toBe(said)
  })

  it('types nothing where a person has left something', async () => {
    const left = (draft: string) => expect(input('x')).rejects.toMatchObject({ code: 'composer_in_use', data: { draft } })
    const gone = async (text: string, key: string) => {
      await press(key)
      await until(async () => !(await screen()).includes(text), { ...patience, what: `"${text}" is gone` })
    }
    await press('-l', '漢字 a draft @ow')
    // With the list of what could be completed.
    await shows('own-plugin')
    await left('漢字 a draft @ow')
    await gone('own-plugin', 'Escape')
    await gone('a draft', 'C-u')
    await press('!')
    await shows('exit shell mode')
    await left('!')
    await gone('exit shell mode', 'Escape')
    await press('C-p')
    await shows('Commands')
    await expect(input('x')).rejects.toMatchObject({ code: 'session_waiting' })
    await gone('Commands', 'Escape')
    await turn('[say free]')
    // What it would mean if nothing had been told.
    await until(async () => !(await screen()).includes('esc interrupt'), { ...patience, what: 'the screen is that of an idle one' })
    expect(opencode().startup!.read(await screen(), '')).toMatchObject({ type: 'rested', evidence: { source: 'screen' } })
  })

  it('tells what was said, and what it cost with its sub-agents', async () => {
    const before = app.runtime.get('first').usage!
    await turn(agent('[bash echo inside]'))
    expect((await app.runtime.messages('first')).slice(-4)).toMatchObject([
      { role: 'user', text: agent('[bash echo inside]') },
      { role: 'assistant', tools: [{ name: 'task', input: { prompt: '[bash echo inside]' } }] },
      { role: 'tool', text: expect.stringContaining('done') },
      { role: 'assistant', text: 'done', usage: { inputTokens: 10, outputTokens: 5, costUsd: 0.000105 } },
    ])
    // Two answers of its own and two of the sub-agent's.
    await until(() => app.runtime.get('first').usage!['inputTokens'] === before['inputTokens']! + 40, {
      ...patience,
      what: 'the whole cost',
    })
  })

  it('runs beside another in the same place', async () => {
    const { trail } = app.runtime.explain('first')
    await app.runtime.spawn({ name: 'other', prompt: '[bash echo x]' })
    await app.reaches('other', 'idle')
    expect(app.runtime.explain('first').trail).toEqual(trail)
    await app.runtime.end('other')
  })

  it.runIf(process.platform === 'linux')('opens no port', async () => {
    const pids = (await execa('pgrep', ['-f', '--', `--prompt= "[$]HOME" 'x'`])).stdout.split('\n')
    const open = pids.map(async (pid) =>
      Promise.all((await readdir(`/proc/${pid}/fd`)).map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))),
    )
    const files = (await Promise.all(open)).flat()
    expect(files.length).toBeGreaterThan(10)
    const table = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/${pids[0]}/net/${name}`, 'utf8')))
    const rows = table
      .join('\n')
      .split('\n')
      .map((row) => row.trim().split(/\s+/))
    const listening = rows.filter((row) => row[3] === '0A').map((row) => `socket:[${row[9]}]`)
    expect(files.filter((file) => listening.includes(file))).toEqual([])
  })

  it(
    'follows a person into a new conversation, and goes on with that',
    async () => {
      const command = async (name: string) => {
        await press('-l', name)
        await shows(`${name} `)
        await press('Enter')
      }
      const before = app.runtime.explain('first').trail.at(-1)!
      await command('/compact')
      await until(() => since(app, before).length === 2, { ...patience, what: 'it is compacted' })
      expect(since(app, before)).toEqual(['session.busy: running', 'session.idle: idle'])
      await command('/new')
      await shows('Ask anything…')
      // The old screen goes line by line.
      await until(async () => opencode().draft!(await screen()) === '', { ...patience, what: 'an empty composer' })
      await turn('[say anew]')
      expect(app.model.requests.at(-1)!.messages.filter(({ role }) => role === 'user')).toHaveLength(1)

      await command('/exit')
      expect(await app.reaches('first', 'completed', 'error')).toMatchObject({ status: 'completed', exitCode: 0 })
      await app.runtime.resume('first', {})
      expect((await app.reaches('first', 'idle')).evidence).toMatchObject({ source: 'screen' })
      await turn('and then?')
      expect(app.model.requests.at(-1)!.messages.filter(({ role }) => role === 'user')).toHaveLength(2)
      expect(await app.runtime.messages('first')).toMatchObject([
        { text: '[say anew]' },
        { text: 'anew' },
        { text: 'and then?' },
        { role: 'assistant' },
      ])
      expect(app.runtime.get('first').usage).toMatchObject({ inputTokens: 10 })

      await app.runtime.end('first')
      await app.runtime.resume('first', { prompt: `/x\n${'y'.repeat(150_000)}` })
      await app.reaches('first', 'idle')
      expect(heard()).toBe(`/x\n${'y'.repeat(150_000)}`)
      expect(app.model.requests.at(-1)!.messages.filter(({ role }) => role === 'user')).toHaveLength(3)
    },
    startMs,
  )

  it(
    'goes on as the agent that it was',
    async () => {
      const isPlan = (text: string) =>
        JSON.stringify(app.model.requests.findLast((each) => lastUserText(each) === text)).includes('# Plan Mode')
      await app.runtime.spawn({ name: 'planner', prompt: 'make a plan', args: ['--agent', 'plan'] })
      await app.reaches('planner', 'idle')
      expect(isPlan('make a plan')).toBe(true)
      await app.runtime.end('planner')
      await app.runtime.resume('planner', { prompt: 'make another' })
      await app.reaches('planner', 'idle')
      expect(isPlan('make another')).toBe(true)
      await app.runtime.end('planner')
    },
    startMs,
  )

  it(
    'takes a prompt that is too long for an argument from a file, and is an error when it is killed',
    async () => {
      await app.runtime.spawn({ name: 'long', prompt: `${'x'.repeat(200_000)} end` })
      await app.reaches('long', 'idle')
      const file = /Read the file (\S+):/.exec(heard())![1]!
      expect(await readFile(file, 'utf8')).toMatch(/^x{200000} end$/)
      const [pid] = (await execa('pgrep', ['-f', '--', `--prompt=Read the file ${file}`])).stdout.split('\n')
      process.kill(Number(pid), 'SIGKILL')
      expect(await app.reaches('long', 'completed', 'error')).toMatchObject({ status: 'error', signal: 'SIGKILL' })
    },
    startMs,
  )

  it('writes nothing of the user’s', async () => {
    const settings = await readdir(join(app.home, '.config/opencode'))
    expect(settings.toSorted()).toEqual(['.gitignore', 'node_modules', 'opencode.json', 'package-lock.json', 'package.json'])
    expect(await readFile(join(app.home, '.config/opencode/opencode.json'), 'utf8')).not.toContain('plugin')
  })
})

it(
  'does not wait where opencode itself allows, and asks no other model than the one it was given',
  async () => {
    const app = await opencodeApp({ auto: true, permission: { bash: 'ask' } })
    try {
      await app.runtime.spawn({ name: 'first', prompt: '[bash touch allowed]' })
      await app.reaches('first', 'idle')
      expect(app.runtime.explain('first').trail.map(({ status }) => status)).not.toContain('waiting')
      await expect(readFile(join(app.project, 'allowed'), 'utf8')).resolves.toBe('')
      await app.runtime.end('first')

      const { length } = app.model.requests
      await app.runtime.spawn({ name: 'first', prompt: 'hi', model: 'stand-in/two' })
      expect(await app.reaches('first', 'idle')).toMatchObject({
        lastError: 'opencode does not know the model stand-in/two, and would have asked stand-in/one',
      })
      const again = () => app.runtime.input('first', { text: 'once more' })
      await until(async () => (await again()) && true, { ...patience, what: 'it takes a text' })
      expect(app.model.requests).toHaveLength(length)
    } finally {
      await app.close()
    }
  },
  startMs,
)

it(
  'tells that it needs a login, by what the screen shows',
  async () => {
    const app = await opencodeApp({ env: { OPENCODE_CONFIG_CONTENT: '{"enabled_providers":["none"]}' } })
    try {
      await app.runtime.spawn({ name: 'first', prompt: 'hi' })
      await hands(app).shows('Search')
      const { text } = await app.runtime.output('first', 60)
      expect(opencode().startup!.read(text, '2026-01-01T00:00:00.000Z')).toMatchObject({
        type: 'asked',
        waiting: { kind: 'login' },
        evidence: { source: 'screen' },
      })
      expect(app.runtime.get('first').status).toBe('starting')
    } finally {
      await app.close()
    }
  },
  startMs,
)

describe('what its signals mean', () => {
  const at = '2026-01-01T00:00:00.000Z'
  const read = (event: string, payload: unknown, prompts: readonly OpenPrompt[] = []) =>
    opencode().read({ type: 'signal', signal: { event, payload, at } satisfies Signal }, { ...sampleRecord(), prompts })
  const open: OpenPrompt = { id: '1-2', mailbox: '1-2', kind: 'permission', message: 'm', options: [], openedAt: at, details: 'per_1' }

  it.each<[string, unknown, readonly OpenPrompt[], object | null]>([
    ['session.busy', {}, [], { type: 'working' }],
    ['session.busy', {}, [open], null],
    ['tool.execute.after', { tool: 'bash' }, [open], null],
    ['session.retry', { message: 'm', next: Date.parse(at) + 30_000 }, [], { type: 'working' }],
    [
      'session.retry',
      { message: 'm', next: Date.parse(at) + 90_000 },
      [],
      { type: 'turn_failed', error: 'm', waiting: { kind: 'limit', until: '2026-01-01T00:01:30.000Z' } },
    ],
    ['session.retry', { message: 'm', next: Date.parse(at) + 90_000 }, [open], null],
    ['session.idle', {}, [open], { type: 'rested' }],
    ['session.idle', { error: { name: 'MessageAbortedError', message: 'Aborted' } }, [], { type: 'rested' }],
    ['session.idle', { error: { name: 'APIError' } }, [], { type: 'turn_failed', error: 'APIError' }],
    ['permission.replied', { id: 'per_1' }, [open], { type: 'settled', prompt: '1-2' }],
    ['permission.replied', { id: 'per_2' }, [open], null],
    // Without a mailbox it can only be answered at the terminal.
    [
      'permission.asked',
      { id: 'per_3', permission: 'edit', patterns: ['a.txt'] },
      [],
      { type: 'asked', prompt: { id: 'per_3', message: 'edit a.txt', options: [] } },
    ],
    ['something.new', {}, [], null],
    ['session.idle', 'not an object', [], null],
  ])('%s %j', (event, payload, prompts, meaning) => {
    const event_ = read(event, payload, prompts)
    if (meaning === null) expect(event_).toBeNull()
    else expect(event_).toMatchObject(meaning)
  })
})

describe('how it is started', () => {
  const launch: Launch = { ...sampleLaunch, prompt: 'p' }
  const settings = (env: Readonly<Record<string, string>>) => JSON.parse(env['OPENCODE_CONFIG_CONTENT']!) as Record<string, unknown>

  it('asks for nothing that the user did not configure', () => {
    const { argv, env, files, titles } = opencode().plan(launch, '/d')
    expect(argv).toEqual(['opencode', '--prompt=p'])
    expect(Object.keys(env).toSorted()).toEqual(['OPENCODE_CONFIG_CONTENT', 'OPENCODE_DISABLE_AUTOUPDATE', 'OTUI_USE_ALTERNATE_SCREEN'])
    expect(settings(env)).toEqual({ plugin: [['/d/plugin.js', { resume: null, guards: [], auto: false }]] })
    expect(Object.keys(files)).toEqual(['plugin.js'])
    expect(titles).toBe(false)
  })

  it('keeps what the user has set in the same variable', () => {
    const given = { plugin: ['theirs'], permission: 'allow', theme: 'x' }
    const { env } = opencode({ permission: { bash: 'ask' } }).plan(
      { ...launch, env: { OPENCODE_CONFIG_CONTENT: JSON.stringify(given) } },
      '/d',
    )
    expect(settings(env)).toEqual({
      theme: 'x',
      plugin: ['theirs', ['/d/plugin.js', expect.anything()]],
      permission: { '*': 'allow', bash: 'ask' },
    })
    const wrong = () => opencode().plan({ ...launch, env: { OPENCODE_CONFIG_CONTENT: '[1]' } }, '/d')
    expect(wrong).toThrow('Cannot spawn a session: OPENCODE_CONFIG_CONTENT is not a JSON object')
  })
})
