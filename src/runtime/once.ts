import * as v from 'valibot'
import type { Storage } from 'unstorage'
import { InstarError } from './error.ts'

/** Keeps the answers to requests that came with an idempotency key, for a day and over restarts: what a key asks for is done at most once. */
export interface Once {
  /**
   * The answer of the first request with this key. `request` is what it asked for; another with the same key is
   * `idempotency_key_reused`. `verb` is called with an id for what it makes. When an earlier server was killed in the
   * middle, `find` tells what became of that id; undefined when nothing did, and then the verb is called again.
   */
  run<T>(
    key: string,
    request: unknown,
    verb: (id: string) => Promise<T>,
    find: (id: string) => T | undefined,
  ): Promise<{ answer: T; replayed: boolean }>
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
  for (const name of await storage.getKeys(prefix)) {
    const parsed = v.safeParse(entrySchema, await storage.getItem(name).catch(() => null))
    if (parsed.success && parsed.output.at > now().getTime() - keptMs) entries.set(name, parsed.output)
    else await storage.removeItem(name)
  }

  /** Entries are in the order of their time. */
  function forget(): void {
    for (const [name, { at }] of entries) {
      if (at > now().getTime() - keptMs) return
      entries.delete(name)
      storage.removeItem(name).catch(() => {})
    }
  }

  async function keep(name: string, entry: Entry): Promise<void> {
    entries.set(name, entry)
    await storage.setItem(name, JSON.stringify(entry)).catch((cause) => {
      throw new InstarError('storage_failed', 'Cannot keep the idempotency key: the storage refused the write', {}, cause)
    })
  }

  return {
    async run<T>(key: string, request: unknown, verb: (id: string) => Promise<T>, find: (id: string) => T | undefined) {
      forget()
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
      const entry = known ?? { request: asked, at: now().getTime(), id: newId() }
      const doing = (async () => {
        const done = known && find(entry.id)
        if (!known) await keep(name, entry)
        try {
          const answer = done ?? (await verb(entry.id))
          await keep(name, { ...entry, answer })
          return answer
        } catch (error) {
          // Nothing was made: the key is free for another try.
          if (find(entry.id) === undefined) {
            entries.delete(name)
            await storage.removeItem(name).catch(() => {})
          }
          throw error
        }
      })()
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
