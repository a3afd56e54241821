import * as v from 'valibot'
import type { Message, Transcript } from '../../runtime/agent.ts'

const count = v.optional(v.number(), 0)
const lineSchema = v.object({
  id: v.string(),
  role: v.picklist(['user', 'assistant', 'tool']),
  at: count,
  text: v.optional(v.string(), ''),
  tools: v.optional(v.array(v.object({ id: v.string(), name: v.string(), input: v.unknown() })), []),
  tokens: v.optional(v.object({ input: count, output: count, reasoning: count, cache: v.object({ read: count, write: count }) })),
  cost: count,
})

function message(line: unknown): Message | null {
  const parsed = v.safeParse(lineSchema, line)
  if (!parsed.success) return null
  const { tokens, cost: costUsd, at, ...message } = parsed.output
  const usage = tokens && {
    inputTokens: tokens.input,
    outputTokens: tokens.output,
    reasoningTokens: tokens.reasoning,
    cacheReadTokens: tokens.cache.read,
    cacheWriteTokens: tokens.cache.write,
    costUsd,
  }
  return { ...message, usage: usage ?? null, at: new Date(at).toISOString() }
}

/** The file of messages that our plugin writes, in opencode's own words. */
export const transcript: Transcript = { message }
