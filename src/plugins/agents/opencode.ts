import * as v from 'valibot'
import type { Agent, Answer, Reply } from '../../runtime/agent.ts'
import { waitingFor } from '../../runtime/session.ts'
import type { Event, Keystroke, Launch, OpenPrompt, PromptOption, SessionRecord, Signal } from '../../runtime/types.ts'
import { draft, harmless, keystrokes } from './opencode-composer.ts'
import { plugin } from './opencode-plugin.ts'
import { settings } from './opencode-settings.ts'
import { transcript } from './opencode-transcript.ts'
import { asArgument, document, isSame } from './text.ts'

export interface OpencodeOptions {
  /** The program. Default: `opencode` on the PATH. */
  readonly program?: string
  /** The model when a request names none, as `provider/model`. Default: what the user's own settings say. */
  readonly model?: string
  /** Allow what is not denied (`--auto`). Default false. */
  readonly auto?: boolean
  /** opencode's own `permission` setting, such as `{ bash: 'ask' }`, over the user's and the project's. */
  readonly permission?: Readonly<Record<string, unknown>>
  /** Further environment for every session. */
  readonly env?: Readonly<Record<string, string>>
}

/**
 * opencode 1.18, interactive, with a plugin inside it that is given by `OPENCODE_CONFIG_CONTENT`, which merges with the
 * user's and the project's own settings. Nothing of the user's is written, and no port is opened.
 */
export function opencode({ program = 'opencode', model, auto = false, permission, env: extra = {} }: OpencodeOptions = {}): Agent {
  return {
    ...(model === undefined ? {} : { model }),
    context: { files: ['AGENTS.md'], imports: false },
    runsGuards: true,
    inherits: [
      'ANTHROPIC_*',
      'OPENAI_*',
      'GEMINI_API_KEY',
      'GOOGLE_GENERATIVE_AI_API_KEY',
      'OPENROUTER_API_KEY',
      'OPENCODE_API_KEY',
      'OPENCODE_AUTH_CONTENT',
      'OPENCODE_CONFIG*',
      'OPENCODE_PERMISSION',
      'OPENCODE_MODELS_*',
      'OPENCODE_DISABLE_*',
      'OPENCODE_ENABLE_*',
      'OPENCODE_EXPERIMENTAL*',
      'XDG_CONFIG_HOME',
      'XDG_DATA_HOME',
      'XDG_STATE_HOME',
      'XDG_CACHE_HOME',
    ],

    plan(launch, directory) {
      const { resume, args, cwd, size } = launch
      const wanted = launch.model ?? model
      const { prompt, files } = firstPrompt(launch, directory)
      const told = document(launch.instructions)
      const env = {
        OPENCODE_DISABLE_AUTOUPDATE: '1',
        // Otherwise nothing of it is left when it ends.
        OTUI_USE_ALTERNATE_SCREEN: 'false',
        ...extra,
        ...launch.env,
      }
      return {
        argv: [
          program,
          ...(wanted === undefined ? [] : ['--model', wanted]),
          ...(auto ? ['--auto'] : []),
          ...args,
          // One word, because a prompt that begins with `-` would be an option. Next to `--session` it is ignored.
          ...(resume === null ? [`--prompt=${harmless(prompt)}`] : ['--session', resume]),
        ],
        env: {
          ...env,
          OPENCODE_CONFIG_CONTENT: settings(
            env,
            [`${directory}/plugin.js`, { model: wanted, resume, auto, guards: launch.guards }],
            permission,
            told === '' ? [] : [`${directory}/instructions.md`],
          ),
        },
        cwd,
        files: { ...files, 'plugin.js': plugin, ...(told === '' ? {} : { 'instructions.md': told }) },
        size,
        // Nothing else tells that a resumed conversation is on the screen.
        titles: resume !== null && prompt === '',
      }
    },

    read(sight, record) {
      if (sight.type === 'signal') return readSignal(sight.signal, record)
      const isUp = sight.type === 'title' && record.session.status === 'starting' && /^(OC \||OpenCode$)/.test(sight.title)
      return isUp ? { type: 'rested', evidence: { source: 'screen', rule: 'its title says that it is up', at: sight.at } } : null
    },
    conversation: readConversation,
    transcript,
    answer: answerPrompt,
    startup: { afterMs: startupMs, read: readStartup },
    type: keystrokes,
    interrupt,
    took: ({ event, payload }, text) => event === 'chat.message' && isSame((payload as { text?: unknown } | null)?.text, text),
    draft,
  }
}

// ---- signals → events ------------------------------------------------------------------------------------------------

const payloads = v.object({
  id: v.optional(v.string()),
  sessionID: v.optional(v.string()),
  transcript: v.optional(v.string()),
  error: v.optional(v.object({ name: v.optional(v.string()), message: v.optional(v.string()) })),
  message: v.optional(v.string(), 'it tries again'),
  next: v.optional(v.number(), 0),
  permission: v.optional(v.string(), 'a tool'),
  patterns: v.optional(v.array(v.string()), []),
  always: v.optional(v.array(v.string()), []),
  metadata: v.optional(v.record(v.string(), v.unknown()), {}),
  questions: v.optional(
    v.array(
      v.object({
        question: v.string(),
        options: v.array(v.object({ label: v.string() })),
        multiple: v.optional(v.boolean()),
        custom: v.optional(v.boolean(), true),
      }),
    ),
    [],
  ),
})
type Payload = v.InferOutput<typeof payloads>
type Meaning = { [T in Event['type']]: Omit<Extract<Event, { type: T }>, 'evidence'> }[Event['type']]

/** Its own pauses between tries are shorter than this; a longer one is what the provider asks for. */
const limitMs = 60_000

/** What each signal of our plugin says. */
const meanings: Readonly<Record<string, (payload: Payload, record: SessionRecord, signal: Signal) => Meaning | null>> = {
  'chat.message': unlessAsked,
  'session.busy': unlessAsked,
  'tool.execute.before': unlessAsked,
  'tool.execute.after': unlessAsked,
  'session.retry': (payload, record, { at }) => {
    const { message, next } = payload
    if (next - Date.parse(at) < limitMs || record.prompts.length > 0) return unlessAsked(payload, record)
    return { type: 'turn_failed', error: message, waiting: { kind: 'limit', message, until: new Date(next).toISOString() } }
  },
  'session.idle': ({ error }) => (error && error.name !== 'MessageAbortedError' ? failed(error) : { type: 'rested' }),
  'session.error': ({ error = {} }) => failed(error),
  'permission.asked': (payload, _, signal) => ask(permissionOf(payload), payload, signal),
  'question.asked': (payload, _, signal) => ask(questionOf(payload), payload, signal),
  'permission.replied': settle,
  'question.replied': settle,
  'question.rejected': settle,
  'prompt.dropped': settle,
}

/** What others of its agents do says nothing of the one that asks. */
function unlessAsked(_: Payload, { prompts }: SessionRecord): Meaning | null {
  return prompts.length === 0 ? { type: 'working' } : null
}

const failed = ({ name, message }: NonNullable<Payload['error']>): Meaning => ({
  type: 'turn_failed',
  error: message ?? name ?? 'the turn failed',
})

function settle({ id }: Payload, { prompts }: SessionRecord): Meaning | null {
  const prompt = prompts.find(({ details }) => details === id)
  return prompt ? { type: 'settled', prompt: prompt.id } : null
}

function readSignal(signal: Signal, record: SessionRecord): Event | null {
  const parsed = v.safeParse(payloads, signal.payload)
  const meaning = parsed.success ? meanings[signal.event]?.(parsed.output, record, signal) : null
  return meaning ? ({ ...meaning, evidence: { source: 'hook', rule: signal.event, at: signal.at } } as Event) : null
}

function readConversation({ event, payload }: Signal): { id: string; transcript: string | null } | null {
  const parsed = v.safeParse(payloads, payload)
  if (!['chat.message', 'session.resumed'].includes(event) || !parsed.success || !parsed.output.sessionID) return null
  return { id: parsed.output.sessionID, transcript: parsed.output.transcript ?? null }
}

// ---- prompts and their answers ---------------------------------------------------------------------------------------

type Asked = Pick<OpenPrompt, 'kind' | 'message' | 'tool' | 'input' | 'options'>

function ask(asked: Asked, { id }: Payload, { mailbox: told, at }: Signal): Meaning {
  const mailbox = told ?? null
  const prompt: OpenPrompt = {
    ...asked,
    id: mailbox ?? id ?? at,
    mailbox,
    openedAt: at,
    details: id,
    options: mailbox === null ? [] : asked.options,
  }
  return { type: 'asked', waiting: waitingFor(prompt), prompt }
}

function permissionOf({ permission: tool, patterns, always, metadata: input }: Payload): Asked {
  const { command } = input
  const message = `${tool} ${typeof command === 'string' ? command : patterns.join(', ')}`.slice(0, 2000)
  const remember: PromptOption[] = always.length > 0 ? [{ id: 'always', label: `Allow always: ${always.join(', ')}` }] : []
  return {
    kind: 'permission',
    message,
    tool,
    input,
    options: [{ id: 'allow', label: 'Allow once' }, ...remember, { id: 'deny', label: 'Reject' }],
  }
}

function questionOf({ questions }: Payload): Asked {
  const labels = new Set(questions.flatMap(({ options }) => options.map(({ label }) => label)))
  const other: PromptOption[] = questions.some(({ custom }) => custom) ? [{ id: 'other', label: 'Type your own answer: the message' }] : []
  return {
    kind: 'question',
    message: questions.map(({ question }) => question).join('\n'),
    tool: 'question',
    input: { questions },
    options: [...[...labels].map((label) => ({ id: label, label })), ...other, { id: 'deny', label: 'Dismiss' }],
  }
}

const replies: Readonly<Record<string, string>> = { allow: 'once', always: 'always', deny: 'reject' }

/** What our plugin is to do, and with what. */
function answerPrompt({ kind, input }: OpenPrompt, { choice, message }: Reply): Answer {
  const told = (verb: string, body: object): Answer => ({ type: 'mailbox', text: JSON.stringify({ verb, body }) })
  if (kind === 'permission') return told('reply', { reply: replies[String(choice)], ...(message === undefined ? {} : { message }) })
  const chosen = [choice].flat()
  if (chosen.includes('deny')) return told('reject', {})
  const words = chosen.map((each) => (each === 'other' ? (message ?? '') : each))
  const { questions } = v.parse(payloads, input)
  return told('reply', { answers: questions.length === 1 ? [words] : questions.map((_, place) => [words[place] ?? words.at(-1)]) })
}

// ---- screen, prompt and composer -------------------------------------------------------------------------------------

/** It begins in two seconds, in twenty on a machine that is busy or when it first fetches packages of its own. */
const startupMs = 30_000

function readStartup(screen: string, at: string): Event {
  const rule = `nothing told of a turn within ${startupMs / 1000} s; this is what the screen shows`
  const evidence = { source: 'screen', rule, at } as const
  const kind = /connect a provider|API key|log ?in/i.test(screen) ? 'login' : 'question'
  // Plugins may be switched off (`--pure`), ours too.
  if (kind === 'question' && draft(screen) !== null) return { type: /esc interrupt/.test(screen) ? 'working' : 'rested', evidence }
  return { type: 'asked', waiting: { kind, message: screen.trim().split('\n').slice(-20).join('\n') }, evidence }
}

function firstPrompt({ prompt, resume }: Launch, directory: string): { prompt: string; files: Record<string, string> } {
  // Our plugin sends it as it is.
  if (resume !== null) return { prompt, files: prompt === '' ? {} : { 'prompt.md': prompt } }
  return asArgument(prompt, directory)
}

const escape: Keystroke = { type: 'key', key: 'Escape' }
/**
 * The first asks for another, and two that come in one read are another key. The third is for when the first closed what
 * a person had left open, or when the count was reset in between, five seconds after an earlier interrupt.
 */
const interrupt: readonly Keystroke[] = [
  escape,
  { type: 'visible', text: 'again to interrupt' },
  escape,
  { type: 'pause', ms: 500 },
  escape,
]
