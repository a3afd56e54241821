import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { gemini, geminiHooks } from '../src/plugins/agents/gemini.ts'
import type { Launch, OpenPrompt, Session, SessionRecord, Signal } from '../src/runtime/types.ts'
import { sampleLaunch } from './support/hook.ts'
import { geminiApp, rootsDirectory, type GeminiApp } from './support/gemini.ts'
import { lastUserText } from './support/google.ts'
import { sampleRecord } from './support/session.ts'
import { pass, until } from './support/wait.ts'

const patience = { timeout: 20_000 }

/** What is done with the session `first` of an app, whose statuses are recorded. */
function hands(app: GeminiApp) {
  let seen: string[] = []
  const record = () => {
    const { status, evidence } = app.runtime.get('first')
    if (!seen.at(-1)?.startsWith(`${status} `)) seen.push(`${status} by ${evidence.rule}`)
  }
  const recorder = setInterval(record, 5)
  const screen = async () => (await app.runtime.output('first', 60)).text
  const press = (...keys: string[]) => app.tmux('send-keys', '-t', '=first:', ...keys)
  const shows = (text: string) => until(async () => (await screen()).includes(text), { ...patience, what: `the screen shows "${text}"` })
  const is = (...statuses: Session['status'][]) => app.reaches('first', ...statuses)
  return {
    screen,
    press,
    shows,
    is,
    heard: () => lastUserText(app.model.requests.at(-1)!),
    prompt: () => until(() => app.runtime.prompts('first')[0], { ...patience, what: 'it asks' }),
    answer: (id: string, choice: string, message?: string) => app.runtime.answer('first', id, { choice, message }),
    async begin(prompt = '[say ready]', ...statuses: Session['status'][]) {
      await app.runtime.spawn({ name: 'first', prompt })
      return statuses.length > 0 ? is(...statuses) : is('idle')
    },
    async say(text: string) {
      const before = app.model.requests.length
      const { stage } = await app.runtime.input('first', { text })
      await until(() => app.model.requests.length > before, { ...patience, what: `the model hears "${text}"` })
      return stage
    },
    /** A person types a command and Enter, which right after a character would be a new line. */
    async command(text: string) {
      await press('-l', text)
      await shows(text)
      await pass(100)
      await press('Enter')
    },
    /** What it was since `forget`, each status once with what told of it first. */
    course(): string[] {
      record()
      return seen
    },
    forget() {
      record()
      seen = seen.slice(-1)
    },
    async close() {
      clearInterval(recorder)
      await app.close()
    },
  }
}
type Hands = ReturnType<typeof hands>

describe('Gemini CLI', () => {
  let app: GeminiApp
  let it_: Hands

  beforeAll(async () => {
    app = await geminiApp({ approvalMode: 'default' })
    // A hook of the project's own: ours must merge with it.
    await mkdir(join(app.project, '.gemini'))
    const command = `cat >>'${join(app.project, 'own-hook')}'`
    await writeFile(
      join(app.project, '.gemini/settings.json'),
      JSON.stringify({ hooks: { BeforeAgent: [{ hooks: [{ type: 'command', command }] }] } }),
    )
    await writeFile(join(app.project, 'notes.txt'), 'what stands in a file')
    await app.runtime.spawn({ name: 'first', prompt: '"-- $HOME `x` #{pane_id}; [say all good]"' })
    it_ = hands(app)
    await it_.is('idle')
  })
  afterAll(() => it_?.close())

  it('does its first turn with the prompt as it is, and a hook of the project runs as well', async () => {
    expect(it_.heard()).toBe('"-- $HOME `x` #{pane_id}; [say all good]"')
    expect(await readFile(join(app.project, 'own-hook'), 'utf8')).toContain('all good')
  })

  /** What is done, and what the session is by that, each time with what told it first. */
  const cases: [what: string, act: () => Promise<unknown>, course: RegExp[]][] = [
    ['a turn', () => it_.say('[slow 300] hello'), [/^running by (BeforeAgent|its title says Working)$/, /^idle by AfterAgent$/]],
    [
      'a permission that is given',
      async () => {
        await it_.say('[bash touch allowed]')
        await it_.answer((await it_.prompt()).id, 'allow')
      },
      [/^running by /, /^waiting by Notification$/, /^running by its title says Working$/, /^idle by AfterAgent$/],
    ],
    [
      'a permission that is denied, which ends the turn, and what is said with it begins another',
      async () => {
        await it_.say('[bash touch denied]')
        await it_.answer((await it_.prompt()).id, 'deny', '[say understood] rather not')
        await until(() => it_.heard().includes('rather not'), { ...patience, what: 'the model hears why' })
      },
      [
        /^running by /,
        /^waiting by Notification$/,
        /^idle by its transcript says that the turn was cancelled$/,
        /^running by /,
        /^idle by AfterAgent$/,
      ],
    ],
    [
      'Esc at a permission, which no hook tells',
      async () => {
        await it_.say('[bash touch left]')
        await it_.shows('Allow execution of')
        await it_.press('Escape')
      },
      [/^running by /, /^waiting by Notification$/, /^idle by its t(ranscript says that the turn was cancelled|itle says Ready)$/],
    ],
    [
      'Esc in the middle of a tool, which no hook tells',
      async () => {
        await it_.say('[bash touch began; sleep 60]')
        await it_.answer((await it_.prompt()).id, 'allow')
        await until(() => readFile(join(app.project, 'began')), { ...patience, what: 'the tool runs' })
        await app.runtime.interrupt('first')
      },
      [
        /^running by /,
        /^waiting by Notification$/,
        /^running by its title says Working$/,
        /^idle by its t(ranscript says that the turn was cancelled|itle says Ready)$/,
      ],
    ],
    ['a turn that fails', () => it_.say('[fail 400]'), [/^running by /, /^idle by its transcript tells of an error$/]],
    ['a turn that is tried again', () => it_.say('[stumble 503]'), [/^running by /, /^idle by AfterAgent$/]],
    [
      'a command in shell mode, which no hook tells',
      async () => {
        await it_.press('!')
        await it_.shows('shell mode enabled')
        await expect(app.runtime.input('first', { text: 'rm -rf /' })).rejects.toMatchObject({ code: 'session_waiting' })
        await it_.command('sleep 1; echo from shell mode')
        await it_.is('running')
        await it_.is('idle')
        await it_.press('Escape')
      },
      [/^running by its title says Working$/, /^idle by its title says Ready$/],
    ],
    ['/compress', () => it_.command('/compress'), [/^running by PreCompress$/, /^idle by its transcript tells of a compression$/]],
    [
      '/clear',
      async () => {
        await it_.command('/clear')
        await until(async () => !(await it_.screen()).includes('/compress'), { ...patience, what: 'a clear screen' })
      },
      [],
    ],
  ]
  it.each(cases)('tells of %s', async (_, act, course) => {
    await it_.is('idle')
    it_.forget()
    await act()
    await until(() => it_.course().length > course.length, { ...patience, what: `more than ${it_.course().join(', ')}` })
    await it_.shows('Type your message')
    expect(it_.course().slice(1)).toEqual(course.map((each) => expect.stringMatching(each) as string))
  })

  it('asks about tools that were called at once one after another, and each answer is for its tool', async () => {
    const names = ['one', 'two', 'three']
    await it_.say(names.map((name) => `[bash touch ${name}]`).join(' '))
    const asked: string[] = []
    for (const _ of names) {
      const prompt = await until(() => app.runtime.prompts('first').find(({ id }) => !asked.includes(id)), { ...patience, what: 'it asks' })
      expect(app.runtime.prompts('first')).toHaveLength(1)
      asked.push(prompt.id)
      await it_.answer(prompt.id, prompt.message.includes('two') ? 'deny' : 'allow')
    }
    await it_.is('idle')
    const made = await Promise.all(
      names.map((name) =>
        readFile(join(app.project, name)).then(
          () => true,
          () => false,
        ),
      ),
    )
    expect(made).toEqual([true, false, true])
  })

  it('is idle when it is interrupted while two tools ask', async () => {
    await it_.say('[bash touch four] [bash touch five]')
    await it_.prompt()
    await until(
      async () => {
        await app.runtime.interrupt('first')
        return app.runtime.get('first').status === 'idle'
      },
      { ...patience, what: 'it is idle' },
    )
    await it_.shows('Type your message')
    expect(app.runtime.prompts('first')).toEqual([])
    expect(await it_.say('and now?')).toMatch(/^(submitted|started)$/)
    await it_.is('idle')
  })

  it('offers what its dialog offers', async () => {
    await it_.say('[bash touch for-the-session]')
    const { options, ...prompt } = await it_.prompt()
    expect(prompt).toMatchObject({ kind: 'permission', tool: 'run_shell_command', input: { command: 'touch for-the-session' } })
    await it_.shows('Allow once')
    const screen = await it_.screen()
    for (const [place, { label }] of options.entries()) expect(screen).toContain(`${place + 1}. ${label}`)
    await it_.answer((await it_.prompt()).id, 'session')
    await it_.is('idle')
    await it_.say('[bash touch for-the-session-too]')
    await it_.is('idle')
    await readFile(join(app.project, 'for-the-session-too'))
  })

  it('asks whether it may change a file', async () => {
    await it_.say('[tool write_file {"file_path":"changed.txt","content":"new"}]')
    const { id, message, options } = await it_.prompt()
    expect(message).toContain('changed.txt')
    expect(options.map((option) => option.id)).toEqual(['allow', 'deny'])
    await it_.answer(id, 'allow')
    await it_.is('idle')
    expect(await readFile(join(app.project, 'changed.txt'), 'utf8')).toBe('new')
  })

  it('asks several questions, which only its terminal can answer', async () => {
    const questions = ['First?', 'Second?'].map((question) => ({
      question,
      header: question,
      type: 'choice',
      options: [
        { label: 'Yes', description: 'y' },
        { label: 'No', description: 'n' },
      ],
    }))
    await it_.say(`[tool ask_user ${JSON.stringify({ questions })}]`)
    const prompt = await it_.prompt()
    expect(prompt).toMatchObject({ kind: 'question', message: 'First?\nSecond?', options: [] })
    await expect(it_.answer(prompt.id, '1')).rejects.toMatchObject({ code: 'invalid_request' })
    await it_.shows('Answer Questions')
    await it_.press('Escape')
    await it_.is('idle')
  })

  it.each([
    ['a command', '/help me'],
    ['a path', '/etc/hostname is a file'],
    ['a file outside of the workspace', 'see @/etc/hostname and @../x'],
    ['an address', 'me@example.com wrote'],
    ['what would be a shell line', '!touch must-not-exist'],
    ['what would continue a line', 'ends with a backslash \\'],
    ['what is shown as pasted', 'x\n'.repeat(40) + 'y'],
    ['control bytes', 'a\x1b[201~b\x03c'],
  ])('takes %s as it is', async (_, text) => {
    expect(await it_.say(text)).toMatch(/^(submitted|started)$/)
    expect(it_.heard().replaceAll('\u2060', '')).toBe(text.replaceAll(/[\x00-\x08\x0b-\x1f]/g, '').trim())
    await it_.is('idle')
  })

  it('still reads a file of the workspace that a text names', async () => {
    await it_.say('what about @notes.txt then')
    expect(JSON.stringify(app.model.requests.at(-1)!.contents.at(-1))).toContain('what stands in a file')
    await it_.is('idle')
  })

  it('types nothing into a dialog that nothing tells of', async () => {
    await it_.say('[limit 4000]')
    await it_.shows('Usage limit reached')
    await expect(app.runtime.input('first', { text: 'hello?' })).rejects.toMatchObject({ code: 'session_waiting' })
    await it_.press('2')
    const { waiting, lastError } = await it_.is('waiting')
    expect(waiting).toMatchObject({ kind: 'limit' })
    expect(lastError).toContain('quota')
    expect((Date.parse(waiting!.until!) - Date.now()) / 1000).toBeGreaterThan(3900)
    await it_.shows('Type your message')
    await it_.say('again')
    await it_.is('idle')
  })

  it('hears nothing of another gemini that runs in its tools', async () => {
    const bundle = join(dirname(createRequire(import.meta.url).resolve('@google/gemini-cli/package.json')), 'bundle/gemini.js')
    const { id } = app.runtime.get('first')
    const begun = async () =>
      (await readFile(join(app.state, 'sessions', id, 'signals.jsonl'), 'utf8')).split('"hook":"BeforeAgent"').length
    const before = await begun()
    await it_.say(`[bash node ${bundle} -m gemini-2.5-flash -p 'said from inside']`)
    await it_.answer((await it_.prompt()).id, 'allow')
    await until(() => app.model.requests.some((request) => lastUserText(request) === 'said from inside'), {
      ...patience,
      what: 'the other gemini asks',
    })
    await it_.is('idle')
    expect(await begun()).toBe(before + 1)
  })

  it('writes nothing into the user’s settings', async () => {
    const settings = JSON.parse(await readFile(join(app.home, '.gemini/settings.json'), 'utf8')) as Record<string, unknown>
    expect(settings['hooks']).toEqual(JSON.parse(JSON.stringify(geminiHooks)))
    expect(Object.keys(settings).toSorted()).toEqual(['general', 'hooks', 'privacy', 'security'])
    await expect(readFile(join(app.home, '.gemini/trustedFolders.json'))).rejects.toThrow('ENOENT')
  })

  it('completes with /quit', async () => {
    await it_.command('/quit')
    expect(await it_.is('completed', 'error')).toMatchObject({ status: 'completed', exitCode: 0 })
  })

  it('takes a prompt that is too long for an argument from a file', async () => {
    await app.runtime.spawn({ name: 'long', prompt: `${'x'.repeat(200_000)} end` })
    await app.reaches('long', 'idle')
    const file = /Read the file (\S+):/.exec(it_.heard())![1]!
    expect(await readFile(file, 'utf8')).toMatch(/^x{200000} end$/)
    await app.runtime.end('long')
  })

  it('takes a prompt that is a command or an option as it is', async () => {
    for (const prompt of ['/help', '--yolo']) {
      await app.runtime.spawn({ name: 'word', prompt })
      await app.reaches('word', 'idle')
      expect(it_.heard().replaceAll('\u2060', '')).toBe(prompt)
      await app.runtime.end('word')
    }
  })
})

describe('Gemini CLI whose hooks do not run', () => {
  it('is known by its title, without details', async () => {
    const app = await geminiApp({ approvalMode: 'default' }, { ours: false })
    const first = hands(app)
    try {
      await app.runtime.spawn({ name: 'first', prompt: '[slow 500] begin' })
      await first.is('idle')
      await first.say('[bash touch asked]')
      expect(await first.is('waiting')).toMatchObject({ waiting: { kind: 'permission' }, evidence: { source: 'screen' } })
      expect(app.runtime.prompts('first')).toEqual([])
      await first.shows('Allow once')
      await first.press('1')
      await first.is('idle')
      await first.say('[bash touch left]')
      await first.is('waiting')
      await first.shows('Allow once')
      await first.press('Escape')
      await first.is('idle')
      expect(first.course().map((each) => each.split(' ')[0])).toEqual(
        'starting running idle running waiting running idle running waiting idle'.split(' '),
      )
    } finally {
      await first.close()
    }
  })

  it('tells of its trust dialog, behind which it works already, and starts again when it is answered', async () => {
    const app = await geminiApp({ trust: false })
    const first = hands(app)
    try {
      await app.runtime.spawn({ name: 'first', prompt: '[say hello]' })
      expect(await first.is('waiting')).toMatchObject({ waiting: { kind: 'trust' }, evidence: { source: 'screen' } })
      const prompt = await first.prompt()
      expect(prompt.options.map(({ label }) => label)).toEqual([
        'Trust folder (project)',
        expect.stringContaining('Trust parent folder') as string,
        "Don't trust",
      ])
      expect(app.model.requests).toHaveLength(1)
      await first.answer(prompt.id, '1')
      await first.is('idle')
      expect(app.model.requests).toHaveLength(2)
      // From now on the folder is trusted, and its hooks run.
      await first.say('and now?')
      expect((await first.is('idle')).evidence).toMatchObject({ source: 'hook', rule: 'AfterAgent' })
    } finally {
      await first.close()
    }
  })

  it('tells that it needs a login', async () => {
    const app = await geminiApp({}, { settings: { security: {} }, environment: { GEMINI_API_KEY: '' } })
    const first = hands(app)
    try {
      await app.runtime.spawn({ name: 'first', prompt: 'hello' })
      expect(await first.is('waiting')).toMatchObject({ waiting: { kind: 'login' }, evidence: { source: 'screen' } })
      expect((await first.prompt()).options.map(({ label }) => label)).toContain('Use Gemini API Key')
    } finally {
      await first.close()
    }
  })
})

it('tells by hooks that nobody put into his settings, where root runs it', async (context) => {
  const directory = await rootsDirectory()
  if (directory === null) return context.skip('gemini takes system defaults only from root')
  const app = await geminiApp({ defaults: true }, { ours: false, directory })
  try {
    await app.runtime.spawn({ name: 'first', prompt: 'hello' })
    expect((await app.reaches('first', 'idle')).evidence).toMatchObject({ source: 'hook', rule: 'AfterAgent' })
  } finally {
    await app.close()
  }
})

describe('what its hooks mean', () => {
  const at = '2026-01-01T00:00:00.000Z'
  const prompt: OpenPrompt = {
    id: '1',
    mailbox: '1-1',
    kind: 'permission',
    message: 'run_shell_command ls',
    tool: 'run_shell_command',
    input: { command: 'ls' },
    options: [],
    openedAt: at,
    details: { shown: true },
  }
  const running = sampleRecord({ status: 'running' })
  const idle = sampleRecord({ status: 'idle' })
  const asking = sampleRecord({ status: 'waiting', waiting: { kind: 'permission', message: 'm' } }, { prompts: [prompt] })
  const failed = sampleRecord({ status: 'idle', lastError: 'e', evidence: { source: 'transcript', rule: 'r', at } })
  const details = { type: 'exec', title: 't', command: 'ls' }
  const read = (event: string, payload: unknown, record: SessionRecord) =>
    gemini().read({ type: 'signal', signal: { event, payload, at: '2026-01-01T00:00:01.000Z' } satisfies Signal }, record)

  it.each([
    ['BeforeAgent', {}, idle, 'working'],
    ['AfterAgent', {}, running, 'rested'],
    ['AfterAgent', {}, failed, undefined],
    ['SessionStart', {}, sampleRecord({ status: 'starting', prompt: '' }), 'rested'],
    ['SessionStart', {}, sampleRecord({ status: 'starting' }), undefined],
    ['BeforeTool', { tool_name: 'read_file' }, running, 'working'],
    ['BeforeTool', { tool_name: 'read_file' }, asking, undefined],
    ['AfterTool', { tool_name: 'read_file' }, asking, undefined],
    ['AfterTool', { tool_name: 'run_shell_command', tool_input: { command: 'pwd' } }, asking, undefined],
    ['AfterTool', { tool_name: 'run_shell_command', tool_input: { command: 'ls' } }, asking, 'working'],
    // It is told when the turn was cancelled already.
    ['AfterTool', {}, idle, undefined],
    ['Notification', { notification_type: 'ToolPermission', details }, running, 'asked'],
    ['Notification', { notification_type: 'ToolPermission', details }, idle, undefined],
    ['PreCompress', { trigger: 'auto' }, running, undefined],
    ['PreCompress', { trigger: 'manual' }, idle, 'working'],
    ['SomethingNew', {}, running, undefined],
    ['AfterAgent', 'not an object', running, undefined],
    ['BeforeTool', { tool_name: 1 }, running, undefined],
  ])('%s %j', (event, payload, record, type) => {
    expect(read(event, payload, record)?.type).toBe(type)
  })

  it('lets nobody answer what it cannot tell apart', () => {
    expect(read('Notification', { details: { ...details, command: 'pwd' } }, asking)).toMatchObject({
      prompt: { id: '1', message: 'run_shell_command ls\nrun_shell_command pwd', options: [] },
    })
  })
})

describe('what its titles mean', () => {
  const at = '2026-01-01T00:00:00.000Z'
  const read = (title: string, session: Partial<Session>, record: Partial<SessionRecord> = {}, trust = false) =>
    gemini({ trust }).read({ type: 'title', title, at: '2026-01-01T00:00:01.000Z' }, sampleRecord(session, record))
  const hook = (rule: string, when = at) => ({ source: 'hook', rule, at: when }) as const

  it.each([
    ['◇  Ready (x)', { status: 'running' }, 'rested'],
    ['✦  Working… (x)', { status: 'idle' }, 'working'],
    ['⏲  Working… (x)', { status: 'idle' }, 'working'],
    ['✋  Action Required (x)', { status: 'running' }, 'asked'],
    ['◇  Ready (x)', { status: 'idle' }, undefined],
    ['Gemini CLI (x)', { status: 'running' }, undefined],
    ['', { status: 'running' }, undefined],
    // Told late, of a turn that is over.
    ['✦  Working… (x)', { status: 'idle', evidence: hook('AfterAgent', '2026-01-01T00:00:00.900Z') }, undefined],
    // Older than what is known.
    ['◇  Ready (x)', { status: 'running', evidence: hook('BeforeAgent', '2026-01-01T00:00:02.000Z') }, undefined],
    // A dialog may be in front of it.
    ['◇  Ready (x)', { status: 'starting' }, undefined],
    ['✦  Working… (x)', { status: 'starting' }, undefined],
    ['◇  Ready (x)', { status: 'waiting', waiting: { kind: 'trust', message: 'm' } }, undefined],
    ['✦  Working… (x)', { status: 'waiting', waiting: { kind: 'trust', message: 'm' } }, 'working'],
  ] as [string, Partial<Session>, string | undefined][])('%s %j', (title, session, type) => {
    expect(read(title, session)?.type).toBe(type)
  })

  it('tells of a dialog’s end only when it told of the dialog', () => {
    const session = { status: 'waiting', waiting: { kind: 'permission', message: 'm' } } as const
    const prompt = {
      id: '1',
      mailbox: null,
      kind: 'permission',
      message: 'm',
      options: [],
      openedAt: at,
      details: { shown: false },
    } as const
    expect(read('✦  Working… (x)', session, { prompts: [prompt] })).toBeNull()
    const shown = read('✋  Action Required (x)', session, { prompts: [prompt] }) as { prompt: OpenPrompt }
    expect(shown.prompt).toEqual({ ...prompt, details: { shown: true } })
    expect(read('✦  Working… (x)', session, { prompts: [shown.prompt] })?.type).toBe('working')
    expect(read('◇  Ready (x)', session, { prompts: [prompt] })?.type).toBe('rested')
  })
})

describe('what it starts', () => {
  const launch: Launch = { ...sampleLaunch, prompt: 'p' }

  it('asks for nothing that the user did not configure', () => {
    const { argv, env, files } = gemini({ defaults: false }).plan(launch, '/d')
    expect(argv).toEqual(['gemini', '--prompt-interactive=p'])
    expect(env).toEqual({ INSTAR_HOOKS: '/d' })
    expect(Object.keys(files)).toEqual(['tell.sh'])
  })

  it('gives our hooks as defaults to root’s', () => {
    const { env, files } = gemini({ defaults: true }).plan(launch, '/d')
    expect(env['GEMINI_CLI_SYSTEM_DEFAULTS_PATH']).toBe('/d/settings.json')
    expect(JSON.parse(files['settings.json']!)).toMatchObject({ hooks: geminiHooks })
    const own = { ...launch, env: { GEMINI_CLI_SYSTEM_DEFAULTS_PATH: '/theirs' } }
    expect(gemini({ defaults: true }).plan(own, '/d').env['GEMINI_CLI_SYSTEM_DEFAULTS_PATH']).toBe('/theirs')
  })

  it('goes on with a conversation', () => {
    const { argv, env } = gemini({ model: 'm', approvalMode: 'yolo', trust: true }).plan({ ...launch, prompt: '', resume: 'r' }, '/d')
    expect(argv).toEqual(['gemini', '--resume', 'r', '--model', 'm', '--approval-mode', 'yolo'])
    expect(env['GEMINI_CLI_TRUST_WORKSPACE']).toBe('true')
  })
})

describe('what its transcript means', () => {
  const at = '2026-01-01T00:00:01.000Z'
  const { read, message } = gemini().transcript!
  const line = (type: string, content: unknown, more: object = {}) => ({ id: 'i', timestamp: at, type, content, ...more })

  it.each([
    ['Suggested retry after 90s.', '2026-01-01T00:01:31.000Z'],
    ['Please retry in 1500.5ms.', '2026-01-01T00:00:02.500Z'],
    ['You have exhausted your daily quota on this model.', undefined],
  ])('tells of a limit: %s', (words, end) => {
    const event = read!(line('error', `[API Error: ${words}]`), sampleRecord())
    expect(event).toMatchObject({ type: 'turn_failed', waiting: { kind: 'limit' } })
    expect((event as { waiting: { until?: string } }).waiting.until).toBe(end)
  })

  it('tells nothing of what was before the turn', () => {
    const step = { at: '2026-01-01T00:00:02.000Z', source: 'hook', rule: 'BeforeAgent', event: 'working', status: 'running' } as const
    expect(read!(line('error', '[API Error: x]'), sampleRecord({}, { trail: [step] }))).toBeNull()
    expect(read!(line('error', 'Unknown command: /x'), sampleRecord())).toBeNull()
  })

  it('tells each part of an answer once', () => {
    const tokens = { input: 10, output: 5, cached: 4, thoughts: 2 }
    const toolCalls = [{ id: 't', name: 'run_shell_command', args: { command: 'ls' } }]
    expect(message(line('gemini', 'I look', { tokens }))).toMatchObject({ text: 'I look', tools: [] })
    expect(message(line('gemini', 'I look', { tokens, toolCalls }))).toMatchObject({
      text: '',
      tools: [{ id: 't', name: 'run_shell_command', input: { command: 'ls' } }],
      usage: { inputTokens: 6, outputTokens: 7, cacheReadTokens: 4 },
    })
    const functionResponse = { id: 't', name: 'run_shell_command', response: { output: 'files' } }
    expect(message(line('user', [{ functionResponse }]))).toMatchObject({ id: 't', role: 'tool', text: 'files' })
    expect(message(line('user', [{ text: '<session_context>…' }]))).toBeNull()
    expect(message({ $set: { lastUpdated: at } })).toBeNull()
  })
})
