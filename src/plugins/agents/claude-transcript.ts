import * as v from 'valibot'
import type { Message, Transcript } from '../../runtime/agent.ts'

const part = v.looseObject({ type: v.string() })
const lineSchema = v.object({
  type: v.picklist(['user', 'assistant']),
  uuid: v.string(),
  timestamp: v.string(),
  isMeta: v.optional(v.boolean()),
  isCompactSummary: v.optional(v.boolean()),
  isApiErrorMessage: v.optional(v.boolean()),
  message: v.object({
    id: v.optional(v.string()),
    model: v.optional(v.string()),
    content: v.union([v.string(), v.array(part)]),
    usage: v.optional(v.record(v.string(), v.unknown())),
  }),
})
const usageNames = {
  input_tokens: 'inputTokens',
  output_tokens: 'outputTokens',
  cache_read_input_tokens: 'cacheReadTokens',
  cache_creation_input_tokens: 'cacheWriteTokens',
} as const

/** One answer of the model is a line for each of its blocks, all with its id and its whole usage. */
function readMessage(line: unknown): Message | null {
  const parsed = v.safeParse(lineSchema, line)
  if (!parsed.success || parsed.output.isMeta || parsed.output.isCompactSummary) return null
  const { type, uuid, timestamp: at, message } = parsed.output
  // What it puts into the model's mouth, but for an error.
  if (message.model === '<synthetic>' && !parsed.output.isApiErrorMessage) return null
  // What was typed for claude itself, and what it said to that.
  if (typeof message.content === 'string' && /^<(command-name|local-command-\w+)>/.test(message.content)) return null
  const parts = typeof message.content === 'string' ? [{ type: 'text', text: typed(message.content) }] : message.content
  if (type === 'user' && notSaid.test(textOf(parts))) return null
  const result = parts.find((each) => each.type === 'tool_result') as { tool_use_id?: unknown; content?: unknown } | undefined
  if (result) return { id: String(result.tool_use_id), role: 'tool', text: textOf(result.content), tools: [], usage: null, at }
  const tools = parts.flatMap((each) => {
    const { type, id, name, input } = each as { type: string; id?: unknown; name?: unknown; input?: unknown }
    return type === 'tool_use' ? [{ id: String(id), name: String(name), input }] : []
  })
  const usage = Object.entries(usageNames).flatMap(([theirs, ours]) => {
    const count = message.usage?.[theirs]
    return typeof count === 'number' ? [[ours, count] as const] : []
  })
  return { id: message.id ?? uuid, role: type, text: textOf(parts), tools, usage: usage.length > 0 ? Object.fromEntries(usage) : null, at }
}

/** What it tells the model in a person's name. */
const notSaid = /^(?:<task-notification>|\[Request interrupted by user)/

/** A command of the project's as it was typed. */
const typed = (text: string): string =>
  text.replace(
    /^<command-message>[^]*<command-name>(.*)<\/command-name>\s*<command-args>([^]*)<\/command-args>$/,
    (_, name: string, args: string) => `${name} ${args}`.trim(),
  )

function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  const parsed = v.safeParse(v.array(v.looseObject({ type: v.string(), text: v.optional(v.string()) })), content)
  return parsed.success ? parsed.output.flatMap(({ type, text }) => (type === 'text' && text ? [text] : [])).join('\n') : ''
}

const operations: Readonly<Record<string, number>> = { enqueue: 1, dequeue: -1, remove: -1, popAll: -Infinity }
const operationSchema = v.object({ type: v.literal('queue-operation'), operation: v.string(), timestamp: v.string() })

/** What is typed while it works stands in a queue until the turn ends. */
function readQueue(line: unknown): { by: number; at: string } | null {
  const parsed = v.safeParse(operationSchema, line)
  const by = parsed.success ? operations[parsed.output.operation] : undefined
  return parsed.success && by !== undefined ? { by, at: parsed.output.timestamp } : null
}

/** `~/.claude/projects/<directory>/<session id>.jsonl`. */
export const transcript: Transcript = { message: readMessage, queued: readQueue }
