import * as v from 'valibot'
import type { Health } from '../../../runtime/backend.ts'
import { bytesIn } from '../../../runtime/body.ts'
import { errorFrom, type InstarError } from '../../../runtime/error.ts'
import { protocol, wire } from '../../../runtime/executor.ts'
import { failureIn } from '../../../runtime/failure.ts'
import type { Named } from './options.ts'

/** Where an executor is, and as whom it is asked. */
export interface Address extends Named {
  readonly token: string
  readonly backend: string
  readonly fetch: typeof fetch
}

/** `lost`: nobody knows whether it was carried out. `reason` goes on a sentence that begins with the executor. */
export type Outcome<T> =
  | { readonly type: 'value'; readonly value: T; readonly pushed: number }
  | { readonly type: 'refused'; readonly error: InstarError; readonly pushed: number }
  | { readonly type: 'lost'; readonly reason: string; readonly isFinal: boolean }

export interface Request {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array<ArrayBuffer>
  readonly timeoutMs: number
  /** Of this request alone: a signal that lives longer would keep something of each. */
  readonly aborter: AbortController
}

/** One request. Never throws. Every answer that is not an executor's own is `lost`. */
export async function post<T>(address: Address, verb: string, { timeoutMs, aborter, ...request }: Request): Promise<Outcome<T>> {
  const { signal } = aborter
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    aborter.abort()
  }, timeoutMs)
  try {
    const response = await send(address, verb, { ...request, signal })
    const pushed = Number(response.headers.get(wire.pushed))
    const bytes = await bytesIn(response.body, maxAnswerBytes)
    if (!bytes) return { type: 'lost', reason: `answers with more than ${maxAnswerBytes / 1024 / 1024} MiB`, isFinal: true }
    const answer = read(bytes)
    if (answer && response.ok && 'value' in answer) return { type: 'value', value: answer.value as T, pushed }
    const error = errorFrom(answer)
    if (error && answer?.from === 'backend') return { type: 'refused', error, pushed }
    return { type: 'lost', reason: refusalOf(error, response), isFinal: error !== null }
  } catch (error) {
    if (isLate) return { type: 'lost', reason: `did not answer within ${timeoutMs / 1000} s`, isFinal: true }
    return { type: 'lost', reason: signal.aborted ? 'was lost' : failureOf(error), isFinal: signal.aborted }
  } finally {
    clearTimeout(timer)
  }
}

export async function send(
  address: Address,
  verb: string,
  { headers, body, signal }: Pick<Request, 'headers' | 'body'> & { readonly signal: AbortSignal },
): Promise<Response> {
  return address.fetch(`${address.url}/executor/${encodeURIComponent(address.backend)}/${verb}`, {
    method: 'POST',
    headers: { ...headersOf(address), ...headers },
    body,
    signal,
    redirect: 'manual',
  })
}

/** Whether an executor is there, without a connection. Never throws. */
export async function probe(address: Address): Promise<Health> {
  try {
    const response = await address.fetch(`${address.url}/executor`, {
      headers: headersOf(address),
      signal: AbortSignal.timeout(probeTimeoutMs),
    })
    const body = (await shortAnswer(response)) as { protocol?: unknown; version?: unknown } | null
    if (response.ok && body?.protocol === protocol) return { ok: true, detail: `Instar ${String(body.version)}, ${address.name}` }
    return { ok: false, reason: `${address.name} ${refusalOf(errorFrom(body), response)}` }
  } catch (error) {
    return { ok: false, reason: `${address.name} ${failureOf(error)}` }
  }
}

/** What a JSON answer says that says little; null for any other. */
export async function shortAnswer(response: Response): Promise<unknown> {
  try {
    return jsonOf(await bytesIn(response.body, maxShortBytes))
  } catch {
    return null
  }
}

const probeTimeoutMs = 5000
/** What a program wrote, 16 MiB of each of its two outputs, of which JSON makes six characters a byte at most; and what stands around it. */
const maxAnswerBytes = 200 * 1024 * 1024
/** A greeting or a refusal. */
const maxShortBytes = 64 * 1024

const headersOf = ({ token }: Address) => ({ authorization: `Bearer ${token}`, [wire.protocol]: String(protocol) })

/** What an answer says that is not that of a backend. */
export function refusalOf(error: InstarError | null, response: Response): string {
  const { protocol: theirs, version } = error?.data ?? {}
  if (theirs !== undefined) return otherProtocol(theirs, version)
  switch (error?.code) {
    case undefined:
      return `is not there: what answers is no executor (HTTP ${response.status}, ${response.headers.get('content-type') ?? 'no type'})`
    case 'unauthorized':
    case 'forbidden':
      return "refuses the token: it is under executor.token in .instar/config.json of the executor's project"
    case 'host_not_allowed':
      return 'does not answer to the name in its URL: list that in allowedHosts of its config'
    default:
      return `refuses: ${error!.message}`
  }
}

export const otherProtocol = (theirs: unknown, version: unknown): string =>
  `speaks protocol ${String(theirs)} (Instar ${String(version)}), and this server protocol ${protocol}: install the same version on both`

/** Why a request has failed, or with `was lost` a connection; it goes on a sentence that begins with the executor. */
export const failureOf = (error: unknown, what: 'does not answer' | 'was lost' = 'does not answer'): string =>
  `${what} (${error instanceof SyntaxError ? 'it sent what is no JSON' : failureIn(error)})`

const answerSchema = v.object({ from: v.optional(v.string()), value: v.optional(v.unknown()), error: v.optional(v.unknown()) })

const jsonOf = (bytes: Uint8Array | null): unknown => (bytes ? JSON.parse(new TextDecoder().decode(bytes)) : null)

function read(bytes: Uint8Array): v.InferOutput<typeof answerSchema> | null {
  try {
    const result = v.safeParse(answerSchema, jsonOf(bytes))
    return result.success ? result.output : null
  } catch {
    return null
  }
}
