import type { Agent } from './agent.ts'
import { InstarError } from './error.ts'
import { hasComposer, isEnded } from './session.ts'
import type { Store } from './store.ts'
import type { Change, Supervisor } from './supervise.ts'
import type { Delivery, Event, Session, SessionRecord, Signal, Stage, Step } from './types.ts'

export type Receipt = Omit<Delivery, 'text'>

/** How far something got at once, and the signal that proves it. */
export interface Sent {
  readonly stage: Stage
  readonly proof?: Signal
}

/** Keeps account of what is sent to sessions, in their records: a restart loses nothing and types nothing twice. */
export interface Deliveries {
  /** Sends something now, as `send` does it. Only while nothing else is typed into the session. */
  deliver(session: string, id: string, text: string | null, send: () => Promise<Sent>): Promise<Receipt>
  /** Types a text when the agent has nothing to do. */
  queue(record: SessionRecord, id: string, text: string, agent: Agent): Promise<Receipt>
  /** As it is now. */
  receipt(session: string, id: string): Receipt
  close(): void
}

export interface DeliveriesOptions {
  readonly store: Store
  readonly supervisor: Supervisor
  readonly agents: Readonly<Record<string, Agent>>
  readonly now: () => Date
  readonly log: (message: string, data?: Record<string, unknown>) => void
  readonly oneAtATime: <T>(id: string, task: () => Promise<T>) => Promise<T>
  /** Fails with `composer_in_use` while a person's text stands in the composer. */
  readonly clear: (record: SessionRecord) => Promise<void>
  readonly enter: (record: SessionRecord, text: string) => Promise<Sent>
}

/** How many receipts of what is over are kept. */
const keptDeliveries = 20
/** A person who has left a text in the composer sends or deletes it, which nothing tells. */
const tryAgainMs = 5000
/** What only a turn brings about. */
const signsOfWork: readonly (Event['type'] | null)[] = ['working', 'asked', 'turn_failed']

const isQueued = ({ stage }: Delivery): boolean => stage === 'queued'
const isUnderWay = ({ stage }: Delivery): boolean => stage === 'queued' || stage === 'typing'

export function createDeliveries(options: DeliveriesOptions): Deliveries {
  const { store, supervisor, agents, now, log, oneAtATime, clear, enter } = options
  const draining = new Set<string>()
  /** Sessions that became idle while they were drained. */
  const calledAgain = new Set<string>()
  const timers = new Set<ReturnType<typeof setTimeout>>()
  /** Texts that were typed into a session with nothing to do: the next sign of work is that of their turn. */
  const beginning = new Map<string, { id: string; after: Step }>()

  function note(session: string, delivery: Omit<Delivery, 'at'>): Promise<void> {
    const record = store.get(session)
    if (!record) return Promise.resolve()
    const told = { ...delivery, at: now().toISOString() }
    const isKnown = record.deliveries.some(({ id }) => id === told.id)
    const all = isKnown ? record.deliveries.map((each) => (each.id === told.id ? told : each)) : [...record.deliveries, told]
    const over = all.filter((each) => !isUnderWay(each)).slice(0, -keptDeliveries)
    return supervisor.put({ ...record, deliveries: all.filter((each) => !over.includes(each)) })
  }

  function receipt(session: string, id: string): Receipt {
    const known = store.get(session)?.deliveries.find((each) => each.id === id)
    return { id, stage: known?.stage ?? 'unknown', at: known?.at ?? now().toISOString() }
  }

  async function deliver(session: string, id: string, text: string | null, send: () => Promise<Sent>): Promise<Receipt> {
    const before = store.get(session)?.session
    const loss = before ? supervisor.reach.lost(before.backend) : null
    // Nothing is typed, and nothing noted of it: it may be sent again.
    if (loss) throw new InstarError('backend_unavailable', `Cannot send to session "${before!.name}": its backend is ${loss.rule}`)
    const begins = before?.status === 'idle' || (before?.status === 'waiting' && hasComposer(before))
    await note(session, { id, stage: 'typing', text })
    let sent: Sent = { stage: 'unknown' }
    try {
      sent = await send()
    } finally {
      // What may stand in the composer is still known after a restart.
      await note(session, { id, stage: sent.stage, text: sent.stage === 'unknown' ? text : null })
    }
    const record = store.get(session)
    const after = record?.trail.find(({ rule, at }) => rule === sent.proof?.event && at === sent.proof.at)
    if (record && after && begins) {
      beginning.set(session, { id, after })
      // What came with the proof is known already.
      watchBegin({ record, signals: [] })
    }
    return receipt(session, id)
  }

  /** Types what is queued, one text for each time that the session is idle. */
  function drain(session: string): void {
    if (draining.has(session)) return void calledAgain.add(session)
    draining.add(session)
    oneAtATime(session, () => typeFirst(session))
      .catch((error: unknown) => {
        // What may have been typed is not queued any more.
        if (error instanceof InstarError && (error.status < 500 || error.code === 'backend_unavailable')) later(() => drain(session))
        else log('a queued text was not typed', { id: session, error: String(error) })
      })
      .finally(() => {
        draining.delete(session)
        if (calledAgain.delete(session)) drain(session)
      })
  }

  async function typeFirst(session: string): Promise<void> {
    const record = store.get(session)
    const first = record?.deliveries.find(isQueued)
    if (!record || !first || record.session.status !== 'idle') return
    await clear(record)
    await deliver(session, first.id, first.text, () => enter(record, first.text!))
  }

  function later(task: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      task()
    }, tryAgainMs)
    timers.add(timer)
  }

  /** Nothing more is typed into a session that has ended. */
  function settle({ session, deliveries }: SessionRecord): void {
    for (const { id, stage, text } of deliveries) {
      if (stage === 'queued') void note(session.id, { id, stage: 'dropped', text: null }).catch(() => {})
      // The server before this one was killed while it typed.
      if (stage === 'typing') void note(session.id, { id, stage: 'unknown', text }).catch(() => {})
    }
  }

  function watchBegin({ record, signals }: Change): void {
    const { id, agent } = record.session
    const begun = beginning.get(id)
    if (!begun) return
    const since = record.trail.slice(record.trail.indexOf(begun.after) + 1)
    const isSign = ({ event, rule, at }: Step) =>
      signsOfWork.includes(event) || signals.some((signal) => signal.event === rule && signal.at === at && agents[agent]?.began?.(signal))
    const began = since.some(isSign)
    if (began || since.some(({ event }) => event !== null)) beginning.delete(id)
    if (began) void note(id, { id: begun.id, stage: 'started', text: null }).catch(() => {})
  }

  function react({ record, signals }: Change): void {
    const { id, status } = record.session
    watchBegin({ record, signals })
    if (!record.deliveries.some(isQueued)) return
    if (status === 'idle') drain(id)
    else if (isEnded(status)) settle({ ...record, deliveries: record.deliveries.filter(isQueued) })
  }

  const off = supervisor.changes.on(react)
  for (const record of store.all()) {
    const { id, status } = record.session
    settle(isEnded(status) ? record : { ...record, deliveries: record.deliveries.filter((each) => !isQueued(each)) })
    if (status === 'idle' && record.deliveries.some(isQueued)) drain(id)
  }

  return {
    deliver,
    receipt,
    async queue(record, id, text, agent) {
      const { id: session, name } = record.session
      if (!agent.took)
        throw new InstarError('invalid_request', `Cannot queue for session "${name}": its agent does not tell when it has nothing to do`, {
          field: 'mode',
        })
      refuseEnded(store.get(session)!.session)
      await note(session, { id, stage: 'queued', text })
      if (store.get(session)?.session.status === 'idle') drain(session)
      return receipt(session, id)
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
