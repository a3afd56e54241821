import type { Hooks } from './hooks.ts'
import { isEnded } from './session.ts'
import type { Store } from './store.ts'
import type { SessionRecord } from './types.ts'

/** What hooks made for sessions that never began. Where a place is lost it cannot be undone; that is done when the place is found. */
export interface Unmade {
  /** Ends a session that an earlier server was about to start; undoing may take its time, and holds up no other. */
  forsake(record: SessionRecord): void
  /** The place of a backend can be asked again. */
  found(backend: string): void
}

export interface UnmadeOptions {
  readonly store: Store
  readonly undo: Hooks['undo']
  save(record: SessionRecord): void
  fail(record: SessionRecord, reason: string): void
}

export function createUnmade({ store, undo, save, fail }: UnmadeOptions): Unmade {
  return {
    forsake: (record) => void undo(record).then((hooks) => fail({ ...record, hooks }, 'the server stopped before it was started')),
    found(backend) {
      const neverBegan = ({ session, handle }: SessionRecord) => session.backend === backend && handle === null && isEnded(session.status)
      for (const record of store.all().filter((each) => neverBegan(each) && each.hooks.some(({ kept }) => kept !== null)))
        void undo(record).then((hooks) => {
          const now = store.get(record.session.id)
          if (now) save({ ...now, hooks })
        })
    },
  }
}
