import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * A stand-in for the OpenAI Chat Completions API on loopback, so that opencode can be tested without a model. What it
 * answers is steered by marks in the last text of the user:
 *
 *   [say TEXT]       answers TEXT                        [bash COMMAND]  asks for the bash tool, then says "done"
 *   [slow MS]        streams the answer over that time   [fail STATUS]   answers with that HTTP status
 *   [think MS]       says nothing for that time, first   [tool NAME JSON] asks for any other tool, then says "done"
 *   [limit SECONDS]  answers 429, and to try again then  [stumble STATUS] answers with that HTTP status the first time only
 *
 * Several [bash] and [tool] marks make calls at the same time; marks inside the JSON of one are for a sub-agent that is
 * told so. Anything else is answered with "heard: " and the text, as code, because opencode does not show the brackets of
 * what may be a link.
 */
export interface Chat {
  /** The base URL, with `/v1`. */
  readonly url: string
  /** The bodies of the requests of conversations, without those for titles; in order. */
  readonly requests: readonly ChatRequest[]
  close(): Promise<void>
}

export interface ChatRequest {
  readonly model: string
  readonly tools?: readonly { function: { name: string } }[]
  readonly messages: readonly { role: string; content: string | null | readonly { type: string; text?: string }[] }[]
}

export async function startChat(): Promise<Chat> {
  const requests: ChatRequest[] = []
  const server = createServer((request, response) => {
    answer(request, response, requests).catch((error: unknown) => response.destroy(error as Error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/v1`,
    requests,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** The last thing a person said in a request, without what the program adds. */
export function lastUserText({ messages }: ChatRequest): string {
  const content = messages.findLast(({ role }) => role === 'user')?.content ?? ''
  const parts = typeof content === 'string' ? [content] : content.map(({ text = '' }) => text)
  return parts.filter((text) => !text.startsWith('<system-reminder>')).join('')
}

interface Call {
  readonly name: string
  readonly arguments: string
}

/** What a tool answered last in a request; '' where none did. */
export function lastToolResult({ messages }: ChatRequest): string {
  return JSON.stringify(messages.findLast(({ role }) => role === 'tool')?.content ?? '')
}

async function answer(request: IncomingMessage, response: ServerResponse, requests: ChatRequest[]): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  if (request.method !== 'POST' || !request.url?.endsWith('/chat/completions')) return fail(response, 404, 'no such path')
  const body = JSON.parse(Buffer.concat(chunks).toString()) as ChatRequest
  // A summary is asked for without tools, and with all that was said.
  const said = (body.tools?.length ?? 0) > 0 ? lastUserText(body) : ''
  const again = requests.some((each) => lastUserText(each) === said)
  if (!/You are a title generator/.test(JSON.stringify(body.messages[0]))) requests.push(body)
  const { calls, rest } = callsIn(said)
  const mark = (name: string) => new RegExp(`\\[${name} ([^\\]]*)\\]`).exec(rest)?.[1]
  // A model takes its time; this is that time, not a wait for something.
  const thinks = Number(mark('think') ?? 0)
  if (thinks > 0) await new Promise((resolve) => setTimeout(resolve, thinks))
  if (response.destroyed) return
  const limit = mark('limit')
  if (limit !== undefined) return fail(response, 429, 'the limit is reached', { 'retry-after': limit })
  const failure = mark('fail') ?? (again ? undefined : mark('stumble'))
  if (failure !== undefined) return fail(response, Number(failure), 'as asked')
  const isAnswered = body.messages.findLastIndex(({ role }) => role === 'user') < body.messages.findLastIndex(({ role }) => role === 'tool')
  if (calls.length > 0 && !isAnswered) return stream(response, body, calls, 0)
  const words =
    mark('say') ?? (calls.length > 0 ? 'done' : `heard: ${said.includes('[') ? `\`${said.slice(0, 200)}\`` : said.slice(0, 200)}`)
  return stream(response, body, words, Number(mark('slow') ?? 0))
}

/** The tools that a text asks for, and what it says besides. */
function callsIn(text: string): { calls: Call[]; rest: string } {
  const calls: Call[] = []
  let rest = ''
  let place = 0
  for (const found of text.matchAll(/\[bash ([^\]]*)\]|\[tool (\w+) (?=\{)/g)) {
    if (found.index < place) continue
    const [mark, command, tool] = found
    const begin = found.index + mark.length
    const end = tool === undefined ? begin : jsonEnd(text, begin)
    const input = tool === undefined ? JSON.stringify({ command, description: 'as asked' }) : text.slice(begin, end - 1)
    calls.push({ name: tool ?? 'bash', arguments: input })
    rest += text.slice(place, found.index)
    place = end
  }
  return { calls, rest: rest + text.slice(place) }
}

/** The place after the `]` that follows the JSON object that begins there. */
function jsonEnd(text: string, begin: number): number {
  for (let end = text.indexOf('}]', begin); end >= 0; end = text.indexOf('}]', end + 1)) {
    try {
      JSON.parse(text.slice(begin, end + 1))
      return end + 2
    } catch {
      // That one stands inside of it.
    }
  }
  throw new Error(`no JSON object at ${text.slice(begin, begin + 40)}`)
}

async function stream(response: ServerResponse, { model }: ChatRequest, said: string | readonly Call[], ms: number): Promise<void> {
  const about = { id: `chatcmpl-${id()}`, object: 'chat.completion.chunk', created: Math.floor(Date.now() / 1000), model }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const send = (delta: object, finish_reason: string | null = null, more: object = {}) =>
    response.write(`data: ${JSON.stringify({ ...about, choices: [{ index: 0, delta, finish_reason }], ...more })}\n\n`)
  if (typeof said === 'string') {
    const pieces = said.match(/[\s\S]{1,20}/g) ?? ['']
    for (const content of pieces) {
      send({ role: 'assistant', content })
      if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms / pieces.length))
      if (response.destroyed) return
    }
  } else {
    const calls = said.map((each, index) => ({ index, id: `call_${id()}`, type: 'function', function: each }))
    send({ role: 'assistant', tool_calls: calls })
  }
  const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
  send({}, typeof said === 'string' ? 'stop' : 'tool_calls', { usage })
  response.end('data: [DONE]\n\n')
}

function fail(response: ServerResponse, status: number, message: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify({ error: { type: 'api_error', message } }))
}

const id = (): string => Math.random().toString(36).slice(2).padEnd(12, '0')
