import type { Agent, Reply } from './agent.ts'
import type { Backend } from './backend.ts'
import { first } from './bus.ts'
import { isHeard } from './dialogs.ts'
import { InstarError } from './error.ts'
import type { Store } from './store.ts'
import type { Change, Supervisor } from './supervise.ts'
import type { OpenPrompt, Session, SessionRecord } from './types.ts'

/** Gives prompts their answers. */
export interface Answers {
  /** Resolves when the agent took it. Only while nothing else is typed into the session. */
  answer(record: SessionRecord, prompt: string, reply: Reply): Promise<Session>
}

export interface AnswersOptions {
  readonly store: Store
  readonly agents: Readonly<Record<string, Agent>>
  readonly backendOf: (record: SessionRecord, verb: string) => Backend
  readonly supervisor: Supervisor
  readonly now: () => Date
}

/** How long an agent may take to act on keys that answer its dialog. */
const answeredTimeoutMs = 5000

export function createAnswers({ store, agents, backendOf, supervisor, now }: AnswersOptions): Answers {
  async function give(record: SessionRecord, prompt: OpenPrompt, reply: Reply): Promise<'taken' | 'closed' | 'open'> {
    const { id, agent } = record.session
    const backend = backendOf(record, 'answer')
    if (prompt.mailbox === null && !isHeard(record)) return supervisor.dialogs.answer(record, prompt, reply)
    const answer = agents[agent]!.answer!(prompt, reply)
    if (answer.type === 'mailbox') {
      if (!(await backend.answer?.(record.handle!, prompt.mailbox ?? '', answer.text))) {
        supervisor.deaf(id, prompt.id)
        return 'closed'
      }
      const evidence = { source: 'hook', rule: 'its hook took the answer', at: now().toISOString() } as const
      supervisor.happened(id, { type: 'settled', prompt: prompt.id, evidence })
      return 'taken'
    }
    const isOver = ({ record: { session, prompts } }: Change) => session.id === id && !prompts.some((each) => each.id === prompt.id)
    const over = first(supervisor.changes, isOver, answeredTimeoutMs)
    await backend.send(record.handle!, answer.keystrokes)
    return (await over) ? 'taken' : 'open'
  }

  return {
    async answer({ session: { id, name, agent } }, wanted, reply) {
      const record = store.get(id)
      const prompt = record?.prompts.find((each) => each.id === wanted)
      if (!record || !prompt) throw closed(wanted, name)
      if (!agents[agent]?.answer || prompt.options.length === 0)
        throw new InstarError(
          'invalid_request',
          `Cannot answer prompt "${wanted}" of session "${name}": it can only be answered at its terminal`,
        )
      check(prompt, reply, name)
      const outcome = await give(record, prompt, reply)
      if (outcome === 'closed') throw closed(wanted, name)
      if (outcome === 'open')
        throw new InstarError('backend_failed', `Cannot answer prompt "${wanted}" of session "${name}": it stays open`)
      return store.get(id)?.session ?? record.session
    },
  }
}

const closed = (id: string, name: string): InstarError =>
  new InstarError('prompt_closed', `Cannot answer prompt "${id}" of session "${name}": it is not open any more`)

function check({ id, options }: OpenPrompt, { choice }: Reply, name: string): void {
  const known = options.map((option) => option.id)
  const unknown = [choice].flat().find((each) => !known.includes(each))
  if (unknown === undefined) return
  throw new InstarError('invalid_request', `Cannot answer prompt "${id}" of session "${name}": choice must be one of ${known.join(', ')}`, {
    field: 'choice',
    options,
  })
}
