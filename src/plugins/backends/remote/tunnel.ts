import * as v from 'valibot'
import { bytesBody } from '../../../runtime/body.ts'
import { InstarError } from '../../../runtime/error.ts'
import { answerHeader, maxPart, pingsInSilence, silenceMs, type Call } from '../../../runtime/executor.ts'
import { bearerIn, isSameToken } from '../../../runtime/token.ts'

/** The way to an executor that dials in; see runtime/executor.ts. */
export interface Tunnel {
  /** As the global one, for what the executor answers. Rejects while it has not dialled in, and when that is lost. */
  readonly fetch: typeof fetch
  /** See `Backend.dialled`. */
  answer(request: Request): Promise<Response>
  close(): void
}

interface Asked {
  readonly body: string | Uint8Array<ArrayBuffer> | null
  /** The next part of its answer. */
  part: number
  readonly begin: (status: number, headers: Headers, body: ReadableStream<Uint8Array>) => void
  readonly fail: (reason: string) => void
  controller: ReadableStreamDefaultController<Uint8Array> | null
}

/** A body that stands in the call itself; a larger one is got. */
const maxInline = 64 * 1024

export function createTunnel(token: string, onDialled: () => void): Tunnel {
  const encoder = new TextEncoder()
  const asked = new Map<string, Asked>()
  let dialled: { say(call: Call): void; end(): void } | null = null

  function dial(): Response {
    dialled?.say({ type: 'replaced' })
    dialled?.end()
    let controller!: ReadableStreamDefaultController<Uint8Array>
    const say = (call: Call) => controller.enqueue(encoder.encode(`${JSON.stringify(call)}\n`))
    const tick = setInterval(() => say({ type: 'ping' }), silenceMs / pingsInSilence)
    const mine = { say, end: () => end(true) }
    function end(closes: boolean): void {
      clearInterval(tick)
      if (dialled !== mine) return
      dialled = null
      if (closes) controller.close()
      for (const { fail } of asked.values()) fail('what it dialled is lost')
      asked.clear()
    }
    const stream = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given), cancel: () => end(false) })
    dialled = mine
    say({ type: 'ping' })
    onDialled()
    return new Response(stream, { headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' } })
  }

  async function take(id: string, request: Request, query: URLSearchParams): Promise<Response> {
    const part = numberIn(query.get('part'))
    // It was given up, or is answered already.
    if (!asked.has(id)) return new Response(null, { status: 404 })
    const bytes = await bytesBody(request, maxPart)
    const call = asked.get(id)
    if (!call) return new Response(null, { status: 404 })
    if (part < call.part) return new Response(null, { status: 204 })
    if (part > call.part) throw new InstarError('invalid_request', 'Cannot take the answer: a part is missing', { field: 'part' })
    const head = part === 0 ? headOf(request) : null
    call.part++
    if (head) {
      const { status, headers } = head
      call.begin(status, headers, new ReadableStream({ start: (given) => void (call.controller = given), cancel: () => cancel(id) }))
    }
    if (bytes.length > 0) call.controller!.enqueue(bytes)
    if (query.has('last')) {
      asked.delete(id)
      call.controller!.close()
    }
    return new Response(null, { status: 204 })
  }

  function cancel(id: string): void {
    if (asked.delete(id)) dialled?.say({ type: 'cancel', id })
  }

  async function ask(input: string | URL | Request, { method = 'GET', headers, body, signal }: RequestInit = {}): Promise<Response> {
    const to = dialled
    if (!to) throw notThere('it has not dialled in')
    signal?.throwIfAborted()
    const id = crypto.randomUUID()
    const given = (body ?? null) as Asked['body']
    const isLarge = given !== null && (typeof given !== 'string' || given.length > maxInline)
    return new Promise<Response>((resolve, reject) => {
      const call: Asked = {
        body: given,
        part: 0,
        controller: null,
        begin: (status, headers, stream) => resolve(new Response(stream, { status, headers })),
        fail(reason) {
          reject(notThere(reason))
          call.controller?.error(notThere(reason))
        },
      }
      asked.set(id, call)
      signal?.addEventListener('abort', () => {
        cancel(id)
        call.fail('it was given up')
      })
      const path = new URL(input instanceof Request ? input.url : input).pathname
      to.say({
        type: 'ask',
        id,
        method,
        path,
        headers: Object.fromEntries(new Headers(headers)),
        body: isLarge ? null : (given as string | null),
        isLarge,
      })
    })
  }

  return {
    fetch: ask as typeof fetch,
    async answer(request) {
      const given = bearerIn(request.headers.get('authorization'))
      if (given === undefined)
        throw new InstarError('unauthorized', 'Cannot answer: the request bears no token; it is that of the executor')
      if (!isSameToken(given, token)) throw new InstarError('forbidden', 'Cannot answer: the token is not that of the executor')
      const { pathname, searchParams } = new URL(request.url)
      const id = /^\/dial\/[^/]+\/([^/]+)$/.exec(pathname)?.[1]
      if (id === undefined && request.method === 'POST') return dial()
      if (id !== undefined && request.method === 'POST') return take(id, request, searchParams)
      const body = id === undefined ? undefined : asked.get(id)?.body
      if (body === undefined || body === null) throw new InstarError('not_found', 'Cannot give a body: no such call is open')
      return new Response(body, { headers: { 'content-type': 'application/octet-stream' } })
    },
    close: () => dialled?.end(),
  }
}

/** What `fetch` throws when there is no connection. */
const notThere = (why: string): TypeError => new TypeError('fetch failed', { cause: { code: why } })

const head = v.object({
  status: v.pipe(v.number(), v.integer(), v.minValue(200), v.maxValue(599)),
  headers: v.record(v.string(), v.string()),
})

function headOf(request: Request): { status: number; headers: Headers } {
  try {
    const { status, headers } = v.parse(head, JSON.parse(request.headers.get(answerHeader) ?? ''))
    // Such an answer has no body.
    if (status !== 204 && status !== 205 && status !== 304) return { status, headers: new Headers(headers) }
  } catch {
    // Said below.
  }
  throw new InstarError('invalid_request', `Cannot take the answer: ${answerHeader} makes no sense`, { field: answerHeader })
}

function numberIn(part: string | null): number {
  if (part !== null && /^\d{1,9}$/.test(part)) return Number(part)
  throw new InstarError('invalid_request', 'Cannot take the answer: part must be the number of a part', { field: 'part' })
}
