import { first, type Bus } from './bus.ts'
import { InstarError } from './error.ts'
import { isEnded } from './session.ts'
import type { Store } from './store.ts'
import type { Change } from './supervise.ts'
import type { Session, Status } from './types.ts'

/** What to wait for: one of the statuses, or the end, after which no other will come. */
export interface Wait {
  readonly for: readonly Status[]
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

export interface Waited {
  readonly session: Session
  readonly timedOut: boolean
}

/** Waits for sessions by what becomes of them: nothing is asked for, however many wait. */
export interface Waits {
  /** Resolves at once when the session is in such a status already, unless `isNow` is false: then with the next change to one. */
  until(id: string, wait: Wait, isNow?: boolean): Promise<Waited>
  /** The session once it is not `starting` any more, or as it is after a while. */
  begun(id: string): Promise<Session>
}

/** How long an input waits for a session that is still starting. */
const readyTimeoutMs = 15_000

export function createWaits(store: Store, changes: Bus<Change>): Waits {
  function present(id: string): Session {
    const session = store.get(id)?.session
    if (session) return session
    throw new InstarError('session_not_found', `Cannot go on with session "${id}": it was deleted meanwhile`)
  }

  return {
    async until(id, { for: statuses, timeoutMs, signal }, isNow = true) {
      const isReached = ({ status }: Session) => isEnded(status) || statuses.includes(status)
      const before = present(id)
      if (isNow && isReached(before)) return { session: before, timedOut: false }
      const change = await first(changes, ({ record: { session } }) => session.id === id && isReached(session), timeoutMs, signal)
      if (change) return { session: change.record.session, timedOut: false }
      return { session: store.get(id)?.session ?? before, timedOut: true }
    },
    async begun(id) {
      if (present(id).status === 'starting')
        await first(changes, ({ record: { session } }) => session.id === id && session.status !== 'starting', readyTimeoutMs)
      return present(id)
    },
  }
}
