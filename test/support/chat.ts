import type { IncomingMessage, ServerResponse } from 'node:http'
import { bodyOf, json, marksIn, openStandIn, pause, piecesOf, randomId, type Mark } from './stand-in.ts'

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
  const standIn = await openStandIn((request, response) => answer(request, response, requests))
  return { url: `${standIn.url}/v1`, requests, close: standIn.close }
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
  if (request.method !== 'POST' || !request.url?.endsWith('/chat/completions')) return fail(response, 404, 'no such path')
  const body = JSON.parse(await bodyOf(request)) as ChatRequest
  // A summary is asked for without tools, and with all that was said.
  const said = (body.tools?.length ?? 0) > 0 ? lastUserText(body) : ''
  const again = requests.some((each) => lastUserText(each) === said)
  if (!/You are a title generator/.test(JSON.stringify(body.messages[0]))) requests.push(body)
  const { calls, rest } = marksIn(said)
  const mark = (name: string) => new RegExp(`\\[${name} ([^\\]]*)\\]`).exec(rest)?.[1]
  await pause(Number(mark('think') ?? 0))
  if (response.destroyed) return
  const limit = mark('limit')
  if (limit !== undefined) return fail(response, 429, 'the limit is reached', { 'retry-after': limit })
  const failure = mark('fail') ?? (again ? undefined : mark('stumble'))
  if (failure !== undefined) return fail(response, Number(failure), 'as asked')
  const isAnswered = body.messages.findLastIndex(({ role }) => role === 'user') < body.messages.findLastIndex(({ role }) => role === 'tool')
  if (calls.length > 0 && !isAnswered) return stream(response, body, calls.map(callOf), 0)
  const words =
    mark('say') ?? (calls.length > 0 ? 'done' : `heard: ${said.includes('[') ? `\`${said.slice(0, 200)}\`` : said.slice(0, 200)}`)
  return stream(response, body, words, Number(mark('slow') ?? 0))
}

const callOf = (mark: Mark): Call =>
  'tool' in mark
    ? { name: mark.tool, arguments: mark.json }
    : { name: 'bash', arguments: JSON.stringify({ command: mark.command, description: 'as asked' }) }

async function stream(response: ServerResponse, { model }: ChatRequest, said: string | readonly Call[], ms: number): Promise<void> {
  const about = { id: `chatcmpl-${randomId()}`, object: 'chat.completion.chunk', created: Math.floor(Date.now() / 1000), model }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const send = (delta: object, finish_reason: string | null = null, more: object = {}) =>
    response.write(`data: ${JSON.stringify({ ...about, choices: [{ index: 0, delta, finish_reason }], ...more })}\n\n`)
  if (typeof said === 'string') {
    const pieces = piecesOf(said)
    for (const content of pieces) {
      send({ role: 'assistant', content })
      await pause(ms / pieces.length)
      if (response.destroyed) return
    }
  } else {
    const calls = said.map((each, index) => ({ index, id: `call_${randomId()}`, type: 'function', function: each }))
    send({ role: 'assistant', tool_calls: calls })
  }
  const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
  send({}, typeof said === 'string' ? 'stop' : 'tool_calls', { usage })
  response.end('data: [DONE]\n\n')
}

function fail(response: ServerResponse, status: number, message: string, headers: Record<string, string> = {}): void {
  json(response, status, { error: { type: 'api_error', message } }, headers)
}
