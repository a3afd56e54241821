import { first, type Bus } from './bus.ts'
import { InstarError } from './error.ts'
import { createLock } from './lock.ts'
import { isEnded } from './session.ts'
import type { Store } from './store.ts'
import type { Change } from './supervise.ts'
import type { Agent, Backend, Keystroke, Session, SessionRecord, Status } from './types.ts'

/** A text, which is submitted with Enter unless `submit` is false; or keys by tmux's names, such as `Escape`, `C-c`, `Up`. */
export type Input = { readonly text: string; readonly submit?: boolean | undefined } | { readonly keys: readonly string[] }

/** How far an input got, on evidence: the terminal has it; the composer took it; the agent began a turn. */
export interface Receipt {
  readonly id: string
  readonly stage: 'typed' | 'submitted' | 'started'
  readonly at: string
}

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

/** What is typed into sessions, one thing at a time for each, and what becomes of it. */
export interface Inbox {
  type(record: SessionRecord, input: Input): Promise<Receipt>
  /** The same, and then waits; without a race with what the input brings about. */
  typeAndWait(record: SessionRecord, input: Input, wait: Wait): Promise<Waited & { receipt: Receipt }>
  /** Stops what the agent does now, not the session. Does nothing when it does nothing. */
  interrupt(record: SessionRecord): Promise<Session>
  /** Resolves at once when the session is in such a status already. */
  wait(id: string, wait: Wait): Promise<Waited>
}

export interface InboxOptions {
  readonly store: Store
  readonly agents: Readonly<Record<string, Agent>>
  readonly backendOf: (record: SessionRecord, verb: string) => Backend
  readonly changes: Bus<Change>
  readonly newId: () => string
  readonly now: () => Date
}

/** How long an input waits for a session that is still starting. */
const readyTimeoutMs = 15_000
/** How long an input waits for the composer to say that it took the text, in agents that say so. */
const takenTimeoutMs = 3000

export function createInbox({ store, agents, backendOf, changes, newId, now }: InboxOptions): Inbox {
  const oneAtATime = createLock()
  const sessionOf = (id: string): Session | undefined => store.get(id)?.session

  async function send(record: SessionRecord, strokes: (agent: Agent) => readonly Keystroke[]): Promise<void> {
    const { id, name } = record.session
    const agent = agents[record.session.agent]
    const handle = store.get(id)?.handle
    if (!handle || !agent)
      throw new InstarError(
        'backend_unavailable',
        `Cannot send to session "${name}": its agent "${record.session.agent}" is not configured`,
      )
    await backendOf(record, 'send to').send(handle, strokes(agent))
  }

  async function type(record: SessionRecord, input: Input): Promise<Receipt> {
    const { id } = record.session
    const isText = 'text' in input
    refuse(await ready(record), isText)
    const submits = isText && input.submit !== false
    const took = submits ? agents[record.session.agent]?.took : undefined
    const isOver = ({ record: { session }, signals }: Change) =>
      session.id === id && ((took && signals.some(took)) || isEnded(session.status))
    const taken = took && first(changes, isOver, takenTimeoutMs)
    await send(record, (agent) => {
      if (!isText) return input.keys.map((key) => ({ type: 'key', key }))
      const strokes = agent.type(input.text)
      return submits ? strokes : strokes.filter((stroke) => stroke.type !== 'key')
    })
    const change = await taken
    return { id: newId(), stage: took && change?.signals.some(took) ? 'submitted' : 'typed', at: now().toISOString() }
  }

  /** The session once it is not `starting` any more, or as it is after a while. */
  async function ready({ session: { id, status } }: SessionRecord): Promise<Session> {
    if (status === 'starting')
      await first(changes, ({ record }) => record.session.id === id && record.session.status !== 'starting', readyTimeoutMs)
    return present(id)
  }

  function present(id: string): Session {
    const session = sessionOf(id)
    if (session) return session
    throw new InstarError('session_not_found', `Cannot go on with session "${id}": it was deleted meanwhile`)
  }

  async function wait(id: string, { for: statuses, timeoutMs, signal }: Wait, isNow = true): Promise<Waited> {
    const isReached = ({ status }: Session) => isEnded(status) || statuses.includes(status)
    const before = present(id)
    if (isNow && isReached(before)) return { session: before, timedOut: false }
    const change = await first(changes, ({ record: { session } }) => session.id === id && isReached(session), timeoutMs, signal)
    return change ? { session: change.record.session, timedOut: false } : { session: sessionOf(id) ?? before, timedOut: true }
  }

  return {
    type: (record, input) => oneAtATime(record.session.id, () => type(record, input)),
    async typeAndWait(record, input, awaited) {
      const { id } = record.session
      let typed: Promise<Waited> | null = null
      const receipt = await oneAtATime(id, async () => {
        await ready(record)
        const aborter = new AbortController()
        const signal = awaited.signal ? AbortSignal.any([awaited.signal, aborter.signal]) : aborter.signal
        // Nothing tells when a composer that says nothing has taken it: then the next change counts, from before the typing.
        typed = wait(id, { ...awaited, signal }, false)
        const receipt = await type(record, input).catch((error: unknown) => {
          aborter.abort()
          throw error
        })
        if (receipt.stage !== 'typed') {
          aborter.abort()
          typed = wait(id, awaited)
        }
        return receipt
      })
      return { receipt, ...(await typed!) }
    },
    interrupt: (record) =>
      oneAtATime(record.session.id, async () => {
        const { id, name } = record.session
        const session = await ready(record)
        if (isEnded(session.status)) throw new InstarError('session_ended', `Cannot interrupt session "${name}": it is ${session.status}`)
        const keys = agents[session.agent]?.interrupt
        if (!keys)
          throw new InstarError('invalid_request', `Cannot interrupt session "${name}": its agent "${session.agent}" has no way to`)
        if (session.status !== 'idle') await send(record, () => keys)
        return sessionOf(id) ?? session
      }),
    wait,
  }
}

function refuse({ name, status, waiting }: Session, isText: boolean): void {
  if (isEnded(status)) throw new InstarError('session_ended', `Cannot send to session "${name}": it is ${status}`)
  // Keys are for a person who sees the screen.
  if (!isText) return
  if (status === 'starting') throw new InstarError('session_starting', `Cannot send to session "${name}": it is still starting`)
  if (status === 'waiting')
    throw new InstarError(
      'session_waiting',
      `Cannot send to session "${name}": it waits for a person, who would be answered by this text`,
      { waiting },
    )
}
