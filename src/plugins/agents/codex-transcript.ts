import * as v from 'valibot'
import type { Message, Transcript } from '../../runtime/agent.ts'
import type { Event, SessionRecord } from '../../runtime/types.ts'

const limit = v.nullish(v.object({ used_percent: v.number(), resets_at: v.nullish(v.number()) }))
const lineSchema = v.object({
  timestamp: v.string(),
  type: v.string(),
  payload: v.object({
    type: v.optional(v.string()),
    id: v.optional(v.string()),
    item: v.optional(v.object({ type: v.string(), id: v.string(), content: v.optional(v.unknown()), text: v.optional(v.string()) })),
    call_id: v.optional(v.string()),
    name: v.optional(v.string()),
    arguments: v.optional(v.string()),
    input: v.optional(v.unknown()),
    output: v.optional(v.unknown()),
    response_id: v.optional(v.string()),
    usage: v.optional(v.object({ input_tokens: v.number(), cached_input_tokens: v.number(), output_tokens: v.number() })),
    rate_limits: v.nullish(v.object({ primary: limit, secondary: limit })),
    error: v.nullish(v.object({ message: v.string(), codex_error_info: v.optional(v.unknown()) })),
  }),
})

export const proposes = 'it proposes a plan'
const usedUpUntil = 'its usage limit is used up until '

/** What no hook tells of turns. What is known later counts more. */
function readTurn(line: unknown, { session, trail }: SessionRecord): Event | null {
  const parsed = v.safeParse(lineSchema, line)
  if (!parsed.success || parsed.output.timestamp < session.evidence.at) return null
  const { timestamp: at, payload } = parsed.output
  const told = (rule: string) => ({ source: 'transcript', rule, at }) as const
  // A shell line of a person's is a turn without hooks.
  if (payload.type === 'task_started' && session.status === 'idle') return { type: 'working', evidence: told('task_started') }
  if (session.status !== 'running') return null
  switch (payload.type) {
    case 'token_count': {
      const limits = [payload.rate_limits?.primary, payload.rate_limits?.secondary]
      const ends = limits.flatMap((each) => (each && each.used_percent >= 100 && each.resets_at ? [each.resets_at * 1000] : []))
      // It stands in the trail when the turn ends, with an error that says so in local time.
      return ends.length > 0 ? { type: 'working', evidence: told(usedUpUntil + new Date(Math.max(...ends)).toISOString()) } : null
    }
    case 'item_completed':
      // The turn ends with a dialog, of which nothing else tells, and which an Enter would answer.
      return payload.item?.type === 'Plan'
        ? { type: 'asked', waiting: { kind: 'question', message: 'Implement this plan?' }, evidence: told(proposes) }
        : null
    case 'turn_aborted':
      return { type: 'rested', evidence: told('turn_aborted') }
    case 'task_complete': {
      const { message, codex_error_info: info } = payload.error ?? {}
      const evidence = told('task_complete')
      if (message === undefined) return { type: 'rested', evidence }
      const failed = { type: 'turn_failed', error: message, evidence } as const
      if (/\b401\b|unauthorized/i.test(JSON.stringify(info) ?? '')) return { ...failed, waiting: { kind: 'login', message } }
      if (info !== 'usage_limit_exceeded') return failed
      const until = trail.findLast(({ rule }) => rule.startsWith(usedUpUntil))?.rule.slice(usedUpUntil.length)
      return { ...failed, waiting: { kind: 'limit', message, ...(until !== undefined && until > at ? { until } : {}) } }
    }
    default:
      return null
  }
}

const speakers: Readonly<Record<string, Message['role']>> = { UserMessage: 'user', AgentMessage: 'assistant', Plan: 'assistant' }

/** What is said comes as items, without what the program adds; what the model does, as its calls and their outputs. */
function readMessage(line: unknown): Message | null {
  const parsed = v.safeParse(lineSchema, line)
  if (!parsed.success) return null
  const { timestamp: at, type, payload } = parsed.output
  const { item, call_id: call = '', usage } = payload
  const nothing = { text: '', tools: [], usage: null, at }
  const role = item && speakers[item.type]
  if (payload.type === 'item_completed' && role) return { ...nothing, id: item.id, role, text: item.text ?? textOf(item.content) }
  if (type === 'token_usage_record' && usage) {
    const { input_tokens: all, cached_input_tokens: cacheReadTokens, output_tokens: outputTokens } = usage
    return {
      ...nothing,
      id: payload.response_id ?? at,
      role: 'assistant',
      usage: { inputTokens: all - cacheReadTokens, outputTokens, cacheReadTokens },
    }
  }
  if (type !== 'response_item' || call === '') return null
  if (payload.output !== undefined) return { ...nothing, id: call, role: 'tool', text: textOf(payload.output) }
  const tool = { id: call, name: payload.name ?? '', input: payload.input ?? json(payload.arguments) }
  return { ...nothing, id: payload.id ?? call, role: 'assistant', tools: [tool] }
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  const parsed = v.safeParse(v.array(v.object({ text: v.optional(v.string(), '') })), content)
  return parsed.success ? parsed.output.map(({ text }) => text).join('\n') : ''
}

function json(text = ''): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** `$CODEX_HOME/sessions/<year>/<month>/<day>/rollout-<time>-<id>.jsonl`. */
export const transcript: Transcript = { message: readMessage, read: readTurn }
