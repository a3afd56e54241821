import { createHash } from 'node:crypto'
import { appendFile, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codex } from '../src/plugins/agents/codex.ts'
import { advance } from '../src/runtime/session.ts'
import type { Conversation, Event, Launch, SessionRecord, Status, Step } from '../src/runtime/types.ts'
import { sampleLaunch } from './support/hook.ts'
import { codexApp, type CodexApp } from './support/codex.ts'
import { lastUserText } from './support/openai.ts'
import { sampleRecord } from './support/session.ts'
import { pass, until } from './support/wait.ts'

/** What a person at a terminal and a client do with one session. */
function hands(app: CodexApp, name: string) {
  const shows = (text: string | RegExp) =>
    until(async () => (await app.runtime.output(name, 60)).text.search(text) >= 0, { what: `${name} shows ${text}` })
  const press = (...keys: string[]) => app.tmux('send-keys', '-t', `=${name}:`, ...keys)
  return {
    shows,
    press,
    say: (text: string) => app.runtime.input(name, { text }),
    reaches: (...statuses: Status[]) => app.reaches(name, ...statuses),
    /** As a person types: an Enter that comes at once counts as a part of a paste. */
    async command(text: string) {
      await press('-l', text)
      await shows(text.startsWith('!') ? `! ${text.slice(1)}` : `› ${text}`)
      await pass(200)
      await press('Enter')
    },
    prompt: () => until(() => app.runtime.prompts(name)[0], { what: `${name} asks` }),
    answer: (choice: string | string[], message?: string) =>
      app.runtime.answer(name, app.runtime.prompts(name)[0]!.id, message === undefined ? { choice } : { choice, message }),
    failed: (error: RegExp) => until(() => error.test(app.runtime.get(name).lastError ?? ''), { what: `${name} tells ${error}` }),
  }
}
type Hands = ReturnType<typeof hands>

/** The statuses since a step, each once. */
function courseSince(app: CodexApp, name: string, before: Step | undefined): Status[] {
  const { trail } = app.runtime.explain(name)
  const steps = trail.slice(trail.findLastIndex((step) => JSON.stringify(step) === JSON.stringify(before)) + 1)
  return steps.map(({ status }) => status).filter((status, place, all) => status !== all[place - 1])
}

/** A quick turn has begun before its receipt is there. */
const taken = /submitted|started/
const asks = 'Press enter to confirm or esc to cancel'
const outside = (id: string) => `[bash echo ${id}; sleep 0.3] [outside]`
const question = (...questions: [string, string[]][]) =>
  `[tool request_user_input ${JSON.stringify({
    questions: questions.map(([question, labels]) => ({
      id: question,
      header: question,
      question: `${question}?`,
      options: labels.map((label) => ({ label, description: label })),
    })),
  })}]`

describe('Codex 0.169.0', () => {
  let app: CodexApp
  let one: Hands
  const output = async (name: string, lines = 100) => (await app.runtime.output(name, lines)).text
  const lastHeard = () => lastUserText(app.model.requests.at(-1)!)
  const lastInput = () => JSON.stringify(app.model.requests.at(-1)!.input.slice(-3))

  beforeAll(async () => {
    app = await codexApp({ approval: 'on-request', sandbox: 'workspace-write' })
    one = hands(app, 'one')
    // A hook of the user's own, which the user has trusted: ours must merge with it.
    const handler = { async: false, command: `cat >>'${join(app.home, 'own-hook')}'`, timeout: 5, type: 'command' }
    const hash = createHash('sha256').update(JSON.stringify({ event_name: 'user_prompt_submit', hooks: [handler] }))
    const config = join(app.home, '.codex/config.toml')
    await appendFile(
      config,
      `[[hooks.UserPromptSubmit]]
[[hooks.UserPromptSubmit.hooks]]
type = "command"
command = "${handler.command}"
timeout = 5
[hooks.state."${config}:user_prompt_submit:0:0"]
trusted_hash = "sha256:${hash.digest('hex')}"
`,
    )
  })
  afterAll(() => app?.close())

  it('does its first turn and is idle', async () => {
    const prompt = '-- $HOME `x` "q" #{pane_id}; [say all good]'
    const session = await app.runtime.spawn({ name: 'one', agent: 'codex', prompt })
    expect(session).toMatchObject({ agent: 'codex', model: null, status: 'starting' })
    await one.reaches('idle')
    expect(lastHeard()).toBe(prompt)
    await one.shows('all good')
    expect(await readFile(join(app.home, 'own-hook'), 'utf8')).toContain('all good')
    const rules = app.runtime.explain('one').trail.map(({ source, rule }) => (source === 'hook' ? rule : source))
    expect(rules).toEqual(expect.arrayContaining(['process', 'screen', 'SessionStart', 'UserPromptSubmit', 'PreModelRequest', 'Stop']))
    expect(courseSince(app, 'one', undefined)).toEqual(['starting', 'running', 'idle'])
  })

  it.each([
    ['a plain line', 'what now?'],
    ['shell characters', `a; b # c 'd' "e" $HOME \`f\` #{pane_id} ~ % \\n;`],
    ['unicode', 'ü ß 漢字 🦖 café'],
    ['many lines', Array.from({ length: 30 }, (_, i) => `line ${i};`).join('\n')],
    ['a long line', 'word '.repeat(900).trim()],
    ['what is much too long to be shown', 'word '.repeat(20_000).trim()],
    ['what would be a shell line', '!touch must-not-exist'],
    ['what would be a command', '/quit'],
    ['what would continue a line', 'ends with a backslash \\'],
    ['what would open a list of files', 'look at @must'],
    ['what would open a list of skills', 'that is $ima'],
    ['control bytes', 'a\x1b[201~b\x03c\x00d'.replaceAll('\x00', '')],
  ])('takes %s as it is', async (_, text) => {
    await writeFile(join(app.project, 'must-not-be-chosen'), '')
    const before = app.model.requests.length
    expect((await one.say(text)).stage).toMatch(taken)
    await until(() => app.model.requests.length > before, { what: 'the model is asked' })
    expect(lastHeard()).toBe(text.replaceAll(/[\x00-\x08\x0b-\x1f]/g, '').trim())
    await one.reaches('idle')
    await expect(readFile(join(app.project, 'must-not-exist'))).rejects.toThrow('ENOENT')
  })

  const courses: [what: string, act: (it: Hands) => Promise<unknown>, course: string][] = [
    ['a turn', (it) => it.say('well'), 'running idle'],
    ['a tool', (it) => it.say('[bash sleep 0.3]'), 'running idle'],
    [
      'a permission that a client gives',
      async (it) => {
        await it.say(outside('allowed'))
        expect(await it.prompt()).toMatchObject({
          kind: 'permission',
          tool: 'Bash',
          input: { command: 'echo allowed; sleep 0.3' },
          options: [{ id: 'allow' }, { id: 'deny' }],
        })
        expect(app.runtime.get('one').evidence).toMatchObject({ source: 'hook', rule: 'PermissionRequest' })
        // Text would be taken for an answer.
        await expect(it.say('also this')).rejects.toMatchObject({ code: 'session_waiting' })
        expect(await it.answer('allow')).toMatchObject({ status: 'running' })
      },
      'running waiting running idle',
    ],
    [
      'a permission that a person gives',
      async (it) => {
        await it.say(outside('allowed'))
        await it.shows(asks)
        await it.press('Enter')
      },
      'running waiting running idle',
    ],
    [
      'a permission that a client denies: the turn is over',
      async (it) => {
        await it.say(outside('denied'))
        await it.prompt()
        await it.answer('deny')
      },
      'running waiting( running)? idle',
    ],
    [
      'a permission that a client denies with words, which begin another turn',
      async (it) => {
        await it.say(outside('denied'))
        await it.prompt()
        await it.answer('deny', '!rather so [slow 300]')
        await until(() => lastHeard() === '!rather so [slow 300]', { what: 'the model hears it' })
      },
      'running waiting( running)? idle running idle',
    ],
    [
      'a permission that a person dismisses with Esc',
      async (it) => {
        await it.say(outside('dismissed'))
        await it.shows(asks)
        await it.press('Escape')
      },
      'running waiting( running)? idle',
    ],
    [
      'an interrupt while it answers',
      async (it) => {
        await it.say('[slow 60000] this would take a minute, and is not waited for')
        await it.shows(/heard: \[slow/)
        await app.runtime.interrupt('one')
      },
      'running idle',
    ],
    [
      'an interrupt while a tool runs',
      async (it) => {
        await it.say('[bash sleep 20]')
        await until(() => app.runtime.get('one').evidence.rule === 'PreToolUse', { what: 'the tool runs' })
        await app.runtime.interrupt('one')
      },
      'running idle',
    ],
    [
      'an error of the API',
      async (it) => {
        await it.say('[fail 400]')
        await it.failed(/as asked/)
      },
      'running idle',
    ],
    [
      'an error of the API that it tries again',
      async (it) => {
        const before = app.model.requests.length
        await it.say('[fail 500]')
        await it.failed(/high demand/)
        expect(app.model.requests.length - before).toBeGreaterThan(1)
      },
      'running idle',
    ],
    [
      'a compaction',
      async (it) => {
        await it.command('/compact')
        await it.shows('Context compacted')
      },
      'running idle',
    ],
    ['a shell line of a person’s', (it) => it.command('!sleep 0.3'), 'running idle'],
    [
      'a text that steers',
      async (it) => {
        await it.say('[slow 60000] this would take a minute, and is turned elsewhere')
        await it.shows(/heard: \[slow/)
        expect(await it.say('now this')).toMatchObject({ stage: 'submitted' })
      },
      'running idle',
    ],
  ]
  it.each(courses)('tells the course of %s', async (_, act, course) => {
    const before = app.runtime.explain('one').trail.at(-1)
    await act(one)
    // A hook can be heard late.
    const seen = () =>
      courseSince(app, 'one', before)
        .join(' ')
        .replace(/^idle /, '')
    await until(() => new RegExp(`^${course}$`).test(seen()), { what: course }).catch(() => expect(seen()).toMatch(course))
    // Whichever is heard first.
    expect(app.runtime.get('one').evidence.rule).toMatch(/task_complete|turn_aborted|Interrupt|PostCompact|ready/)
    expect(app.runtime.prompts('one')).toEqual([])
  })

  it('leaves to the terminal what asks together, because a key could answer another', async () => {
    const use = (command: string) => `tools.exec_command({cmd:"${command}",sandbox_permissions:"require_escalated",justification:"why"})`
    await one.say(`[js text(await Promise.all([${use('touch one')}, ${use('touch two')}]))]`)
    const prompt = await until(
      () => app.runtime.prompts('one').find(({ message }) => /touch one[^]*touch two|touch two[^]*touch one/.test(message)),
      {
        what: 'both are asked',
      },
    )
    expect(prompt).toMatchObject({ kind: 'permission', options: [] })
    await expect(one.answer('allow')).rejects.toMatchObject({ code: 'invalid_request' })
    // In any order.
    const approved = async () => (await output('one')).split('approved codex to run touch').length - 1
    for (const count of [1, 2]) {
      expect(app.runtime.get('one').status).toBe('waiting')
      await one.shows(asks)
      await one.press('y')
      await until(async () => (await approved()) === count, { what: `${count} of them is approved` })
    }
    await one.reaches('idle')
    await expect(readdir(app.project)).resolves.toEqual(expect.arrayContaining(['one', 'two']))
  })

  it('offers what its dialog about an edit offers', async () => {
    const file = `/var/tmp/instar-codex-${process.pid}`
    try {
      await one.say(`[js text(await tools.apply_patch("*** Begin Patch\\n*** Add File: ${file}\\n+hi\\n*** End Patch\\n"))]`)
      expect((await one.prompt()).options.map(({ id }) => id)).toEqual(['allow', 'allow-files', 'deny'])
      await one.answer('allow-files')
      await one.reaches('idle')
      expect(await readFile(file, 'utf8')).toBe('hi\n')
    } finally {
      await rm(file, { force: true })
    }
  })

  it('tells that a sub-agent asks, also when it has nothing to do itself', async () => {
    const task = { task_name: 'sub', fork_turns: 'none', message: '[think 500] [bash touch from-sub-agent] [outside] a part of it' }
    await one.say(`[say it is at it] [tool collaboration.spawn_agent ${JSON.stringify(task)}]`)
    await one.reaches('idle')
    await one.reaches('waiting')
    expect(await one.prompt()).toMatchObject({ tool: 'Bash', options: [{ id: 'allow' }, { id: 'deny' }] })
    await one.answer('allow')
    await one.reaches('idle')
    await until(async () => (await readdir(app.project)).includes('from-sub-agent'), { what: 'the sub-agent goes on' })
    await one.shows('Completed')
    expect(app.runtime.get('one').status).toBe('idle')
  })

  describe('in plan mode', () => {
    beforeAll(async () => {
      await one.command('/plan')
      await one.shows(/Plan mode \(/)
    })

    it.each([
      ['a choice for each question', ['Blue', 'Large'], undefined, /Blue[^]*Large|Large[^]*Blue/],
      ['a choice with words', ['Red', 'Small'], 'but light', /Small[^]*user_note: but light/],
      ['something else', 'other', 'both', /None of the above[^]*user_note: both[^]*None of the above[^]*user_note: both/],
    ])('takes %s for an answer', async (_, choice, message, answered) => {
      await one.say(question(['Color', ['Red', 'Blue']], ['Size', ['Small', 'Large']]))
      const prompt = await one.prompt()
      expect(prompt).toMatchObject({ kind: 'question', message: 'Color?\nSize?' })
      expect(prompt.options.map(({ id }) => id)).toEqual(['Red', 'Blue', 'Small', 'Large', 'other', 'deny'])
      await one.answer(choice, message)
      await one.reaches('idle')
      expect(lastInput()).toMatch(answered)
    })

    it('ends the turn when a question is not answered', async () => {
      await one.say(question(['Color', ['Red', 'Blue']]))
      await one.prompt()
      await one.answer('deny')
      await one.reaches('idle')
      await one.shows('Conversation interrupted')
    })

    it('waits for a person when it has a plan, whom a text would answer', async () => {
      await one.say('[say <proposed_plan>\nfirst this\n</proposed_plan>\n]')
      await one.shows('Implement this plan')
      expect((await one.reaches('waiting')).waiting).toEqual({ kind: 'question', message: 'Implement this plan?' })
      await expect(one.say('not yet')).rejects.toMatchObject({ code: 'session_waiting' })
      await one.press('1')
      await until(() => app.runtime.get('one').status !== 'waiting', { what: 'it goes on' })
      await one.reaches('idle')
    })
  })

  it('tells when a usage limit ends', async () => {
    await one.say('[limit 3600]')
    const { waiting, lastError } = await one.reaches('waiting')
    expect(waiting).toMatchObject({ kind: 'limit', message: lastError })
    expect(Math.abs(Date.parse(waiting!.until!) - Date.now() - 3_600_000)).toBeLessThan(60_000)
    // It would ask to switch to a cheaper model now, in a dialog that an Enter answers.
    expect((await one.say('again')).stage).toMatch(taken)
    await one.reaches('idle')
    expect(app.runtime.get('one').lastError).toBeNull()
  })

  it('needs a person when it is not let in', async () => {
    await one.say('[fail 401]')
    expect((await one.reaches('waiting')).waiting).toMatchObject({ kind: 'login' })
    await one.say('again')
    await one.reaches('idle')
  })

  it('never sends along what a person has left in the composer', async () => {
    await one.press('-l', 'not yet\\')
    await one.shows('not yet')
    await expect(one.say('well')).rejects.toMatchObject({ code: 'composer_in_use', data: { draft: 'not yet\\' } })
    await one.press('C-c')
    await until(async () => !(await output('one')).includes('not yet'), { what: 'the composer is empty' })
    expect((await one.say('well')).stage).toMatch(taken)
    await one.reaches('idle')
  })

  it('sees nothing of the server’s environment but what it is for', async () => {
    await one.say('[bash env]')
    await one.reaches('idle')
    expect(lastInput()).toContain('INSTAR_SESSION=one')
    expect(lastInput()).not.toMatch(/must-not-leak|TMUX=|INSTAR_TOKEN=/)
  })

  it('shows the conversation and what it cost, also after a new one has begun', async () => {
    const spoken = async () =>
      (await app.runtime.messages('one')).map(({ role, text, tools }) => [role, text, tools.map(({ name }) => name)])
    const usage = () => app.runtime.get('one').usage!
    const before = usage()
    await one.say('[bash echo hi] [say it is done]')
    await one.reaches('idle')
    expect((await spoken()).slice(-4)).toEqual([
      ['user', '[bash echo hi] [say it is done]', []],
      ['assistant', '', ['exec']],
      ['tool', expect.stringContaining('hi\\n'), []],
      ['assistant', 'it is done', []],
    ])
    // Two requests of 10 tokens, 4 of which were cached, with answers of 5.
    await until(() => usage()['outputTokens'] === before['outputTokens']! + 10, { what: 'the cost' })
    expect(usage()).toMatchObject({ inputTokens: before['inputTokens']! + 12, cacheReadTokens: before['cacheReadTokens']! + 8 })
    const count = (await spoken()).length
    await one.command('/new')
    await until(async () => !(await output('one', 60)).includes('it is done'), { what: 'it begins a new one' })
    await one.say('anew')
    await one.reaches('idle')
    expect((await spoken()).slice(count)).toEqual([
      ['user', 'anew', []],
      ['assistant', 'heard: anew', []],
    ])
  })

  it('takes a prompt that is too long for an argument from a file', async () => {
    await app.runtime.spawn({ name: 'long', agent: 'codex', prompt: `${'x'.repeat(200_000)} end` })
    await app.reaches('long', 'idle')
    const file = /Read the file (\S+):/.exec(lastHeard())![1]!
    expect(await readFile(file, 'utf8')).toMatch(/^x{200000} end$/)
    await app.runtime.end('long')
  })

  it.each(['!touch must-not-exist', '/quit', '@must'])('takes %s for what is to be said, also at the start', async (prompt) => {
    await app.runtime.spawn({ name: 'begins', agent: 'codex', prompt })
    await app.reaches('begins', 'idle')
    expect(lastHeard().trim()).toBe(prompt)
    await expect(readFile(join(app.project, 'must-not-exist'))).rejects.toThrow('ENOENT')
    await app.runtime.end('begins')
  })

  it('goes on with the conversation of an ended run, also without a prompt', async () => {
    await app.runtime.end('one')
    expect(await output('one', 1000)).toContain('anew')
    await expect(one.say('hello?')).rejects.toMatchObject({ code: 'session_ended' })
    await app.runtime.resume('one', {})
    expect((await one.reaches('idle')).evidence).toMatchObject({ source: 'screen', rule: 'its title says that it is ready' })
    expect((await one.say('and then')).stage).toMatch(taken)
    await one.reaches('idle')
    expect(
      app.model.requests
        .at(-1)!
        .input.filter(({ role }) => role === 'user')
        .map(({ content }) => content![0]!.text),
    ).toEqual(expect.arrayContaining(['anew', 'and then']))
    expect((await app.runtime.messages('one')).slice(-2).map(({ text }) => text)).toEqual(['and then', 'heard: and then'])
  })

  it('completes with /quit, is an error when it is killed, and ends with its processes', async () => {
    await one.command('/quit')
    expect(await one.reaches('completed', 'error')).toMatchObject({ status: 'completed', exitCode: 0 })
    await app.runtime.spawn({ name: 'dies', agent: 'codex', prompt: 'until death' })
    await app.reaches('dies', 'idle')
    const { stdout } = await execa('pgrep', ['-f', `no-daemon.*${app.project}.* until death`])
    process.kill(Number(stdout.split('\n')[0]), 'SIGKILL')
    expect(await app.reaches('dies', 'completed', 'error')).toMatchObject({ status: 'error', exitCode: null, signal: 'SIGKILL' })
  })

  it.each([
    ['arguments that it refuses', { args: ['--no-such-option'] }, { exitCode: 2 }, '--no-such-option'],
    ['a directory that is not there', { cwd: '/no/such/directory' }, { exitCode: 126 }, '/no/such/directory'],
    ['a conversation that is not there', { args: ['resume', '01a20388-e991-7750-b602-f461f5a0df60'] }, { exitCode: 1 }, '01a20388'],
  ])('is an error with %s', async (_, more, outcome, shown) => {
    await app.runtime.spawn({ name: 'refused', agent: 'codex', prompt: 'hi', ...more })
    expect(await app.reaches('refused', 'error')).toMatchObject(outcome)
    expect(await output('refused')).toContain(shown)
  })

  it('writes nothing into the user’s settings', async () => {
    const config = await readFile(join(app.home, '.codex/config.toml'), 'utf8')
    expect(config).not.toMatch(/session-flags|trust_level|terminal_title|INSTAR/)
  })
})

describe('Codex, where nothing is trusted', () => {
  it('tells of the dialogs at its start, can be answered there, and is asked once', async () => {
    const app = await codexApp({ trust: false })
    const it = hands(app, 'new')
    try {
      await execa('git', ['init', '-q', app.project])
      await app.runtime.spawn({ name: 'new', agent: 'codex', prompt: 'hi' })
      const waiting = await it.reaches('waiting')
      expect(waiting).toMatchObject({ waiting: { kind: 'trust' }, evidence: { source: 'screen' } })
      expect(waiting.waiting!.message).toContain('Trust this folder?')
      expect((await it.prompt()).options).toMatchObject([{ label: 'Trust and continue' }, { label: 'Back to Agent Command Center' }])
      await expect(it.say('x')).rejects.toMatchObject({ code: 'session_waiting' })
      await it.answer('1')
      // The next is answered by a person.
      await until(() => app.runtime.get('new').waiting?.message.includes('Hooks need review'), { what: 'the next dialog' })
      expect(app.runtime.get('new').waiting!.kind).toBe('trust')
      await it.press('2')
      await pass(200)
      await it.press('Enter')
      await it.reaches('idle')
      expect(lastUserText(app.model.requests.at(-1)!)).toBe('hi')
      await it.command('/quit')
      await it.reaches('completed')
      await app.runtime.spawn({ name: 'next', agent: 'codex', prompt: 'hi' })
      expect((await app.reaches('next', 'idle', 'waiting')).status).toBe('idle')
    } finally {
      await app.close()
    }
  })

  it('knows by its title what it does where its hooks are not to run', async () => {
    const app = await codexApp({ trust: false })
    const it = hands(app, 'silent')
    try {
      await app.runtime.spawn({ name: 'silent', agent: 'codex', prompt: '[slow 1000] a first answer' })
      // What comes too early is thrown away.
      await it.shows('Hooks need review')
      await pass(500)
      await it.press('3')
      await pass(200)
      await it.press('Enter')
      await it.reaches('running')
      expect((await it.reaches('idle')).evidence).toMatchObject({ source: 'screen' })
      expect(courseSince(app, 'silent', undefined).filter((status) => status !== 'waiting')).toEqual(['starting', 'running', 'idle'])
    } finally {
      await app.close()
    }
  })
})

describe('what it says', () => {
  const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString()
  const agent = codex()
  const known: Conversation = { id: 'c', transcripts: [] }
  /** What is said at a time, to a session. */
  type Said = (time: string, record: SessionRecord) => Event | null
  const hook =
    (event: string, payload: unknown = {}): Said =>
    (time, record) =>
      agent.read({ type: 'signal', signal: { event, payload, at: time } }, record)
  const title =
    (words: string): Said =>
    (time, record) =>
      agent.read({ type: 'title', title: words, at: time }, record)
  const line =
    (payload: unknown): Said =>
    (time, record) =>
      agent.transcript!.read!({ timestamp: time, type: 'event_msg', payload }, record)
  /** Heard after what was said later. */
  const late =
    (said: Said): Said =>
    (_, record) =>
      said(at(1), record)

  /** The statuses after each of what is said to a session that was just launched, with a mark where a client can answer. */
  function course(
    said: readonly Said[],
    { prompt = 'p', conversation = known }: { prompt?: string; conversation?: Conversation | null } = {},
  ): string {
    let record: SessionRecord = sampleRecord({ status: 'starting', prompt }, { conversation })
    const statuses = said.map((say, place) => {
      const event = say(at(place + 2), record)
      if (event) record = advance(record, event)
      return record.session.status + (record.prompts.some(({ options }) => options.length > 0) ? '?' : '')
    })
    return statuses.join(' ')
  }
  const [began, model, stop] = [hook('UserPromptSubmit'), hook('PreModelRequest'), hook('Stop')]
  const [ready, works, asksSomething] = [title('Ready'), title('Working'), title('[ ! ] Action Required')]
  const dialog: Said = (time) => agent.startup!.read('  Hooks need review\n\n› 1. This\n  2. That', time)
  const manual = { trigger: 'manual' }
  const bash = { tool_name: 'Bash', tool_input: { command: 'ls' } }
  const other = { tool_name: 'Bash', tool_input: { command: 'pwd' } }
  const sub = { agent_id: 'a' }
  const [over, failed] = [line({ type: 'task_complete' }), line({ type: 'task_complete', error: { message: 'm' } })]

  it.each<[string, Said[], string]>([
    [
      'is up before its prompt begins',
      [ready, title('Starting'), ready, works, hook('SessionStart'), began, stop, over],
      'starting starting starting running running running running idle',
    ],
    ['goes on when somebody else’s Stop hook says so', [began, stop, model, stop, over], 'running running running running idle'],
    ['tells by its title that the turn is over', [began, stop, ready], 'running running idle'],
    ['tells by its title no end of a turn that may have failed', [began, model, ready, failed], 'running running running idle'],
    ['is told of an old end', [began, late(over), line({ type: 'turn_aborted' })], 'running running idle'],
    ['asks, and is heard late', [began, asksSomething, late(hook('PermissionRequest', bash)), works], 'running waiting waiting? running'],
    ['asks before it begins', [dialog, works, ready], 'waiting? running idle'],
    ['is answered before it begins', [dialog, ready, began], 'waiting? starting running'],
    ['compacts when it is told to', [hook('PreCompact', manual), hook('PostCompact', manual)], 'running idle'],
    ['compacts by itself', [began, hook('PreCompact'), hook('PostCompact', { trigger: 'auto' }), model], 'running running running running'],
    ['is heard late', [began, stop, over, late(stop), ready, late(works), began], 'running running idle idle idle idle running'],
    ['runs a shell line of a person’s', [began, stop, over, line({ type: 'task_started' }), over], 'running running idle running idle'],
    [
      'asks, and another tool goes on',
      [began, hook('PermissionRequest', bash), hook('PostToolUse', other), hook('PreToolUse', other), model, began],
      'running waiting? waiting? waiting? waiting? waiting?',
    ],
    ['asks, and the tool has run', [began, hook('PermissionRequest', bash), hook('PostToolUse', bash)], 'running waiting? running'],
    [
      'asks, and its title is late',
      [began, hook('PermissionRequest', bash), works, ready, asksSomething, works],
      'running waiting? waiting? waiting? waiting? running',
    ],
    ['asks, and its title is early', [began, asksSomething, hook('PermissionRequest', bash), works], 'running waiting waiting? running'],
    ['asks what no hook tells', [began, asksSomething, works, stop, over], 'running waiting running running idle'],
    [
      'asks twice at once, and one tool has run',
      [began, hook('PermissionRequest', bash), hook('PermissionRequest', other), hook('PostToolUse', bash), asksSomething, works],
      'running waiting? waiting waiting waiting running',
    ],
    [
      'asks for a sub-agent, and has nothing to do',
      [began, hook('PermissionRequest', { ...bash, ...sub }), stop, over, asksSomething, ready],
      'running waiting? waiting? waiting? waiting? idle',
    ],
    [
      'has nothing to do while a sub-agent works',
      [began, stop, over, hook('PreToolUse', { ...bash, ...sub }), hook('PreModelRequest', sub), hook('Interrupt', sub)],
      'running running idle idle idle idle',
    ],
    [
      'was asked for a tool that is not there',
      [began, hook('PreToolUse', { tool_name: 'request_user_input' }), model],
      'running waiting running',
    ],
    ['says what is unheard of', [hook('New'), title('a title'), line({ type: 'new' }), line(null)], 'starting starting starting starting'],
    ['says what is not what it says', [hook('Stop', 'x'), hook('PostToolUse', { tool_input: 'x' })], 'starting running'],
  ])('when it %s', (_, said, expected) => {
    expect(course(said)).toBe(expected)
  })

  it('is known by its title where no hook tells anything', () => {
    expect(course([ready, works, ready, works, ready], { conversation: null })).toBe('starting running idle running idle')
  })

  it('is ready when it is resumed without a prompt', () => {
    expect(course([title('Starting'), ready, began], { prompt: '' })).toBe('starting idle running')
  })

  it.each([
    ['a dialog over it', '› Ask Codex to do anything\n\n  Hooks need review\n\n› 1. Review hooks\n  2. Trust all and continue', 'asked'],
    ['what nobody knows', '  A new question?\n\n› 1. This\n  2. That', 'asked'],
    ['its composer while it works', '› hi\n\n• Working (12s • esc to interrupt)\n\n› Ask Codex to do anything', 'working'],
    ['its composer', '› Ask Codex to do anything\n\n  GPT default', 'rested'],
  ])('is seen at a slow start by %s', (_, screen, type) => {
    expect(agent.startup!.read(screen, at(1)).type).toBe(type)
  })

  it('knows a draft from what it suggests and from what was said', () => {
    const said = '\x1b[1m\x1b[38;5;255m\x1b[48;5;238m› \x1b[0m\x1b[38;5;255m\x1b[48;5;238mhello\n\n'
    const foot = '\n\n  \x1b[38;5;223mGPT default\x1b[39m · ~/project\n\x1b[39m  ? for shortcuts'
    const composer = (content: string) => `${said}\x1b[1m›\x1b[0m\x1b[39m\x1b[49m ${content}${foot}`
    expect(agent.draft!(composer('\x1b[2mAsk Codex to do anything'))).toBe('')
    expect(agent.draft!(composer('one\n  two\n\n  three'))).toBe('one\ntwo\n\nthree')
    expect(agent.draft!(`${said}\x1b[1m\x1b[38;5;9m!\x1b[0m\x1b[39m\x1b[49m ls${foot}`)).toBe('ls')
    expect(agent.draft!(`${said}\x1b[1;7m› 1. Yes, proceed (y)\n\x1b[0m  2. No\n\n  Press enter`)).toBeNull()
  })
})

describe('how it is started', () => {
  const launch: Launch = { ...sampleLaunch, prompt: '-p', cwd: '/a "b"', env: { GIVEN: '1' }, args: ['--search'] }

  it('asks for nothing that the user did not configure', () => {
    const { argv, env, files } = codex().plan(launch, '/d')
    expect(argv.join(' ')).not.toMatch(/danger|bypass|trust| -[ams] /)
    expect(argv.slice(-3)).toEqual(['--search', '--', '-p'])
    // A title that spins is told ten times a second.
    expect(argv).toContain('tui.animations=false')
    expect(env).toEqual({ GIVEN: '1', INSTAR_HOOK: '/d/hook.sh' })
    expect(Object.keys(files)).toEqual(['start.sh'])
  })

  it('asks for what the user configured', () => {
    const options = {
      program: '/p',
      model: 'm',
      sandbox: 'read-only',
      approval: 'never',
      trust: true,
      config: { 'a.b': { c: ['d', 1, true] } },
    }
    const { argv } = codex(options).plan({ ...launch, model: 'n', resume: 'r', prompt: '' }, '/d')
    expect(argv.join(' ')).toMatch(/^\/p resume -C \/a "b" .*-m n -s read-only -a never --search -- r$/)
    expect(argv).toContain('projects={"/a \\"b\\""={"trust_level"="trusted"}}')
    expect(argv).toContain('a.b={"c"=["d",1,true]}')
    expect(codex({ bypass: true }).plan(launch, '/d').argv).toContain('--dangerously-bypass-approvals-and-sandbox')
  })

  it('has hooks that are the same for every session, because codex trusts them by what they are', () => {
    const hooksOf = (directory: string) =>
      codex()
        .plan({ ...launch, cwd: directory }, directory)
        .argv.find((each) => each.startsWith('hooks='))
    expect(hooksOf('/one')).toBe(hooksOf('/two'))
  })
})
