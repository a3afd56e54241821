import type { EndStatus, Event, Exit, OpenPrompt, Session, SessionRecord, Status, Step, Waiting } from './types.ts'

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
  waiting: { ...live, settled: 'running' },
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
    case 'settled':
      return { ...session, status: event.begins ? 'starting' : status, evidence, waiting: null, lastError: null }
    case 'working':
      return { ...session, ...began, status, evidence, waiting: null, lastError: null }
    case 'rested':
      return { ...session, ...began, status, evidence, waiting: null }
    case 'turn_failed':
      return {
        ...session,
        ...began,
        status: event.waiting ? 'waiting' : status,
        evidence,
        waiting: event.waiting ?? null,
        lastError: event.error,
      }
    case 'asked':
      return { ...session, ...began, status, evidence, waiting: event.waiting, lastError: null }
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

/** What is observed, before it is known what it means. */
export type Observation = Pick<Step, 'at' | 'source' | 'rule'>

/** Whether its composer is there, also while it waits for a person: after a failed turn nothing stands in front of it. */
export const hasComposer = ({ status, lastError }: Session): boolean => status !== 'waiting' || lastError !== null

const trailLength = 20

/** The record after an event, with what it observed; null is an observation without a meaning. Pure. */
export function advance(record: SessionRecord, event: Event | null, observed: Observation = event!.evidence): SessionRecord {
  const prompts = event ? promptsAfter(record, event) : record.prompts
  const left = event?.type === 'settled' ? prompts[0] : undefined
  // While it asks something else as well, it goes on waiting.
  const told: Event | null = left ? { type: 'asked', waiting: waitingFor(left), evidence: event!.evidence } : event
  const isUnknown = event?.type === 'settled' && prompts === record.prompts
  const session = told && !isUnknown ? reduce(record.session, told) : record.session
  const step = { at: observed.at, source: observed.source, rule: observed.rule, event: event?.type ?? null, status: session.status }
  return { ...record, session, prompts: isEnded(session.status) ? [] : prompts, trail: [...record.trail, step].slice(-trailLength) }
}

/** The ids of prompts that only a screen told of; see `dialogOf`. */
const onScreen = /^screen-/

function promptsAfter({ session, prompts }: SessionRecord, event: Event): readonly OpenPrompt[] {
  if (!next[session.status][event.type] || event.type === 'launched') return prompts
  switch (event.type) {
    case 'settled':
      return prompts.some(({ id }) => id === event.prompt) ? prompts.filter(({ id }) => id !== event.prompt) : prompts
    case 'asked': {
      const { prompt } = event
      // A screen shows one dialog at a time.
      const isReplaced = ({ id }: OpenPrompt) => id === prompt?.id || (onScreen.test(id) && onScreen.test(prompt?.id ?? ''))
      return prompt ? [...prompts.filter((each) => !isReplaced(each)), prompt] : prompts
    }
    default:
      return prompts.length === 0 ? prompts : []
  }
}

export const waitingFor = ({ kind, message, options }: OpenPrompt): Waiting => ({
  kind,
  message,
  ...(options.length > 0 ? { options: options.map(({ label }) => label) } : {}),
})

/** What an exit means. `stopping` is why it was asked for, or null when nobody asked. */
export function ending(exit: Exit, stopping: string | null): Event {
  const evidence = { source: exit.code === null && exit.signal === null ? 'backend' : 'process', at: exit.at } as const
  if (stopping !== null)
    return { type: 'killed', exit: { ...exit, reason: stopping }, evidence: { ...evidence, rule: 'it was ended on request' } }
  if (exit.code === 0) return { type: 'completed', exit, evidence: { ...evidence, rule: 'the program exited with 0' } }
  const reason = exit.reason ?? (exit.signal === null ? `the program exited with ${exit.code}` : `the program was ended by ${exit.signal}`)
  return { type: 'failed', exit: { ...exit, reason }, evidence: { ...evidence, rule: reason } }
}
