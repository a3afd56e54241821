import type { IncomingMessage, ServerResponse } from 'node:http'
import { bodyOf, json, marksIn, openStandIn, pause, piecesOf, randomId, type Mark } from './stand-in.ts'

/**
 * A stand-in for the Gemini API on loopback, so that the real agent programs can be tested without a model. What it
 * answers is steered by marks in the last text of the user:
 *
 *   [say TEXT]       answers TEXT                        [bash COMMAND]    calls run_shell_command, then says "done"
 *   [slow MS]        streams the answer over that time   [tool NAME JSON]  calls any tool
 *   [fail STATUS]    answers with that HTTP status       [limit SECONDS]   answers that the quota is used up for so long
 *   [stumble STATUS] does so the first time only         [think MS]        says nothing for that time, first
 *
 * Several [bash] and [tool] marks make calls at the same time. Anything else is answered with "heard: " and the text.
 */
export interface Generative {
  readonly url: string
  /** The bodies of the requests that carry tools or ask for a summary, which are the ones of a conversation; in order. */
  readonly requests: readonly GenerateRequest[]
  close(): Promise<void>
}

export interface GenerateRequest {
  readonly contents: readonly { role?: string; parts: readonly Part[] }[]
  readonly systemInstruction?: unknown
  readonly tools?: readonly { functionDeclarations?: readonly { name: string }[] }[]
  /** Named by the path. */
  readonly model: string
}
interface Part {
  readonly text?: string
  readonly functionCall?: { readonly id?: string; readonly name: string; readonly args: unknown }
  readonly functionResponse?: { readonly id?: string; readonly name: string; readonly response: unknown }
}

export async function startGenerative(): Promise<Generative> {
  const requests: GenerateRequest[] = []
  const standIn = await openStandIn((request, response) => answer(request, response, requests))
  return { url: standIn.url, requests, close: standIn.close }
}

/** The last thing a person said in a request, without what the program adds. */
export function lastUserText({ contents }: GenerateRequest): string {
  for (const { role, parts } of contents.toReversed()) {
    if (role === 'model') continue
    for (const { text = '' } of parts.toReversed()) {
      const said = withoutContext(text)
      if (said !== '') return said
    }
  }
  return ''
}

/** What a tool answered last in a request; '' where none did. */
export function lastToolResult({ contents }: GenerateRequest): string {
  const parts = contents.flatMap(({ parts }) => parts)
  return JSON.stringify(parts.findLast(({ functionResponse }) => functionResponse)?.functionResponse?.response ?? '')
}

const withoutContext = (text: string): string => text.replace(/<(session_context|hook_context)>[\s\S]*?<\/\1>/g, '').trim()

async function answer(request: IncomingMessage, response: ServerResponse, requests: GenerateRequest[]): Promise<void> {
  const [, model, verb] = /\/models\/([^:/]+):(\w+)/.exec(request.url ?? '') ?? []
  if (request.method !== 'POST' || model === undefined) return fail(response, 404, 'no such path')
  if (verb === 'countTokens') return json(response, 200, { totalTokens: 100 })
  const body = { ...(JSON.parse(await bodyOf(request)) as GenerateRequest), model }
  const conversation = (body.tools?.length ?? 0) > 0 || /state_snapshot/.test(JSON.stringify(body.systemInstruction))
  const text = conversation ? lastUserText(body) : ''
  const again = requests.some((each) => lastUserText(each) === text)
  if (conversation) requests.push(body)
  const { calls, rest } = marksIn(text)
  const mark = (name: string) => new RegExp(`\\[${name} ([^\\]]*)\\]`).exec(rest)?.[1]

  await pause(Number(mark('think') ?? 0))
  if (response.destroyed) return undefined
  const status = mark('fail') ?? (again ? undefined : mark('stumble'))
  if (status !== undefined) return fail(response, Number(status), 'as asked')
  const limit = mark('limit')
  if (limit !== undefined) {
    const details = [
      { '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations: [{ quotaId: 'GenerateRequestsPerMinute' }] },
      { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${limit}s` },
    ]
    return fail(response, 429, 'You exceeded your current quota', details)
  }
  const streamed = verb === 'streamGenerateContent'
  if (calls.length > 0 && !endsWithResponse(body)) return send(response, body.model, calls.map(functionCall), streamed, 0)
  const said = mark('say') ?? (calls.length === 0 ? `heard: ${text.slice(0, 60)}` : 'done')
  const pieces = piecesOf(said)
  const parts = (streamed ? pieces : [said]).map((piece) => ({ text: piece }))
  return send(response, body.model, parts, streamed, Number(mark('slow') ?? 0))
}

const functionCall = (mark: Mark): Part => ({
  functionCall: {
    id: randomId(),
    ...('tool' in mark
      ? { name: mark.tool, args: JSON.parse(mark.json) as unknown }
      : { name: 'run_shell_command', args: { command: mark.command } }),
  },
})

/** Whether a tool's result is the last thing in a request, and nobody has said anything since. */
const endsWithResponse = ({ contents }: GenerateRequest): boolean =>
  contents.at(-1)?.parts.findLast(({ functionResponse, text = '' }) => functionResponse || withoutContext(text) !== '')
    ?.functionResponse !== undefined

async function send(response: ServerResponse, modelVersion: string, parts: readonly Part[], streamed: boolean, ms: number): Promise<void> {
  const usageMetadata = { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 }
  const piece = (some: readonly Part[], last: boolean) => ({
    candidates: [{ index: 0, content: { role: 'model', parts: some }, ...(last ? { finishReason: 'STOP' } : {}) }],
    usageMetadata,
    modelVersion,
    responseId: randomId(),
  })
  if (!streamed) return json(response, 200, piece(parts, true))
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const isCall = parts.some(({ functionCall }) => functionCall)
  const groups = isCall ? [parts] : parts.map((each) => [each])
  for (const [index, group] of groups.entries()) {
    response.write(`data: ${JSON.stringify(piece(group, index === groups.length - 1))}\r\n\r\n`)
    await pause(ms / groups.length)
    if (response.destroyed) return
  }
  response.end()
}

const names: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
}

const fail = (response: ServerResponse, code: number, message: string, details: readonly unknown[] = []): void =>
  json(response, code, { error: { code, message, status: names[code] ?? 'UNAVAILABLE', ...(details.length > 0 ? { details } : {}) } })
