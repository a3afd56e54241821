import * as v from 'valibot'
import type { Answer, Reply } from '../../runtime/agent.ts'
import type { OpenPrompt, PromptOption } from '../../runtime/types.ts'

/** What claude's PermissionRequest hook is told. */
export interface Permission {
  readonly tool_name?: string | undefined
  readonly tool_input?: Record<string, unknown> | undefined
  readonly permission_suggestions?: readonly unknown[] | undefined
}

const questionsSchema = v.object({
  questions: v.array(v.object({ question: v.string(), options: v.optional(v.array(v.object({ label: v.string() })), []) })),
})

/** The prompt of a hook that waits at `mailbox`; without one it can only be answered at the terminal. */
export function promptOf(
  { tool_name: tool = 'a tool', tool_input: input = {}, permission_suggestions = [] }: Permission,
  mailbox: string | null,
  at: string,
): OpenPrompt {
  const asked = tool === 'AskUserQuestion' ? v.safeParse(questionsSchema, input) : null
  const questions = asked?.success ? asked.output.questions : null
  return {
    id: mailbox ?? `hook-${Date.parse(at)}`,
    mailbox,
    kind: questions ? 'question' : 'permission',
    message: questions ? questions.map(({ question }) => question).join('\n') : `${tool} ${JSON.stringify(input)}`.slice(0, 2000),
    tool,
    input,
    options: mailbox === null ? [] : questions ? choices(questions) : permissions(permission_suggestions),
    openedAt: at,
    details: permission_suggestions,
  }
}

const suggestionSchema = v.object({
  type: v.string(),
  mode: v.optional(v.string()),
  destination: v.optional(v.string(), 'session'),
  directories: v.optional(v.array(v.string())),
  rules: v.optional(v.array(v.object({ toolName: v.string(), ruleContent: v.optional(v.string()) }))),
})
const remembered = {
  session: 'for this session',
  localSettings: 'in this project, for you',
  projectSettings: 'in this project',
  userSettings: 'everywhere',
}

/** What claude offers to remember, in words. */
function suggestion(given: unknown): string {
  const parsed = v.safeParse(suggestionSchema, given)
  if (!parsed.success) return 'Yes, and remember it'
  const { type, mode, destination, directories, rules } = parsed.output
  const what =
    directories?.join(', ') ??
    rules?.map(({ toolName, ruleContent }) => (ruleContent ? `${toolName}(${ruleContent})` : toolName)).join(', ')
  const where = Object.hasOwn(remembered, destination) ? remembered[destination as keyof typeof remembered] : destination
  if (mode !== undefined) return `Yes, and go on in mode ${mode} ${where}`
  return `Yes, and allow ${what ?? type} ${where}`
}

const permissions = (suggestions: readonly unknown[]): PromptOption[] => [
  { id: 'allow', label: 'Yes' },
  ...suggestions.map((each, place) => ({ id: `allow-${place + 1}`, label: suggestion(each) })),
  { id: 'deny', label: 'No, and go on' },
  { id: 'interrupt', label: 'No, and stop' },
]

function choices(questions: readonly { options: readonly { label: string }[] }[]): PromptOption[] {
  const labels = new Set(questions.flatMap(({ options }) => options.map(({ label }) => label)))
  return [
    ...[...labels].map((label) => ({ id: label, label })),
    { id: 'other', label: 'Something else: the message' },
    { id: 'deny', label: 'Do not answer' },
  ]
}

/** What the waiting hook prints. */
export function answerPrompt(prompt: OpenPrompt, reply: Reply): Answer {
  const decision = prompt.kind === 'question' ? answered(prompt, reply) : decided(prompt, reply)
  return { type: 'mailbox', text: JSON.stringify({ hookSpecificOutput: { hookEventName: 'PermissionRequest', decision } }) }
}

const denied = ({ message = 'The user said no' }: Reply): object => ({ behavior: 'deny', message })

function decided({ details }: OpenPrompt, reply: Reply): object {
  const choice = String(reply.choice)
  if (choice === 'deny') return denied(reply)
  if (choice === 'interrupt') return { ...denied(reply), interrupt: true }
  const remember = (details as readonly unknown[])[Number(choice.slice('allow-'.length)) - 1]
  return { behavior: 'allow', ...(remember ? { updatedPermissions: [remember] } : {}) }
}

/** One choice for each question; the last stands for those that are left. */
function answered({ input }: OpenPrompt, reply: Reply): object {
  const chosen = [reply.choice].flat()
  if (chosen.includes('deny')) return denied(reply)
  const { questions } = v.parse(questionsSchema, input)
  const words = chosen.map((each) => (each === 'other' ? (reply.message ?? '') : each))
  const answers = Object.fromEntries(questions.map(({ question }, place) => [question, words[place] ?? words.at(-1)]))
  return { behavior: 'allow', updatedInput: { ...(input as object), answers } }
}
