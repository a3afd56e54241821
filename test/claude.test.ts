import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { claude } from '../src/plugins/agents/claude.ts'
import type { Launch, Session, Signal } from '../src/runtime/types.ts'
import { sampleLaunch } from './support/hook.ts'
import { claudeApp, claudePackages, type ClaudeApp, type ClaudeVersion } from './support/claude.ts'
import { lastUserText } from './support/model.ts'
import { sampleRecord } from './support/session.ts'
import { pass, until } from './support/wait.ts'

const versions = Object.keys(claudePackages) as ClaudeVersion[]

describe.each(versions)('Claude Code %s', (version) => {
  let app: ClaudeApp
  const spawn = async (name: string, prompt: string, more: object = {}) => {
    const answer = await app.request('/sessions/spawn', { method: 'POST', body: JSON.stringify({ name, prompt, ...more }) })
    expect(answer.status, await answer.clone().text()).toBe(201)
    return (await answer.json()) as Session
  }
  const send = async (name: string, text: string) => {
    const answer = await app.request(`/sessions/${name}/input`, { method: 'POST', body: JSON.stringify({ text }) })
    return { status: answer.status, body: (await answer.json()) as { stage?: string; error?: { code: string } } }
  }
  const output = async (name: string, lines = 100) => (await app.request(`/sessions/${name}/output?lines=${lines}`)).text()
  const lastHeard = () => lastUserText(app.model.requests.at(-1)!)

  beforeAll(async () => {
    app = await claudeApp(version)
    // A hook of the project's own: ours must merge with it.
    await mkdir(join(app.project, '.claude'), { recursive: true })
    const command = `tee -a '${join(app.project, 'own-hook')}' | grep -q forbidden && { echo 'not here' >&2; exit 2; }; exit 0`
    await writeFile(
      join(app.project, '.claude/settings.json'),
      JSON.stringify({ hooks: { UserPromptSubmit: [{ hooks: [{ type: 'command', command }] }] } }),
    )
  })
  afterAll(() => app?.close())

  it('does its first turn and is idle, by its hooks', async () => {
    const session = await spawn('first', '-- $HOME `x` "q" #{pane_id}; [say all good]')
    expect(session).toMatchObject({ agent: 'claude', model: 'sonnet', status: 'starting' })
    const idle = await app.reaches('first', 'idle')
    expect(idle.evidence).toMatchObject({ source: 'hook', rule: 'Stop' })
    expect(lastHeard()).toBe('-- $HOME `x` "q" #{pane_id}; [say all good]')
    await until(async () => (await output('first')).includes('all good'), { what: 'the answer is on the screen' })
    expect(await readFile(join(app.project, 'own-hook'), 'utf8')).toContain('all good')
  })

  it.each([
    ['a plain line', 'what now?'],
    ['shell characters', `a; b # c 'd' "e" $HOME \`f\` #{pane_id} ~ % \\n;`],
    ['unicode', 'ü ß 漢字 🦖 café'],
    ['many lines', Array.from({ length: 30 }, (_, i) => `line ${i};`).join('\n')],
    ['a long line', 'word '.repeat(900).trim()],
    ['what would be a shell line', '!touch must-not-exist'],
    ['what would continue a line', 'ends with a backslash \\'],
    ['control bytes', 'a\x1b[201~b\x03c\x00d'.replaceAll('\x00', '')],
  ])('takes %s as it is', async (_, text) => {
    const before = app.model.requests.length
    const { status, body } = await send('first', text)
    expect(status).toBe(200)
    expect(body.stage).toMatch(/^(submitted|started)$/)
    await until(() => app.model.requests.length > before, { what: 'the model is asked' })
    expect(lastHeard()).toBe(text.replaceAll(/[\x00-\x08\x0b-\x1f]/g, '').trim())
    await app.reaches('first', 'idle')
  })

  it('sees nothing of the server’s environment but what it is for', async () => {
    await send('first', '[bash env]')
    const results = await until(
      () => app.model.requests.map((each) => JSON.stringify(each.messages)).find((text) => text.includes('INSTAR_SESSION=')),
      {
        what: 'the environment reaches the model',
      },
    )
    await app.reaches('first', 'idle')
    expect(results).toContain('INSTAR_SESSION=first')
    expect(results).not.toContain('must-not-leak')
    expect(results).not.toMatch(/TMUX=|INSTAR_TOKEN=/)
  })

  it('rests when a hook of the project’s own refuses a text, and sends the next one alone', async () => {
    const before = app.model.requests.length
    await send('first', 'a forbidden text')
    await until(async () => (await output('first')).includes('not here'), { what: 'why it was refused' })
    await app.reaches('first', 'idle')
    const { status, body } = await send('first', 'an honest text')
    expect(status, JSON.stringify(body)).toBe(200)
    await until(() => app.model.requests.length > before, { what: 'the model is asked' })
    expect(lastHeard()).toBe('an honest text')
    await app.reaches('first', 'idle')
  })

  it.each([0.15, 1])('rests also when its own hook tells of the refused text %s s late', async (seconds) => {
    const { id } = app.runtime.get('first')
    const hook = join(app.state, 'sessions', id, 'hook.sh')
    const script = await readFile(hook, 'utf8')
    await writeFile(hook, `[ "$1" != UserPromptSubmit ] || sleep ${seconds}\n${script}`)
    const told = () => app.runtime.explain('first').trail.findLast(({ rule }) => rule === 'UserPromptSubmit')!.at
    const before = told()
    await send('first', 'a forbidden text')
    await until(() => told() > before, { what: 'the late hook' })
    await app.reaches('first', 'idle')
    await pass(500)
    expect(app.runtime.get('first').status).toBe('idle')
    await writeFile(hook, script)
  })

  it('rests when a person takes back what was queued', async () => {
    await send('first', '[slow 1500] while this goes on')
    await until(() => lastHeard().includes('goes on'), { what: 'the model is asked' })
    await send('first', 'on second thoughts')
    await until(async () => (await output('first')).includes('on second thoughts'), { what: 'the queue' })
    await app.tmux('send-keys', '-t', '=first:', 'Up')
    await app.reaches('first', 'idle')
    expect(lastHeard()).toContain('goes on')
    await app.tmux('send-keys', '-t', '=first:', 'C-u')
    await until(async () => !(await output('first', 5)).includes('on second thoughts'), { what: 'an empty composer' })
  })

  it('rests when a person ends what runs in the background', async () => {
    const input = { command: 'touch behind; sleep 1000', description: 'as asked', run_in_background: true }
    await send('first', `[tool Bash ${JSON.stringify(input)}]`)
    await until(async () => (await output('first')).includes('1 shell still running'), { what: 'the turn’s end' })
    const press = (key: string) => app.tmux('send-keys', '-t', '=first:', key)
    const steps = [
      ['Down', /enter to view/i],
      ['Enter', /x to stop/],
    ] as const
    for (const [key, then] of steps) {
      await press(key)
      await until(async () => then.test(await output('first')), { what: `what ${key} shows` })
    }
    expect(app.runtime.get('first').status).toBe('running')
    await press('x')
    await app.reaches('first', 'idle')
  })

  it('needs a person when the login does not hold, and takes texts all the same', async () => {
    await send('first', '[fail 401] knock')
    const waiting = await app.reaches('first', 'waiting')
    expect(waiting).toMatchObject({ waiting: { kind: 'login' }, lastError: expect.stringContaining('401') as string })
    // What else is told of a turn that is over comes by now.
    await pass(500)
    expect(app.runtime.get('first').waiting).toMatchObject({ kind: 'login' })
    await send('first', 'open sesame')
    await until(() => lastHeard() === 'open sesame', { what: 'the model is asked' })
    expect(await app.reaches('first', 'idle')).toMatchObject({ waiting: null, lastError: null })
  })

  it('tells commands of the project’s as they were typed, and none of its own', async () => {
    await mkdir(join(app.project, '.claude/commands'), { recursive: true })
    await writeFile(join(app.project, '.claude/commands/sing.md'), 'Sing a song of $ARGUMENTS')
    await spawn('sings', '/sing six pence')
    await app.reaches('sings', 'idle')
    expect(lastHeard()).toContain('Sing a song of six pence')
    const press = (...keys: string[]) => app.tmux('send-keys', '-t', '=sings:', ...keys)
    await press('-l', '/context')
    await until(async () => /❯\s\/context/.test(await output('sings')), { what: 'the command' })
    await press('Enter')
    await until(async () => /~\d+ tokens/.test(await output('sings')), { what: 'what the command says' })
    await app.reaches('sings', 'idle')
    const { status, body } = await send('sings', 'and then')
    expect(status, JSON.stringify(body)).toBe(200)
    const messages = await until(
      async () => {
        const all = await app.runtime.messages('sings')
        return all.at(-1)?.text === 'heard: and then' && all
      },
      { what: 'the conversation' },
    )
    expect(messages.map(({ text }) => text)).toEqual([
      '/sing six pence',
      expect.stringContaining('heard: Sing'),
      'and then',
      'heard: and then',
    ])
    await app.runtime.end('sings')
  })

  it('takes a prompt that is too long for an argument from a file', async () => {
    await spawn('long', `${'x'.repeat(200_000)} end`)
    await app.reaches('long', 'idle')
    const file = /Read the file (\S+):/.exec(lastHeard())![1]!
    expect(await readFile(file, 'utf8')).toMatch(/^x{200000} end$/)
    await app.runtime.end('long')
  })

  it('says what is wrong with arguments that it refuses', async () => {
    await spawn('refused', 'hi', { args: ['--no-such-option'] })
    expect(await app.reaches('refused', 'error')).toMatchObject({ exitCode: 1 })
    expect(await output('refused')).toContain('--no-such-option')
  })

  it('writes nothing into the user’s settings', async () => {
    await expect(readFile(join(app.home, '.claude/settings.json'))).rejects.toThrow('ENOENT')
    expect(JSON.parse(await readFile(join(app.home, '.claude.json'), 'utf8'))).not.toHaveProperty('bypassPermissionsModeAccepted')
  })
})

it('tells of a dialog at the start, which no hook tells of, and presses nothing', async () => {
  const app = await claudeApp('2.1.330', { trust: false })
  try {
    await app.runtime.spawn({ name: 'dialog', prompt: 'hi' })
    const waiting = await app.reaches('dialog', 'waiting')
    expect(waiting).toMatchObject({ waiting: { kind: 'trust' }, evidence: { source: 'screen' } })
    expect(waiting.waiting!.message).toContain('trust')
    await expect(app.runtime.input('dialog', { text: 'x' })).rejects.toMatchObject({ code: 'session_waiting' })
    // What a person answers at the terminal is seen.
    await app.tmux('send-keys', '-t', '=dialog:', 'Up')
    await app.tmux('send-keys', '-t', '=dialog:', 'Enter')
    await app.reaches('dialog', 'idle')
  } finally {
    await app.close()
  }
})

describe('what its hooks mean', () => {
  const running = sampleRecord({ status: 'running' })
  const read = (event: string, payload: unknown, current = running) =>
    claude().read({ type: 'signal', signal: { event, payload, at: '2026-01-01T00:00:00.000Z' } satisfies Signal }, current)

  it.each([
    ['Stop', { background_tasks: [] }, 'rested'],
    ['Stop', {}, 'rested'],
    ['Stop', { background_tasks: [{ id: 'b1' }] }, 'working'],
    ['SessionStart', { source: 'startup' }, undefined],
    ['SessionStart', { source: 'clear' }, 'rested'],
    ['Notification', { notification_type: 'idle_prompt' }, 'rested'],
    ['Notification', { notification_type: 'something new' }, undefined],
    ['Notification', { notification_type: 'permission_prompt', message: 'm' }, 'asked'],
    ['PermissionRequest', { tool_name: 'Bash', tool_input: { command: 'ls' } }, 'asked'],
    ['SomethingNew', {}, undefined],
    ['Stop', 'not an object', undefined],
    ['Stop', { background_tasks: 'not a list' }, undefined],
  ])('%s %j: %s', (event, payload, type) => {
    expect(read(event, payload)?.type).toBe(type)
  })

  it('shows the question that is asked', () => {
    const payload = { tool_name: 'AskUserQuestion', tool_input: { questions: [{ question: 'Which?' }] } }
    expect(read('PermissionRequest', payload)).toMatchObject({ waiting: { kind: 'question', message: 'Which?' } })
  })

  it('does not replace the details of a permission by the notification that follows', () => {
    const waiting = sampleRecord({ status: 'waiting' })
    expect(read('Notification', { notification_type: 'permission_prompt', message: 'm' }, waiting)).toBeNull()
  })
})

describe('what its registry means', () => {
  const id = '01890000-0000-4000-8000-000000000000'
  const read = (status: string, session: Partial<Session>, more: object = {}) =>
    claude().registry!.read(
      { sessionId: id, status, statusUpdatedAt: Date.parse('2026-01-01T00:00:01.000Z'), ...more },
      sampleRecord(session, { conversation: { id, transcripts: [] } }),
    )
  const limit = { kind: 'limit', message: 'later', until: '2026-01-01T01:00:00.000Z' } as const
  const login = { kind: 'login', message: 'who?' } as const

  it.each([
    ['idle', { status: 'running' }, { type: 'rested' }],
    ['idle', { status: 'waiting', waiting: { kind: 'permission', message: 'm' } }, { type: 'rested' }],
    ['idle', { status: 'idle' }, null],
    ['idle', { status: 'starting' }, null],
    ['busy', { status: 'idle' }, { type: 'working' }],
    ['busy', { status: 'running' }, { type: 'working' }],
    ['shell', { status: 'running' }, null],
    ['waiting', { status: 'running' }, { type: 'asked', waiting: { kind: 'question' } }],
    ['waiting', { status: 'waiting', waiting: { kind: 'permission', message: 'm' } }, null],
    // What a failed turn needs a person for outlasts the turn.
    ['idle', { status: 'waiting', waiting: limit, lastError: 'later' }, null],
    ['idle', { status: 'waiting', waiting: login, lastError: 'who?' }, null],
    ['waiting', { status: 'waiting', waiting: limit, lastError: 'later' }, { type: 'asked', waiting: limit }],
    ['idle', { status: 'waiting', waiting: limit }, { type: 'turn_failed', waiting: limit }],
    ['idle', { status: 'waiting', waiting: { ...limit, until: '2026-01-01T00:00:00.500Z' } }, { type: 'rested' }],
    ['idle', { status: 'waiting', waiting: login }, { type: 'rested' }],
  ] as const)('%s in %j: %j', (status, session, event) => {
    if (event === null) expect(read(status, session)).toBeNull()
    else expect(read(status, session)).toMatchObject(event)
  })

  it('is nothing of another session, or older than what a hook told', () => {
    expect(read('idle', { status: 'running' }, { sessionId: 'another' })).toBeNull()
    expect(read('idle', { status: 'running' }, { statusUpdatedAt: Date.parse('2026-01-01T00:00:00.000Z') })).toBeNull()
    expect(read('idle', { status: 'running' }, { statusUpdatedAt: 'then' })).toBeNull()
  })
})

describe('what its transcript means', () => {
  const { message, queued } = claude().transcript!
  const said = (content: unknown, more: object = {}) =>
    message({ type: 'user', uuid: 'u', timestamp: '2026-01-01T00:00:00.000Z', message: { content }, ...more })

  it.each([
    ['a text', 'hello', {}, 'hello'],
    [
      'parts of a text',
      [
        { type: 'text', text: 'hel' },
        { type: 'text', text: 'lo' },
      ],
      {},
      'hel\nlo',
    ],
    ['what a tool says', [{ type: 'tool_result', tool_use_id: 't', content: [{ type: 'text', text: 'ok' }] }], {}, 'ok'],
    ['what it tells the model besides', 'hello', { isMeta: true }, undefined],
    ['its own summary', 'This session is being continued', { isCompactSummary: true }, undefined],
    ['a command of its own', '<command-name>/compact</command-name>\n<command-message>compact</command-message>', {}, undefined],
    ['what that says', '<local-command-stdout>Compacted</local-command-stdout>', {}, undefined],
    [
      'a command of the project’s',
      '<command-message>sing</command-message>\n<command-name>/sing</command-name>\n<command-args>six pence</command-args>',
      {},
      '/sing six pence',
    ],
  ])('%s', (_, content, more, text) => {
    expect(said(content, more)?.text).toBe(text)
  })

  it('one answer of the model is one message, in lines for its parts', () => {
    const usage = { input_tokens: 10, output_tokens: 5, cache_read_input_tokens: 3, service_tier: 'standard' }
    const line = (part: object) =>
      message({ type: 'assistant', uuid: 'u', timestamp: '2026-01-01T00:00:00.000Z', message: { id: 'm', content: [part], usage } })
    expect(line({ type: 'text', text: 'so' })).toMatchObject({
      id: 'm',
      role: 'assistant',
      text: 'so',
      usage: { inputTokens: 10, outputTokens: 5, cacheReadTokens: 3 },
    })
    expect(line({ type: 'tool_use', id: 't', name: 'Bash', input: { command: 'ls' } })).toMatchObject({
      id: 'm',
      tools: [{ id: 't', name: 'Bash', input: { command: 'ls' } }],
    })
  })

  it('what it says itself is no answer of the model, but for an error', () => {
    const line = (more: object) =>
      message({
        type: 'assistant',
        uuid: 'u',
        timestamp: '2026-01-01T00:00:00.000Z',
        message: { id: 'm', model: '<synthetic>', content: [{ type: 'text', text: 'no' }] },
        ...more,
      })
    expect(line({})).toBeNull()
    expect(line({ isApiErrorMessage: true })?.text).toBe('no')
  })

  it.each([null, 'text', {}, { type: 'system' }, { type: 'user', uuid: 'u' }, { type: 'user', message: 'm' }])(
    'nothing is said in %j',
    (line) => {
      expect(message(line)).toBeNull()
    },
  )

  it('what a person takes back is not in the queue any more', () => {
    const by = (operation: string) => queued!({ type: 'queue-operation', operation, timestamp: '2026-01-01T00:00:00.000Z' })?.by
    expect([by('enqueue'), by('dequeue'), by('remove'), by('something new')]).toEqual([1, -1, -1, undefined])
    expect(5 + by('popAll')!).toBeLessThanOrEqual(0)
  })
})

it('asks for nothing that the user did not configure', () => {
  const launch: Launch = { ...sampleLaunch, prompt: 'p' }
  const { argv, env, files } = claude().plan(launch, '/d')
  expect(argv.join(' ')).not.toMatch(/permission/)
  expect(Object.keys(env).toSorted()).toEqual(['CLAUDE_CODE_DISABLE_ALTERNATE_SCREEN', 'DISABLE_AUTOUPDATER'])
  expect(files['settings.json']).not.toContain('skipDangerous')
  expect(argv).toContain('018f0000-0000-4000-8000-000000000000')
})
