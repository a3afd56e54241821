import type { Executor } from './executor.ts'
import { errorFrom } from './runtime/error.ts'
import { answerHeader, maxPart, pingsInSilence, silenceMs, type Call } from './runtime/executor.ts'
import { failureIn } from './runtime/failure.ts'
import { jsonLines } from './runtime/json-lines.ts'

export interface DialOptions {
  /** Where to: `<the control plane>/dial/<the name of the backend in its config>`. */
  readonly url: string
  /** The executor's own token, which the control plane has as well. */
  readonly token: string
  readonly executor: Executor
  /** Told whenever that it is dialled in changes, and why not. */
  readonly told: (problem: string | null) => void
  /** Default: the global one. */
  readonly fetch?: typeof fetch
}

const backoffMs = [100, 500, 1000, 3000, 10_000]
const beginTimeoutMs = 15_000
const replaced = 'another executor has dialled in there'
/** How often a part of an answer is sent again before the whole connection counts as lost. */
const tries = 3

/** Lets a control plane ask an executor that it cannot reach, until the returned function is called. Web-standard APIs only. */
export function dial({ url, token, executor, told, fetch: send = fetch }: DialOptions): () => void {
  const closing = new AbortController()
  const headers = { authorization: `Bearer ${token}` }
  let known: string | null | undefined

  function tell(problem: string | null): void {
    if (problem !== known) told(problem)
    known = problem
  }

  /** Resolves when it is lost, with why. */
  async function once(): Promise<string> {
    const lost = new AbortController()
    const signal = AbortSignal.any([closing.signal, lost.signal])
    const begin = setTimeout(() => lost.abort(new Error(`nothing came within ${beginTimeoutMs / 1000} s`)), beginTimeoutMs)
    const response = await send(url, { method: 'POST', headers, signal }).finally(() => clearTimeout(begin))
    if (!response.ok || !response.body || !response.headers.get('content-type')?.startsWith('application/x-ndjson')) {
      const problem = errorFrom(await response.json().catch(() => null))
      lost.abort()
      return problem?.message ?? `what answers there is no control plane (HTTP ${response.status})`
    }
    let heardAt = Date.now()
    const tick = setInterval(() => {
      if (Date.now() - heardAt > silenceMs) lost.abort(new Error(`nothing came for ${silenceMs / 1000} s`))
    }, silenceMs / pingsInSilence)
    const calls = new Map<string, AbortController>()
    try {
      for await (const call of jsonLines(response.body) as AsyncIterable<Call>) {
        heardAt = Date.now()
        tell(null)
        if (call.type === 'replaced') return replaced
        if (call.type === 'cancel') calls.get(call.id)?.abort()
        if (call.type !== 'ask') continue
        const aborter = new AbortController()
        calls.set(call.id, aborter)
        carryOut(call, AbortSignal.any([signal, aborter.signal]))
          .catch(() => {
            // An answer that cannot be given would be waited for.
            if (!aborter.signal.aborted) lost.abort(new Error('it did not take an answer'))
          })
          .finally(() => calls.delete(call.id))
      }
      return 'the control plane has closed the connection'
    } finally {
      clearInterval(tick)
      lost.abort()
    }
  }

  async function carryOut(call: Extract<Call, { type: 'ask' }>, signal: AbortSignal): Promise<void> {
    const at = `${url}/${call.id}`
    const large = call.isLarge ? await surely(signal, () => send(at, { headers, signal })) : null
    if (large && isNotAwaited(large)) return
    const body = large ? new Uint8Array(await large.arrayBuffer()) : call.body
    const request = new Request(`http://localhost${call.path}`, { method: call.method, headers: call.headers, body, signal })
    const response = await executor.fetch(request)
    const given = JSON.stringify({ status: response.status, headers: Object.fromEntries(response.headers) })
    const post = async (part: number, bytes: Uint8Array<ArrayBuffer>, isLast: boolean) =>
      surely(signal, () =>
        send(`${at}?part=${part}${isLast ? '&last' : ''}`, {
          method: 'POST',
          headers: part === 0 ? { ...headers, [answerHeader]: given } : headers,
          body: bytes,
          signal,
        }),
      )
    let number = 0
    for await (const { bytes, isLast } of partsOf(response, signal)) if (isNotAwaited(await post(number++, bytes, isLast))) return
  }

  /** Sends again what may not have come: parts have numbers, and one that came twice is taken once. */
  async function surely(signal: AbortSignal, request: () => Promise<Response>): Promise<Response> {
    for (let tried = 1; ; tried++) {
      signal.throwIfAborted()
      const response = await request().catch((error: unknown) => {
        if (tried === tries) throw error
        return null
      })
      if (response && (response.ok || isNotAwaited(response))) return response
      if (response && response.status < 500) throw new Error(`HTTP ${response.status}`)
      if (tried === tries) throw new Error(`HTTP ${response?.status}`)
    }
  }

  async function keep(): Promise<void> {
    for (let failures = 0; !closing.signal.aborted; failures++) {
      const problem = await once().catch((error: unknown) => `it does not answer (${failureIn(error)})`)
      if (closing.signal.aborted) return
      if (known === null) failures = problem === replaced ? backoffMs.length : 0
      tell(problem)
      await new Promise<void>((resolve) => {
        const over = () => {
          clearTimeout(timer)
          closing.signal.removeEventListener('abort', over)
          resolve()
        }
        const timer = setTimeout(over, backoffMs[Math.min(failures, backoffMs.length - 1)])
        closing.signal.addEventListener('abort', over)
      })
    }
  }
  void keep()

  return () => closing.abort()
}

/** Its call was given up; or the last part of its answer has come, and only the word of that was lost. */
const isNotAwaited = ({ status }: Response): boolean => status === 404

interface Part {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly isLast: boolean
}

/** The body of an answer: a stream as it comes, where what comes while a part is on its way goes with the next. */
async function* partsOf(response: Response, signal: AbortSignal): AsyncGenerator<Part> {
  const isStream = response.headers.get('content-type')?.startsWith('application/x-ndjson') === true
  if (!isStream || !response.body) return yield* slices(new Uint8Array(await response.arrayBuffer()), true)
  const reader = response.body.getReader()
  const stop = () => void reader.cancel().catch(() => {})
  signal.addEventListener('abort', stop)
  try {
    for (let next = reader.read(), isOver = false; !isOver;) {
      const chunks: Uint8Array[] = []
      do {
        const { value, done } = await next
        isOver = done
        if (done) break
        chunks.push(value)
        next = reader.read()
      } while (await isReady(next))
      yield* slices(joined(chunks), isOver)
    }
  } finally {
    signal.removeEventListener('abort', stop)
    stop()
  }
}

function* slices(bytes: Uint8Array<ArrayBuffer>, isEnd: boolean): Generator<Part> {
  let at = 0
  do yield { bytes: bytes.slice(at, at + maxPart), isLast: isEnd && at + maxPart >= bytes.length }
  while ((at += maxPart) < bytes.length)
}

/** Whether a promise is settled by now. */
const isReady = async (promise: Promise<unknown>): Promise<boolean> => {
  const no = Symbol('not yet')
  return (await Promise.race([promise, Promise.resolve(no)])) !== no
}

function joined(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(chunks.reduce((size, { length }) => size + length, 0))
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}
