import type { Agent } from './agent.ts'
import type { Backend } from './backend.ts'
import type { Event, SessionRecord } from './types.ts'

/** Reads what agents keep of their own state: one watch for a directory, however many sessions it tells of. */
export interface Registries {
  /** Begins to read for a session, unless that is done already or there is nothing to read yet. */
  attend(record: SessionRecord): void
  close(): void
}

export interface RegistriesOptions {
  readonly backends: Readonly<Record<string, Backend>>
  readonly agents: Readonly<Record<string, Agent>>
  readonly live: () => readonly SessionRecord[]
  readonly happened: (id: string, event: Event) => void
}

/** A hook tells more of what is asked than a registry does, and a little later; and what has nothing to do may go on by itself at once. */
const laterMs = 300

export function createRegistries({ backends, agents, live, happened }: RegistriesOptions): Registries {
  const watches = new Map<string, Promise<() => void>>()
  const timers = new Set<ReturnType<typeof setTimeout>>()

  function tell(backend: string, directory: string, text: string): void {
    const entry = parse(text)
    for (const record of live()) {
      const { session, registry } = record
      if (session.backend !== backend || registry !== directory) continue
      const event = agents[session.agent]?.registry?.read(entry, record)
      if (event?.type === 'asked' || event?.type === 'rested') later(session.id, entry)
      else if (event) happened(session.id, event)
    }
  }

  function later(id: string, entry: unknown): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      const record = live().find(({ session }) => session.id === id)
      const event = record && agents[record.session.agent]?.registry?.read(entry, record)
      if (event) happened(id, event)
    }, laterMs)
    timers.add(timer)
  }

  return {
    attend({ session, registry }) {
      const watch = backends[session.backend]?.watch
      const key = `${session.backend}:${registry}`
      if (!watch || registry === null || watches.has(key)) return
      const watching = watch(registry, (text) => tell(session.backend, registry, text))
      watches.set(key, watching)
      // The directory is made by the agent itself; its next signal tries again.
      watching.catch(() => watches.delete(key))
    },
    close() {
      for (const timer of timers) clearTimeout(timer)
      for (const watching of watches.values()) void watching.then((stop) => stop()).catch(() => {})
      watches.clear()
    },
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // It is being written; the end of that is told as well.
    return null
  }
}
