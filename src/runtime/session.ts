import type { EndStatus, Event, Exit, Session, Status } from './types.ts'

type Next = Partial<Record<Event['type'], Status>>

const live: Next = {
  working: 'running',
  rested: 'idle',
  turn_failed: 'idle',
  asked: 'waiting',
  completed: 'completed',
  failed: 'error',
  killed: 'killed',
}

/** What an event makes of a status. What is not listed changes nothing; an ended session lists nothing. */
export const next: Readonly<Record<Status, Next>> = {
  starting: { ...live, launched: 'starting' },
  running: live,
  idle: live,
  waiting: live,
  completed: {},
  error: {},
  killed: {},
}

export const isEnded = (status: Status): status is EndStatus => Object.keys(next[status]).length === 0

/** The session after an event; the same object when the event changes nothing. Pure. */
export function reduce(session: Session, event: Event): Session {
  const status = next[session.status][event.type]
  if (!status) return session
  const { evidence } = event
  const began = { startedAt: session.startedAt ?? later(evidence.at, session.createdAt) }
  switch (event.type) {
    case 'launched':
      return { ...session, ...began, evidence }
    case 'working':
      return { ...session, ...began, status, evidence, waiting: null, lastError: null }
    case 'rested':
      return { ...session, ...began, status, evidence, waiting: null }
    case 'turn_failed':
      return { ...session, ...began, status, evidence, waiting: null, lastError: event.error }
    case 'asked':
      return { ...session, ...began, status, evidence, waiting: event.waiting }
    case 'completed':
    case 'failed':
    case 'killed': {
      const { code: exitCode, signal, reason, at } = event.exit
      const endedAt = later(at, session.startedAt ?? session.createdAt)
      return { ...session, status, evidence, waiting: null, attach: null, endedAt, exitCode, signal, reason }
    }
  }
}

/** The times of files are coarser than the clock, by some milliseconds: nothing ends before it began. */
const later = (a: string, b: string): string => (a > b ? a : b)

/** What an exit means. `stopping` is why it was asked for, or null when nobody asked. */
export function ending(exit: Exit, stopping: string | null): Event {
  const evidence = { source: exit.code === null && exit.signal === null ? 'backend' : 'process', at: exit.at } as const
  if (stopping !== null)
    return { type: 'killed', exit: { ...exit, reason: stopping }, evidence: { ...evidence, rule: 'it was ended on request' } }
  if (exit.code === 0) return { type: 'completed', exit, evidence: { ...evidence, rule: 'the program exited with 0' } }
  const reason = exit.reason ?? (exit.signal === null ? `the program exited with ${exit.code}` : `the program was ended by ${exit.signal}`)
  return { type: 'failed', exit: { ...exit, reason }, evidence: { ...evidence, rule: reason } }
}
