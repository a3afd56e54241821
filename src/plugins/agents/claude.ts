import { join } from 'node:path/posix'
import * as v from 'valibot'
import type { Agent, Event, Keystroke, Launch, Session, Signal } from '../../runtime/types.ts'
import { isTooLong } from './shell.ts'

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
      const { prompt, files } = promptOf(launch, directory)
      return {
        // The last word is the prompt, and `--` keeps one that begins with `-` from being an option.
        argv: [
          program,
          '--session-id',
          sessionUuid(launch.id),
          '--settings',
          join(directory, 'settings.json'),
          '--model',
          launch.model ?? model,
          ...mode,
          ...launch.args,
          '--',
          prompt,
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
          'settings.json': JSON.stringify(
            { hooks: hooks(directory), ...(bypass ? { skipDangerousModePermissionPrompt: true } : {}) },
            null,
            2,
          ),
        },
        size: launch.size,
      }
    },

    read: (sight, session) => (sight.type === 'signal' ? readHook(sight.signal, session) : null),
    registry: {
      directory: (env) => join(env['CLAUDE_CONFIG_DIR'] || join(env['HOME'] ?? '/', '.claude'), 'sessions'),
      read: readEntry,
    },
    startup: { afterMs: startupMs, read: readStartup },
    type: keystrokes,
    interrupt: [{ type: 'key', key: 'Escape' }],
    took: ({ event }) => event === 'UserPromptSubmit',
  }
}

// ---- hooks → events --------------------------------------------------------------------------------------------------

const payloads = v.object({
  source: v.optional(v.string()),
  tool_name: v.optional(v.string()),
  tool_input: v.optional(v.record(v.string(), v.unknown())),
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
const meanings: Readonly<Record<string, (payload: Payload, session: Session) => Meaning | null>> = {
  // The composer is up. At a start the prompt follows at once, and with it UserPromptSubmit.
  SessionStart: ({ source }) => (source === 'clear' ? { type: 'rested' } : null),
  UserPromptSubmit: () => working,
  PreToolUse: () => working,
  PostToolUse: () => working,
  PostToolUseFailure: () => working,
  PreCompact: () => working,
  PermissionRequest: ({ tool_name, tool_input }) => ({
    type: 'asked',
    waiting:
      tool_name === 'AskUserQuestion'
        ? { kind: 'question', message: question(tool_input) }
        : { kind: 'permission', message: `${tool_name ?? 'a tool'} ${JSON.stringify(tool_input ?? {})}`.slice(0, 2000) },
  }),
  Notification: ({ notification_type, message = '' }, { status }) => {
    if (notification_type === 'idle_prompt') return { type: 'rested' }
    // PermissionRequest said so six seconds earlier, with the details.
    if (status === 'waiting' || !['permission_prompt', 'agent_needs_input', 'elicitation_dialog'].includes(notification_type ?? ''))
      return null
    return { type: 'asked', waiting: { kind: notification_type === 'permission_prompt' ? 'permission' : 'question', message } }
  },
  // With background tasks left it will go on by itself.
  Stop: ({ background_tasks = [] }) => (background_tasks.length === 0 ? { type: 'rested' } : working),
  StopFailure: ({ error, last_assistant_message }) => ({
    type: 'turn_failed',
    error: last_assistant_message ?? error ?? 'the turn failed',
  }),
}

function readHook({ event, payload, at }: Signal, session: Session): Event | null {
  const parsed = v.safeParse(payloads, payload)
  const meaning = parsed.success ? meanings[event]?.(parsed.output, session) : null
  return meaning ? ({ ...meaning, evidence: { source: 'hook', rule: event, at } } as Event) : null
}

// ---- its registry → events -------------------------------------------------------------------------------------------

const entrySchema = v.object({ sessionId: v.string(), status: v.string(), statusUpdatedAt: v.number(), waitingFor: v.optional(v.string()) })

/** No hook tells of Esc or of "No" at a dialog; the registry does. What a hook has told later counts more. */
function readEntry(entry: unknown, session: Session): Event | null {
  const parsed = v.safeParse(entrySchema, entry)
  if (!parsed.success || parsed.output.sessionId !== sessionUuid(session.id) || session.status === 'starting') return null
  const { status, waitingFor } = parsed.output
  const at = new Date(parsed.output.statusUpdatedAt).toISOString()
  if (at <= session.evidence.at) return null
  const evidence = { source: 'transcript', rule: `its registry says ${status}`, at } as const
  if (status === 'idle' && session.status !== 'idle') return { type: 'rested', evidence }
  if (status === 'busy' && session.status !== 'running') return { type: 'working', evidence }
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
  const kind = dialogs.find(({ shows }) => shows.test(screen))?.kind ?? 'question'
  const message = screen.trim().split('\n').slice(-20).join('\n')
  return {
    type: 'asked',
    waiting: { kind, message },
    evidence: { source: 'screen', rule: `no hook told of a start within ${startupMs / 1000} s; this is what the screen shows`, at },
  }
}

function question(input: Payload['tool_input']): string {
  const parsed = v.safeParse(v.object({ questions: v.array(v.object({ question: v.string() })) }), input)
  return parsed.success ? parsed.output.questions.map((each) => each.question).join('\n') : 'a question'
}

/** Command hooks, because SessionStart runs no other kind; plain sh, because a node process for each tool call makes a turn five times as long. */
function hooks(directory: string): Record<string, unknown> {
  const command = (event: string) => ({
    type: 'command',
    command: `sh '${join(directory, 'hook.sh').replaceAll("'", `'\\''`)}' ${event}`,
    timeout: 10,
  })
  return Object.fromEntries(Object.keys(meanings).map((event) => [event, [{ hooks: [command(event)] }]]))
}

// ---- prompt and composer ---------------------------------------------------------------------------------------------

function promptOf({ prompt }: Launch, directory: string): { prompt: string; files: Record<string, string> } {
  if (!isTooLong(prompt)) return { prompt, files: {} }
  const file = join(directory, 'prompt.md')
  return { prompt: `Read the file ${file}: it is the user's full request for this session. Carry it out.`, files: { 'prompt.md': prompt } }
}

/** claude takes only version 4; the rest of the id is kept, so the two can be told to belong together. */
const sessionUuid = (id: string): string => `${id.slice(0, 14)}4${id.slice(15)}`

/** A block of more lines or characters reaches the model marked as pasted, "may contain instructions the user did not write". */
const chunkLines = 3
const chunkCharacters = 700

/** As the composer takes a text for what it is: in small pastes; not as a shell line, a slash command, a memory or a continued line. */
function keystrokes(text: string): Keystroke[] {
  const safe = `${/^[!/#&]/.test(text) ? ' ' : ''}${text}${text.endsWith('\\') ? ' ' : ''}`
  const chunks: string[] = []
  let chunk = ''
  for (const piece of safe.match(/[^\n]{1,200}|\n/gu) ?? []) {
    const lines = (chunk + piece).split('\n').length
    if (chunk.length + piece.length > chunkCharacters || lines > chunkLines) {
      chunks.push(chunk)
      chunk = ''
    }
    chunk += piece
  }
  chunks.push(chunk)
  return [
    ...chunks.map((each): Keystroke => ({ type: 'paste', text: each })),
    { type: 'visible', text: safe },
    { type: 'key', key: 'Enter' },
  ]
}
