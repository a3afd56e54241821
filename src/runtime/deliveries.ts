import type { Agent } from './agent.ts'
import { InstarError } from './error.ts'
import { isEnded } from './session.ts'
import type { Store } from './store.ts'
import type { Change, Supervisor } from './supervise.ts'
import type { Delivery, Session, SessionRecord, Stage, Step } from './types.ts'

export type Receipt = Omit<Delivery, 'text'>

/** Keeps account of the texts that are sent to sessions, in their records: a restart loses none and types none twice. */
export interface Deliveries {
  /** Types a text now. Only while no other is typed into the session. */
  deliver(record: SessionRecord, id: string, text: string, submits: boolean): Promise<Receipt>
  /** Types a text when the agent has nothing to do. */
  queue(record: SessionRecord, id: string, text: string, agent: Agent): Promise<Receipt>
  close(): void
}

export interface DeliveriesOptions {
  readonly store: Store
  readonly supervisor: Supervisor
  readonly now: () => Date
  readonly log: (message: string, data?: Record<string, unknown>) => void
  readonly oneAtATime: <T>(id: string, task: () => Promise<T>) => Promise<T>
  readonly type: (record: SessionRecord, text: string, submits: boolean) => Promise<Stage>
}

const keptDeliveries = 20
/** A person who has left a text in the composer sends or deletes it, which nothing tells. */
const tryAgainMs = 5000

export function createDeliveries({ store, supervisor, now, log, oneAtATime, type }: DeliveriesOptions): Deliveries {
  const draining = new Set<string>()
  const timers = new Set<ReturnType<typeof setTimeout>>()
  /** Texts that were typed into an idle session: the next sign of work is that of their turn. */
  const beginning = new Map<string, { id: string; after: Step | undefined }>()

  function note(session: string, delivery: Omit<Delivery, 'at'>): Promise<void> {
    const record = store.get(session)
    if (!record) return Promise.resolve()
    const told = { ...delivery, at: now().toISOString() }
    const isKnown = record.deliveries.some(({ id }) => id === told.id)
    const all = isKnown ? record.deliveries.map((each) => (each.id === told.id ? told : each)) : [...record.deliveries, told]
    const over = all.length - keptDeliveries
    return supervisor.put({ ...record, deliveries: all.filter(({ stage }, place) => place >= over || stage === 'queued') })
  }

  const receiptOf = (session: string, id: string): Receipt => {
    const known = store.get(session)?.deliveries.find((each) => each.id === id)
    return { id, stage: known?.stage ?? 'unknown', at: known?.at ?? now().toISOString() }
  }

  async function deliver({ session: { id: session } }: SessionRecord, id: string, text: string, submits: boolean): Promise<Receipt> {
    const wasIdle = store.get(session)?.session.status === 'idle'
    await note(session, { id, stage: 'typing', text: null })
    const record = store.get(session)!
    let stage: Stage
    try {
      stage = await type(record, text, submits)
    } catch (error) {
      // A client's mistake is found before anything is typed.
      const isTyped = !(error instanceof InstarError) || error.status >= 500
      await note(session, { id, stage: isTyped ? 'unknown' : 'dropped', text: null })
      throw error
    }
    if (stage === 'submitted' && wasIdle) beginning.set(session, { id, after: store.get(session)?.trail.at(-1) })
    await note(session, { id, stage, text: null })
    return receiptOf(session, id)
  }

  const isQueued = ({ stage }: Delivery): boolean => stage === 'queued'

  /** Types what is queued, one text for each time that the session is idle. */
  function drain(session: string): void {
    if (draining.has(session)) return
    draining.add(session)
    oneAtATime(session, async () => {
      const record = store.get(session)
      const first = record?.deliveries.find(isQueued)
      if (!record || !first || record.session.status !== 'idle') return
      try {
        await deliver(record, first.id, first.text!, true)
      } catch (error) {
        if (!(error instanceof InstarError) || error.code !== 'composer_in_use') throw error
        await note(session, first)
        later(() => drain(session))
      }
    })
      .catch((error: unknown) => log('a queued text was not typed', { id: session, error: String(error) }))
      .finally(() => draining.delete(session))
  }

  function later(task: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      task()
    }, tryAgainMs)
    timers.add(timer)
  }

  function drop(record: SessionRecord): void {
    for (const { id } of record.deliveries.filter(isQueued))
      void note(record.session.id, { id, stage: 'dropped', text: null }).catch(() => {})
  }

  function react({ record }: Change): void {
    const { id, status } = record.session
    const begun = beginning.get(id)
    const step = record.trail.at(-1)
    if (begun && step !== begun.after && step?.event) {
      beginning.delete(id)
      void note(id, { id: begun.id, stage: 'started', text: null }).catch(() => {})
    }
    if (!record.deliveries.some(isQueued)) return
    if (status === 'idle') drain(id)
    else if (isEnded(status)) drop(record)
  }

  const off = supervisor.changes.on(react)
  for (const { session, deliveries } of store.all()) {
    if (isEnded(session.status)) continue
    // The server before this one was killed while it typed.
    for (const { id, stage } of deliveries)
      if (stage === 'typing') void note(session.id, { id, stage: 'unknown', text: null }).catch(() => {})
    if (session.status === 'idle' && deliveries.some(isQueued)) drain(session.id)
  }

  return {
    deliver,
    async queue(record, id, text, agent) {
      const { id: session, name } = record.session
      if (!agent.took)
        throw new InstarError('invalid_request', `Cannot queue for session "${name}": its agent does not tell when it has nothing to do`, {
          field: 'mode',
        })
      refuseEnded(store.get(session)!.session)
      await note(session, { id, stage: 'queued', text })
      if (store.get(session)?.session.status === 'idle') drain(session)
      return receiptOf(session, id)
    },
    close() {
      off()
      for (const timer of timers) clearTimeout(timer)
    },
  }
}

export function refuseEnded({ name, status }: Session): void {
  if (isEnded(status)) throw new InstarError('session_ended', `Cannot send to session "${name}": it is ${status}`)
}
