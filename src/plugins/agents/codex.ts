import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import * as v from 'valibot'
import type { Agent } from '../../runtime/agent.ts'
import { waitingFor } from '../../runtime/session.ts'
import type { Event, SessionRecord, Signal } from '../../runtime/types.ts'
import { contextLimit, instructionFiles } from './codex-instructions.ts'
import { answerPrompt, asking, detailsOf, nameOf, promptOf, typed } from './codex-prompts.ts'
import { proposes, transcript } from './codex-transcript.ts'
import { guardFiles, guardSeconds } from './guards.ts'
import { answerDialog, dialogOf } from './menu.ts'
import { asArgument, isSame, withoutSuggestion } from './text.ts'

export interface CodexOptions {
  /** The program. Default: `codex` on the PATH. */
  readonly program?: string
  /** The model when a request names none. Default: what the user's own settings say. */
  readonly model?: string
  /** `--sandbox`: `read-only`, `workspace-write` or `danger-full-access`. Default: what the user's own settings say. */
  readonly sandbox?: string
  /** `--ask-for-approval`: `on-request` or `never`. Default: what the user's own settings say. */
  readonly approval?: string
  /** Neither sandbox nor approvals (`--dangerously-bypass-approvals-and-sandbox`). Default false. */
  readonly bypass?: boolean
  /**
   * Trust the directory a session runs in, and the hooks that tell us of it, without codex's dialogs and without writing
   * that anywhere. Default false: codex asks, and remembers the answer. Hooks of the project's own are not trusted by it.
   */
  readonly trust?: boolean
  /** Further settings in codex's own words, such as `{ model_reasoning_effort: 'high' }`. They stand in the argument list: no secrets. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Further environment for every session, such as the variable of a provider's `env_key`. */
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Codex 0.169, interactive, with hooks that are given by `-c` and merge with the user's and the project's own, and a
 * terminal title that says what it does. Nothing of the user's is written.
 */
export function codex({
  program = 'codex',
  model,
  sandbox,
  approval,
  bypass = false,
  trust = false,
  config = {},
  env: extra = {},
}: CodexOptions = {}): Agent {
  return {
    ...(model === undefined ? {} : { model }),
    context: { files: ['AGENTS.md'], imports: false },
    runsGuards: true,
    inherits: ['OPENAI_*', 'AZURE_OPENAI_*', 'CODEX_HOME', 'CODEX_SQLITE_HOME', 'CODEX_API_KEY', 'CODEX_CA_CERTIFICATE'],

    plan(launch, directory) {
      const { resume, args, cwd, size } = launch
      const wanted = launch.model ?? model
      const { prompt, files } = asArgument(harmless(launch.prompt), directory)
      const settings = { ...ours, hooks: hooks(trust), ...(trust ? { projects: { [cwd]: { trust_level: 'trusted' } } } : {}), ...config }
      const flag = (name: string, value: string | undefined) => (value === undefined ? [] : [name, value])
      return {
        // The conversation's id and the prompt come last, and `--` keeps a prompt that begins with `-` from being an option.
        argv: [
          program,
          // It would ask whether to go on in the directory of before.
          ...(resume === null ? [] : ['resume', '-C', cwd]),
          '--no-alt-screen',
          // The shared server runs the hooks of every session in the environment of the first, and updates itself.
          '--no-daemon',
          ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${toml(value)}`]),
          ...flag('-m', wanted),
          ...flag('-s', sandbox),
          ...flag('-a', approval),
          ...(bypass ? ['--dangerously-bypass-approvals-and-sandbox'] : []),
          ...args,
          '--',
          ...[resume ?? '', prompt].filter((word) => word !== ''),
        ],
        env: { ...extra, ...launch.env, INSTAR_HOOK: `${directory}/hook.sh` },
        cwd,
        files: { ...files, ...instructionFiles(launch), ...guardFiles(launch) },
        size,
        titles: true,
      }
    },

    read(sight, record) {
      if (sight.type === 'signal') return readHook(sight.signal, record)
      return sight.type === 'title' ? readTitle(sight.title, sight.at, record) : null
    },
    conversation: readConversation,
    transcript,
    answer: (prompt, reply) => (detailsOf(prompt) ? answerPrompt(prompt, reply) : answerDialog(prompt, reply)),
    startup: { afterMs: startupMs, read: readStartup },
    type: typed,
    interrupt: [{ type: 'key', key: 'Escape' }],
    took: ({ event, payload }, text) => event === 'UserPromptSubmit' && isSame((payload as { prompt?: unknown } | null)?.prompt, text),
    draft,
  }
}

const ours = {
  check_for_update_on_startup: false,
  // Near a limit it asks to switch to a cheaper model: no hook tells of that dialog, and an Enter would answer it.
  'notice.hide_rate_limit_model_nudge': true,
  // What it does, in words. The spinner would change it ten times a second.
  'tui.terminal_title': ['activity', 'run-state'],
  'tui.animations': false,
}

// ---- hooks → events --------------------------------------------------------------------------------------------------

const payloads = v.object({
  session_id: v.optional(v.string()),
  turn_id: v.optional(v.string()),
  transcript_path: v.nullish(v.string()),
  agent_id: v.optional(v.string()),
  tool_name: v.optional(v.string(), 'a tool'),
  tool_input: v.optional(v.unknown(), {}),
  trigger: v.optional(v.string()),
})
type Payload = v.InferOutput<typeof payloads>
type Meaning = { [T in Event['type']]: Omit<Extract<Event, { type: T }>, 'evidence'> }[Event['type']]

const working: Meaning = { type: 'working' }
const rested: Meaning = { type: 'rested' }

/** What each hook says. A hook that is not here is not installed. */
const meanings: Readonly<Record<string, (payload: Payload, record: SessionRecord, signal: Signal) => Meaning | null>> = {
  // It comes with the first prompt, not before.
  SessionStart: () => null,
  UserPromptSubmit: unlessAsked,
  PreModelRequest: unlessAsked,
  PreToolUse: (payload, record, signal) => (payload.tool_name === asking ? asks : unlessAsked)(payload, record, signal),
  PostToolUse: unlessAsked,
  PreCompact: unlessAsked,
  PostCompact: ({ trigger }) => (trigger === 'manual' ? rested : null),
  // Its dialog waits for this hook: held open, it would keep the question from whoever sits at the terminal.
  PermissionRequest: asks,
  Interrupt: ({ agent_id }) => (agent_id === undefined ? rested : null),
  // A Stop hook of somebody else's may take its time, or make it go on: the turn ends with what comes after. A sub-agent
  // that asks works on; and the dialog about a plan comes now.
  Stop: (_, { session, prompts }) =>
    prompts.some((prompt) => detailsOf(prompt)?.agent) || session.evidence.rule === proposes ? null : working,
}

function asks(payload: Payload, { session, prompts }: SessionRecord, { at }: Signal): Meaning {
  const prompt = promptOf(payload, prompts.find(detailsOf), session.evidence.rule === titleAsks, at)
  return { type: 'asked', waiting: waitingFor(prompt), prompt }
}

/** What another tool or a sub-agent does says nothing of what is asked. */
function unlessAsked(payload: Payload, { prompts }: SessionRecord, { event }: Signal): Meaning | null {
  const open = prompts.find(detailsOf)
  if (!open) return payload.agent_id === undefined ? working : null
  // Outside of plan mode the tool is refused, which nothing else tells.
  if (open.kind === 'question' && event === 'PreModelRequest' && payload.agent_id === undefined) return working
  const isAbout = event === 'PostToolUse' && detailsOf(open)!.calls.every((call) => call === nameOf(payload))
  return isAbout ? { type: 'settled', prompt: open.id } : null
}

function readHook(signal: Signal, record: SessionRecord): Event | null {
  const { event, payload, at } = signal
  const parsed = v.safeParse(payloads, payload)
  const meaning = parsed.success ? meanings[event]?.(parsed.output, record, signal) : null
  const { evidence } = record.session
  // What it wrote into its record of the conversation may have been read before what its hooks told earlier.
  const isLate = evidence.source !== 'hook' && at <= evidence.at && meaning?.type !== 'asked'
  return meaning && !isLate ? ({ ...meaning, evidence: { source: 'hook', rule: event, at } } as Event) : null
}

/** Its id changes with /new and /clear. */
function readConversation({ event, payload }: Signal): { id: string; transcript: string | null } | null {
  const parsed = v.safeParse(payloads, payload)
  if (event !== 'SessionStart' || !parsed.success || !parsed.output.session_id) return null
  return { id: parsed.output.session_id, transcript: parsed.output.transcript_path ?? null }
}

/**
 * Plain sh, as for claude. codex remembers that a hook is trusted by a hash of what it is, so it is the same for every
 * session and version; it cuts some time-outs to three seconds before it takes the hash.
 */
function hooks(trust: boolean): Record<string, unknown> {
  // In the order in which codex computes the digest.
  const handler = (event: string) => ({
    ...(event === 'SessionStart' ? { additionalContextLimit: contextLimit } : {}),
    async: false,
    command: event === 'SessionStart' ? 'sh "${INSTAR_HOOK%/*}/start.sh"' : `sh "$INSTAR_HOOK" ${event}`,
    timeout: 3,
    type: 'command',
  })
  const guarding = {
    async: false,
    command: '[ ! -f "${INSTAR_HOOK%/*}/guards.sh" ] || exec sh "${INSTAR_HOOK%/*}/guards.sh"',
    timeout: guardSeconds,
    type: 'command',
  }
  const events = Object.keys(meanings)
  const handlers = (event: string) => [handler(event), ...(event === 'PreToolUse' ? [guarding] : [])]
  const label = (event: string) => event.replaceAll(/\B[A-Z]/g, '_$&').toLowerCase()
  const hash = (event: string, one: object) => bytesToHex(sha256(utf8ToBytes(JSON.stringify({ event_name: label(event), hooks: [one] }))))
  const trusted = (event: string) =>
    handlers(event).map((one, nth) => [
      `/<session-flags>/config.toml:${label(event)}:0:${nth}`,
      { trusted_hash: `sha256:${hash(event, one)}` },
    ])
  return {
    ...Object.fromEntries(events.map((event) => [event, [{ hooks: handlers(event) }]])),
    ...(trust ? { state: Object.fromEntries(events.flatMap(trusted)) } : {}),
  }
}

function toml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toml).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${Object.entries(value)
    .map(([key, each]) => `${JSON.stringify(key)}=${toml(each)}`)
    .join(',')}}`
}

// ---- its title → events ----------------------------------------------------------------------------------------------

const titleAsks = 'its title says that it asks something'

/**
 * What no hook tells: that a dialog is over, that there are others, that it is up without a prompt. A title is told late: so
 * it ends a prompt only after it has shown it, a turn that hooks tell of only after Stop, and never says that one began where
 * hooks would; and that it works is no later news than what is known.
 */
function readTitle(title: string, at: string, { session, prompts: [open], conversation }: SessionRecord): Event | null {
  const { status, evidence, waiting } = session
  const told = (rule: string, time = at) => ({ source: 'screen', rule, at: time }) as const
  const details = open && detailsOf(open)
  const isStart = status === 'starting' || evidence.rule === startupRule
  const isOver = status === 'waiting' && (details?.isShown ?? evidence.rule === titleAsks)
  if (/Action Required/.test(title)) {
    if (status !== 'waiting' || isStart)
      return { type: 'asked', waiting: { kind: 'question', message: 'It asks something at its terminal' }, evidence: told(titleAsks) }
    // The evidence is still the hook that told more of it.
    return details && !isOver
      ? { type: 'asked', waiting: waiting!, prompt: { ...open, details: { ...details, isShown: true } }, evidence }
      : null
  }
  if (/Working|Thinking|Waiting/.test(title))
    return isStart || isOver || (status === 'idle' && conversation === null)
      ? { type: 'working', evidence: told('its title says that it works', evidence.at) }
      : null
  if (!/Ready/.test(title)) return null
  const ready = told('its title says that it is ready')
  if ((isStart && session.prompt === '') || isOver || (status === 'running' && (evidence.source === 'screen' || evidence.rule === 'Stop')))
    return { type: 'rested', evidence: ready }
  // A person has answered the dialog at the start.
  return isStart && open ? { type: 'settled', prompt: open.id, begins: true, evidence: ready } : null
}

/** It begins in about a second; a dialog at its start is told by neither hook nor title, and stands in front of the composer. */
const startupMs = 10_000
const startupRule = `nothing told of a start within ${startupMs / 1000} s; this is what the screen shows`
const dialogs = [
  { kind: 'trust', shows: /Trust this folder|Hooks need review/ },
  { kind: 'login', shows: /Sign in|API key/ },
] as const

function readStartup(screen: string, at: string): Event {
  const known = dialogs.find(({ shows }) => shows.test(screen))
  // Its MCP servers may take longer than that to start.
  if (!known && /^› (?!\d+\. )/m.test(screen)) {
    const rule = 'its composer shows, and nothing told of a start'
    return { type: /esc to interrupt/.test(screen) ? 'working' : 'rested', evidence: { source: 'screen', rule, at } }
  }
  const kind = known?.kind ?? 'question'
  const message = screen.trim().split('\n').slice(-20).join('\n')
  const prompt = dialogOf(screen, kind, message, at)
  return {
    type: 'asked',
    ...(prompt ? { prompt, waiting: waitingFor(prompt) } : { waiting: { kind, message } }),
    evidence: { source: 'screen', rule: startupRule, at },
  }
}

// ---- prompt and composer ---------------------------------------------------------------------------------------------

/** Otherwise it would run it as a shell line, outside of its sandbox and without asking. */
const harmless = (prompt: string): string => (prompt.startsWith('!') ? ` ${prompt}` : prompt)

/** The composer begins with a bold sign, and so does what was said, with a ground that goes on; below it stands a line about the session. */
function draft(screen: string): string | null {
  const lines = screen.split('\n')
  const begin = lines.findLastIndex((line) => /^(?:\x1b\[[\d;]*m)+[›!]\x1b\[0m/.test(line))
  if (begin < 0) return null
  const plain = lines.slice(begin).map(withoutSuggestion)
  const end = plain.findLastIndex((line) => line.trim() === '')
  return plain
    .slice(0, end < 0 ? plain.length : end)
    .map((line) => line.slice(2).trimEnd())
    .join('\n')
    .trim()
}
