import type { Backend, Health } from './backend.ts'
import { InstarError } from './error.ts'
import { isEnded } from './session.ts'
import type { Evidence, Session } from './types.ts'

/**
 * Which backends can be reached now, as they say themselves. Kept in memory only: a record holds what was seen last, and
 * that is as true as before while nobody can look. So what comes late is not taken for old, and no session ends by a cut.
 */
export interface Reach {
  /** What a backend says of its place; see `Backend.open`. */
  tell(backend: string, health: Health): void
  /** The session as clients see it: a live one whose place is lost says so in its evidence. The same object until something changes. */
  shown(session: Session): Session
  /** Why and since when a backend cannot be reached, as evidence; null while it can. */
  lost(backend: string): Evidence | null
  /** Whether a backend can start sessions now. Asks it, for some seconds at most. */
  check(backend: string): Promise<Health>
}

export interface ReachOptions {
  readonly backends: Readonly<Record<string, Backend>>
  readonly now: () => Date
  readonly log: (message: string, data?: Record<string, unknown>) => void
}

const checkTimeoutMs = 3000
const prefix = 'unreachable: '

export function createReach({ backends, now, log }: ReachOptions): Reach {
  const losses = new Map<string, Evidence>()
  const shownAs = new WeakMap<Session, { loss: Evidence; session: Session }>()
  const asked = new Map<string, Promise<Health>>()

  async function ask(name: string): Promise<Health> {
    const health = await bounded(backends[name]!, log)
    const loss = losses.get(name)
    // A program that is there is not a place that can be reached.
    return loss && health.ok ? { ok: false, reason: loss.rule.slice(prefix.length) } : health
  }

  return {
    tell(backend, health) {
      const loss = losses.get(backend)
      if (health.ok) {
        losses.delete(backend)
        if (loss) log('a backend can be reached again', { backend, since: loss.at })
      } else if (loss?.rule !== prefix + health.reason) {
        losses.set(backend, { source: 'backend', rule: prefix + health.reason, at: loss?.at ?? now().toISOString() })
        log('a backend cannot be reached', { backend, reason: health.reason })
      }
    },
    shown(session) {
      const loss = losses.get(session.backend)
      if (!loss || isEnded(session.status)) return session
      const known = shownAs.get(session)
      if (known?.loss === loss) return known.session
      const shown = { ...session, evidence: loss }
      shownAs.set(session, { loss, session: shown })
      return shown
    },
    lost: (backend) => losses.get(backend) ?? null,
    check(name) {
      const asking = asked.get(name) ?? ask(name).finally(() => asked.delete(name))
      asked.set(name, asking)
      return asking
    },
  }
}

/** What a backend answers in time, whatever it throws: one does not keep the others from being told of. */
function bounded(backend: Backend, log: ReachOptions['log']): Promise<Health> {
  return new Promise((resolve) => {
    const late = { ok: false, reason: `it did not answer within ${checkTimeoutMs / 1000} s` } as const
    const timer = setTimeout(() => resolve(late), checkTimeoutMs)
    const failed = (error: unknown): Health => {
      log('the check of a backend failed', { error: String(error) })
      return { ok: false, reason: error instanceof InstarError ? error.message : 'its check failed; the server has logged how' }
    }
    void Promise.resolve()
      .then(() => backend.check())
      .catch(failed)
      .then(resolve)
      .finally(() => clearTimeout(timer))
  })
}
