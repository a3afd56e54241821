import type { Agent } from './agent.ts'
import { createBus, type Bus } from './bus.ts'
import type { Limits } from './config.ts'
import { createDialogs, type Dialogs } from './dialogs.ts'
import type { Hooks } from './hooks.ts'
import { createReach, type Reach } from './reach.ts'
import { createRegistries } from './registries.ts'
import { advance, ending, isEnded, type Observation } from './session.ts'
import type { Store } from './store.ts'
import { createTranscripts, type Transcripts } from './transcripts.ts'
import { createUnmade } from './unmade.ts'
import type { Backend, Health } from './backend.ts'
import type { Conversation, Event, Report, Session, SessionRecord, Sight, Signal } from './types.ts'

/** A session as it has become, and the signals that came with it. */
export interface Change {
  readonly record: SessionRecord
  readonly signals: readonly Signal[]
}

/** Makes sessions of what backends report, and takes over those of an earlier server. */
export interface Supervisor {
  readonly changes: Bus<Change>
  readonly transcripts: Transcripts
  /** What happened to a session otherwise than by a report. */
  happened(id: string, event: Event): void
  /** The hook of a prompt waits no more: it can only be answered at the terminal. */
  deaf(id: string, prompt: string): void
  /** Shows a record to everybody at once; resolves when it is safe. */
  put(record: SessionRecord): Promise<void>
  /** The same, in the background. */
  save(record: SessionRecord): void
  /** Ends a session that has no program. */
  fail(record: SessionRecord, reason: string): void
  readonly dialogs: Dialogs
  readonly reach: Reach
  close(): void
}

export interface SupervisorOptions {
  readonly backends: Readonly<Record<string, Backend>>
  readonly agents: Readonly<Record<string, Agent>>
  readonly store: Store
  readonly limits: Limits
  /** Undoes what hooks made for a session that never began; see `Hooks.undo`. */
  readonly undo?: Hooks['undo']
  readonly now: () => Date
  readonly log: (message: string, data?: Record<string, unknown>) => void
}

const recoverAgainMs = 5000

export async function supervise({
  backends,
  agents,
  store,
  limits,
  undo = async () => [],
  now,
  log,
}: SupervisorOptions): Promise<Supervisor> {
  const changes = createBus<Change>()
  const reach = createReach({ backends, now, log })
  const timers = new Set<ReturnType<typeof setTimeout>>()
  const problem = (message: string, id: string) => (error: unknown) => log(message, { id, error: String(error) })

  async function apply({ id, cursor, sights }: Report): Promise<void> {
    // What it wrote last of the conversation is read before its end is told.
    if (sights.some(({ type }) => type === 'exited')) await transcripts.finish(id)
    const before = store.get(id)
    if (!before) return
    const record = sights.reduce(see, before)
    const signals = sights.flatMap((sight) => (sight.type === 'signal' ? [sight.signal] : []))
    const stored = put({ ...record, cursor }, signals)
    if (signals.length > 0) attend(record)
    await stored
  }

  /** The record after a sight. */
  function see(record: SessionRecord, sight: Sight): SessionRecord {
    const agent = agents[record.session.agent]
    switch (sight.type) {
      case 'exited':
        return advance(record, ending(sight.exit, record.stopping))
      case 'launched': {
        const launched = advance(record, {
          type: 'launched',
          evidence: { source: 'process', rule: 'its launcher runs', at: sight.at },
        })
        const event = agent?.read(sight, launched)
        return event ? advance(launched, event) : launched
      }
      case 'signal': {
        const known = { ...record, conversation: talk(record, agent?.conversation?.(sight.signal) ?? null) }
        const { event, at, payload } = sight.signal
        return advance(known, agent?.read(sight, known) ?? null, { source: 'hook', rule: ruleOf(event, payload), at } satisfies Observation)
      }
      case 'title': {
        const event = agent?.read(sight, record)
        return event ? advance(record, event) : record
      }
    }
  }

  function happened(id: string, event: Event): void {
    const record = store.get(id)
    if (!record || isEnded(record.session.status)) return
    save(advance(record, event))
    attend(record)
  }

  function deaf(id: string, prompt: string): void {
    const record = store.get(id)
    const deafened = record?.prompts.map((each) => (each.id === prompt ? { ...each, mailbox: null, options: [] } : each))
    if (record && deafened) save({ ...record, prompts: deafened })
  }

  const transcripts = createTranscripts({
    backends,
    agents,
    get: (id) => store.get(id),
    happened,
    learned(id, { usage, pending }) {
      const record = store.get(id)
      if (record) save({ ...record, pending, session: { ...record.session, usage } })
    },
  })
  const registries = createRegistries({
    backends,
    agents,
    live: () => store.all().filter(({ session }) => !isEnded(session.status)),
    happened,
  })

  const dialogs = createDialogs({ store, backends, agents, now, happened, log })

  function attend(record: SessionRecord): void {
    if (isEnded(record.session.status)) return
    registries.attend(record)
    transcripts.attend(record)
  }

  function put(record: SessionRecord, signals: readonly Signal[] = []): Promise<void> {
    const open = new Set(record.prompts.map(({ id }) => id))
    for (const prompt of store.get(record.session.id)?.prompts ?? []) if (!open.has(prompt.id)) release(record, prompt.mailbox)
    const stored = store.put(record)
    changes.emit({ record, signals })
    return stored
  }

  /** A hook that still waits for an answer nobody needs any more: a person has answered at the terminal. */
  function release({ session, handle }: SessionRecord, mailbox: string | null): void {
    if (handle && mailbox !== null) backends[session.backend]?.answer?.(handle, mailbox, '').catch(problem('a hook waits on', session.id))
  }

  function save(record: SessionRecord): void {
    put(record).catch(problem('a session was not saved', record.session.id))
  }

  function fail(record: SessionRecord, reason: string): void {
    const exit = { code: null, signal: null, reason, at: now().toISOString() }
    save(advance(record, ending(exit, record.stopping)))
  }

  /** Returns what does it at once instead. */
  function after(ms: number, task: () => void): () => void {
    const run = () => {
      clearTimeout(timer)
      if (timers.delete(timer)) task()
    }
    const timer = setTimeout(run, ms)
    timers.add(timer)
    return run
  }

  const unmade = createUnmade({ store, undo, save, fail })

  // ---- taking over after a restart -----------------------------------------------------------------------------------

  /** Whether a backend's sessions of before are followed again; or what tries that at once. */
  const recovery = new Map<string, 'done' | (() => void)>()
  /** Why a backend could not be asked the last time, which is tried every few seconds. */
  const obstacles = new Map<string, string>()

  /** Follows every live session of a backend again. One that was being started is there or never was: the backend's list decides. */
  async function recover(name: string, backend: Backend, ids: readonly string[]): Promise<void> {
    const live = ids.flatMap((id) => store.get(id) ?? []).filter(({ session }) => !isEnded(session.status))
    try {
      const goOn = async ({ session: { id }, handle, cursor, stopping }: SessionRecord): Promise<void> => {
        if (!handle) return
        await backend.follow({ id, handle }, cursor)
        if (stopping !== null) backend.stop(handle, limits.graceMs).catch(problem('a session does not end', id))
        dialogs.expect(id)
        attend(store.get(id)!)
      }
      await Promise.all(live.map(goOn))
      const sightings = new Map((await backend.list()).map((sighting) => [sighting.id, sighting]))
      for (const { id, handle } of sightings.values()) {
        const session = store.get(id)?.session
        if (session && isEnded(session.status)) backend.stop(handle, limits.graceMs).catch(problem('a terminal is left over', id))
      }
      for (const record of live.filter(({ handle }) => handle === null)) {
        const sighting = sightings.get(record.session.id)
        if (!sighting) {
          unmade.forsake(record)
          continue
        }
        save({ ...record, handle: sighting.handle, session: { ...record.session, attach: backend.attach(sighting.handle) } })
        await backend.follow(sighting, record.cursor)
        dialogs.expect(record.session.id)
      }
      recovery.set(name, 'done')
      unmade.found(name)
    } catch (error) {
      if (obstacles.get(name) !== String(error)) log('a backend cannot be asked for its sessions', { backend: name, error: String(error) })
      obstacles.set(name, String(error))
      recovery.set(
        name,
        after(recoverAgainMs, () => void recover(name, backend, ids)),
      )
    }
  }

  /** A place that is found again is told what it could not hear. */
  function reached(name: string, backend: Backend, health: Health): void {
    const wasLost = reach.lost(name) !== null
    reach.tell(name, health)
    const state = recovery.get(name)
    if (!health.ok || !wasLost || state === undefined) return
    if (state !== 'done') return state()
    unmade.found(name)
    for (const { session, handle, stopping } of store.all()) {
      if (session.backend !== name || isEnded(session.status) || stopping === null || !handle) continue
      backend.stop(handle, limits.graceMs).catch(problem('a session does not end', session.id))
    }
  }

  for (const key of store.damaged) log('a damaged record was set aside', { key: `damaged:${key}` })
  await Promise.all(
    Object.entries(backends).map(async ([name, backend]) => {
      await backend.open(apply, (health) => reached(name, backend, health))
      // Only those of before: one that is being started now has no handle either.
      const ids = store.all().flatMap(({ session }) => (session.backend === name ? [session.id] : []))
      await recover(name, backend, ids)
    }),
  )

  return {
    changes,
    transcripts,
    happened,
    deaf,
    put,
    save,
    fail,
    dialogs,
    reach,
    close() {
      for (const timer of timers) clearTimeout(timer)
      registries.close()
      transcripts.close()
      dialogs.close()
    },
  }
}

/** The conversation of a session after what a signal told of it. */
function talk({ conversation }: SessionRecord, told: { id: string; transcript: string | null } | null): Conversation | null {
  if (!told) return conversation
  const { transcript } = told
  const known = conversation?.transcripts ?? []
  if (conversation?.id === told.id && (transcript === null || known.includes(transcript))) return conversation
  return { id: told.id, transcripts: transcript === null || known.includes(transcript) ? known : [...known, transcript] }
}

/** A guard tells which rule of its own a tool has broken. */
function ruleOf(event: string, payload: unknown): string {
  const { rule } = (payload ?? {}) as { readonly rule?: unknown }
  return event.startsWith('guard_') && typeof rule === 'string' ? `${event}: ${rule.slice(0, 60)}` : event
}

/** Tells what clients see of a session whenever that is another. */
export function sessionChanges(changes: Bus<Change>, tell: (session: Session) => void): () => void {
  const last = new Map<string, Session>()
  return changes.on(({ record: { session } }) => {
    if (last.get(session.id) === session) return
    if (isEnded(session.status)) last.delete(session.id)
    else last.set(session.id, session)
    tell(session)
  })
}
