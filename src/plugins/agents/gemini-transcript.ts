import * as v from 'valibot'
import type { Message, Transcript } from '../../runtime/agent.ts'
import type { Event, SessionRecord, Waiting } from '../../runtime/types.ts'

/** What tells that /compress is over, after which no hook comes. */
export const compressed = 'its transcript tells of a compression'

const part = v.looseObject({
  text: v.optional(v.string()),
  functionResponse: v.optional(v.object({ id: v.optional(v.string()), response: v.optional(v.record(v.string(), v.unknown())) })),
})
const content = v.union([v.string(), v.array(part)])
const lineSchema = v.object({
  id: v.string(),
  timestamp: v.string(),
  type: v.string(),
  content,
  displayContent: v.optional(content),
  toolCalls: v.optional(v.array(v.object({ id: v.string(), name: v.string(), args: v.unknown() })), []),
  tokens: v.optional(v.nullable(v.record(v.string(), v.number()))),
})

const textOf = (parts: v.InferOutput<typeof content>): string =>
  typeof parts === 'string' ? parts : parts.flatMap(({ text }) => text ?? []).join('\n')

/** An answer is written again with its id when its tools have run. What is written again after a cancelled tool has a list for its text. */
function readMessage(line: unknown): Message | null {
  const parsed = v.safeParse(lineSchema, line)
  if (!parsed.success) return null
  const { id, timestamp: at, type, content, displayContent = content, toolCalls, tokens } = parsed.output
  if (type === 'gemini' && typeof content === 'string') {
    const tools = toolCalls.map(({ id, name, args }) => ({ id, name, input: args }))
    return { id, role: 'assistant', text: tools.length > 0 ? '' : content, tools, usage: tokens ? usageOf(tokens) : null, at }
  }
  if (type !== 'user' || typeof content === 'string') return null
  const result = content.find(({ functionResponse }) => functionResponse)?.functionResponse
  if (result) {
    const { output, error = output } = result.response ?? {}
    return {
      id: result.id ?? id,
      role: 'tool',
      text: typeof error === 'string' ? error : JSON.stringify(result.response ?? null),
      tools: [],
      usage: null,
      at,
    }
  }
  const text = textOf(displayContent)
  return text.startsWith('<session_context>') ? null : { id, role: 'user', text, tools: [], usage: null, at }
}

const usageOf = ({ input = 0, output = 0, cached = 0, thoughts = 0 }: Record<string, number>): Record<string, number> => ({
  inputTokens: input - cached,
  outputTokens: output + thoughts,
  cacheReadTokens: cached,
})

/** What went wrong, when nothing has begun since: a turn that failed, one that was cancelled, and the end of /compress. */
function readLine(line: unknown, { session, trail }: SessionRecord): Event | null {
  const parsed = v.safeParse(lineSchema, line)
  if (!parsed.success || session.status === 'starting') return null
  const { type, content, timestamp: at } = parsed.output
  const message = textOf(content)
  const about = (rule: string) => ({ source: 'transcript', rule, at }) as const
  const isPast = at < (trail.findLast(({ rule }) => rule === 'BeforeAgent')?.at ?? session.evidence.at)
  if (isPast) return null
  if (type === 'error' && message.startsWith('[API Error'))
    return { ...failure(message, at), evidence: about('its transcript tells of an error') }
  if (type !== 'info') return null
  if (message === '' && (session.status === 'idle' || session.evidence.rule === 'PreCompress'))
    return { type: 'rested', evidence: about(compressed) }
  const isCancelled = message === 'Request cancelled.' && session.status !== 'idle' && at > session.evidence.at
  return isCancelled ? { type: 'rested', evidence: about('its transcript says that the turn was cancelled') } : null
}

type Failure =
  | { readonly type: 'turn_failed'; readonly error: string; readonly waiting?: Waiting }
  | { readonly type: 'asked'; readonly waiting: Waiting }
const units: Readonly<Record<string, number>> = { ms: 1, s: 1000 }

function failure(error: string, at: string): Failure {
  const [, amount, unit = ''] = /(?:Suggested retry after|Please retry in) ([\d.]+)(ms|s)/.exec(error) ?? []
  if (amount !== undefined) {
    const until = new Date(Date.parse(at) + Number(amount) * units[unit]!).toISOString()
    return { type: 'turn_failed', error, waiting: { kind: 'limit', message: error, until } }
  }
  if (/exhausted your (?:daily quota|capacity)/.test(error))
    return { type: 'turn_failed', error, waiting: { kind: 'limit', message: error } }
  // Its dialog for a key stands in front of the composer.
  if (error.includes('default credentials')) return { type: 'asked', waiting: { kind: 'login', message: error } }
  if (/API key|"code":401/.test(error)) return { type: 'turn_failed', error, waiting: { kind: 'login', message: error } }
  return { type: 'turn_failed', error }
}

/** `~/.gemini/tmp/<project>/chats/session-<minute>-<id>.jsonl`. */
export const transcript: Transcript = { message: readMessage, read: readLine }
