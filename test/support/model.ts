import type { IncomingMessage, ServerResponse } from 'node:http'
import { bodyOf, json, marksIn, openStandIn, pause, piecesOf, randomId, type Mark } from './stand-in.ts'

/**
 * A stand-in for the Anthropic Messages API on loopback, so that the real agent programs can be tested without a model.
 * What it answers is steered by marks in the last text of the user:
 *
 *   [say TEXT]       answers TEXT                        [bash COMMAND]  asks for the Bash tool, then says "done"
 *   [slow MS]        streams the answer over that time   [fail STATUS]   answers with that HTTP status
 *   [think MS]       says nothing for that time, first   [tool NAME JSON] asks for any other tool, then says "done"
 *   [limit SECONDS]  answers that the usage limit is reached, which ends then
 *   [stumble STATUS] answers with that HTTP status the first time only
 *
 * Several [bash] and [tool] marks make calls at the same time; marks inside the JSON of one are for a sub-agent that is
 * told so. Anything else is answered with "heard: " and the text.
 */
export interface Model {
  readonly url: string
  /** The bodies of the requests that carry tools, which are the ones of a conversation; in order. */
  readonly requests: readonly MessagesRequest[]
  close(): Promise<void>
}

export interface MessagesRequest {
  readonly model: string
  readonly system?: unknown
  readonly stream?: boolean
  readonly tools?: readonly { name: string }[]
  readonly messages: readonly { role: string; content: string | readonly ContentPart[] }[]
}
interface ContentPart {
  readonly type: string
  readonly text?: string
  readonly content?: unknown
}

export async function startModel(): Promise<Model> {
  const requests: MessagesRequest[] = []
  const standIn = await openStandIn((request, response) => answer(request, response, requests))
  return { url: standIn.url, requests, close: standIn.close }
}

/** The last thing a person said in a request, without what the program adds. */
export function lastUserText({ messages }: MessagesRequest): string {
  for (const { role, content } of messages.toReversed()) {
    if (role !== 'user') continue
    const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : content
    // After a failed turn the next text comes in the same message, as a part of its own.
    for (const { type, text = '' } of parts.toReversed()) {
      const said = withoutReminders(text)
      if (type === 'text' && said !== '') return said
    }
  }
  return ''
}

/** What a tool answered last in a request; '' where none did. */
export function lastToolResult({ messages }: MessagesRequest): string {
  const parts = messages.flatMap(({ content }) => (typeof content === 'string' ? [] : content))
  return JSON.stringify(parts.findLast(({ type }) => type === 'tool_result')?.content ?? '')
}

async function answer(request: IncomingMessage, response: ServerResponse, requests: MessagesRequest[]): Promise<void> {
  const path = request.url ?? '/'
  if (path.includes('/messages/count_tokens')) return json(response, 200, { input_tokens: 100 })
  if (request.method !== 'POST' || !/\/messages(\?|$)/.test(path)) {
    return json(response, request.method === 'HEAD' ? 200 : 404, {
      type: 'error',
      error: { type: 'not_found_error', message: 'no such path' },
    })
  }
  const body = JSON.parse(await bodyOf(request)) as MessagesRequest
  const conversation = (body.tools?.length ?? 0) > 0
  const said = conversation ? lastUserText(body) : ''
  const again = requests.some((each) => lastUserText(each) === said)
  if (conversation) requests.push(body)
  const { calls, rest: text } = marksIn(said)
  const mark = (name: string) => new RegExp(`\\[${name} ([^\\]]*)\\]`).exec(text)?.[1]
  await pause(Number(mark('think') ?? 0))
  if (response.destroyed) return undefined
  const limit = mark('limit')
  if (limit !== undefined) return limited(response, Math.ceil(Date.now() / 1000) + Number(limit))
  const failure = mark('fail') ?? (again ? undefined : mark('stumble'))
  if (failure !== undefined) return json(response, Number(failure), { type: 'error', error: { type: 'api_error', message: 'as asked' } })
  if (calls.length > 0 && !endsWithToolResult(body)) return stream(response, body, calls.map(toolUse), 0)
  const words = mark('say') ?? (calls.length > 0 ? 'done' : `heard: ${said.slice(0, 200)}`)
  return stream(response, body, [{ type: 'text', text: words }], Number(mark('slow') ?? 0))
}

const toolUse = (mark: Mark): Block => ({
  type: 'tool_use',
  id: `toolu_${randomId()}`,
  ...('tool' in mark
    ? { name: mark.tool, input: JSON.parse(mark.json) as unknown }
    : { name: 'Bash', input: { command: mark.command, description: 'as asked' } }),
})

/** Whether a tool's result is the last thing in a request, and nobody has said anything since. */
const endsWithToolResult = ({ messages }: MessagesRequest): boolean => {
  const content = messages.findLast(({ role }) => role === 'user')?.content ?? ''
  if (typeof content === 'string') return false
  return content.findLast(({ type, text = '' }) => type === 'tool_result' || withoutReminders(text) !== '')?.type === 'tool_result'
}

/** What a program says to its model by itself counts when it begins a turn: that a task in the background is over. */
const withoutReminders = (text: string): string =>
  text
    .replace(
      /<system-reminder>([\s\S]*?)<\/system-reminder>/g,
      (_, inner: string) => /<task-notification>[\s\S]*<\/task-notification>/.exec(inner)?.[0] ?? '',
    )
    .trim()

type Block = { type: 'text'; text: string } | { type: 'tool_use'; id: string; name: string; input: unknown }

async function stream(response: ServerResponse, { model, stream }: MessagesRequest, content: readonly Block[], ms: number): Promise<void> {
  const message = {
    id: `msg_${randomId()}`,
    type: 'message',
    role: 'assistant',
    model,
    stop_sequence: null,
    usage: { input_tokens: 10, output_tokens: 5 },
  }
  const stop_reason = content.some(({ type }) => type === 'tool_use') ? 'tool_use' : 'end_turn'
  if (!stream) return json(response, 200, { ...message, content, stop_reason })
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const send = (type: string, data: object) => response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`)
  send('message_start', { message: { ...message, content: [], stop_reason: null } })
  for (const [index, block] of content.entries()) {
    if (block.type === 'text') {
      send('content_block_start', { index, content_block: { type: 'text', text: '' } })
      const pieces = piecesOf(block.text)
      for (const piece of pieces) {
        send('content_block_delta', { index, delta: { type: 'text_delta', text: piece } })
        await pause(ms / pieces.length)
        if (response.destroyed) return
      }
    } else {
      send('content_block_start', { index, content_block: { ...block, input: {} } })
      send('content_block_delta', { index, delta: { type: 'input_json_delta', partial_json: JSON.stringify(block.input) } })
    }
    send('content_block_stop', { index })
  }
  send('message_delta', { delta: { stop_reason, stop_sequence: null }, usage: { output_tokens: 5 } })
  send('message_stop', {})
  response.end()
}

/** What a subscription's limit looks like. */
function limited(response: ServerResponse, until: number): void {
  json(
    response,
    429,
    {
      type: 'error',
      error: { type: 'rate_limit_error', message: 'This request would exceed your account’s rate limit. Please try again later.' },
    },
    {
      'retry-after': String(until - Math.floor(Date.now() / 1000)),
      'anthropic-ratelimit-unified-status': 'rejected',
      'anthropic-ratelimit-unified-reset': String(until),
      'anthropic-ratelimit-unified-representative-claim': 'five_hour',
      'x-should-retry': 'false',
    },
  )
}
