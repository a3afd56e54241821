import type { Agent, Reply } from './agent.ts'
import { createAnswers } from './answers.ts'
import { first } from './bus.ts'
import { createDeliveries, refuseEnded, type Receipt, type Sent } from './deliveries.ts'
import { InstarError } from './error.ts'
import { createLock } from './lock.ts'
import { hasComposer, isEnded } from './session.ts'
import type { Store } from './store.ts'
import type { Change, Supervisor } from './supervise.ts'
import type { Backend } from './backend.ts'
import type { Keystroke, Session, SessionRecord, Signal } from './types.ts'
import { createWaits, type Wait, type Waited, type Waits } from './wait.ts'

/**
 * A text, which is submitted with Enter unless `submit` is false; or keys by tmux's names, such as `Escape`, `C-c`, `Up`.
 * `steer`, the default, types at once, into the turn that runs; `queue` waits until the agent has nothing to do.
 */
export type Input =
  | { readonly text: string; readonly submit?: boolean | undefined; readonly mode?: 'steer' | 'queue' | undefined }
  | { readonly keys: readonly string[] }

/** What is typed into sessions, one thing at a time for each, and what becomes of it. `id` is the receipt's. */
export interface Inbox extends Waits {
  /** `begin` is called when nothing but this input stands between the session and what comes next; what it throws stops it. */
  type(record: SessionRecord, input: Input, id: string, begin?: () => void): Promise<Receipt>
  /** The same, and then waits; without a race with what the input brings about. */
  typeAndWait(record: SessionRecord, input: Input, id: string, wait: Wait): Promise<Waited & { receipt: Receipt }>
  /** Stops what the agent does now, not the session. Does nothing when it does nothing. */
  interrupt(record: SessionRecord): Promise<Session>
  /** See `Answers`. */
  answer(record: SessionRecord, prompt: string, reply: Reply): Promise<Session>
  close(): void
}

export interface InboxOptions {
  readonly store: Store
  readonly agents: Readonly<Record<string, Agent>>
  readonly backendOf: (record: SessionRecord, verb: string) => Backend
  readonly supervisor: Supervisor
  readonly now: () => Date
  readonly log: (message: string, data?: Record<string, unknown>) => void
}

/** How long an input waits for the composer to say that it took the text, in agents that say so. */
const takenTimeoutMs = 3000
/** How often Enter is pressed, while the composer still shows the text. */
const enterTries = 3
/** How long a composer may take to show. */
const composerTimeoutMs = 1000
const lookAgainMs = 50
/** A composer and the dialogs over it fit on a screen. */
const screenLines = 60

export function createInbox({ store, agents, backendOf, supervisor, now, log }: InboxOptions): Inbox {
  const { changes } = supervisor
  const oneAtATime = createLock()
  const waits = createWaits(store, changes)
  /** What was typed last, which a composer shows again after an interrupt: no person's draft. */
  const typed = new Map<string, string>()
  const off = changes.on(({ record: { session } }) => {
    if (isEnded(session.status)) typed.delete(session.id)
  })

  async function send(record: SessionRecord, keystrokes: readonly Keystroke[]): Promise<void> {
    const handle = store.get(record.session.id)?.handle
    if (!handle) throw new InstarError('session_starting', `Cannot send to session "${record.session.name}": it is still starting`)
    await backendOf(record, 'send to').send(handle, keystrokes)
  }

  function agentOf({ session: { name, agent } }: SessionRecord): Agent {
    const found = agents[agent]
    if (found) return found
    throw new InstarError('backend_unavailable', `Cannot send to session "${name}": its agent "${agent}" is not configured`)
  }

  // ---- texts ---------------------------------------------------------------------------------------------------------

  /** What the composer holds now; null when the screen shows none. */
  async function draftOf(record: SessionRecord, draft: (screen: string) => string | null): Promise<string | null> {
    const handle = store.get(record.session.id)?.handle
    if (!handle) return null
    return draft((await backendOf(record, 'read').capture(handle, screenLines, { styles: true })).text)
  }

  /** Resolves when the composer is there and empty: what a person has left in it is never sent along, and no dialog is answered. */
  async function clear(record: SessionRecord): Promise<void> {
    const { id, name } = record.session
    const { draft, erase } = agentOf(record)
    if (!draft) return
    let found = await draftOf(record, draft)
    const now = () => store.get(id) ?? record
    const isIdle = () => now().session.status === 'idle'
    const isOurs = (text: string) => text.trim() !== '' && isOwn(now(), text)
    // A screen can be seen in the middle of being drawn, or before what was just taken, or stopped, is gone from it.
    const isPassing = () => found === null || (isOurs(found) && !(erase && isIdle()))
    for (const began = Date.now(); isPassing() && Date.now() - began < composerTimeoutMs; found = await draftOf(record, draft))
      await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
    if (found === null)
      throw new InstarError('session_waiting', `Cannot send to session "${name}": its screen shows no composer to type into`, {
        waiting: null,
      })
    if (found.trim() === '') return
    if (erase && isIdle() && isOurs(found)) return send(record, erase)
    throw new InstarError('composer_in_use', `Cannot send to session "${name}": a person has left a text in its composer`, { draft: found })
  }

  /** Whether a draft is what was typed here: an interrupt brings a text back, and a server that was killed may have left one. */
  function isOwn({ session: { id, prompt }, deliveries }: SessionRecord, draft: string): boolean {
    return [typed.get(id), prompt, ...deliveries.map(({ text }) => text)].some((text) => text && squeeze(text).endsWith(squeeze(draft)))
  }

  async function enter(record: SessionRecord, text: string): Promise<Sent> {
    const { type, took, draft } = agentOf(record)
    const { id } = record.session
    const held = store.get(id)?.pending ?? 0
    typed.set(id, text)
    let keystrokes = type(text)
    const pasted = keystrokes.map((stroke) => (stroke.type === 'paste' ? stroke.text : '')).join('')
    const isProof = (signal: Signal) => took?.(signal, pasted) === true
    for (let tries = 0; tries < enterTries; tries++) {
      const isTaken = ({ record: { pending }, signals }: Change) => pending > held || signals.some(isProof)
      const isOver = (change: Change) => change.record.session.id === id && (isTaken(change) || isEnded(change.record.session.status))
      const taken = took && first(changes, isOver, takenTimeoutMs)
      await send(record, keystrokes)
      const change = await taken
      if (!took || (change && !isTaken(change))) return { stage: 'typed' }
      if (change) return { stage: 'submitted', ...proven(change.signals.find(isProof)) }
      // An Enter can be taken for a part of the paste. It is pressed again only where this text can be seen to wait for it.
      const left = draft && hasComposer(store.get(id)!.session) ? await draftOf(record, draft) : null
      if (!left || !squeeze(pasted).endsWith(squeeze(left))) return { stage: 'typed' }
      keystrokes = keystrokes.slice(keystrokes.findLastIndex((stroke) => stroke.type === 'key'))
    }
    return { stage: 'typed' }
  }

  const deliveries = createDeliveries({ store, supervisor, agents, now, log, oneAtATime, clear, enter })

  /** What an input does to the terminal. */
  async function carryOut(record: SessionRecord, input: Input): Promise<Sent> {
    if ('keys' in input) {
      await send(
        record,
        input.keys.map((key) => ({ type: 'key', key })),
      )
    } else if (input.submit === false) {
      const strokes = agentOf(record).type(input.text)
      await send(
        record,
        strokes.filter(({ type }) => type !== 'key'),
      )
    } else return enter(record, input.text)
    return { stage: 'typed' }
  }

  function type(record: SessionRecord, input: Input, id: string, begin = () => {}): Promise<Receipt> {
    return oneAtATime(record.session.id, async () => {
      const session = await waits.begun(record.session.id)
      begin()
      if ('text' in input && input.mode === 'queue') return deliveries.queue(record, id, input.text, agentOf(record))
      if ('keys' in input) refuseEnded(session)
      else {
        refuse(session)
        await clear(record)
      }
      return deliveries.deliver(session.id, id, 'text' in input ? input.text : null, () => carryOut(record, input))
    })
  }

  async function typeAndWait(record: SessionRecord, input: Input, id: string, awaited: Wait): Promise<Waited & { receipt: Receipt }> {
    const session = record.session.id
    const end = Date.now() + awaited.timeoutMs
    const aborter = new AbortController()
    const signal = awaited.signal ? AbortSignal.any([awaited.signal, aborter.signal]) : aborter.signal
    const next: { change?: Promise<Waited>; typed?: Promise<Change | null> } = {}
    try {
      const receipt = await type(record, input, id, () => {
        // Nothing tells when a composer that says nothing has taken it: then the next change counts, from before the typing.
        next.change = waits.until(session, { ...awaited, signal }, false)
        next.typed = first(changes, (change) => isTyped(change, session, id), awaited.timeoutMs, signal)
      })
      if (receipt.stage === 'typed') return { receipt, ...(await next.change!) }
      if (receipt.stage === 'queued' && !(await next.typed))
        return { receipt: deliveries.receipt(session, id), session: store.get(session)?.session ?? record.session, timedOut: true }
      const waited = await waits.until(session, { ...awaited, timeoutMs: Math.max(end - Date.now(), 0) })
      return { receipt: deliveries.receipt(session, id), ...waited }
    } finally {
      aborter.abort()
    }
  }

  const answers = createAnswers({ store, agents, backendOf, supervisor, now })

  return {
    ...waits,
    type,
    typeAndWait,
    answer: (record, prompt, reply) => oneAtATime(record.session.id, () => answers.answer(record, prompt, reply)),
    interrupt: (record) =>
      oneAtATime(record.session.id, async () => {
        const { name } = record.session
        const session = await waits.begun(record.session.id)
        if (isEnded(session.status)) throw new InstarError('session_ended', `Cannot interrupt session "${name}": it is ${session.status}`)
        const keys = agents[session.agent]?.interrupt
        if (!keys)
          throw new InstarError('invalid_request', `Cannot interrupt session "${name}": its agent "${session.agent}" has no way to`)
        if (session.status !== 'idle') await send(record, keys)
        return store.get(session.id)?.session ?? session
      }),
    close() {
      off()
      deliveries.close()
    },
  }
}

const proven = (proof: Signal | undefined): Pick<Sent, 'proof'> => (proof ? { proof } : {})

const squeeze = (text: string): string => text.replace(/\s+/g, '')

/** What was queued is typed now, or never will be. */
const isTyped = ({ record: { session, deliveries } }: Change, id: string, delivery: string): boolean =>
  session.id === id && !deliveries.some((each) => each.id === delivery && (each.stage === 'queued' || each.stage === 'typing'))

/** A text typed into a dialog would answer it. */
function refuse(session: Session): void {
  refuseEnded(session)
  const { name, status, waiting } = session
  if (status === 'starting') throw new InstarError('session_starting', `Cannot send to session "${name}": it is still starting`)
  if (!hasComposer(session))
    throw new InstarError(
      'session_waiting',
      `Cannot send to session "${name}": it waits for a person, who would be answered by this text`,
      { waiting },
    )
}
