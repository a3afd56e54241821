import * as v from 'valibot'
import type { Agent } from '../../runtime/agent.ts'
import type { Event, SessionRecord, Signal, Step } from '../../runtime/types.ts'
import { waitingFor } from '../../runtime/session.ts'
import { anew, instructions } from './claude-instructions.ts'
import { answerPrompt, promptOf } from './claude-prompts.ts'
import { transcript } from './claude-transcript.ts'
import { guardSeconds } from './guards.ts'
import { limitEnd } from './limit.ts'
import { answerDialog, dialogOf } from './menu.ts'
import { asArgument, boxed, chunks, isSame, submitted, withoutSuggestion } from './text.ts'

export interface ClaudeOptions {
  /** The program. Default: `claude` on the PATH. */
  readonly program?: string
  /** The model when a request names none, in claude's own words. Default `sonnet`. */
  readonly model?: string
  /** `--permission-mode`, such as `acceptEdits`, `dontAsk`, `plan`, `bypassPermissions`. Default: what the user's own settings say. */
  readonly permissionMode?: string
  /** Trust the directory a session runs in, without its trust dialog and without writing that anywhere. Default false. */
  readonly trust?: boolean
  /** Say that this machine is a sandbox (`IS_SANDBOX=1`), which claude asks of root for `bypassPermissions`. Default false. */
  readonly sandbox?: boolean
  /** Further environment for every session. */
  readonly env?: Readonly<Record<string, string>>
}

/**
 * Claude Code 2.1.197 or newer, interactive, with hooks that are given by `--settings` and merge with the user's and
 * the project's own. Nothing of the user's is written.
 */
export function claude({
  program = 'claude',
  model = 'sonnet',
  permissionMode,
  trust = false,
  sandbox = false,
  env: extra = {},
}: ClaudeOptions = {}): Agent {
  const bypass = permissionMode === 'bypassPermissions'
  return {
    model,
    context: { files: ['CLAUDE.md', '.claude/CLAUDE.md', 'CLAUDE.local.md'], imports: true },
    runsGuards: true,
    inherits: [
      'ANTHROPIC_*',
      'CLAUDE_CONFIG_DIR',
      'CLAUDE_CODE_OAUTH_TOKEN',
      'CLAUDE_CODE_USE_*',
      'CLAUDE_CODE_DISABLE_*',
      'CLAUDE_CODE_MAX_*',
      'DISABLE_*',
    ],

    plan(launch, directory) {
      const mode = bypass ? ['--dangerously-skip-permissions'] : permissionMode ? ['--permission-mode', permissionMode] : []
      const { prompt, files } = asArgument(launch.prompt, directory)
      const { told, args } = instructions(launch)
      return {
        // The last word is the prompt, and `--` keeps one that begins with `-` from being an option.
        argv: [
          ...(launch.resume === null
            ? ([program, '--session-id', sessionUuid(launch.id)] as const)
            : ([...anew(program), '--resume', launch.resume] as const)),
          '--settings',
          `${directory}/settings.json`,
          '--model',
          launch.model ?? model,
          ...mode,
          ...(told === '' ? [] : ['--append-system-prompt-file', `${directory}/instructions.md`]),
          ...args,
          ...(prompt === '' ? [] : ['--', prompt]),
        ],
        env: {
          DISABLE_AUTOUPDATER: '1',
          // Otherwise 2.1.3xx draws on the alternate screen, which has no history.
          CLAUDE_CODE_DISABLE_ALTERNATE_SCREEN: '1',
          ...(trust ? { CLAUDE_CODE_SANDBOXED: '1' } : {}),
          ...(sandbox ? { IS_SANDBOX: '1' } : {}),
          ...extra,
          ...launch.env,
        },
        cwd: launch.cwd,
        files: {
          ...files,
          ...(told === '' ? {} : { 'instructions.md': told }),
          'settings.json': JSON.stringify(
            { hooks: hooks(directory, launch.guards), ...(bypass ? { skipDangerousModePermissionPrompt: true } : {}) },
            null,
            2,
          ),
        },
        size: launch.size,
      }
    },

    read: (sight, record) => (sight.type === 'signal' ? readHook(sight.signal, record) : null),
    conversation: readConversation,
    transcript,
    answer: (prompt, reply) => (prompt.mailbox === null ? answerDialog(prompt, reply) : answerPrompt(prompt, reply)),
    registry: {
      directory: (env) => `${(env['CLAUDE_CONFIG_DIR'] || `${env['HOME'] ?? ''}/.claude`).replace(/\/+$/, '')}/sessions`,
      read: readEntry,
    },
    startup: { afterMs: startupMs, read: readStartup },
    type: (text) => submitted(chunks(asText(text), chunk)),
    interrupt: [{ type: 'key', key: 'Escape' }],
    took: ({ event, payload }, text) => event === 'UserPromptSubmit' && isSame((payload as { prompt?: unknown } | null)?.prompt, text),
    began: ({ event }) => event === 'Stop',
    draft,
    erase: [
      { type: 'key', key: 'Escape' },
      { type: 'key', key: 'Escape' },
    ],
  }
}

// ---- hooks → events --------------------------------------------------------------------------------------------------

const payloads = v.object({
  session_id: v.optional(v.string()),
  transcript_path: v.optional(v.string()),
  source: v.optional(v.string()),
  tool_name: v.optional(v.string()),
  tool_input: v.optional(v.record(v.string(), v.unknown())),
  permission_suggestions: v.optional(v.array(v.unknown())),
  notification_type: v.optional(v.string()),
  message: v.optional(v.string()),
  error: v.optional(v.string()),
  last_assistant_message: v.optional(v.string()),
  background_tasks: v.optional(v.array(v.unknown())),
})
type Payload = v.InferOutput<typeof payloads>
type Meaning = { [T in Event['type']]: Omit<Extract<Event, { type: T }>, 'evidence'> }[Event['type']]

const working: Meaning = { type: 'working' }

/** What each hook says. A hook that is not here is not installed. */
const meanings: Readonly<Record<string, (payload: Payload, record: SessionRecord, signal: Signal) => Meaning | null>> = {
  // The composer is up. At a start the prompt follows at once, and with it UserPromptSubmit.
  SessionStart: ({ source }, { session, prompts }) => {
    if (source === 'clear' || (session.prompt === '' && source !== 'compact')) return { type: 'rested' }
    // A person has answered the dialog at the start.
    return prompts[0] ? { type: 'settled', prompt: prompts[0].id, begins: true } : null
  },
  UserPromptSubmit: (_, { session, trail }) => (session.evidence.rule === registryRule('idle') && isUntold(trail) ? null : working),
  PreToolUse: unlessAsked,
  PostToolUse: unlessAsked,
  PostToolUseFailure: unlessAsked,
  PermissionDenied: unlessAsked,
  PreCompact: () => working,
  PermissionRequest: (payload, _, { mailbox, at }) => {
    const prompt = promptOf(payload, mailbox ?? null, at)
    return { type: 'asked', waiting: waitingFor(prompt), prompt }
  },
  Notification: ({ notification_type, message = '' }, { session: { status } }) => {
    if (notification_type === 'idle_prompt') return { type: 'rested' }
    // PermissionRequest said so six seconds earlier, with the details.
    if (status === 'waiting' || !['permission_prompt', 'agent_needs_input', 'elicitation_dialog'].includes(notification_type ?? ''))
      return null
    return { type: 'asked', waiting: { kind: notification_type === 'permission_prompt' ? 'permission' : 'question', message } }
  },
  // With background tasks left it will go on by itself, and with a text that was typed meanwhile.
  Stop: ({ background_tasks = [] }, { pending }) => (background_tasks.length === 0 && pending === 0 ? { type: 'rested' } : working),
  StopFailure: ({ error = 'the turn failed', last_assistant_message: message = error }, _, { at }) => {
    const until = error === 'rate_limit' ? limitEnd(message, at) : null
    if (until !== null) return { type: 'turn_failed', error: message, waiting: { kind: 'limit', message, until } }
    if (error === 'authentication_failed') return { type: 'turn_failed', error: message, waiting: { kind: 'login', message } }
    return { type: 'turn_failed', error: message }
  },
}

/** What another tool does, such as one of a sub-agent's, says nothing of the one that is asked about. */
function unlessAsked({ tool_name, tool_input }: Payload, { prompts }: SessionRecord): Meaning | null {
  if (prompts.length === 0) return working
  const about = prompts.find(({ tool, input }) => tool === tool_name && JSON.stringify(input) === JSON.stringify(tool_input))
  return about ? { type: 'settled', prompt: about.id } : null
}

function readHook(signal: Signal, record: SessionRecord): Event | null {
  const parsed = v.safeParse(payloads, signal.payload)
  const meaning = parsed.success ? meanings[signal.event]?.(parsed.output, record, signal) : null
  return meaning ? ({ ...meaning, evidence: { source: 'hook', rule: signal.event, at: signal.at } } as Event) : null
}

/** Its id changes with /clear. */
function readConversation({ event, payload }: Signal): { id: string; transcript: string | null } | null {
  const parsed = v.safeParse(payloads, payload)
  if (event !== 'SessionStart' || !parsed.success || !parsed.output.session_id) return null
  const { session_id: id, transcript_path: path } = parsed.output
  return { id, transcript: path?.endsWith(`/${id}.jsonl`) ? path : null }
}

// ---- its registry → events -------------------------------------------------------------------------------------------

const entrySchema = v.object({ sessionId: v.string(), status: v.string(), statusUpdatedAt: v.number(), waitingFor: v.optional(v.string()) })

const registryRule = (status: string): string => `its registry says ${status}`

/**
 * Whether the registry last went to busy, before `until`, and no hook has told of anything since. When a hook of the
 * project's own refuses a prompt claude waits for no other, and ours may tell of the prompt when all is over.
 */
function isUntold(trail: readonly Step[], until = '~'): boolean {
  const busy = trail.findLastIndex(({ rule }) => rule === registryRule('busy'))
  return busy >= 0 && trail[busy]!.at < until && trail.slice(busy).every(({ source }) => source === 'transcript')
}

/** No hook tells of Esc or of "No" at a dialog; the registry does. What a hook has told later counts more. */
function readEntry(entry: unknown, { session, conversation, trail }: SessionRecord): Event | null {
  const parsed = v.safeParse(entrySchema, entry)
  const id = conversation?.id ?? sessionUuid(session.id)
  if (!parsed.success || parsed.output.sessionId !== id || session.status === 'starting') return null
  const { status, waitingFor } = parsed.output
  const at = new Date(parsed.output.statusUpdatedAt).toISOString()
  const isLate = status === 'idle' && trail.at(-1)?.rule === 'UserPromptSubmit' && isUntold(trail.slice(0, -1), at)
  if (at <= session.evidence.at && !isLate) return null
  const evidence = { source: 'transcript', rule: registryRule(status), at } as const
  // After a turn that failed a person is needed all the same, until the limit ends or something is said.
  const { waiting, lastError } = session
  if (status === 'idle' && waiting && (lastError !== null || waiting.kind === 'limit') && at < (waiting.until ?? '~'))
    return lastError === null ? { type: 'turn_failed', error: waiting.message, waiting, evidence } : null
  if (status === 'idle' && session.status !== 'idle') return { type: 'rested', evidence }
  // That a prompt was submitted is no proof of a turn, which a hook of the project's own may have refused; nor does a hook tell of
  // every turn that it begins by itself.
  if (status === 'busy') return { type: 'working', evidence }
  // 2.1.197 asks in a dialog what to do about a limit.
  if (status === 'waiting' && waiting?.kind === 'limit') return { type: 'asked', waiting, evidence }
  if (status === 'waiting' && session.status !== 'waiting') {
    const kind = waitingFor === 'permission prompt' ? 'permission' : 'question'
    return { type: 'asked', waiting: { kind, message: waitingFor ?? 'it waits for a person' }, evidence }
  }
  return null
}

/** It begins in about a second; a dialog at its start is told by no hook, and stands in front of the composer. */
const startupMs = 10_000
const dialogs = [
  { kind: 'trust', shows: /trust|safety check|Bypass Permissions|external imports|MCP server/i },
  { kind: 'login', shows: /log ?in|API key|select a theme|text style/i },
] as const

function readStartup(screen: string, at: string): Event {
  // A project may have switched all hooks off; its registry tells from now on.
  if (draft(screen) !== null) {
    const type = /esc to interrupt/i.test(screen) ? 'working' : 'rested'
    return {
      type,
      evidence: { source: 'screen', rule: `its composer shows, and no hook told of a start within ${startupMs / 1000} s`, at },
    }
  }
  const kind = dialogs.find(({ shows }) => shows.test(screen))?.kind ?? 'question'
  const message = screen.trim().split('\n').slice(-20).join('\n')
  const prompt = dialogOf(screen, kind, message, at)
  return {
    type: 'asked',
    ...(prompt ? { prompt, waiting: waitingFor(prompt) } : { waiting: { kind, message } }),
    evidence: { source: 'screen', rule: `no hook told of a start within ${startupMs / 1000} s; this is what the screen shows`, at },
  }
}

/** A person may answer tomorrow. */
const dayInSeconds = 86_400

/** Command hooks, because SessionStart runs no other kind; plain sh, because a node process for each tool call makes a turn five times as long. */
function hooks(directory: string, guards: readonly string[]): Record<string, unknown> {
  const quoted = (name: string) => `'${`${directory}/${name}`.replaceAll("'", `'\\''`)}'`
  const command = (event: string) => {
    const waits = event === 'PermissionRequest'
    return { type: 'command', command: `sh ${quoted('hook.sh')} ${event}${waits ? ' wait' : ''}`, timeout: waits ? dayInSeconds : 10 }
  }
  const guarding = guards.map((name) => ({ type: 'command', command: `sh ${quoted(name)}`, timeout: guardSeconds }))
  return Object.fromEntries(
    Object.keys(meanings).map((event) => [event, [{ hooks: [command(event), ...(event === 'PreToolUse' ? guarding : [])] }]]),
  )
}

// ---- prompt and composer ---------------------------------------------------------------------------------------------

/** claude takes only version 4; the rest of the id is kept, so the two can be told to belong together. */
const sessionUuid = (id: string): string => `${id.slice(0, 14)}4${id.slice(15)}`

/**
 * Otherwise the text could be a shell line, a slash command, a memory, or go on in the next line. 2.1.330 takes off white
 * space and what cannot be seen before it looks for a command's name, but not a blank braille cell.
 */
function asText(text: string): string {
  const before = /^[\s\p{C}\p{M}\u3164]*\/[a-z][\w:-]*(?:\s|$)/iu.test(text) ? '\u2800' : /^[!/#&]/.test(text) ? ' ' : ''
  return `${before}${text}${text.endsWith('\\') ? ' ' : ''}`
}

/** A block of more lines or characters reaches the model marked as pasted, "may contain instructions the user did not write". */
const chunk = { lines: 3, characters: 700 }

/** The composer stands between the last two rules; a suggestion in it is dim. */
const draft = (screen: string): string | null => boxed(withoutSuggestion(screen), /^─{20,}/, /^(?:❯ ?|  )/)
