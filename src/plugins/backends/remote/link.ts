import * as v from 'valibot'
import { pingsInSilence, protocol, wire, type Push } from '../../../runtime/executor.ts'
import { deferred } from '../../../runtime/deferred.ts'
import { errorFrom } from '../../../runtime/error.ts'
import { jsonLines } from '../../../runtime/json-lines.ts'
import { pushSchema } from './push.ts'
import { failureOf, otherProtocol, post, refusalOf, send, shortAnswer, type Address, type Outcome } from './request.ts'

/** One connection to an executor. */
export interface Link {
  /** Resolves, never rejects, when it is gone, with why: the rest of a sentence that begins with the executor. */
  readonly gone: Promise<string>
  isGone(): boolean
  /** Asks for a verb. An answer overtakes no push that came before it: `isWhole` is false when the link went before they came. */
  ask<T>(verb: string, body: unknown, options?: AskOptions): Promise<Asked<T>>
  /** The report with that number is safe, or could not be stored; resolves to whether the executor knows. */
  acknowledge(number: number, isStored: boolean): Promise<boolean>
  end(reason: string): void
}

export type Asked<T> = Outcome<T> & { readonly isWhole: boolean }

export interface AskOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
  /** What follows the body, as it is. */
  readonly input?: Uint8Array
}

export interface LinkOptions {
  readonly address: Address
  readonly owner: string
  /** See `RemoteOptions`. */
  readonly silenceMs: number
  /** Hears every push in order, with its number. */
  readonly hear: (push: Push, number: number, link: Link) => void
}

/** Why a link is gone when another server has taken over. */
export const replaced = 'is used by another server with the same records'

const askTimeoutMs = 15_000
/** How long an executor may take to begin its answer. */
const helloTimeoutMs = 10_000

/** Connects, and resolves when the executor's backend is open. Rejects with an `Error` whose message is why not. */
export async function openLink({ address, owner, silenceMs, hear }: LinkOptions, closing: AbortSignal): Promise<Link> {
  const aborter = new AbortController()
  const hello = setTimeout(() => aborter.abort(), helloTimeoutMs)
  const signal = AbortSignal.any([aborter.signal, closing])
  const response = await send(address, 'connect', { headers: { [wire.owner]: owner }, body: JSON.stringify({ silenceMs }), signal })
    .catch((error: unknown) => {
      throw new Error(aborter.signal.aborted ? `did not answer within ${helloTimeoutMs / 1000} s` : failureOf(error))
    })
    .finally(() => clearTimeout(hello))
  if (!response.ok || !response.body || !response.headers.get('content-type')?.startsWith('application/x-ndjson')) {
    const error = errorFrom(await shortAnswer(response))
    aborter.abort()
    throw new Error(refusalOf(error, response))
  }

  const waiting = new Set<{ readonly count: number; readonly resolve: (isWhole: boolean) => void }>()
  const asking = new Set<AbortController>()
  let heard = 0
  let heardAt = Date.now()
  let askedAt = Date.now()
  let connection = ''
  let reasonGone: string | null = null
  const gone = deferred<string>()
  const open = deferred()

  function end(reason: string): void {
    if (reasonGone !== null) return
    reasonGone = reason
    clearInterval(tick)
    aborter.abort()
    for (const each of asking) each.abort()
    for (const { resolve } of waiting) resolve(false)
    waiting.clear()
    gone.resolve(reason)
  }

  const pauseMs = silenceMs / pingsInSilence
  const tick = setInterval(() => {
    if (Date.now() - heardAt > silenceMs) end(`has said nothing for ${silenceMs / 1000} s`)
    else if (Date.now() - askedAt > pauseMs) void acknowledgeAll()
  }, pauseMs / 2)

  function take(value: unknown): void {
    const parsed = v.safeParse(pushSchema, value)
    if (!parsed.success) throw new SyntaxError('it said something that makes no sense')
    const push = parsed.output
    heard++
    heardAt = Date.now()
    if (push.type === 'hello') {
      if (push.protocol !== protocol) return end(otherProtocol(push.protocol, push.version))
      connection = push.connection
    } else if (connection === '') return end('is not there: what answers is no executor')
    if (push.type === 'replaced') return end(replaced)
    hear(push, heard, link)
    if (push.type === 'open') open.resolve()
    for (const each of waiting) {
      if (each.count > heard) continue
      waiting.delete(each)
      each.resolve(true)
    }
  }

  async function pump(stream: ReadableStream<Uint8Array>): Promise<void> {
    try {
      for await (const value of jsonLines(stream)) {
        if (reasonGone !== null) return
        take(value)
      }
      end('has closed the connection')
    } catch (error) {
      end(failureOf(error, 'was lost'))
    }
  }

  /** Resolves to whether so many pushes have come. */
  const whole = (count: number): Promise<boolean> =>
    heard >= count
      ? Promise.resolve(true)
      : reasonGone === null
        ? new Promise((resolve) => waiting.add({ count, resolve }))
        : Promise.resolve(false)

  async function ask<T>(verb: string, body: unknown, options: AskOptions = {}): Promise<Asked<T>> {
    askedAt = Date.now()
    const mine = new AbortController()
    const giveUp = () => mine.abort()
    asking.add(mine)
    options.signal?.addEventListener('abort', giveUp)
    if (reasonGone !== null || options.signal?.aborted) giveUp()
    const text = JSON.stringify(body)
    const type = options.input ? 'application/octet-stream' : 'application/json'
    const request = {
      headers: {
        [wire.owner]: owner,
        [wire.connection]: connection,
        [wire.request]: crypto.randomUUID(),
        'content-type': type,
      },
      body: options.input ? joined(new TextEncoder().encode(`${text}\n`), options.input) : text,
      timeoutMs: options.timeoutMs ?? askTimeoutMs,
      aborter: mine,
    }
    try {
      let outcome = await post<T>(address, verb, request)
      // A connection that is kept for the next request may be closed just then. The number sees to it that nothing is done twice.
      if (outcome.type === 'lost' && !outcome.isFinal && reasonGone === null) outcome = await post<T>(address, verb, request)
      // Twice is no accident. The stream may not have noticed yet, and who asked is to wait for the next link.
      if (outcome.type === 'lost' && !outcome.isFinal) end(outcome.reason)
      return { ...outcome, isWhole: outcome.type !== 'lost' && (await whole(outcome.pushed)) }
    } finally {
      asking.delete(mine)
      options.signal?.removeEventListener('abort', giveUp)
    }
  }

  // ---- acknowledgements: one request at a time, with all that has become safe meanwhile ------------------------------

  let queue: { stored: number[]; failed: number[]; told: ((isKnown: boolean) => void)[] } = { stored: [], failed: [], told: [] }
  let telling: Promise<void> | null = null

  async function acknowledgeAll(): Promise<void> {
    if (telling) return telling
    telling = (async () => {
      do {
        const { told, ...body } = queue
        queue = { stored: [], failed: [], told: [] }
        const { type } = await ask('acknowledge', body)
        for (const tell of told) tell(type === 'value')
        if (type !== 'value') end('did not take an acknowledgement')
      } while (queue.told.length > 0 && reasonGone === null)
    })().finally(() => (telling = null))
    return telling
  }

  const link: Link = {
    gone: gone.promise,
    isGone: () => reasonGone !== null,
    ask,
    acknowledge(number, isStored) {
      if (reasonGone !== null) return Promise.resolve(false)
      queue[isStored ? 'stored' : 'failed'].push(number)
      const known = new Promise<boolean>((resolve) => queue.told.push(resolve))
      void acknowledgeAll()
      return Promise.race([known, gone.promise.then(() => false)])
    },
    end,
  }
  void pump(response.body)
  const reason = await Promise.race([open.promise, gone.promise])
  if (reason !== undefined) throw new Error(reason)
  return link
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(a.length + b.length)
  all.set(a)
  all.set(b, a.length)
  return all
}
