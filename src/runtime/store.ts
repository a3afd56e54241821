import * as v from 'valibot'
import type { Storage } from 'unstorage'
import { InstarError } from './error.ts'
import { isEnded } from './session.ts'
import { statuses, type SessionRecord } from './types.ts'

/**
 * The sessions, in memory, written through to an unstorage storage. Reading never touches the storage; a list reads no
 * file. A record that cannot be understood is set aside under `damaged:` with its bytes unchanged.
 */
export interface Store {
  /** Keys that were set aside when the store was opened. */
  readonly damaged: readonly string[]
  get(id: string): SessionRecord | undefined
  /** The newest run of a name. */
  newest(name: string): SessionRecord | undefined
  /** Newest first. */
  all(): SessionRecord[]
  /** Of all backends, or of one. */
  liveCount(backend?: string): number
  /** Visible at once; resolves when it is safe. Later puts of one id overtake earlier ones that are not yet written. */
  put(record: SessionRecord): Promise<void>
  /** Visible at once, and written with the next put: for what is not to outlive this server yet. */
  hold(record: SessionRecord): void
  remove(id: string): Promise<void>
  /** Resolves when nothing is left to be written. */
  flush(): Promise<void>
}

const prefix = 'sessions:'

export async function openStore(storage: Storage): Promise<Store> {
  const records = new Map<string, SessionRecord>()
  const names = new Map<string, string[]>()
  const writing = new Map<string, Promise<void>>()
  const queued = new Map<string, Promise<void>>()
  const damaged: string[] = []

  for (const key of (await storage.getKeys(prefix)).sort()) {
    const record = await read(storage, key)
    if (record) index(record)
    else damaged.push(await setAside(storage, key))
  }

  function index(record: SessionRecord): void {
    const { id, name } = record.session
    if (!records.has(id)) names.set(name, [...(names.get(name) ?? []), id])
    records.set(id, record)
  }

  /** One write at a time for an id; a write that has not begun takes whatever is newest when it does. */
  function write(id: string): Promise<void> {
    const waiting = queued.get(id)
    if (waiting) return waiting
    const write = (writing.get(id) ?? Promise.resolve()).then(async () => {
      queued.delete(id)
      const record = records.get(id)
      await (record ? storage.setItem(prefix + id, JSON.stringify(record)) : storage.removeItem(prefix + id)).catch((cause) => {
        throw new InstarError('storage_failed', 'Cannot save the session: the storage refused the write', {}, cause)
      })
    })
    const settled = write
      .catch(() => {})
      .then(() => {
        if (writing.get(id) === settled) writing.delete(id)
      })
    queued.set(id, write)
    writing.set(id, settled)
    return write
  }

  return {
    damaged,
    get: (id) => records.get(id),
    newest: (name) => records.get(names.get(name)?.at(-1) ?? ''),
    all: () => [...records.values()].reverse(),
    liveCount: (backend) => {
      let count = 0
      for (const { session } of records.values())
        if (!isEnded(session.status) && (backend === undefined || session.backend === backend)) count++
      return count
    },
    put(record) {
      index(record)
      return write(record.session.id)
    },
    hold: index,
    remove(id) {
      const name = records.get(id)?.session.name
      if (name !== undefined) {
        const left = (names.get(name) ?? []).filter((other) => other !== id)
        if (left.length > 0) names.set(name, left)
        else names.delete(name)
      }
      records.delete(id)
      return write(id)
    },
    flush: async () => {
      await Promise.all(writing.values())
    },
  }
}

const text = v.string()
/** valibot's `record` takes arrays as well. */
const entries = <T extends v.GenericSchema>(value: T) =>
  v.pipe(
    v.custom<object>((given) => typeof given === 'object' && given !== null && !Array.isArray(given)),
    v.record(text, value),
  )
const maybeText = v.nullable(text)
const evidence = v.object({ source: v.picklist(['hook', 'transcript', 'screen', 'process', 'backend']), rule: text, at: text })
const waiting = v.object({
  kind: v.picklist(['permission', 'question', 'login', 'trust', 'limit']),
  message: text,
  options: v.exactOptional(v.array(text)),
  until: v.exactOptional(text),
})

const options = v.array(v.object({ id: text, label: text }))
const prompt = v.object({
  id: text,
  kind: v.picklist(['permission', 'question', 'login', 'trust']),
  message: text,
  tool: v.exactOptional(text),
  input: v.exactOptional(v.unknown()),
  options,
  openedAt: text,
  mailbox: maybeText,
  details: v.exactOptional(v.unknown()),
})
const step = v.object({
  at: text,
  source: evidence.entries.source,
  rule: text,
  event: v.nullable(v.picklist(['launched', 'working', 'rested', 'turn_failed', 'asked', 'settled', 'completed', 'failed', 'killed'])),
  status: v.picklist(statuses),
})
const delivery = v.object({
  id: text,
  stage: v.picklist(['queued', 'typing', 'typed', 'submitted', 'started', 'dropped', 'unknown']),
  at: text,
  text: maybeText,
})

/** A record as it may be read back; what another version wrote and this one does not know is dropped. */
const recordSchema: v.GenericSchema<unknown, SessionRecord> = v.object({
  session: v.object({
    id: text,
    name: text,
    status: v.picklist(statuses),
    agent: text,
    model: maybeText,
    backend: text,
    prompt: text,
    cwd: text,
    jobSlug: maybeText,
    parent: maybeText,
    labels: entries(text),
    createdAt: text,
    startedAt: maybeText,
    endedAt: maybeText,
    exitCode: v.nullable(v.number()),
    signal: maybeText,
    reason: maybeText,
    waiting: v.nullable(waiting),
    lastError: maybeText,
    evidence,
    usage: v.nullable(entries(v.number())),
    attach: maybeText,
  }),
  handle: v.nullable(entries(v.union([text, v.number()]))),
  cursor: v.pipe(v.number(), v.integer(), v.minValue(0)),
  registry: v.optional(maybeText, null),
  stopping: maybeText,
  prompts: v.optional(v.array(prompt), []),
  conversation: v.optional(v.nullable(v.object({ id: text, transcripts: v.array(text) })), null),
  pending: v.optional(v.number(), 0),
  trail: v.optional(v.array(step), []),
  deliveries: v.optional(v.array(delivery), []),
  launch: v.optional(v.object({ args: v.array(text), size: v.object({ cols: v.number(), rows: v.number() }) }), {
    args: [],
    size: { cols: 160, rows: 48 },
  }),
  told: v.optional(text, ''),
  options: v.optional(entries(v.unknown()), {}),
  hooks: v.optional(v.array(v.object({ name: text, ms: v.nullable(v.number()), kept: v.unknown() })), []),
  limits: v.optional(v.object({ depth: v.number(), children: v.number() }), { depth: 3, children: 20 }),
})

/** Null when the record is damaged. A storage that cannot be read is a failure, not damage. */
async function read(storage: Storage, key: string): Promise<SessionRecord | null> {
  // Raw, because getItem would hand back a cut-off JSON text as a string without an error.
  const raw = await storage.getItemRaw<Uint8Array | string>(key)
  const result = v.safeParse(recordSchema, parseJson(typeof raw === 'string' ? raw : new TextDecoder().decode(raw ?? undefined)))
  return result.success && prefix + result.output.session.id === key ? result.output : null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function setAside(storage: Storage, key: string): Promise<string> {
  await storage.setItemRaw(`damaged:${key}`, await storage.getItemRaw(key))
  await storage.removeItem(key)
  return key
}
