import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { guard } from '../../src/plugins/hooks/guard/guard.ts'
import { identity } from '../../src/plugins/hooks/identity.ts'
import type { Hook } from '../../src/runtime/hook.ts'
import type { Prompt, Status } from '../../src/runtime/types.ts'
import { kill } from '../support/tmux.ts'
import { pass, until } from '../support/wait.ts'
import { promptMs, slowMs, takeSeat, type AgentPlace, type Seat } from './seat.ts'

/**
 * What every agent's plugin has to do, told with the real program in a real terminal and a stand-in for its model. It
 * knows the agent by its harness only; what an agent cannot do is skipped, with the reason.
 *
 *   agentSuite({ name: 'Codex', open: async () => { const app = await codexApp(); return { app, … } }, permission: … })
 *
 * All stand-ins take the same marks in what a person says: [say TEXT], [slow MS], [think MS], [fail STATUS],
 * [stumble STATUS] (the first time only), [limit SECONDS], [bash COMMAND], [tool NAME JSON]; anything else is answered
 * with "heard: " and the text, and every answer costs 5 tokens.
 *
 * Cases share a session, which is idle at the beginning of each. What is expected of a case is all that the session was
 * from one case to the next, so a status that was wrong for some milliseconds is seen, too.
 */
export interface AgentHarness {
  readonly name: string
  /** A server with this agent. A careful one asks before it runs a command, others never. */
  open(options: { readonly careful: boolean; readonly hooks?: readonly Hook[] }): Promise<AgentPlace>
  readonly permission: Can<{
    /** What to say so that it asks whether it may run a command. */
    ask(command: string): string
    /** What its dialog shows. */
    readonly shows: string
    /** Keys that answer the dialog, pressed one after another. */
    readonly allow: readonly string[]
    readonly deny: readonly string[]
    /** Whether the turn goes on after `deny` at the terminal. */
    readonly goesOnAfterDeny: boolean
    /** The id of the option that denies and stops the turn. */
    readonly interrupt: Can<string>
    /** Whether the model gets to read why it was denied: as the tool's answer, or as the beginning of its next turn. */
    readonly denyMessage: Can<true | 'next turn'>
    /** That its dialogs about several tools come in an order that is known. */
    readonly oneByOne?: Can<true>
    /** About how many tools it may ask at the same time. Default 1. */
    readonly atOnce?: number
    /** Keys that close the dialog without an answer, which ends the turn. */
    readonly dismiss: Can<readonly string[]>
    /** It may tell that it works between a dialog's end and the end of the turn, which both come of one key. Default false. */
    readonly windsDown?: boolean
  }>
  readonly question: Can<{
    ask(questions: readonly Question[]): string
    readonly shows: string
    /** Keys that choose the first option of a single question. */
    readonly choose: readonly string[]
    /** The id of the option that stands for a text of one's own. */
    readonly other: Can<string>
  }>
  /** What to say so that a command runs on while the turn ends; the program goes on by itself when that ends. */
  readonly background: Can<(command: string) => string>
  /** What to say so that a command runs on, of which the program is not told again: it is idle then. Where there is no `background`. */
  readonly left?: (command: string) => string
  /** What to say so that another agent of the program is told something. */
  readonly subAgent: Can<(text: string) => string>
  /** A place whose model has usage limits: [limit SECONDS]. When `resumes`, they end soon, and sessions go on by themselves then. */
  readonly limit: Can<(options: { readonly resumes: boolean }) => Promise<AgentPlace>>
  /** Whether a resumed conversation has nothing more of what it was told of itself before; otherwise it is told what holds instead. Default true. */
  readonly rewrites?: boolean
  /** What a person types for it. */
  readonly compact: Can<string>
  readonly clear: Can<string>
  readonly exit: Can<string>
  /** Keys that empty the composer. */
  readonly empty: readonly string[]
}

/** What an agent can, or why it cannot. */
export type Can<T> = T | { readonly cannot: string }

export interface Question {
  readonly question: string
  readonly options: readonly string[]
}

export function agentSuite(harness: AgentHarness): void {
  // What a real program does depends on a machine's load, too; vitest shows what needed a second try.
  describe(`${harness.name}, as every agent,`, { retry: 1 }, () => {
    describe('works', () => works(harness))
    describe('asks', () => asks(harness))
    describe('has a usage limit', () => limited(harness))
  })
}

function works(harness: AgentHarness): void {
  let seat: Seat
  beforeAll(async () => {
    seat = takeSeat(await harness.open({ careful: false, hooks: [identity(), guard()] }))
  })
  afterAll(() => seat?.close())
  afterEach(({ task }) => void (task.result?.state === 'fail' && seat?.course()))

  it('starts, and is running from its first turn’s beginning to its end', async () => {
    await seat.spawn('[slow 600] begin')
    await seat.heard('begin')
    await seat.is('running')
    await seat.shows('heard: [slow 600] begin')
    await seat.is('idle')
    await seat.went('starting', 'running', 'idle')
    expect(seat.session()).toMatchObject({ startedAt: expect.any(String) as string, lastError: null, waiting: null })
  })

  it('runs for a turn', async () => {
    await seat.ready()
    const { status, body } = await seat.send('[slow 600] a turn')
    expect(status).toBe(200)
    expect(body.stage).toMatch(/^(submitted|started)$/)
    await seat.heard('a turn')
    await seat.is('running')
    await seat.shows('heard: [slow 600] a turn')
    await seat.is('idle')
    await seat.went('running', 'idle')
    expect((await seat.inputs()).at(-1)!.stage).toBe('started')
  })

  it('is waited for until its turn is over', async () => {
    await seat.ready()
    const before = seat.asked()
    const { body } = await seat.post('input?wait=idle&timeout=20', { text: '[slow 500] and then?' })
    expect(body).toMatchObject({
      stage: expect.stringMatching(/^(submitted|started)$/) as string,
      timedOut: false,
      session: { status: 'idle' },
    })
    expect(seat.asked()).toBe(before + 1)
    await seat.went('running', 'idle')
  })

  it('runs while a tool runs', async () => {
    await seat.ready()
    const [began, go] = [seat.file(), seat.file()]
    await seat.send(`[bash touch ${began}; while ! test -e ${go}; do sleep 0.05; done]`)
    await seat.made(began)
    await seat.is('running')
    await seat.make(go)
    await seat.is('idle')
    await seat.went('running', 'idle')
  })

  it('runs while two tools run that were called at once', async () => {
    await seat.ready()
    const [one, two] = [seat.file(), seat.file()]
    await seat.send('[say counted] before that')
    await seat.texts('counted')
    await seat.is('idle')
    await seat.went('running', 'idle')
    const cost = seat.session().usage!['outputTokens']!
    await seat.send(`[bash touch ${one}] and [bash touch ${two}]`)
    await seat.made(one)
    await seat.made(two)
    await seat.is('idle')
    await seat.went('running', 'idle')
    // One answer, however many tools it calls, and one after them.
    await seat.texts('done')
    await until(() => seat.session().usage!['outputTokens'] === cost + 10, { what: 'what two answers cost' })
  })

  it('is kept from a dangerous command, and the model reads why', async () => {
    await seat.ready()
    const [forbidden, allowed] = [seat.file(), seat.file()]
    await seat.send(`[bash touch ${forbidden}; git push --force origin main] stop`)
    await until(() => seat.place.result().includes('force-push'), { timeout: slowMs, what: 'the reason as the answer of the tool' })
    expect(seat.place.result()).toContain('Push to a branch of your own')
    await seat.is('idle')
    expect(seat.exists(forbidden)).toBe(false)
    expect(seat.trail().map(({ rule }) => rule)).toContain('guard_blocked: force-push')
    await seat.went('running', 'idle')
    await seat.send(`[bash touch ${allowed}; echo "git push --force origin main"] go on`)
    await seat.made(allowed)
    await seat.is('idle')
    seat.course()
  })

  it('is idle when it is interrupted while it answers', async () => {
    await seat.ready()
    const text = Array.from({ length: 40 }, (_, i) => `word${i}`).join(' ')
    await seat.send(`[slow 60000] [say ${text}] a long answer`)
    await seat.heard('a long answer')
    await seat.is('running')
    await seat.interrupt()
    await seat.is('idle')
    await seat.went('running', 'idle')
  })

  it('is idle when it is interrupted while a tool runs, and the tool is gone', async () => {
    await seat.ready()
    const [began, left] = [seat.file(), seat.mark()]
    await seat.send(`[bash touch ${began}; sleep ${left}]`)
    await seat.made(began)
    await seat.is('running')
    await seat.interrupt()
    await seat.is('idle')
    await seat.gone(left)
    await seat.went('running', 'idle')
  })

  it('has nothing to interrupt when it is idle', async () => {
    await seat.ready()
    expect((await seat.post('interrupt')).body).toMatchObject({ status: 'idle' })
    await seat.went()
  })

  it('takes a text after an early interrupt as it is, without the one before', async () => {
    await seat.ready()
    await seat.send('[think 20000] what nobody\nwants to know')
    await seat.heard('wants to know')
    await seat.is('running')
    await seat.interrupt()
    await seat.is('idle')
    const next = 'something else'
    const { status, body } = await seat.send(next)
    expect(status, JSON.stringify(body)).toBe(200)
    await seat.heard(next)
    expect(seat.place.heard()).toBe(next)
    await seat.is('idle')
    await seat.went('running', 'idle', 'running', 'idle')
  })

  it('tells a turn that failed, and goes on', async () => {
    await seat.ready()
    await seat.send('[fail 400] this one')
    await seat.heard('this one')
    await until(() => seat.session().lastError !== null, { timeout: promptMs, what: 'the error' })
    expect(seat.session()).toMatchObject({ status: 'idle', lastError: expect.stringMatching(/400|as asked/) as string })
    await seat.went('running', 'idle')
    await seat.send('again')
    await seat.heard('again')
    await until(() => seat.session().lastError === null, { timeout: promptMs, what: 'the error is over' })
    await seat.is('idle')
    await seat.went('running', 'idle')
  })

  it('runs while it tries again', async () => {
    await seat.ready()
    const before = seat.asked()
    await seat.send('[stumble 500] once more')
    await until(() => seat.asked() > before + 1, { timeout: slowMs, what: 'it tries again' })
    await seat.shows('heard: [stumble 500] once more')
    await seat.is('idle')
    expect(seat.session().lastError).toBeNull()
    await seat.went('running', 'idle')
  })

  it('runs while a task runs in the background, and until it has dealt with its end', async (context) => {
    const background = able(context, harness.background)
    await seat.ready()
    const before = seat.asked()
    const [began, go] = [seat.file(), seat.file()]
    await seat.send(background(`touch ${began}; while ! test -e ${go}; do sleep 0.05; done`))
    await seat.made(began)
    // It has said its last, and so have its hooks.
    await until(() => seat.asked() === before + 2, { what: 'the turn’s end' })
    await seat.shows('done')
    await until(() => seat.trail().some(({ rule }) => /Stop|idle|rest/i.test(rule)), {
      timeout: promptMs,
      what: 'a sign of the turn’s end',
    })
    expect(seat.session().status).toBe('running')
    await seat.make(go)
    await until(() => seat.asked() === before + 3, { what: 'it goes on by itself' })
    await seat.is('idle')
    await seat.went('running', 'idle')
  })

  it('runs while a sub-agent works', async (context) => {
    const subAgent = able(context, harness.subAgent)
    await seat.ready()
    const [began, go] = [seat.file(), seat.file()]
    await seat.send(subAgent(`[bash touch ${began}; while ! test -e ${go}; do sleep 0.05; done]`))
    await seat.made(began)
    await seat.is('running')
    await seat.make(go)
    await seat.is('idle', slowMs)
    await seat.went('running', 'idle')
  })

  it('takes a text while it works, and is not idle in between', async () => {
    await seat.ready()
    await seat.send('[slow 1500] the first')
    await seat.heard('the first')
    const { status } = await seat.send('[slow 300] the second')
    expect(status).toBe(200)
    await seat.heard('the second')
    await seat.is('running')
    await seat.is('idle')
    await seat.went('running', 'idle')
  })

  it('takes texts that come right after one another, in their order', async () => {
    await seat.ready()
    const words = ['the former', 'the middle', 'the latter']
    const told = await Promise.all(words.map((word) => seat.send(`[slow 300] ${word}`)))
    expect(told.map(({ status, body }) => body.error ?? status)).toEqual([200, 200, 200])
    await seat.heard('the latter')
    await seat.is('running')
    await seat.is('idle')
    await seat.went('running', 'idle')
    const said = (await seat.messages()).flatMap(({ text }) => words.filter((word) => text.includes(word) && !text.includes('heard:')))
    expect([...new Set(said)]).toEqual(words)
  })

  it('gets what is queued when its turn is over, one text for a turn', async () => {
    await seat.ready()
    await seat.send('[slow 1000] queue one')
    await seat.heard('queue one')
    const { body } = await seat.send('[slow 300] queue two', { mode: 'queue' })
    expect(body.stage).toBe('queued')
    const last = await seat.post('input?wait=idle&timeout=20', { text: 'queue three', mode: 'queue' })
    expect(last.body).toMatchObject({ timedOut: false, session: { status: 'idle' } })
    expect(seat.place.heard()).toBe('queue three')
    await seat.texts('heard: queue three')
    const said = (await seat.messages()).filter(({ role, text }) => role === 'user' && /queue (one|two|three)$/.test(text))
    expect(said.map(({ text }) => text.split(' ').at(-1))).toEqual(['one', 'two', 'three'])
    expect((await seat.inputs()).slice(-2).map(({ stage }) => stage)).toEqual(['started', 'started'])
    seat.course()
  })

  it('leaves a person’s draft alone', async () => {
    await seat.ready()
    const before = seat.asked()
    await seat.write('half a thou')
    const refused = await seat.send('mine')
    expect(refused).toMatchObject({ status: 409, body: { error: { code: 'composer_in_use', data: { draft: 'half a thou' } } } })
    expect(await seat.output()).toContain('half a thou')
    expect(await seat.output()).not.toContain('mine')
    expect(seat.asked()).toBe(before)
    await seat.press(...harness.empty)
    await until(async () => !(await seat.output()).includes('half a thou'), { what: 'an empty composer' })
    await seat.went()
    await seat.send('mine')
    await seat.heard('mine')
    await seat.is('idle')
    await seat.went('running', 'idle')
  })

  it('tells its conversation and what it cost, each message once', async () => {
    await seat.ready()
    await seat.send('[say well begun] begin')
    await seat.heard('begin')
    await seat.is('idle')
    const told = (await seat.texts('well begun')).length
    await until(() => outputTokens() > 0, { what: 'what an answer costs' })
    const [before, cost] = [seat.asked(), outputTokens()]
    await seat.send('[bash echo from-the-tool]')
    await seat.heard('from-the-tool')
    await until(() => seat.asked() === before + 2, { what: 'the tool’s end' })
    await seat.is('idle')
    await seat.send('[say all done] thanks')
    await seat.heard('thanks')
    await seat.is('idle')
    await seat.texts('all done')
    const all = await seat.messages()
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length)
    const messages = all.slice(told)
    expect(messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'assistant', 'user', 'assistant'])
    expect(messages.map(({ text }) => text)).toEqual([
      '[bash echo from-the-tool]',
      expect.any(String),
      expect.stringContaining('from-the-tool'),
      'done',
      '[say all done] thanks',
      'all done',
    ])
    const [call] = messages[1]!.tools
    expect(JSON.stringify(call!.input)).toContain('echo from-the-tool')
    expect(messages[2]!.id).toBe(call!.id)
    await until(() => outputTokens() === cost + 15, { what: 'what three answers cost' })
    seat.course()
  })

  it('runs while it compacts its conversation, and goes on', async (context) => {
    const compact = able(context, harness.compact)
    await seat.ready()
    await seat.send('[say as follows] before the compaction')
    const before = await seat.texts('as follows')
    await seat.is('idle')
    await seat.went('running', 'idle')
    const asked = seat.asked()
    await seat.command(compact)
    await until(() => seat.asked() > asked, { what: 'the model is asked for a summary' })
    await seat.was('running')
    await seat.is('idle')
    await seat.went('running', 'idle')
    await seat.send('after the compaction')
    await seat.heard('after the compaction')
    await seat.is('idle')
    await seat.went('running', 'idle')
    const texts = await seat.texts('heard: after the compaction')
    expect(texts).toEqual([...before, 'after the compaction', 'heard: after the compaction'])
  })

  it('is cleared, and goes on in a new conversation', async (context) => {
    const clear = able(context, harness.clear)
    await seat.ready()
    await seat.send('before the clearing')
    await seat.heard('before the clearing')
    await seat.is('idle')
    await seat.went('running', 'idle')
    const { id } = seat.session()
    await seat.command(clear)
    await until(async () => !(await seat.output(40)).includes('heard: before the clearing'), { what: 'a clear screen' })
    await seat.send('after the clearing')
    await seat.heard('after the clearing')
    expect(JSON.stringify(seat.place.requests.at(-1))).not.toContain('before the clearing')
    await seat.is('idle')
    expect(seat.session().id).toBe(id)
    await seat.went('running', 'idle')
    const texts = await seat.texts('heard: after the clearing')
    expect(texts.slice(-4)).toEqual([
      'before the clearing',
      'heard: before the clearing',
      'after the clearing',
      'heard: after the clearing',
    ])
    earlier = { session: id, count: texts.length - 2 }
  })

  it('is not resumed while it lives', async () => {
    await seat.ready()
    expect(await seat.post('resume', {})).toMatchObject({
      status: 409,
      body: { error: { code: expect.stringMatching(/session_live|name_in_use/) as string } },
    })
    await seat.went()
  })

  it('completes when a person leaves it, and is resumed', async (context) => {
    const exit = able(context, harness.exit)
    const said = await tells('kumquat')
    await seat.command(exit)
    await seat.is('completed')
    expect(seat.session()).toMatchObject({ exitCode: 0, signal: null })
    await seat.went('completed')
    await resumes(said)
  })

  it('is killed on request, and is resumed', async () => {
    const said = await tells('loquat')
    expect((await seat.remove()).body).toMatchObject({ status: 'killed', reason: 'ended on request' })
    await seat.went('killed')
    expect(await seat.output()).toContain('loquat')
    expect(await seat.send('hello?')).toMatchObject({ status: 409, body: { error: { code: 'session_ended' } } })
    await resumes(said)
  })

  it('is an error when it is killed, and is resumed', async () => {
    const said = await tells('medlar')
    for (const pid of await seat.programs()) kill(pid)
    await seat.is('error')
    expect(seat.session()).toMatchObject({ exitCode: null, signal: 'SIGKILL' })
    await seat.went('error')
    await resumes(said)
  })

  const outputTokens = () => seat.session().usage?.['outputTokens'] ?? 0

  /** How many texts of a session belong to the conversation before it was cleared, which is not gone on with. */
  let earlier = { session: '', count: 0 }

  /** It says a word. Resolves to all that was said in its conversation by then. */
  async function tells(word: string): Promise<readonly string[]> {
    await seat.ready()
    await seat.send(`[say the word is ${word}] tell me a word`)
    await seat.heard(word)
    await seat.is('idle')
    await seat.went('running', 'idle')
    const texts = await seat.texts(`the word is ${word}`)
    return seat.session().id === earlier.session ? texts.slice(earlier.count) : texts
  }

  /** The session goes on with what was said before. */
  async function resumes(said: readonly string[]): Promise<void> {
    const before = seat.session()
    const { status, body } = await seat.post('resume', { prompt: `[say again] which word` })
    expect(status, JSON.stringify(body)).toBe(201)
    expect(body).toMatchObject({ name: before.name, status: 'starting', prompt: '[say again] which word' })
    expect(body.id).not.toBe(before.id)
    await seat.heard('which word')
    expect(JSON.stringify(seat.place.requests.at(-1))).toContain(said.at(-1))
    await seat.is('idle', slowMs)
    await seat.went('starting', 'running', 'idle')
    expect(await seat.texts('again')).toEqual([...said, '[say again] which word', 'again'])
    await until(() => outputTokens() === 5, { what: 'what one answer costs' })
    expect(await seat.post(`resume`, {}, before.id)).toMatchObject({ status: 409 })
  }

  it('is resumed without a prompt: idle, with its conversation', async () => {
    await tells('quince')
    await seat.remove()
    seat.course()
    const before = seat.asked()
    expect((await seat.post('resume', {})).status).toBe(201)
    await seat.is('idle', slowMs)
    await seat.went('starting', 'idle')
    expect(seat.asked()).toBe(before)
    await seat.send('which word')
    await seat.heard('which word')
    expect(JSON.stringify(seat.place.requests.at(-1))).toContain('quince')
    await seat.is('idle')
    await seat.went('running', 'idle')
  })

  it('goes on when its directory is taken away', async () => {
    await seat.ready()
    const { project } = seat.place.app
    await rename(project, `${project}-elsewhere`)
    try {
      await seat.send('[slow 300] nowhere')
      await seat.heard('nowhere')
      await seat.shows('heard: [slow 300] nowhere')
      await seat.is('idle')
    } finally {
      await rename(`${project}-elsewhere`, project)
    }
    await seat.went('running', 'idle')
  })

  it('leaves no process when it is ended while a tool runs, also none that left its process tree', async () => {
    await seat.ready()
    const [began, one, two, three] = [seat.file(), seat.mark(), seat.mark(), seat.mark()]
    await seat.send(`[bash (setsid sleep ${one} >/dev/null 2>&1 &); setsid sleep ${two} & touch ${began}; sleep ${three}]`)
    await seat.made(began)
    await seat.is('running')
    await seat.remove()
    await seat.went('running', 'killed')
    for (const each of [one, two, three]) await seat.gone(each)
  })

  it('leaves no process when it is ended while a task runs in the background', async (context) => {
    const background = harness.left ?? able(context, harness.background)
    await seat.ready()
    const [began, one, two] = [seat.file(), seat.mark(), seat.mark()]
    await seat.send(background(`setsid sleep ${one} & touch ${began}; sleep ${two}`))
    await seat.made(began)
    await seat.is(harness.left ? 'idle' : 'running')
    await seat.remove()
    expect(seat.session().status).toBe('killed')
    seat.course()
    await seat.gone(one)
    await seat.gone(two)
  })

  it('leaves no process when it is killed while a task runs in the background, and then ended', async (context) => {
    const background = harness.left ?? able(context, harness.background)
    await seat.ready()
    const [began, one, two] = [seat.file(), seat.mark(), seat.mark()]
    await seat.send(background(`setsid sleep ${one} & touch ${began}; sleep ${two}`))
    await seat.made(began)
    if (harness.left) await seat.is('idle')
    for (const pid of await seat.programs()) kill(pid)
    await seat.is('error')
    await seat.remove()
    await seat.gone(one)
    await seat.gone(two)
    await seat.went('running', ...(harness.left ? ['idle' as const] : []), 'error')
  })

  it('is an error in a directory that is not there', async () => {
    const { status, body } = await seat.begin({ prompt: 'hi', cwd: join(seat.place.app.project, 'no-such-directory') })
    expect(status, JSON.stringify(body)).toBe(201)
    await seat.is('error')
    expect(seat.session().reason).toContain('no-such-directory')
    expect(seat.course().at(-1)).toBe('error')
    expect(seat.trail().map(({ status }) => status)).not.toContain('running')
  })

  it('told most of this within a second', () => seat.wasPrompt())

  describe('takes what hooks give it', () => instructed(harness, () => seat))
}

function asks(harness: AgentHarness): void {
  let seat: Seat
  beforeAll(async () => {
    if ('cannot' in harness.permission && 'cannot' in harness.question) return
    seat = takeSeat(await harness.open({ careful: true }))
  })
  afterAll(() => seat?.close())
  afterEach(({ task }) => void (task.result?.state === 'fail' && seat?.course()))

  /** What it asks first; it may ask for `atMost` tools at the same time. */
  async function asked(ask: string, shows: string, atMost = 1): Promise<Prompt> {
    await seat.ready()
    const { status, body } = await seat.send(ask)
    expect(status, JSON.stringify(body)).toBe(200)
    await seat.shows(shows)
    await seat.is('waiting')
    const open = await seat.prompts()
    expect(open.length).toBeGreaterThan(0)
    expect(open.length).toBeLessThanOrEqual(atMost)
    return open[0]!
  }
  async function askedToRun(context: TestContext, file: string) {
    const permission = able(context, harness.permission)
    return { permission, prompt: await asked(permission.ask(`touch ${file}`), permission.shows) }
  }
  async function closed({ id }: Prompt, choice = 'allow'): Promise<void> {
    expect(await seat.prompts()).toEqual([])
    expect(seat.session().waiting).toBeNull()
    expect(await seat.post(`prompts/${id}`, { choice })).toMatchObject({ status: 409, body: { error: { code: 'prompt_closed' } } })
    await seat.nobodyWaits()
  }

  /** What the session was while a turn ended with what it asked. */
  function stopped({ windsDown = false }: { readonly windsDown?: boolean }, ...course: Status[]): void {
    const told = (statuses: Status[]) => (windsDown ? statuses.filter((status, place) => place !== 2 || status !== 'running') : statuses)
    expect(told(seat.course())).toEqual(told(course))
  }

  it('shows what it asks, and takes no other text for an answer', async (context) => {
    const file = seat.file()
    const { permission, prompt } = await askedToRun(context, file)
    expect(prompt).toMatchObject({ kind: 'permission', message: expect.stringContaining(`touch ${file}`) as string })
    expect(Object.keys(prompt).toSorted()).toEqual(['id', 'input', 'kind', 'message', 'openedAt', 'options', 'tool'])
    expect(JSON.stringify(prompt.input)).toContain(`touch ${file}`)
    expect(prompt.options.map(({ id }) => id)).toEqual(expect.arrayContaining(['allow', 'deny']))
    expect(seat.session().waiting).toMatchObject({ kind: 'permission', message: prompt.message })

    expect(await seat.send('also this')).toMatchObject({ status: 409, body: { error: { code: 'session_waiting' } } })
    const unknown = await seat.post(`prompts/${prompt.id}`, { choice: 'whatever' })
    expect(unknown).toMatchObject({ status: 400, body: { error: { code: 'invalid_request', data: { options: prompt.options } } } })
    expect(await seat.post('prompts/nothing', { choice: 'allow' })).toMatchObject({
      status: 409,
      body: { error: { code: 'prompt_closed' } },
    })
    expect(await seat.output()).toContain(permission.shows)
    expect(await seat.output()).not.toContain('also this')
    expect(await seat.prompts()).toEqual([prompt])
    expect(seat.exists(file)).toBe(false)

    const { status, body } = await seat.post(`prompts/${prompt.id}`, { choice: 'allow' })
    expect(status, JSON.stringify(body)).toBe(200)
    await seat.made(file)
    await seat.is('idle')
    await closed(prompt)
    await seat.went('running', 'waiting', 'running', 'idle')
  })

  it('lets the model read why it was denied', async (context) => {
    const file = seat.file()
    const { permission, prompt } = await askedToRun(context, file)
    const isNext = permission.denyMessage === 'next turn'
    expect((await seat.post(`prompts/${prompt.id}`, { choice: 'deny', message: 'use the other one' })).status).toBe(200)
    if (isNext) await seat.heard('use the other one')
    await seat.is('idle')
    await closed(prompt)
    expect(seat.exists(file)).toBe(false)
    stopped(permission, 'running', 'waiting', 'running', 'idle', ...(isNext ? (['running', 'idle'] as const) : []))
    able(context, permission.denyMessage)
    if (!isNext) expect(seat.place.result()).toContain('use the other one')
  })

  it('is denied and stops', async (context) => {
    const file = seat.file()
    const permission = able(context, harness.permission)
    const interrupt = able(context, permission.interrupt)
    const { prompt } = await askedToRun(context, file)
    const before = seat.asked()
    expect((await seat.post(`prompts/${prompt.id}`, { choice: interrupt })).status).toBe(200)
    await seat.is('idle')
    await closed(prompt)
    expect(seat.exists(file)).toBe(false)
    expect(seat.asked()).toBe(before)
    stopped(permission, 'running', 'waiting', 'running', 'idle')
  })

  it('is allowed at the terminal', async (context) => {
    const file = seat.file()
    const { permission, prompt } = await askedToRun(context, file)
    await seat.answerAtTerminal(permission.shows, permission.allow)
    await seat.made(file)
    await seat.is('idle')
    await closed(prompt)
    await seat.went('running', 'waiting', 'running', 'idle')
  })

  it('is denied at the terminal', async (context) => {
    const file = seat.file()
    const { permission, prompt } = await askedToRun(context, file)
    await seat.answerAtTerminal(permission.shows, permission.deny)
    await seat.is('idle')
    await closed(prompt)
    expect(seat.exists(file)).toBe(false)
    if (permission.goesOnAfterDeny) await seat.went('running', 'waiting', 'running', 'idle')
    else stopped(permission, 'running', 'waiting', 'idle')
  })

  it('is dismissed with Esc', async (context) => {
    const file = seat.file()
    const { permission, prompt } = await askedToRun(context, file)
    await seat.answerAtTerminal(permission.shows, able(context, permission.dismiss))
    await seat.is('idle')
    await closed(prompt)
    expect(seat.exists(file)).toBe(false)
    stopped(permission, 'running', 'waiting', 'idle')
  })

  it('is interrupted, which dismisses what it asks', async (context) => {
    const file = seat.file()
    const { permission, prompt } = await askedToRun(context, file)
    await seat.interrupt()
    await seat.is('idle')
    await closed(prompt)
    expect(seat.exists(file)).toBe(false)
    stopped(permission, 'running', 'waiting', 'idle')
  })

  it('asks about two tools that were called at once', async (context) => {
    const permission = able(context, harness.permission)
    able(context, permission.oneByOne ?? true)
    const [one, two] = [seat.file(), seat.file()]
    const first = await asked(`${permission.ask(`touch ${one}`)} ${permission.ask(`touch ${two}`)}`, permission.shows, permission.atOnce)
    await seat.post(`prompts/${first.id}`, { choice: 'allow' })
    const second = await until(async () => (await seat.prompts()).find(({ id }) => id !== first.id), { what: 'the second prompt' })
    await seat.is('waiting')
    expect((await seat.post(`prompts/${second.id}`, { choice: 'allow' })).status).toBe(200)
    await seat.made(one)
    await seat.made(two)
    await seat.is('idle')
    await closed(second)
    expect(['running waiting running idle', 'running waiting running waiting running idle']).toContain(seat.course().join(' '))
  })

  it('is answered after another server took over', async (context) => {
    const file = seat.file()
    const { prompt } = await askedToRun(context, file)
    await seat.place.app.restart()
    expect(seat.session().status).toBe('waiting')
    expect(await seat.prompts()).toEqual([prompt])
    expect((await seat.post(`prompts/${prompt.id}`, { choice: 'allow' })).status).toBe(200)
    await seat.made(file)
    await seat.is('idle')
    await closed(prompt)
    await seat.went('running', 'waiting', 'running', 'idle')
  })

  it('is answered at the terminal while no server is there', async (context) => {
    const file = seat.file()
    const { permission, prompt } = await askedToRun(context, file)
    await seat.place.app.restart(async () => {
      await seat.pressUntil(permission.allow, () => seat.exists(file))
    })
    await seat.is('idle')
    await closed(prompt)
    await seat.went('running', 'waiting', 'running', 'idle')
  })

  it('is dismissed with Esc while no server is there', async (context) => {
    const file = seat.file()
    const { permission, prompt } = await askedToRun(context, file)
    const dismiss = able(context, permission.dismiss)
    await seat.place.app.restart(async () => {
      await seat.pressUntil(dismiss, async () => !(await seat.pane()).includes(permission.shows))
    })
    await seat.is('idle')
    await closed(prompt)
    expect(seat.exists(file)).toBe(false)
    stopped(permission, 'running', 'waiting', 'idle')
  })

  it('asks a question, and the model reads the choice', async (context) => {
    const question = able(context, harness.question)
    const prompt = await asked(question.ask([{ question: 'Which colour?', options: ['Blue', 'Red'] }]), question.shows)
    expect(prompt).toMatchObject({ kind: 'question', message: expect.stringContaining('Which colour?') as string })
    expect(prompt.options.map(({ label }) => label)).toEqual(expect.arrayContaining(['Blue', 'Red']))
    expect(await seat.send('Red')).toMatchObject({ status: 409, body: { error: { code: 'session_waiting' } } })
    const chosen = prompt.options.find(({ label }) => label === 'Red')!.id
    expect((await seat.post(`prompts/${prompt.id}`, { choice: chosen })).status).toBe(200)
    await seat.is('idle')
    await closed(prompt, chosen)
    expect(seat.place.result()).toMatch(/Red/)
    await seat.went('running', 'waiting', 'running', 'idle')
  })

  it('asks several questions, and takes words of one’s own', async (context) => {
    const question = able(context, harness.question)
    const other = able(context, question.other)
    const prompt = await asked(
      question.ask([
        { question: 'Which colour?', options: ['Blue', 'Red'] },
        { question: 'How many?', options: ['One', 'Two'] },
      ]),
      question.shows,
    )
    expect(prompt.message).toContain('How many?')
    const blue = prompt.options.find(({ label }) => label === 'Blue')!.id
    expect((await seat.post(`prompts/${prompt.id}`, { choice: [blue, other], message: 'nineteen' })).status).toBe(200)
    await seat.is('idle')
    await closed(prompt, blue)
    expect(seat.place.result()).toMatch(/Blue.*nineteen/)
    await seat.went('running', 'waiting', 'running', 'idle')
  })

  it('asks a question that is answered at the terminal', async (context) => {
    const question = able(context, harness.question)
    const prompt = await asked(question.ask([{ question: 'Which colour?', options: ['Blue', 'Red'] }]), question.shows)
    await seat.answerAtTerminal(question.shows, question.choose)
    await seat.is('idle')
    await closed(prompt, prompt.options[0]!.id)
    expect(seat.place.result()).toMatch(/Blue/)
    await seat.went('running', 'waiting', 'running', 'idle')
  })

  it('asks a question that is dismissed with Esc', async (context) => {
    const question = able(context, harness.question)
    const prompt = await asked(question.ask([{ question: 'Which colour?', options: ['Blue', 'Red'] }]), question.shows)
    await seat.answerAtTerminal(question.shows, ['Escape'])
    await seat.is('idle')
    await closed(prompt, prompt.options[0]!.id)
    await seat.went('running', 'waiting', 'idle')
  })

  it('leaves no process when it is ended while it asks', async (context) => {
    await askedToRun(context, seat.file())
    await seat.remove()
    await seat.went('running', 'waiting', 'killed')
    expect(await seat.prompts()).toEqual([])
    await seat.nobodyWaits()
  })

  it('told most of this within a second', () => seat?.wasPrompt())
}

function limited(harness: AgentHarness): void {
  let seat: Seat | null = null
  afterEach(async () => {
    await seat?.close()
    seat = null
  })
  async function reaches(context: TestContext, seconds: number, resumes: boolean): Promise<Seat> {
    seat = takeSeat(await able(context, harness.limit)({ resumes }))
    await seat.ready()
    await seat.send(`[limit ${seconds}] go`)
    await seat.is('waiting')
    await seat.went('running', 'waiting')
    return seat
  }

  it('waits for its end, and no other session of that agent is started', async (context) => {
    const end = Date.now() + 7200_000
    const seat = await reaches(context, 7200, false)
    // What else the program tells of a turn that is over comes by now.
    await pass(500)
    const { status, waiting } = seat.session()
    expect({ status, kind: waiting?.kind }).toEqual({ status: 'waiting', kind: 'limit' })
    const late = Date.parse(waiting!.until!) - end
    expect(late, waiting!.until).toBeGreaterThan(-60_000)
    expect(late, waiting!.until).toBeLessThan(120_000)
    const refused = await seat.place.app.request('/sessions/spawn', {
      method: 'POST',
      body: JSON.stringify({ name: 'another', prompt: 'hi' }),
    })
    expect(await refused.json()).toMatchObject({ error: { code: 'agent_limited', data: { until: waiting!.until } } })
    expect(refused.status).toBe(429)
    expect(Math.abs(Number(refused.headers.get('retry-after')) - 7200)).toBeLessThan(130)
    await seat.remove()
    await seat.went('killed')
  })

  it('goes on by itself when it ends, also when another server took over meanwhile', async (context) => {
    const seat = await reaches(context, 1, true)
    await seat.place.app.restart()
    await seat.heard('continue')
    await seat.is('idle')
    expect(seat.course().slice(-2)).toEqual(['running', 'idle'])
    expect(seat.session()).toMatchObject({ waiting: null, lastError: null })
  })
}

/** Everything that could be lost on the way: quotes of all languages, what looks like a variable or an import, and length. */
const trying = [
  `"double" 'single' \`back\` \\ """three""" '''three''' $HOME $(id) \${x} {{x}} %s @nobody.md <system> é 漢字 🙂`,
  ...Array.from({ length: 900 }, (_, line) => `${line}: what an agent is told of itself has to arrive whole, to the last word of it.`),
].join('\n')

function instructed(harness: AgentHarness, taken: () => Seat): void {
  let seat: Seat
  const write = (name: string, text: string) => writeFile(join(seat.place.app.project, name), text)
  beforeAll(async () => {
    seat = taken()
    expect(Buffer.byteLength(trying)).toBeGreaterThan(61_000)
    await write('AGENT.md', `I am ${trying}`)
    await write('USER.md', 'The user is called Otto.')
    await seat.spawn('[say ready] begin')
    await until(() => seat.place.heard().includes('begin'), { timeout: 2 * slowMs, what: 'the first turn' })
    await seat.is('idle', slowMs)
  }, 4 * slowMs)

  /** How often the last request has a text, whatever the form of its body. */
  const told = (text: string) => stringsOf(seat.place.requests.at(-1)).reduce((sum, each) => sum + each.split(text).length - 1, 0)
  const isTold = () => {
    expect(told(`# Who you are (AGENT.md)\n\nI am ${trying}\n\n# Whom you work for (USER.md)\n\nThe user is called Otto.`)).toBe(1)
    expect(told('What you remember')).toBe(0)
  }

  it('is told who it is from the first request on, and 61 KB of that whole', isTold)

  it('still knows after a compaction', async (context) => {
    const compact = able(context, harness.compact)
    // Some compact nothing that is so short.
    await seat.send('before the compaction')
    await seat.shows('heard: before the compaction')
    await seat.is('idle', slowMs)
    const asked = seat.asked()
    await seat.write(compact)
    // One that is still reading its own commands takes the first for a choice among them.
    await seat.pressUntil(['Enter'], () => seat.asked() > asked, 20)
    await seat.was('running')
    await seat.is('idle', slowMs)
    await seat.send('after the compaction')
    await seat.heard('after the compaction')
    isTold()
    await seat.is('idle', slowMs)
  })

  it('still knows when its conversation was cleared', async (context) => {
    const clear = able(context, harness.clear)
    await seat.send('before the clearing')
    await seat.shows('heard: before the clearing')
    await seat.is('idle', slowMs)
    await seat.command(clear)
    await until(async () => !(await seat.output(40)).includes('heard: before the clearing'), { what: 'a clear screen' })
    await seat.send('after the clearing')
    await seat.heard('after the clearing')
    isTold()
    await seat.is('idle', slowMs)
  })

  it(
    'is told anew when it is resumed',
    async () => {
      await until(async () => (await seat.messages()).at(-1)?.role === 'assistant', { what: 'the record of the last turn' })
      await seat.remove()
      await write('AGENT.md', 'I am somebody else.')
      await write('MEMORY.md', 'I was ended once.')
      expect((await seat.post('resume', { prompt: 'who are you?' })).status).toBe(201)
      await until(() => seat.place.heard().includes('who are you?'), { timeout: 3 * slowMs, what: 'the model to hear it' })
      expect(told('after the clearing')).toBeGreaterThan(0)
      expect(told('I am somebody else.')).toBe(1)
      expect(told('# What you remember (MEMORY.md)\n\nI was ended once.')).toBe(1)
      if (harness.rewrites ?? true) expect(told('has to arrive whole')).toBe(0)
      else expect(told('From now on this holds, in place of')).toBe(1)
    },
    5 * slowMs,
  )
}

/** Every text in a value. */
function stringsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(stringsOf) : []
}

/** What an agent can; skips the case with the reason when it cannot. */
function able<T>(context: TestContext, can: Can<T>): T {
  if (typeof can === 'object' && can !== null && 'cannot' in can) context.skip(can.cannot)
  return can as T
}
