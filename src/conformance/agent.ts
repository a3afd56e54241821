import { describe, expect, it } from 'vitest'
import type { Agent } from '../runtime/agent.ts'
import { acceptedSession, firstRecord, launchOf } from '../runtime/launch.ts'
import { advance } from '../runtime/session.ts'
import type { Event, Keystroke, Launch, OpenPrompt, SessionRecord, SpawnRequest } from '../runtime/types.ts'
import { iso } from './stage.ts'

/** What is an agent's own. */
export interface AgentSamples {
  /** Names of its events, with which its hooks call. */
  readonly events?: readonly string[]
}

const id = '018f0000-0000-7000-8000-000000000000'
const at = '2026-01-01T00:00:00.000Z'
const directory = '/state/sessions/one'
const secret = 'sk-not-for-argument-lists'
/** Linux takes 128 KiB in one argument: execve(2), MAX_ARG_STRLEN. */
const maxArgument = 131_071
/** What the backend keeps in the same directory. */
const reserved = /^(?:command|signals\.jsonl|exit|launcher\.err|output\.log|screen\.txt|hook\.sh|answers|payload\..*)$/

const prompts = [
  'Fix the tests',
  'two\nlines\n',
  '--help',
  '-p',
  '--',
  '/quit',
  '!ls',
  '#memory',
  '@file',
  'it\'s "quoted" $HOME `x` $(x) \\',
  'ünï 日本語 👍',
  ' ',
  'x'.repeat(300_000),
]
const named = prompts.map((prompt) => [prompt.slice(0, 30), prompt] as const)
const payloads: readonly unknown[] = [
  undefined,
  null,
  true,
  0,
  '',
  'text',
  [],
  [null],
  {},
  { session_id: 7, prompt: null, message: [], transcript_path: {}, tool_name: 3, tool_input: 'x', hook_event_name: [] },
  { a: { b: [{ c: null }] } },
]
const screens = [
  '',
  '\n\n',
  '> ',
  '❯ ',
  '│ > │',
  '\x1b[31m',
  '日本\n'.repeat(100),
  'x'.repeat(10_000),
  '1. Yes\n2. No',
  '❯ 1. Yes\n  2. No',
]

/**
 * What every agent's plugin has to do that can be told without its program: its methods are pure, they take whatever a
 * program may say, and what it runs holds no secret where others can read it.
 *
 *   agentConformance('mine', () => mine(), { events: ['Started', 'Stopped'] })
 */
export function agentConformance(name: string, make: () => Agent, { events = [] }: AgentSamples = {}): void {
  describe(`${name}, as every agent,`, () => {
    const agent = make()
    const request = { name: 'one', prompt: 'Fix the tests', env: { MY_KEY: secret }, size: { cols: 100, rows: 30 } }

    function launch(given: Partial<SpawnRequest> = {}, edited: Partial<Launch> = {}): Launch {
      const chosen = { id, agent: name, backend: 'local', model: agent.model ?? null, cwd: '/project', createdAt: at }
      const surroundings = {
        environment: { PATH: '/bin', HOME: '/home' },
        allowedEnvironment: [],
        elsewhere: null,
        resume: null,
        access: {},
      }
      return { ...launchOf({ ...request, ...given }, chosen, agent, surroundings), ...edited }
    }

    function record(): SessionRecord {
      const chosen = { id, agent: name, backend: 'local', model: null, cwd: '/project', createdAt: at }
      const first = firstRecord(acceptedSession(request, chosen), launch(), { options: {}, limits: { depth: 0, children: 0 } })
      return advance(first, { type: 'launched', evidence: { source: 'process', rule: 'it runs', at } })
    }

    describe('plans', () => {
      it.each(named)('a session with the prompt %j', (_, prompt) => {
        const { argv, env, cwd, size, files } = agent.plan(launch({ prompt }), directory)
        expect(argv[0]).toMatch(/./)
        for (const argument of argv) expect(new TextEncoder().encode(argument).length).toBeLessThanOrEqual(maxArgument)
        expect(argv.join('\n')).not.toContain('\0')
        expect({ cwd, size }).toEqual({ cwd: '/project', size: { cols: 100, rows: 30 } })
        expect(env).toMatchObject({ PATH: '/bin', HOME: '/home', MY_KEY: secret, INSTAR_SESSION_ID: id, INSTAR_SESSION: 'one' })
        expect(Object.values(env).every((value) => typeof value === 'string')).toBe(true)
        for (const file of Object.keys(files)) {
          expect(file).not.toMatch(/\/|^\.{1,2}$/)
          expect(file).not.toMatch(reserved)
        }
      })

      it('the same for the same launch', () => {
        expect(JSON.stringify(agent.plan(launch(), directory))).toBe(JSON.stringify(make().plan(launch(), directory)))
      })

      it('with secrets in the environment, and nowhere that others can read', () => {
        expect(agent.plan(launch(), directory).argv.join('\n')).not.toContain(secret)
      })

      it('with arguments of its own, with instructions, and to go on with a conversation', () => {
        const instructions = [{ title: 'Motto', text: 'Measure twice, cut once. '.repeat(10_000) }]
        const given = agent.plan(launch({ args: ['--own', 'argument'] }, { instructions }), directory)
        expect(given.argv.join('\n')).toContain('--own\nargument')
        for (const argument of given.argv) expect(argument.length).toBeLessThanOrEqual(maxArgument)
        expect(agent.plan(launch({ prompt: '' }, { resume: 'conversation-1' }), directory).argv[0]).toMatch(/./)
      })
    })

    it('runs guards, or says that it does not', () => {
      const guarded = agent.plan(launch({}, { guards: ['the-guard.sh'] }), directory)
      expect(JSON.stringify(guarded).includes('the-guard.sh')).toBe(agent.runsGuards === true)
    })

    describe('types', () => {
      it.each(named)('the text %j, and Enter at its end', (_, text) => {
        const strokes = agent.type(text)
        strokes.forEach(isStroke)
        expect(strokes.at(-1)).toMatchObject({ type: 'key' })
        const pasted = strokes.map((stroke) => (stroke.type === 'paste' ? stroke.text : '')).join('')
        expect(pasted.replace(/\s/g, '')).toContain(text.replace(/\s/g, ''))
      })

      it('what interrupts it and what empties its composer', () => {
        ;[...(agent.interrupt ?? []), ...(agent.erase ?? [])].forEach(isStroke)
      })
    })

    describe('takes whatever its program says:', () => {
      const signals = ['', 'Unknown', ...events].flatMap((event) => payloads.map((payload) => ({ event, payload, at })))

      it('signals, whatever is in them', () => {
        for (const signal of signals) {
          const event = agent.read({ type: 'signal', signal }, record())
          isEvent(event)
          expect(JSON.stringify(agent.read({ type: 'signal', signal }, record()))).toBe(JSON.stringify(event))
          for (const proof of [agent.took?.(signal, 'text'), agent.began?.(signal)]) expect([undefined, true, false]).toContain(proof)
          if (event?.type === 'asked' && event.prompt) isAnswerable(agent, event.prompt)
          const told = agent.conversation?.(signal)
          if (told) expect(told).toEqual({ id: expect.any(String), transcript: told.transcript === null ? null : expect.any(String) })
        }
      })

      it('a signal that nobody knows means nothing', () => {
        expect(agent.read({ type: 'signal', signal: { event: 'instar-unknown', payload: {}, at } }, record())).toBeNull()
      })

      it('its beginning and its titles', () => {
        isEvent(agent.read({ type: 'launched', at }, record()))
        for (const title of screens) isEvent(agent.read({ type: 'title', title, at }, record()))
      })

      it('screens', () => {
        for (const screen of screens) {
          const draft = agent.draft?.(screen) ?? null
          if (draft !== null) expect(draft).toEqual(expect.any(String))
          if (agent.startup) isEvent(agent.startup.read(screen, at))
        }
        if (agent.draft) expect(agent.draft('')).toBeNull()
      })

      it('lines of its transcript, and entries of its registry', () => {
        for (const payload of payloads) {
          const message = agent.transcript?.message(payload) ?? null
          if (message) expect(message).toMatchObject({ id: expect.any(String), text: expect.any(String), at: expect.any(String) })
          agent.transcript?.queued?.(payload)
          isEvent(agent.transcript?.read?.(payload, record()) ?? null)
          isEvent(agent.registry?.read(payload, record()) ?? null)
        }
      })
    })
  })
}

function isStroke(stroke: Keystroke): void {
  if (stroke.type === 'pause') expect(stroke.ms).toBeLessThan(5000)
  else expect(stroke.type === 'key' ? stroke.key : stroke.text).toEqual(expect.any(String))
}

function isEvent(event: Event | null): void {
  if (event === null) return
  const sources = ['hook', 'transcript', 'screen', 'process', 'backend']
  expect(event).toMatchObject({ type: expect.any(String), evidence: { rule: expect.stringMatching(/./), at: expect.stringMatching(iso) } })
  expect(sources).toContain(event.evidence.source)
}

/** Every option that it offers it can choose. */
function isAnswerable(agent: Agent, prompt: OpenPrompt): void {
  for (const { id } of agent.answer ? prompt.options : []) {
    const answer = agent.answer!(prompt, { choice: id })
    if (answer.type === 'keys') answer.keystrokes.forEach(isStroke)
    else expect(answer).toEqual({ type: 'mailbox', text: expect.any(String) })
  }
}
