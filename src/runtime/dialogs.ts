import type { Agent, Reply } from './agent.ts'
import type { Backend } from './backend.ts'
import { isEnded } from './session.ts'
import type { Store } from './store.ts'
import type { Event, OpenPrompt, SessionRecord } from './types.ts'

/** Dialogs at the start of an agent, in front of its composer: no signal tells of them, only the screen. */
export interface Dialogs {
  /** Looks at the screen of a session that is still starting after its agent's time for that. */
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

  /** What the screen means now; null when it need not be asked any more. */
  async function look(id: string): Promise<Event | null> {
    const { session, handle } = store.get(id) ?? {}
    const startup = agents[session?.agent ?? '']?.startup
    const backend = backends[session?.backend ?? '']
    if (!handle || !startup || !backend) return null
    const { text } = await backend.capture(handle, dialogLines)
    const record = store.get(id)
    return record && !isEnded(record.session.status) && !isHeard(record) ? startup.read(text, now().toISOString()) : null
  }

  const promptIn = (event: Event | null): OpenPrompt | undefined => (event?.type === 'asked' ? event.prompt : undefined)

  /** Another dialog may follow the one that was answered. */
  function watch(id: string, until: number): void {
    after(lookAgainMs, () => {
      look(id)
        .then((event) => {
          if (event && promptIn(event)) happened(id, event)
          else if (event && Date.now() < until) watch(id, until)
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
      after(Math.max(left, 0), () => {
        look(id)
          .then((event) => {
            if (event && store.get(id)?.session.status === 'starting') happened(id, event)
          })
          .catch((error: unknown) => log('a screen cannot be read', { id, error: String(error) }))
      })
    },
    async answer({ session: { id, agent, backend }, handle }, prompt, reply) {
      const isIt = (shown: OpenPrompt | undefined) => shown !== undefined && labelsOf(shown) === labelsOf(prompt)
      // The keys depend on what is selected now.
      const shown = promptIn(await look(id))
      const answer = shown && isIt(shown) ? agents[agent]?.answer?.(shown, reply) : undefined
      if (answer?.type !== 'keys') return 'closed'
      await backends[backend]!.send(handle!, answer.keystrokes)
      for (const began = Date.now(); Date.now() - began < patienceMs; await new Promise((resolve) => setTimeout(resolve, lookAgainMs))) {
        const event = await look(id)
        const next = promptIn(event)
        if (isIt(next)) continue
        if (event && next) happened(id, event)
        else if (event) {
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

const labelsOf = ({ options }: OpenPrompt): string => options.map(({ label }) => label).join('\n')
