import type { Agent, Backend, Event, Session, SessionRecord } from './types.ts'

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

export function createRegistries({ backends, agents, live, happened }: RegistriesOptions): Registries {
  const watches = new Map<string, Promise<() => void>>()

  function tell(backend: string, directory: string, text: string): void {
    const entry = parse(text)
    for (const { session, registry } of live()) {
      if (session.backend !== backend || registry !== directory) continue
      const event = read(entry, session)
      if (event) happened(session.id, event)
    }
  }

  const read = (entry: unknown, session: Session): Event | null => agents[session.agent]?.registry?.read(entry, session) ?? null

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
