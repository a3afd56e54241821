import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { claude } from '../src/plugins/agents/claude.ts'
import type { Launch, Session, Signal } from '../src/runtime/types.ts'
import { claudeApp, claudePackages, type ClaudeApp, type ClaudeVersion } from './support/claude.ts'
import { lastUserText } from './support/model.ts'
import { sampleRecord } from './support/session.ts'
import { until } from './support/wait.ts'

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
    const command = `cat >>'${join(app.project, 'own-hook')}'`
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

  it('is running while a tool runs and while it answers, and idle after', async () => {
    await send('first', '[bash echo began; sleep 1; echo ended]')
    const tool = await until(() => app.runtime.get('first').evidence.rule === 'PreToolUse' && app.runtime.get('first'), {
      what: 'a tool runs',
    })
    expect(tool.status).toBe('running')
    expect((await app.reaches('first', 'idle')).evidence.rule).toBe('Stop')
    await until(async () => (await output('first')).includes('ended'), { what: 'the output of the tool' })
  })

  it('waits for the turn that an input begins', async () => {
    const answer = await app.request('/sessions/first/input?wait=idle', {
      method: 'POST',
      body: JSON.stringify({ text: '[slow 700] and then' }),
    })
    expect(await answer.json()).toMatchObject({
      stage: expect.stringMatching(/^(submitted|started)$/) as string,
      timedOut: false,
      session: { status: 'idle', evidence: { rule: 'Stop' } },
    })
    expect(lastHeard()).toContain('and then')
  })

  it('is interrupted: the turn ends, and the session does not', async () => {
    await send('first', '[slow 60000] this would take a minute')
    await until(async () => (await output('first')).includes('esc to interrupt'), { what: 'it answers' })
    expect((await app.request('/sessions/first/interrupt', { method: 'POST' })).status).toBe(200)
    await app.reaches('first', 'idle')
    await until(async () => (await output('first')).includes('Interrupted'), { what: 'it says so' })
  })

  it('tells a failed turn, and goes on', async () => {
    await send('first', '[fail 400]')
    const failed = await until(() => app.runtime.get('first').lastError !== null && app.runtime.get('first'), { what: 'the error' })
    expect(failed).toMatchObject({ status: 'idle', evidence: { rule: 'StopFailure' } })
    expect(failed.lastError).toContain('400')
    await send('first', 'again')
    await until(() => app.runtime.get('first').lastError === null, { what: 'the error is over' })
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

  it('ends with its process tree, and its output stays', async () => {
    const answer = await app.request('/sessions/first', { method: 'DELETE' })
    expect(await answer.json()).toMatchObject({ status: 'killed', reason: 'ended on request' })
    expect(await output('first', 1000)).toContain('all good')
    expect(await send('first', 'hello?')).toMatchObject({ status: 409, body: { error: { code: 'session_ended' } } })
  })

  it('knows what a person does at its terminal, which no hook tells', async () => {
    const careful = await claudeApp(version, { permissionMode: version === '2.1.197' ? 'default' : 'manual', sandbox: false })
    const press = (...keys: string[]) => careful.tmux('send-keys', '-t', '=careful:', ...keys)
    const shows = (text: string) =>
      until(async () => (await careful.runtime.output('careful', 100)).text.includes(text), { what: `the screen shows "${text}"` })
    const turn = async (text: string) => {
      await press('C-u')
      await careful.runtime.input('careful', { text: text })
    }
    try {
      await careful.runtime.spawn({ name: 'careful', prompt: '[bash touch asked]' })
      const waiting = await until(
        () => careful.runtime.get('careful').evidence.rule === 'PermissionRequest' && careful.runtime.get('careful'),
        {
          what: 'the hook tells of the permission',
        },
      )
      expect(waiting).toMatchObject({ status: 'waiting', waiting: { kind: 'permission' }, evidence: { source: 'hook' } })
      expect(waiting.waiting!.message).toContain('touch asked')
      // Text would answer it by accident.
      await expect(careful.runtime.input('careful', { text: 'also this' })).rejects.toMatchObject({ code: 'session_waiting' })
      expect((await careful.runtime.output('careful', 100)).text).not.toContain('also this')
      await expect(readFile(join(careful.project, 'asked'))).rejects.toThrow('ENOENT')

      await shows('Esc to cancel')
      await press('Escape')
      expect((await careful.reaches('careful', 'idle')).evidence).toMatchObject({ source: 'transcript', rule: 'its registry says idle' })

      await turn('[bash touch allowed]')
      await careful.reaches('careful', 'waiting')
      // 2.1.330 does not take an Enter that comes as soon as the dialog shows.
      const answered = async () => {
        await press('Enter')
        return careful.runtime.get('careful').status !== 'waiting'
      }
      await until(answered, { what: 'the answer is taken' })
      await careful.reaches('careful', 'idle')
      await expect(readFile(join(careful.project, 'allowed'), 'utf8')).resolves.toBe('')

      await turn('[slow 30000] a long answer that takes its time and is not waited for')
      await careful.reaches('careful', 'running')
      await until(() => lastUserText(careful.model.requests.at(-1)!).includes('takes its time'), { what: 'the model is asked' })
      await shows('esc to interrupt')
      await press('Escape')
      expect((await careful.reaches('careful', 'idle')).evidence.rule).toBe('its registry says idle')
    } finally {
      await careful.close()
    }
  })

  it('takes a prompt that is too long for an argument from a file', async () => {
    await spawn('long', `${'x'.repeat(200_000)} end`)
    await app.reaches('long', 'idle')
    const file = /Read the file (\S+):/.exec(lastHeard())![1]!
    expect(await readFile(file, 'utf8')).toMatch(/^x{200000} end$/)
    await app.runtime.end('long')
  })

  it('completes with /exit, and is an error when it is killed', async () => {
    await spawn('leaves', 'hi')
    await app.reaches('leaves', 'idle')
    await app.tmux('send-keys', '-t', '=leaves:', '/exit', 'Enter')
    expect(await app.reaches('leaves', 'completed', 'error')).toMatchObject({ status: 'completed', exitCode: 0 })
    await spawn('dies', 'hi')
    await app.reaches('dies', 'idle')
    const [pid] = (await execa('pgrep', ['-f', `session-id ${app.runtime.get('dies').id.slice(0, 14)}`])).stdout.split('\n')
    process.kill(Number(pid), 'SIGKILL')
    expect(await app.reaches('dies', 'completed', 'error')).toMatchObject({ status: 'error', exitCode: null, signal: 'SIGKILL' })
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

it('asks for nothing that the user did not configure', () => {
  const launch: Launch = {
    id: '01890000-0000-7000-8000-000000000000',
    name: 'n',
    prompt: 'p',
    resume: null,
    model: null,
    cwd: '/',
    env: {},
    args: [],
    size: { cols: 80, rows: 24 },
  }
  const { argv, env, files } = claude().plan(launch, '/d')
  expect(argv.join(' ')).not.toMatch(/permission/)
  expect(Object.keys(env).toSorted()).toEqual(['CLAUDE_CODE_DISABLE_ALTERNATE_SCREEN', 'DISABLE_AUTOUPDATER'])
  expect(files['settings.json']).not.toContain('skipDangerous')
  expect(argv).toContain('01890000-0000-4000-8000-000000000000')
})
