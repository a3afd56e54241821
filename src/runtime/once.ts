import * as v from 'valibot'
import type { Storage } from 'unstorage'
import { InstarError } from './error.ts'

/** Keeps the answers to requests that came with an idempotency key, for a day and over restarts: what a key asks for is done at most once. */
export interface Once {
  /** The answer of the first request with this key. `request` is what it asked for; another with the same key is `idempotency_key_reused`. */
  run<T>(key: string, request: unknown, deed: Deed<T>): Promise<{ answer: T; replayed: boolean }>
}

/** Something that is done once. `id` is that of what it makes. */
export interface Deed<T> {
  make(id: string): Promise<T>
  /** Whether it was made: by an earlier server, which was killed in the middle, or before an error. */
  isMade(id: string): boolean
  /** The answer for what was made. */
  answer(id: string): Promise<T>
}

const prefix = 'keys:'
const keptMs = 24 * 60 * 60 * 1000

const entrySchema = v.object({
  request: v.string(),
  at: v.number(),
  id: v.string(),
  answer: v.optional(v.unknown()),
})
type Entry = v.InferOutput<typeof entrySchema>

export async function openOnce(storage: Storage, newId: () => string, now: () => Date): Promise<Once> {
  const entries = new Map<string, Entry>()
  const underWay = new Map<string, Promise<unknown>>()
  const isOld = ({ at }: Entry) => at <= now().getTime() - keptMs
  for (const name of await storage.getKeys(prefix)) {
    const parsed = v.safeParse(entrySchema, await storage.getItem(name).catch(() => null))
    if (parsed.success && !isOld(parsed.output)) entries.set(name, parsed.output)
    else await storage.removeItem(name)
  }

  function forget(name: string): Promise<void> {
    entries.delete(name)
    return storage.removeItem(name).catch(() => {})
  }

  async function keep(name: string, entry: Entry): Promise<void> {
    entries.set(name, entry)
    await storage.setItem(name, JSON.stringify(entry)).catch((cause) => {
      throw new InstarError('storage_failed', 'Cannot keep the idempotency key: the storage refused the write', {}, cause)
    })
  }

  async function carryOut<T>(name: string, entry: Entry, { make, isMade, answer: answerOf }: Deed<T>): Promise<T> {
    try {
      const wasMade = entries.has(name) && isMade(entry.id)
      if (!entries.has(name)) await keep(name, entry)
      const answer = await (wasMade ? answerOf(entry.id) : make(entry.id))
      await keep(name, { ...entry, answer })
      return answer
    } catch (error) {
      // Nothing was made: the key is free for another try.
      if (!isMade(entry.id)) await forget(name)
      throw error
    }
  }

  return {
    async run<T>(key: string, request: unknown, deed: Deed<T>) {
      for (const [name, entry] of entries) if (isOld(entry)) void forget(name)
      const name = prefix + (await digest(key))
      const asked = await digest(JSON.stringify(request))
      const known = entries.get(name)
      if (known && known.request !== asked)
        throw new InstarError('idempotency_key_reused', 'Cannot answer: its Idempotency-Key came with another request before', {
          field: 'Idempotency-Key',
        })
      if (known?.answer !== undefined) return { answer: known.answer as T, replayed: true }
      const same = underWay.get(name)
      if (same) return { answer: (await same) as T, replayed: true }
      const doing = carryOut(name, known ?? { request: asked, at: now().getTime(), id: newId() }, deed)
      underWay.set(name, doing)
      try {
        return { answer: await doing, replayed: false }
      } finally {
        underWay.delete(name)
      }
    },
  }
}

async function digest(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
