import type { Agent, Reply } from './agent.ts'
import { first } from './bus.ts'
import { createDeliveries, refuseEnded, type Receipt } from './deliveries.ts'
import { isHeard } from './dialogs.ts'
import { InstarError } from './error.ts'
import { createLock } from './lock.ts'
import { isEnded } from './session.ts'
import type { Store } from './store.ts'
import type { Change, Supervisor } from './supervise.ts'
import type { Backend } from './backend.ts'
import type { Keystroke, OpenPrompt, Session, SessionRecord, Stage } from './types.ts'
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
  type(record: SessionRecord, input: Input, id: string): Promise<Receipt>
  /** The same, and then waits; without a race with what the input brings about. */
  typeAndWait(record: SessionRecord, input: Input, id: string, wait: Wait): Promise<Waited & { receipt: Receipt }>
  /** Stops what the agent does now, not the session. Does nothing when it does nothing. */
  interrupt(record: SessionRecord): Promise<Session>
  /** Gives a prompt its answer. Resolves when the agent took it. */
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
/** How long an agent may take to act on keys that answer its dialog. */
const answeredTimeoutMs = 5000
/** A composer and the dialogs over it fit on a screen. */
const screenLines = 60

export function createInbox({ store, agents, backendOf, supervisor, now, log }: InboxOptions): Inbox {
  const { changes } = supervisor
  const oneAtATime = createLock()
  const waits = createWaits(store, changes)
  /** What was typed last, which a composer shows again after an interrupt: no person's draft. */
  const typed = new Map<string, string>()

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

  /** What the composer holds now; null when it cannot be told. */
  async function draftOf(record: SessionRecord): Promise<string | null> {
    const { draft } = agentOf(record)
    const handle = store.get(record.session.id)?.handle
    if (!draft || !handle) return null
    return draft((await backendOf(record, 'read').capture(handle, screenLines, { styles: true })).text)
  }

  /** Never sends along what a person has left in the composer. */
  async function clear(record: SessionRecord): Promise<void> {
    const { id, name, prompt } = record.session
    const draft = await draftOf(record)
    if (draft === null || draft.trim() === '') return
    const { erase } = agentOf(record)
    const own = [typed.get(id) ?? prompt, prompt].map(squeeze)
    if (erase && store.get(id)?.session.status === 'idle' && own.includes(squeeze(draft))) return send(record, erase)
    throw new InstarError('composer_in_use', `Cannot send to session "${name}": a person has left a text in its composer`, { draft })
  }

  async function enter(record: SessionRecord, text: string, submits: boolean): Promise<Stage> {
    const agent = agentOf(record)
    const { id } = record.session
    const { took } = agent
    const held = store.get(id)?.pending ?? 0
    await clear(record)
    if (!submits) {
      await send(
        record,
        agent.type(text).filter(({ type }) => type !== 'key'),
      )
      return 'typed'
    }
    typed.set(id, text)
    let keystrokes = agent.type(text)
    for (let tries = 0; tries < enterTries; tries++) {
      const isTaken = ({ record: { pending }, signals }: Change) => pending > held || (took !== undefined && signals.some(took))
      const isOver = (change: Change) => change.record.session.id === id && (isTaken(change) || isEnded(change.record.session.status))
      const taken = took && first(changes, isOver, takenTimeoutMs)
      await send(record, keystrokes)
      const change = await taken
      if (!took || (change && !isTaken(change))) return 'typed'
      if (change) return 'submitted'
      // An Enter can be taken for a part of the paste. It is pressed again only where the text can be seen to wait for it.
      if (store.get(id)?.session.status === 'waiting' || !(await draftOf(record))) return 'typed'
      keystrokes = keystrokes.slice(keystrokes.findLastIndex(({ type }) => type === 'key'))
    }
    return 'typed'
  }

  const deliveries = createDeliveries({
    store,
    supervisor,
    now,
    log,
    oneAtATime,
    type: enter,
  })

  /** `begin` is called when nothing but this input stands between the session and what comes next. */
  function type(record: SessionRecord, input: Input, id: string, begin = () => {}): Promise<Receipt> {
    return oneAtATime(record.session.id, async () => {
      const session = await waits.begun(record.session.id)
      begin()
      if ('keys' in input) {
        refuseEnded(session)
        await send(
          record,
          input.keys.map((key) => ({ type: 'key', key })),
        )
        return { id, stage: 'typed', at: now().toISOString() }
      }
      if (input.mode === 'queue') return deliveries.queue(record, id, input.text, agentOf(record))
      refuse(session)
      return deliveries.deliver(record, id, input.text, input.submit !== false)
    })
  }

  async function typeAndWait(record: SessionRecord, input: Input, id: string, awaited: Wait): Promise<Waited & { receipt: Receipt }> {
    const session = record.session.id
    const aborter = new AbortController()
    const signal = awaited.signal ? AbortSignal.any([awaited.signal, aborter.signal]) : aborter.signal
    const waiting: { changed?: Promise<Waited>; dequeued?: Promise<unknown> } = {}
    try {
      const receipt = await type(record, input, id, () => {
        // Nothing tells when a composer that says nothing has taken it: then the next change counts, from before the typing.
        waiting.changed = waits.until(session, { ...awaited, signal }, false)
        waiting.dequeued = first(changes, (change) => isTyped(change, session, id), awaited.timeoutMs, signal)
      })
      if (receipt.stage === 'typed') return { receipt, ...(await waiting.changed!) }
      if (receipt.stage === 'queued') await waiting.dequeued
      return { receipt, ...(await waits.until(session, awaited)) }
    } finally {
      aborter.abort()
    }
  }

  // ---- answers -------------------------------------------------------------------------------------------------------

  async function answer(record: SessionRecord, id: string, reply: Reply): Promise<Session> {
    const { name } = record.session
    const prompt = openPrompt(store.get(record.session.id), id, name)
    const agent = agentOf(record)
    if (!agent.answer || prompt.options.length === 0)
      throw new InstarError('invalid_request', `Cannot answer prompt "${id}" of session "${name}": it can only be answered at its terminal`)
    check(prompt, reply, name)
    if (prompt.mailbox === null && !isHeard(store.get(record.session.id)!)) {
      const outcome = await supervisor.dialogs.answer(store.get(record.session.id)!, prompt, reply)
      if (outcome === 'closed') throw closed(id, name)
      if (outcome === 'open') throw staysOpen(id, name)
      return store.get(record.session.id)!.session
    }
    const answer = agent.answer(prompt, reply)
    if (answer.type === 'mailbox') {
      const taken = await backendOf(record, 'answer').answer?.(store.get(record.session.id)!.handle!, prompt.mailbox ?? '', answer.text)
      if (!taken) throw closed(id, name)
      settle(record, prompt, 'its hook took the answer')
    } else {
      const isOver = ({ record: { session, prompts } }: Change) =>
        session.id === record.session.id && !prompts.some((each) => each.id === id)
      const over = first(changes, isOver, answeredTimeoutMs)
      await send(record, answer.keystrokes)
      if (!(await over)) throw staysOpen(id, name)
    }
    return store.get(record.session.id)!.session
  }

  function settle({ session }: SessionRecord, prompt: OpenPrompt, rule: string): void {
    supervisor.happened(session.id, {
      type: 'settled',
      prompt: prompt.id,
      evidence: { source: 'hook', rule, at: now().toISOString() },
    })
  }

  return {
    ...waits,
    type,
    typeAndWait,
    answer: (record, prompt, reply) => oneAtATime(record.session.id, () => answer(record, prompt, reply)),
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
    close: deliveries.close,
  }
}

const squeeze = (text: string): string => text.replace(/\s+/g, '')

/** What was queued is typed now, or never will be. */
const isTyped = ({ record: { session, deliveries } }: Change, id: string, delivery: string): boolean =>
  session.id === id && !deliveries.some((each) => each.id === delivery && (each.stage === 'queued' || each.stage === 'typing'))

const closed = (id: string, name: string): InstarError =>
  new InstarError('prompt_closed', `Cannot answer prompt "${id}" of session "${name}": it is not open any more`)

const staysOpen = (id: string, name: string): InstarError =>
  new InstarError('backend_failed', `Cannot answer prompt "${id}" of session "${name}": it stays open`)

function openPrompt(record: SessionRecord | undefined, id: string, name: string): OpenPrompt {
  const prompt = record?.prompts.find((each) => each.id === id)
  if (prompt) return prompt
  throw closed(id, name)
}

function check({ id, options }: OpenPrompt, { choice }: Reply, name: string): void {
  const known = options.map((option) => option.id)
  const unknown = [choice].flat().find((each) => !known.includes(each))
  if (unknown === undefined) return
  throw new InstarError('invalid_request', `Cannot answer prompt "${id}" of session "${name}": choice must be one of ${known.join(', ')}`, {
    field: 'choice',
    options,
  })
}

/** A text typed into a dialog would answer it. */
function refuse(session: Session): void {
  refuseEnded(session)
  const { name, status, waiting, lastError } = session
  if (status === 'starting') throw new InstarError('session_starting', `Cannot send to session "${name}": it is still starting`)
  // After a failed turn the composer is there, whatever the person is needed for.
  if (status === 'waiting' && lastError === null)
    throw new InstarError(
      'session_waiting',
      `Cannot send to session "${name}": it waits for a person, who would be answered by this text`,
      { waiting },
    )
}
