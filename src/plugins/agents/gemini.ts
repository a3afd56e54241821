import * as v from 'valibot'
import type { Agent } from '../../runtime/agent.ts'
import { waitingFor } from '../../runtime/session.ts'
import type { Event, Launch, SessionRecord, Signal, Stage } from '../../runtime/types.ts'
import { draft, harmless, keystrokes, placeholder } from './gemini-composer.ts'
import { instructionFiles, instructionHook } from './gemini-instructions.ts'
import { answer, ask, guardHook, isAbout, isShown, permissionOf, questionOf, tell } from './gemini-prompts.ts'
import { compressed, transcript } from './gemini-transcript.ts'
import { guardFiles } from './guards.ts'
import { dialogOf } from './menu.ts'
import { isTooLong } from './text.ts'

export interface GeminiOptions {
  /** The program. Default: `gemini` on the PATH. */
  readonly program?: string
  /** The model when a request names none. Default: what the user's own settings say. */
  readonly model?: string
  /** `--approval-mode`: `default`, `auto_edit`, `yolo` or `plan`. Default: what the user's own settings say. */
  readonly approvalMode?: string
  /** Trust the directory a session runs in, without its trust dialog and without writing that anywhere. Default false. */
  readonly trust?: boolean
  /**
   * Give it our hooks as a file of system defaults. It takes one only if it and all directories above it are root's, and
   * nobody else's to write. Default: when the server is root's. Otherwise see `geminiHooks`.
   */
  readonly defaults?: boolean
  /** Further environment for every session. */
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Gemini CLI 0.61, interactive. Its hooks are told of by system defaults or stand in the user's own settings (see
 * `geminiHooks`), and merge with others. Where they do not run, the terminal's title tells what it does, without details.
 * Nothing of the user's is written.
 */
export function gemini({
  program = 'gemini',
  model,
  approvalMode,
  trust = false,
  defaults = isRoot(),
  env: extra = {},
}: GeminiOptions = {}): Agent {
  return {
    ...(model === undefined ? {} : { model }),
    // Not GEMINI_CLI, which says that a program runs in a tool of gemini's.
    context: { files: ['GEMINI.md'], imports: true },
    runsGuards: true,
    inherits: [
      'GEMINI_API_KEY*',
      'GEMINI_DEFAULT_AUTH_TYPE',
      'GEMINI_MODEL',
      'GEMINI_SANDBOX*',
      'GEMINI_SYSTEM_MD',
      'GEMINI_TELEMETRY_*',
      'GEMINI_CLI_CUSTOM_HEADERS',
      'GEMINI_CLI_HOME',
      'GEMINI_CLI_SYSTEM_*',
      'GEMINI_CLI_TRUST*',
      'GOOGLE_*',
      'CODE_ASSIST_*',
      'CLOUD_SHELL',
    ],

    plan(launch, directory) {
      const wanted = launch.model ?? model
      const { prompt, files } = firstPrompt(launch, directory)
      const settings = { general: { enableAutoUpdate: false }, hooks: geminiHooks }
      return {
        argv: [
          program,
          // No `--session-id`: it starts itself again when its trust dialog is answered, and then refuses an id that it knows.
          ...(launch.resume === null ? [] : ['--resume', launch.resume]),
          ...(wanted === undefined ? [] : ['--model', wanted]),
          ...(approvalMode === undefined ? [] : ['--approval-mode', approvalMode]),
          ...launch.args,
          // One word, because a prompt that begins with `-` would be an option.
          ...(prompt === '' ? [] : [`--prompt-interactive=${prompt}`]),
        ],
        env: {
          INSTAR_HOOKS: directory,
          // Not `--skip-trust`, which comes too late for the project's own settings.
          ...(trust ? { GEMINI_CLI_TRUST_WORKSPACE: 'true' } : {}),
          ...(defaults ? { GEMINI_CLI_SYSTEM_DEFAULTS_PATH: `${directory}/settings.json` } : {}),
          ...extra,
          ...launch.env,
        },
        cwd: launch.cwd,
        files: {
          ...files,
          ...instructionFiles(launch),
          ...guardFiles(launch),
          'tell.sh': tell,
          ...(defaults ? { 'settings.json': JSON.stringify(settings, null, 2) } : {}),
        },
        size: launch.size,
        titles: true,
      }
    },

    read(sight, record) {
      if (sight.type === 'signal') return readHook(sight.signal, record)
      return sight.type === 'title' ? readTitle(sight.title, sight.at, record, trust) : null
    },
    conversation: readConversation,
    transcript,
    answer,
    startup: { afterMs: startupMs, read: readStartup },
    type: keystrokes,
    interrupt: [{ type: 'key', key: 'Escape' }],
    took: ({ event }) => event === 'BeforeAgent',
    began: ({ event }) => ['PreCompress', 'BeforeTool', 'AfterAgent'].includes(event),
    draft,
  }
}

/** A person may answer tomorrow. */
const dayMs = 86_400_000

// ---- hooks → events --------------------------------------------------------------------------------------------------

const payloads = v.object({
  session_id: v.optional(v.string()),
  transcript_path: v.optional(v.string()),
  timestamp: v.optional(v.pipe(v.string(), v.isoTimestamp())),
  tool_name: v.optional(v.string(), ''),
  tool_input: v.optional(v.record(v.string(), v.unknown()), {}),
  details: v.optional(v.looseObject({ type: v.string(), title: v.optional(v.string(), 'it asks') })),
  trigger: v.optional(v.string()),
})
type Payload = v.InferOutput<typeof payloads>
type Meaning = { [T in Event['type']]: Omit<Extract<Event, { type: T }>, 'evidence'> }[Event['type']]

const working: Meaning = { type: 'working' }
const rested: Meaning = { type: 'rested' }

/** What each hook says. A hook that is not here is not installed. */
const meanings: Readonly<Record<string, (payload: Payload, record: SessionRecord, signal: Signal) => Meaning | null>> = {
  // Told of a resumed conversation only: at another start its dialogs may be in front of the composer.
  SessionStart: (_, { session }) => (session.prompt === '' ? rested : null),
  BeforeAgent: () => working,
  BeforeTool: (payload, record, signal) => {
    if (!isWorking(record)) return null
    return payload.tool_name === 'ask_user' ? ask(questionOf(payload), signal) : working
  },
  // One that was cancelled ends after its turn, and one of a sub-agent says nothing of what another asks.
  AfterTool: (payload, record) => (isWorking(record) || (record.prompts[0] && isAbout(payload, record.prompts[0])) ? working : null),
  // Also of a turn that failed or was cancelled, which its transcript tells before.
  AfterAgent: (_, { session, ...record }) => {
    if (session.status !== 'running') return session.evidence.source === 'transcript' ? null : rested
    return isHolding(record, 'typing', 'typed') ? working : rested
  },
  Notification: ({ details }, { session, prompts: [open] }, signal) => {
    // One that had to wait for another may be told when its turn was cancelled.
    if (!details || session.status === 'idle') return null
    if (!open) return ask(permissionOf(details), signal)
    // Its tool told of a question. Two dialogs at a time cannot be told apart.
    const { mailbox = null } = signal
    const [message, options] =
      details.type === 'ask_user' ? [open.message, open.options] : [`${open.message}\n${permissionOf(details).message}`, []]
    const prompt = { ...open, message, options, mailbox: open.mailbox ?? mailbox }
    return { type: 'asked', waiting: waitingFor(prompt), prompt }
  },
  // `auto` comes with each turn. After /compress no hook follows.
  PreCompress: ({ trigger }, { session: { evidence } }, { at }) =>
    trigger !== 'manual' || (evidence.rule === compressed && evidence.at >= at) ? null : working,
}

const isWorking = ({ session: { status } }: SessionRecord): boolean => status === 'starting' || status === 'running'

/** Whether it has texts that were typed since its turn began, with which it goes on by itself. */
function isHolding({ deliveries, trail }: Pick<SessionRecord, 'deliveries' | 'trail'>, ...stages: readonly Stage[]): boolean {
  const began = trail.findLast(({ rule }) => rule === 'BeforeAgent')?.at ?? ''
  return deliveries.some(({ stage, at }) => stages.includes(stage) && at > began)
}

function readHook(signal: Signal, record: SessionRecord): Event | null {
  const parsed = v.safeParse(payloads, signal.payload)
  if (!parsed.success) return null
  // Exact to the millisecond, unlike the time of the signal.
  const { timestamp = signal.at } = parsed.output
  const at = timestamp < signal.at ? timestamp : signal.at
  const meaning = meanings[signal.event]?.(parsed.output, record, { ...signal, at })
  return meaning ? ({ ...meaning, evidence: { source: 'hook', rule: signal.event, at } } as Event) : null
}

/** Its id changes with /clear. */
function readConversation({ event, payload }: Signal): { id: string; transcript: string | null } | null {
  const parsed = v.safeParse(payloads, payload)
  if (!['SessionStart', 'BeforeAgent'].includes(event) || !parsed.success || !parsed.output.session_id) return null
  const { session_id: id, transcript_path: path } = parsed.output
  return { id, transcript: path?.endsWith('.jsonl') ? path : null }
}

/**
 * Hooks for `~/.gemini/settings.json`, which do nothing outside of our sessions, and run once when they are given twice.
 * A gemini that runs in a session's tools is told apart by GEMINI_CLI.
 */
export const geminiHooks: Readonly<Record<string, readonly unknown[]>> = {
  ...Object.fromEntries(
    Object.keys(meanings).map((event) => {
      const command = `[ -n "$GEMINI_CLI" ] || [ -z "$INSTAR_HOOKS" ] || sh "$INSTAR_HOOKS/tell.sh" ${event}`
      const hooks = [{ name: 'instar', type: 'command', command, timeout: event === 'Notification' ? dayMs : 10_000 }]
      if (event === 'BeforeTool') return [event, [{ hooks: [...hooks, guardHook] }]]
      return [event, [event === 'SessionStart' ? { matcher: 'resume', hooks } : { hooks }]]
    }),
  ),
  BeforeModel: [{ hooks: [instructionHook] }],
}

// ---- titles → events -------------------------------------------------------------------------------------------------

const titles = { '◇': 'Ready', '✦': 'Working', '⏲': 'Working', '✋': 'Action Required' } as const
/** How long a title may still be told after its turn. */
const lateMs = 200

/** What hooks do not tell: that a dialog was answered or left, and a turn that ends in the middle of a tool. */
function readTitle(title: string, at: string, record: SessionRecord, trust: boolean): Event | null {
  const says = titles[[...title][0] as keyof typeof titles] as (typeof titles)[keyof typeof titles] | undefined
  const meaning = says && at > record.session.evidence.at ? meaningOf(says, at, record, trust) : null
  return meaning ? ({ evidence: { source: 'screen', rule: `its title says ${says}`, at }, ...meaning } as Event) : null
}

function meaningOf(says: string, at: string, record: SessionRecord, trust: boolean): Event | Meaning | null {
  const { session, conversation } = record
  const { status, waiting, evidence } = session
  const [open] = record.prompts
  switch (status) {
    case 'starting':
      // It begins to work behind its dialogs, and is Ready behind them too.
      return (trust || evidence.source === 'screen') && says === 'Working' ? working : null
    case 'running':
    case 'idle': {
      if (says === 'Ready') return status === 'running' && !(evidence.source === 'hook' && isHolding(record, 'typing')) ? rested : null
      if (says === 'Working')
        return status === 'idle' && (evidence.rule !== 'AfterAgent' || Date.parse(at) - Date.parse(evidence.at) > lateMs) ? working : null
      // With hooks it is no permission: then a command in its terminal waits for something.
      const kind = conversation ? 'question' : 'permission'
      return { type: 'asked', waiting: { kind, message: 'its terminal waits for a person' } }
    }
    case 'waiting': {
      // After a turn that failed, or in front of a dialog of its start.
      if (evidence.source === 'transcript' || waiting?.kind === 'trust' || waiting?.kind === 'login')
        return says === 'Working' ? working : null
      if (says === 'Ready') return rested
      if (says === 'Working') return !open || isShown(open) ? working : null
      return open && !isShown(open) ? { type: 'asked', waiting: waiting!, prompt: { ...open, details: { shown: true } }, evidence } : null
    }
    default:
      return null
  }
}

/** It begins in about two seconds; its dialogs are told by no hook, and stand in front of the composer. */
const startupMs = 10_000
const dialogs = [
  { kind: 'trust', shows: /Do you trust/ },
  // Not its header, which says how it has authenticated, and is drawn first.
  { kind: 'login', shows: /would you like to authenticate|enter (?:your )?gemini api key|sign in/i },
] as const

function readStartup(screen: string, at: string): Event {
  const evidence = {
    source: 'screen',
    rule: `no hook told of a start within ${startupMs / 1000} s; this is what the screen shows`,
    at,
  } as const
  // What a person says stands behind the mark of the composer, too. On a slow machine nothing may be said yet; its title tells.
  if (screen.includes(placeholder))
    return { type: /esc to cancel/.test(screen) ? 'working' : /^ > \S/m.test(screen) ? 'rested' : 'launched', evidence }
  // After its trust dialog; what it shows then comes below.
  if (/is restarting/.test(screen)) return { type: 'launched', evidence }
  const kind = dialogs.find(({ shows }) => shows.test(screen))?.kind ?? 'question'
  const message = screen.trim().split('\n').slice(-20).join('\n')
  const prompt = dialogOf(screen, kind, message, at)
  return { type: 'asked', ...(prompt ? { prompt, waiting: waitingFor(prompt) } : { waiting: { kind, message } }), evidence }
}

// ---- prompt and composer ---------------------------------------------------------------------------------------------

function firstPrompt({ prompt }: Launch, directory: string): { prompt: string; files: Record<string, string> } {
  // It takes the quotes off a word that is quoted as a whole.
  if (!isTooLong(prompt)) return { prompt: `${/^(['"])[^]*\1$/.test(prompt) ? ' ' : ''}${harmless(prompt)}`, files: {} }
  const file = `${directory}/prompt.md`
  const outside = 'It is outside of the workspace: read it with a shell command, such as cat.'
  return {
    prompt: `Read the file ${file}: it is the user's full request for this session. ${outside} Carry it out.`,
    files: { 'prompt.md': prompt },
  }
}

/** Whether the server is root's, as its sessions on this machine then are. False where there are no users, or Deno does not tell. */
function isRoot(): boolean {
  try {
    return (globalThis as { process?: { getuid?(): number } }).process?.getuid?.() === 0
  } catch {
    return false
  }
}
