import type { Agent, Reply } from './agent.ts'
import type { Backend } from './backend.ts'
import { isEnded } from './session.ts'
import type { Store } from './store.ts'
import type { Event, OpenPrompt, SessionRecord } from './types.ts'

/** Dialogs at the start of an agent, in front of its composer: no signal tells of them, only the screen. */
export interface Dialogs {
  /** Looks at the screen of a session that is still starting after its agent's time for that, until it shows what it means. */
  expect(id: string): void
  /** Answers the dialog that the screen shows. `closed` when it shows another or none, `open` when it goes on showing it. */
  answer(record: SessionRecord, prompt: OpenPrompt, reply: Reply): Promise<'taken' | 'closed' | 'open'>
  close(): void
}

export interface DialogsOptions {
  readonly store: Store
  readonly backends: Readonly<Record<string, Backend>>
  readonly agents: Readonly<Record<string, Agent>>
  readonly now: () => Date
  readonly happened: (id: string, event: Event) => void
  readonly log: (message: string, data?: Record<string, unknown>) => void
}

/** A dialog fits on a screen. */
const dialogLines = 60
const lookAgainMs = 100
/** How long a dialog may take to go, and the next one to come. */
const patienceMs = 5000
/**
 * How long a screen has to stand still to count as one that asks: a program on a busy machine has drawn nothing yet, or a
 * part. One that nobody recognizes may be such a part.
 */
const standsMs = { recognized: 1000, other: 5000 }
/** A screen that says nothing is looked at again after so long, each time twice as long as before. */
const firstLookMs = 500
const lastLookMs = 30_000

/** Whether a hook of the agent has told anything. */
export const isHeard = ({ trail }: SessionRecord): boolean => trail.some(({ source }) => source === 'hook')

export function createDialogs({ store, backends, agents, now, happened, log }: DialogsOptions): Dialogs {
  const timers = new Set<ReturnType<typeof setTimeout>>()

  function after(ms: number, task: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      task()
    }, ms)
    timers.add(timer)
  }

  /** What the screen shows and means now; null when it need not be asked any more. */
  async function look(id: string): Promise<Look | null> {
    const { session, handle } = store.get(id) ?? {}
    const startup = agents[session?.agent ?? '']?.startup
    const backend = backends[session?.backend ?? '']
    if (!handle || !startup || !backend) return null
    const { text } = await backend.capture(handle, dialogLines)
    const record = store.get(id)
    if (!record || isEnded(record.session.status) || isHeard(record)) return null
    return { text, event: startup.read(text, now().toISOString()) }
  }

  /** Looks after `ms`; `before` is what was seen then, and since when it stood there. */
  function expect(
    id: string,
    ms: number,
    before: { readonly text: string | null; readonly since: number } = { text: null, since: 0 },
  ): void {
    after(ms, () => {
      look(id)
        .then((seen) => {
          if (!seen || store.get(id)?.session.status !== 'starting') return
          const { text, event } = seen
          const since = text === before.text ? before.since : Date.now()
          if (saysSomething(seen, Date.now() - since)) return happened(id, event)
          expect(id, text === before.text ? Math.min(2 * ms, lastLookMs) : firstLookMs, { text, since })
        })
        .catch((error: unknown) => log('a screen cannot be read', { id, error: String(error) }))
    })
  }

  /** Another dialog may follow the one that was answered. */
  function watch(id: string, until: number): void {
    after(lookAgainMs, () => {
      look(id)
        .then((seen) => {
          if (seen && promptIn(seen)) happened(id, seen.event)
          else if (seen && Date.now() < until) watch(id, until)
        })
        .catch((error: unknown) => log('a screen cannot be read', { id, error: String(error) }))
    })
  }

  return {
    expect(id) {
      const { session } = store.get(id)!
      const startup = agents[session.agent]?.startup
      if (!startup || session.status !== 'starting') return
      const left = Date.parse(session.createdAt) + startup.afterMs - now().getTime()
      expect(id, Math.max(left, 0))
    },
    async answer({ session: { id, agent, backend }, handle }, prompt, reply) {
      const isIt = (shown: OpenPrompt | undefined) => shown !== undefined && labelsOf(shown) === labelsOf(prompt)
      // The keys depend on what is selected now.
      const shown = promptIn(await look(id))
      const answer = shown && isIt(shown) ? agents[agent]?.answer?.(shown, reply) : undefined
      if (answer?.type !== 'keys') return 'closed'
      await backends[backend]!.send(handle!, answer.keystrokes)
      for (const began = Date.now(); Date.now() - began < patienceMs; await new Promise((resolve) => setTimeout(resolve, lookAgainMs))) {
        const seen = await look(id)
        const next = promptIn(seen)
        if (isIt(next)) continue
        if (seen && next) happened(id, seen.event)
        else if (seen) {
          const evidence = { source: 'screen', rule: 'its dialog was answered, and shows no more', at: now().toISOString() } as const
          happened(id, { type: 'settled', prompt: prompt.id, evidence, begins: true })
          watch(id, Date.now() + patienceMs)
        }
        return 'taken'
      }
      return 'open'
    },
    close() {
      for (const timer of timers) clearTimeout(timer)
    },
  }
}

/** What a screen shows, and what that means. */
interface Look {
  readonly text: string
  readonly event: Event
}

const promptIn = (look: Look | null): OpenPrompt | undefined => (look?.event.type === 'asked' ? look.event.prompt : undefined)

/** Whether a screen that stands still for so long tells how its session is. */
function saysSomething({ text, event }: Look, stillMs: number): boolean {
  if (event.type === 'launched' || text.trim() === '') return false
  if (event.type !== 'asked') return true
  return stillMs >= (event.prompt || event.waiting.kind !== 'question' ? standsMs.recognized : standsMs.other)
}

const labelsOf = ({ options }: OpenPrompt): string => options.map(({ label }) => label).join('\n')
