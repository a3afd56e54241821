import { InstarError } from './error.ts'
import type { Store } from './store.ts'
import type { Change, Supervisor } from './supervise.ts'
import type { Session, SessionRecord } from './types.ts'

/** What an agent's usage limit means for others of its kind, and for the session when the limit ends. */
export interface UsageLimits {
  /** `agent_limited` while a session of that agent waits for its limit to end. */
  refuse(agent: string, name: string): void
  close(): void
}

export interface UsageLimitsOptions {
  readonly store: Store
  readonly supervisor: Supervisor
  /** Sessions go on by themselves when their limit ends. */
  readonly resumes: boolean
  readonly now: () => Date
  readonly goOn: (record: SessionRecord, isLimited: () => boolean) => Promise<unknown>
  readonly log: (message: string, data?: Record<string, unknown>) => void
}

/** A person who has left a text in the composer sends or deletes it, which nothing tells. */
const tryAgainMs = 10_000
/** Clocks differ a little. */
const slackMs = 2000
/** A timer takes at most 2^31 - 1 milliseconds. */
const longestMs = 2 ** 31 - 1

export function createUsageLimits({ store, supervisor, resumes, now, goOn, log }: UsageLimitsOptions): UsageLimits {
  const timers = new Map<string, { until: string; timer: ReturnType<typeof setTimeout> | undefined }>()

  function plan({ session }: SessionRecord): void {
    const until = limitOf(session)
    const planned = timers.get(session.id)
    if (planned?.until === until) return
    clearTimeout(planned?.timer)
    timers.delete(session.id)
    if (until !== undefined) set(session.id, until, Date.parse(until) - now().getTime() + slackMs)
  }

  function set(id: string, until: string, ms: number): void {
    const timer = setTimeout(
      () => (ms > longestMs ? set(id, until, ms - longestMs) : ring(id, until)),
      Math.min(Math.max(ms, 0), longestMs),
    )
    timers.set(id, { until, timer })
  }

  function ring(id: string, until: string): void {
    // While it is told to go on, the limit that is over stays planned, and is not planned again.
    timers.set(id, { until, timer: undefined })
    const record = store.get(id)
    if (!record || limitOf(record.session) !== until) return
    const isLimited = () => limitOf(store.get(id)?.session ?? record.session) === until
    goOn(record, isLimited).catch((error: unknown) => {
      if (!isLimited()) return

      log('a session does not go on after its limit', { id, error: String(error) })
      set(id, until, tryAgainMs)
    })
  }

  const off = resumes ? supervisor.changes.on(({ record }: Change) => plan(record)) : () => {}
  if (resumes) for (const record of store.all()) plan(record)

  return {
    refuse(agent, name) {
      const until = store
        .all()
        .flatMap(({ session }) => (session.agent === agent ? (limitOf(session) ?? []) : []))
        .toSorted()
        .at(-1)
      const left = until === undefined ? 0 : Date.parse(until) - now().getTime()
      if (left <= 0) return
      throw new InstarError('agent_limited', `Cannot spawn session "${name}": the usage limit of agent "${agent}" lasts until ${until}`, {
        until,
        retryAfter: Math.ceil(left / 1000),
      })
    },
    close() {
      off()
      for (const { timer } of timers.values()) clearTimeout(timer)
    },
  }
}

const limitOf = ({ waiting }: Session): string | undefined => (waiting?.kind === 'limit' ? waiting.until : undefined)
