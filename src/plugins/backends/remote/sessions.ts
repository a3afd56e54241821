import type { Sighting } from '../../../runtime/backend.ts'
import { deferred } from '../../../runtime/deferred.ts'
import type { Push } from '../../../runtime/executor.ts'
import type { Handle, Report } from '../../../runtime/types.ts'
import type { Asked, Link } from './link.ts'

/**
 * The sessions of a control plane on an executor: which ones are followed, and how far what was reported of them is safe.
 * That is all that a new link needs to go on without a gap.
 */
export interface Sessions {
  /** The executor has reported something. What is not followed is nobody's. */
  hear(push: Extract<Push, { type: 'report' }>, number: number, link: Link): void
  has(id: string): boolean
  begin(id: string): Begun
  /** Follows a session on a link. Idempotent. */
  follow(sighting: Sighting, cursor: number, link: Link): Promise<Asked<null> | null>
  drop(id: string): void
  /** Goes on with every session on a new link. Rejects when the link does not let it. */
  takeUp(link: Link): Promise<void>
}

/** A session whose start was asked for. */
export interface Begun {
  place(handle: Handle): void
  /** Resolves when a later link has seen what became of it: null when it was never started. */
  readonly became: Promise<Handle | null>
}

interface Followed {
  handle: Handle | null
  /** What is after it is not safe yet. */
  cursor: number
  readonly tell: (handle: Handle | null) => void
}

export function createSessions(report: (report: Report) => Promise<void>): Sessions {
  const followed = new Map<string, Followed>()
  /** Reports that are not safe yet. */
  const pending = new Set<Promise<void>>()
  /** Sessions whose end is safe here, while the executor does not know that: it still has what is left of them. */
  const over = new Set<string>()

  function hear({ report: told }: Extract<Push, { type: 'report' }>, number: number, link: Link): void {
    const session = followed.get(told.id)
    if (!session) return void link.acknowledge(number, true)
    const isEnd = told.sights.some(({ type }) => type === 'exited')
    const storing = report(told).then(
      async () => {
        session.cursor = Math.max(session.cursor, told.cursor)
        if (isEnd) {
          if (followed.get(told.id) === session) followed.delete(told.id)
          over.add(told.id)
        }
        void link.acknowledge(number, true).then((isKnown) => isKnown && over.delete(told.id))
      },
      () => void link.acknowledge(number, false),
    )
    pending.add(storing)
    void storing.finally(() => pending.delete(storing))
  }

  async function follow({ id, handle }: Sighting, cursor: number, link: Link): Promise<Asked<null>> {
    const asked = await link.ask<null>('follow', { id, handle, cursor })
    // It may be followed or not: what it reports would be nobody's.
    if (asked.type === 'lost') link.end('did not say whether it follows a session')
    return asked
  }

  return {
    hear,
    has: (id) => followed.has(id),
    begin(id) {
      const became = deferred<Handle | null>()
      const session: Followed = { handle: null, cursor: 0, tell: became.resolve }
      followed.set(id, session)
      return { became: became.promise, place: (handle) => void (session.handle = handle) }
    },
    async follow(sighting, cursor, link) {
      const { id, handle } = sighting
      if (followed.has(id)) return null
      followed.set(id, { handle, cursor, tell: () => {} })
      const asked = await follow(sighting, cursor, link)
      if (asked.type !== 'value') followed.delete(id)
      return asked
    },
    drop: (id) => void followed.delete(id),
    async takeUp(link) {
      await Promise.allSettled(pending)
      const starting = [...followed].filter(([, { handle }]) => handle === null)
      if (starting.length > 0 || over.size > 0) {
        const listed = new Map(need(await link.ask<Sighting[]>('list', {})).map(({ id, handle }) => [id, handle]))
        for (const [id, session] of starting) session.handle = listed.get(id) ?? null
        for (const id of over) {
          over.delete(id)
          if (listed.has(id)) void link.ask('stop', { handle: listed.get(id), graceMs: 0 })
        }
      }
      await Promise.all([...followed].map(async ([id, { handle, cursor }]) => handle && need(await follow({ id, handle }, cursor, link))))
      for (const [id, session] of starting) {
        session.tell(session.handle)
        if (session.handle !== null) continue
        followed.delete(id)
        // Its files may have been made.
        void link.ask('remove', { id })
      }
    },
  }
}

function need<T>(asked: Asked<T>): T {
  if (asked.type === 'value') return asked.value
  throw new Error(asked.type === 'lost' ? asked.reason : `cannot go on with a session: ${asked.error.message}`)
}
