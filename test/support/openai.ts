import type { IncomingMessage, ServerResponse } from 'node:http'
import { bodyOf, endOfJson, json, openStandIn, pause, piecesOf, randomId } from './stand-in.ts'

/**
 * A stand-in for the OpenAI Responses API on loopback, so that codex can be tested without a model. What it answers is
 * steered by marks in the last text of the user:
 *
 *   [say TEXT]       answers TEXT                        [bash COMMAND]  asks for the shell tool, then says "done"
 *   [slow MS]        streams the answer over that time   [fail STATUS]   answers with that HTTP status
 *   [think MS]       says nothing for that time, first   [outside]       runs [bash …] outside of the sandbox
 *   [tool NAME JSON] asks for any other tool, then "done" [then NAME JSON] asks for that one after it
 *   [limit SECONDS]  answers that the usage limit is reached, which ends then
 *   [stumble STATUS] answers with that HTTP status the first time only
 *   [js SOURCE]      asks for a script that uses tools, then says "done"; it ends with the last bracket of the text
 *
 * Several [bash] marks make calls at the same time; marks inside the JSON of a tool are for a sub-agent that is told so.
 * Anything else is answered with "heard: " and the text.
 */
export interface Responses {
  /** The base URL, with `/v1`. */
  readonly url: string
  /** The bodies of the requests that carry tools, which are the ones of a conversation; in order. */
  readonly requests: readonly ResponsesRequest[]
  close(): Promise<void>
}

export interface ResponsesRequest {
  readonly model: string
  readonly text?: { readonly format?: unknown }
  readonly tools?: readonly Tool[]
  readonly input: readonly InputItem[]
}
interface Tool {
  readonly type: string
  readonly name?: string
  /** Of a namespace. */
  readonly tools?: readonly Tool[]
}
interface InputItem {
  readonly type?: string
  readonly role?: string
  readonly content?: readonly { type: string; text?: string; encrypted_content?: string }[]
  readonly tools?: readonly Tool[]
  readonly output?: unknown
}

export async function startResponses(): Promise<Responses> {
  const requests: ResponsesRequest[] = []
  const standIn = await openStandIn((request, response) => answer(request, response, requests))
  // codex uses it as a proxy for whatever is not on loopback.
  standIn.server.on('connect', (_, socket) => socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'))
  return { url: `${standIn.url}/v1`, requests, close: standIn.close }
}

/** The last thing a person said in a request, without what the program adds. */
export function lastUserText({ input }: ResponsesRequest): string {
  return (input.findLast(isSaid)?.content ?? []).map(({ text = '', encrypted_content = text }) => encrypted_content).join('\n')
}

/** What a tool answered last in a request; '' where none did. */
export const lastToolResult = ({ input }: ResponsesRequest): string => JSON.stringify(input.findLast(isOutput)?.output ?? '')

const added = /^(?:<(?:environment_context|user_instructions|turn_aborted|hook_prompt)\b|# AGENTS\.md)/

/** What a person says, and what an agent says to its sub-agent. */
const isSaid = ({ type = 'message', role, content = [] }: InputItem): boolean =>
  type === 'agent_message' || (type === 'message' && role === 'user' && !added.test(content[0]?.text ?? ''))

const isOutput = ({ type = '' }: InputItem): boolean => type.endsWith('_output')

/** How many tools have answered since somebody said something. */
const answered = ({ input }: ResponsesRequest): number => input.slice(input.findLastIndex(isSaid) + 1).filter(isOutput).length

/** The tools that a request offers. Newer models get them in the input, and use most of them from scripts, with `exec`. */
function toolsOf({ tools = [], input }: ResponsesRequest): string[] {
  const names = (each: Tool): string[] => (each.tools ? each.tools.flatMap(names) : [each.name ?? each.type])
  return [...tools, ...input.flatMap((item) => item.tools ?? [])].flatMap(names)
}

async function answer(request: IncomingMessage, response: ServerResponse, requests: ResponsesRequest[]): Promise<void> {
  if (request.method !== 'POST' || !/\/responses(\?|$)/.test(request.url ?? '/'))
    return json(response, 404, { error: { type: 'not_found', message: 'no such path' } })
  const body = JSON.parse(await bodyOf(request)) as ResponsesRequest
  const tools = toolsOf(body)
  // A title is made in a conversation of its own, whose answer has a schema.
  const conversation = tools.length > 0 && !body.text?.format
  const text = conversation ? lastUserText(body) : ''
  const again = requests.some((each) => lastUserText(each) === text)
  if (conversation) requests.push(body)
  const { calls, rest: marks } = callsIn(text, tools.includes('exec'))
  const mark = (name: string) => new RegExp(`\\[${name}(?: ([^\\]]*))?\\]`).exec(marks)?.[1]
  await pause(Number(mark('think') ?? 0))
  if (response.destroyed) return undefined
  const limit = mark('limit')
  if (limit !== undefined) return limited(response, Number(limit))
  const failure = mark('fail') ?? (again ? undefined : mark('stumble'))
  if (failure !== undefined) return json(response, Number(failure), { error: { type: 'api_error', message: 'as asked' } })
  const count = answered(body)
  const next = calls.find((_, place) => calls.slice(0, place).flat().length >= count)
  if (next) return stream(response, body, next, 0)
  const said = mark('say') ?? (calls.length > 0 ? 'done' : `heard: ${text.slice(0, 200)}`)
  return stream(response, body, [message(said)], Number(mark('slow') ?? 0))
}

/** The calls that a text asks for, those that are made at once together; and what it says besides. */
function callsIn(text: string, isScripted: boolean): { calls: Item[][]; rest: string } {
  const commands: object[] = []
  const first: Item[] = []
  const later: Item[][] = []
  const more = text.includes('[outside]') ? outside : {}
  let rest = ''
  let place = 0
  for (const found of text.matchAll(/\[bash ([^\]]*)\]|\[(tool|then) (?:(\w+)\.)?(\w+) (?=\{)|\[js (.*)\]/gs)) {
    if (found.index < place) continue
    const [mark, cmd, when, namespace, tool = '', source] = found
    rest += text.slice(place, found.index)
    place = found.index + mark.length
    if (cmd !== undefined) commands.push({ cmd, ...more })
    else if (source !== undefined) first.push(script(source))
    else {
      const end = endOfJson(text, place)
      const call = toolCall(tool, text.slice(place, end), namespace)
      if (when === 'tool') first.push(call)
      else later.push([call])
      place = end + 1
    }
  }
  const uses = commands.map((input) => `tools.exec_command(${JSON.stringify(input)})`)
  if (!isScripted) first.push(...commands.map((input) => toolCall('exec_command', JSON.stringify(input))))
  else if (uses.length > 0) first.push(script(`text(await ${uses.length === 1 ? uses[0] : `Promise.all([${uses.join()}])`})`))
  return { calls: [...(first.length > 0 ? [first] : []), ...later], rest: rest + text.slice(place) }
}

const outside = { sandbox_permissions: 'require_escalated', justification: 'as asked' }

function limited(response: ServerResponse, seconds: number): void {
  const resets_at = Math.floor(Date.now() / 1000) + seconds
  response.setHeader('x-codex-primary-used-percent', '100')
  response.setHeader('x-codex-primary-window-minutes', '300')
  response.setHeader('x-codex-primary-reset-at', String(resets_at))
  const told = { message: 'The usage limit has been reached', plan_type: 'plus', resets_at, resets_in_seconds: seconds }
  return json(response, 429, { error: { type: 'usage_limit_reached', ...told } })
}

type Item = { readonly id: string; readonly type: string; readonly text?: string; readonly [field: string]: unknown }

const message = (text: string): Item => ({ id: `msg_${randomId()}`, type: 'message', role: 'assistant', status: 'completed', text })
const toolCall = (name: string, args: string, namespace?: string): Item => ({
  id: `fc_${randomId()}`,
  type: 'function_call',
  call_id: `call_${randomId()}`,
  ...(namespace === undefined ? {} : { namespace }),
  name,
  arguments: args,
  status: 'completed',
})
const script = (input: string): Item => ({
  id: `ctc_${randomId()}`,
  type: 'custom_tool_call',
  call_id: `call_${randomId()}`,
  name: 'exec',
  input,
  status: 'completed',
})

const usage = {
  input_tokens: 10,
  input_tokens_details: { cached_tokens: 4 },
  output_tokens: 5,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 15,
}

async function stream(response: ServerResponse, { model }: ResponsesRequest, items: readonly Item[], ms: number): Promise<void> {
  const whole = { id: `resp_${randomId()}`, object: 'response', created_at: Math.floor(Date.now() / 1000), model }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const send = (type: string, data: object) => response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`)
  send('response.created', { response: { ...whole, status: 'in_progress', output: [], usage: null } })
  const output: object[] = []
  for (const [output_index, { text, ...about }] of items.entries()) {
    const item = text === undefined ? about : { ...about, content: [{ type: 'output_text', text, annotations: [] }] }
    if (text !== undefined) {
      send('response.output_item.added', { output_index, item: { ...about, status: 'in_progress', content: [] } })
      const pieces = piecesOf(text)
      for (const delta of pieces) {
        send('response.output_text.delta', { item_id: about.id, output_index, content_index: 0, delta })
        await pause(ms / pieces.length)
        if (response.destroyed) return
      }
    }
    send('response.output_item.done', { output_index, item })
    output.push(item)
  }
  send('response.completed', { response: { ...whole, status: 'completed', output, usage } })
  response.end()
}
