import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

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
  const server = createServer((request, response) => {
    answer(request, response, requests).catch((error: unknown) => response.destroy(error as Error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
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
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const path = request.url ?? '/'
  if (path.includes('/messages/count_tokens')) return json(response, 200, { input_tokens: 100 })
  if (request.method !== 'POST' || !/\/messages(\?|$)/.test(path)) {
    return json(response, request.method === 'HEAD' ? 200 : 404, {
      type: 'error',
      error: { type: 'not_found_error', message: 'no such path' },
    })
  }
  const body = JSON.parse(Buffer.concat(chunks).toString()) as MessagesRequest
  const conversation = (body.tools?.length ?? 0) > 0
  const said = conversation ? lastUserText(body) : ''
  const again = requests.some((each) => lastUserText(each) === said)
  if (conversation) requests.push(body)
  const { calls, rest: text } = callsIn(said)
  const mark = (name: string) => new RegExp(`\\[${name} ([^\\]]*)\\]`).exec(text)?.[1]
  const thinks = Number(mark('think') ?? 0)
  if (thinks > 0) await new Promise((resolve) => setTimeout(resolve, thinks))
  if (response.destroyed) return undefined
  const limit = mark('limit')
  if (limit !== undefined) return limited(response, Math.ceil(Date.now() / 1000) + Number(limit))
  const failure = mark('fail') ?? (again ? undefined : mark('stumble'))
  if (failure !== undefined) return json(response, Number(failure), { type: 'error', error: { type: 'api_error', message: 'as asked' } })
  if (calls.length > 0 && !endsWithToolResult(body)) return stream(response, body, calls, 0)
  const words = mark('say') ?? (calls.length > 0 ? 'done' : `heard: ${said.slice(0, 200)}`)
  return stream(response, body, [{ type: 'text', text: words }], Number(mark('slow') ?? 0))
}

/** The tools that a text asks for, and what it says besides. */
function callsIn(text: string): { calls: Block[]; rest: string } {
  const calls: Block[] = []
  let rest = ''
  let place = 0
  for (const found of text.matchAll(/\[bash ([^\]]*)\]|\[tool (\w+) (?=\{)/g)) {
    if (found.index < place) continue
    const [mark, command, tool] = found
    const begin = found.index + mark.length
    const [input, end] = tool === undefined ? [{ command, description: 'as asked' }, begin] : jsonAt(text, begin)
    calls.push({ type: 'tool_use', id: `toolu_${id()}`, name: tool ?? 'Bash', input })
    rest += text.slice(place, found.index)
    place = end
  }
  return { calls, rest: rest + text.slice(place) }
}

/** The JSON object that begins there, and the place after the `]` that follows it. */
function jsonAt(text: string, begin: number): [value: unknown, end: number] {
  for (let end = text.indexOf('}]', begin); end >= 0; end = text.indexOf('}]', end + 1)) {
    try {
      return [JSON.parse(text.slice(begin, end + 1)), end + 2]
    } catch {
      // That one stands inside of it.
    }
  }
  throw new Error(`no JSON object at ${text.slice(begin, begin + 40)}`)
}

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
    id: `msg_${id()}`,
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
      const pieces = block.text.match(/[\s\S]{1,20}/g) ?? ['']
      for (const piece of pieces) {
        send('content_block_delta', { index, delta: { type: 'text_delta', text: piece } })
        // A model takes its time; this is that time, not a wait for something.
        if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms / pieces.length))
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

function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

const id = (): string => Math.random().toString(36).slice(2).padEnd(12, '0')
