import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import * as v from 'valibot'
import type { Answer, Reply } from '../../runtime/agent.ts'
import type { Keystroke, OpenPrompt } from '../../runtime/types.ts'
import { submitted } from './text.ts'

/** A call of a tool, as codex's hooks tell of it. */
export interface Call {
  readonly turn_id?: string | undefined
  readonly agent_id?: string | undefined
  readonly tool_name: string
  readonly tool_input: unknown
}

/** What is known of a prompt besides. `agent` is the sub-agent that asks; `isShown` is whether the title has said that it asks. */
interface Details {
  readonly calls: readonly string[]
  readonly agent: string | null
  readonly isShown: boolean
}
/** Null for a dialog at the start, of which only the screen tells. */
export const detailsOf = ({ details }: OpenPrompt): Details | null =>
  details && Object.hasOwn(details, 'calls') ? (details as Details) : null

/** The tool with which the model asks; it is there in plan mode. */
export const asking = 'request_user_input'

const questionsSchema = v.object({
  questions: v.array(v.object({ question: v.string(), options: v.optional(v.array(v.object({ label: v.string() })), []) })),
})

/** What a call is known by: only some hooks are told its id. */
export function nameOf({ turn_id, tool_name, tool_input }: Call): string {
  const command = v.safeParse(v.object({ command: v.string() }), tool_input)
  return `${turn_id} ${tool_name} ${command.success ? command.output.command.trim() : JSON.stringify(tool_input)}`
}

/**
 * The prompt after a call has asked. Dialogs show one at a time, in an order that is not told: what asks together is one
 * prompt that can only be answered at the terminal, because a key could answer another than is meant.
 */
export function promptOf(call: Call, open: OpenPrompt | undefined, isShown: boolean, at: string): OpenPrompt {
  const { tool_name: tool, tool_input: input, agent_id: agent = null } = call
  const asked = tool === asking ? v.safeParse(questionsSchema, input) : null
  const questions = asked?.success ? asked.output.questions : null
  const message = questions ? questions.map(({ question }) => question).join('\n') : `${tool} ${JSON.stringify(input)}`.slice(0, 2000)
  const calls = [nameOf(call)]
  if (open) {
    const { id, kind, openedAt, mailbox } = open
    const known = detailsOf(open)!
    const details: Details = { ...known, calls: [...known.calls, ...calls], agent: known.agent ?? agent }
    return { id, kind, message: `${open.message}\n${message}`, options: [], openedAt, mailbox, details }
  }
  return {
    id: bytesToHex(sha256(utf8ToBytes(at + calls[0]))).slice(0, 16),
    kind: asked ? 'question' : 'permission',
    message,
    tool,
    input,
    options: asked ? choices(questions ?? []) : permissions(tool),
    openedAt: at,
    mailbox: null,
    details: { calls, agent, isShown } satisfies Details,
  }
}

const allowing: Readonly<Record<string, string>> = { allow: '1', 'allow-files': 'a' }
const permissions = (tool: string): OpenPrompt['options'] => [
  { id: 'allow', label: 'Yes' },
  ...(tool === 'apply_patch' ? [{ id: 'allow-files', label: 'Yes, and do not ask again for these files' }] : []),
  { id: 'deny', label: 'No' },
]
const choices = (questions: readonly { options: readonly { label: string }[] }[]): OpenPrompt['options'] =>
  questions.length === 0
    ? []
    : [
        ...[...new Set(questions.flatMap(({ options }) => options.map(({ label }) => label)))].map((label) => ({ id: label, label })),
        { id: 'other', label: 'Something else: the message' },
        { id: 'deny', label: 'Do not answer' },
      ]

const press = (key: string): Keystroke => ({ type: 'key', key })
/** Words that only its dialogs show: a second after the last key that was pressed. */
const shown = { permission: 'esc to cancel', question: 'tab to add notes' }
/** How long a dialog takes to close. */
const closed: Keystroke = { type: 'pause', ms: 300 }

/** Typed into the dialog. To say no to a command or an edit ends the turn; a message begins the next. */
export function answerPrompt({ kind, input }: OpenPrompt, { choice, message }: Reply): Answer {
  const chosen = [choice].flat()
  const keys = (...keystrokes: Keystroke[]): Answer => ({
    type: 'keys',
    keystrokes: [{ type: 'visible', text: kind === 'question' ? shown.question : shown.permission }, ...keystrokes],
  })
  if (chosen.includes('deny')) return keys(press('Escape'), ...(message === undefined ? [] : [closed, ...typed(message)]))
  if (kind !== 'question') return keys(press(allowing[chosen[0]!] ?? '1'))
  const { questions } = v.parse(questionsSchema, input)
  const labels = questions.map((_, place) => chosen[place] ?? chosen.at(-1))
  return keys(
    ...questions.flatMap(({ options }, place) => {
      const found = options.findIndex(({ label }) => label === labels[place])
      // The last that it offers is none of them, for which it wants a note.
      const isOther = found < 0
      const isNoted = isOther || (place === questions.length - 1 && message !== undefined && !labels.includes('other'))
      const down = Array.from({ length: isOther ? options.length : found }, () => press('Down'))
      return [...down, ...(isNoted ? [press('Tab'), ...submitted([message ?? 'none of these'])] : [press('Enter')])]
    }),
  )
}

/** Otherwise the text could be a shell line or a command, or Enter would choose from the list that a last @word or $word opens. */
export const typed = (text: string): Keystroke[] =>
  submitted([`${/^[!/]/.test(text) ? ' ' : ''}${text}${/(?:^|\s)[@$]\S*$/.test(text) ? ' ' : ''}`])
