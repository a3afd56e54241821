import type { Agent, Message } from './agent.ts'
import type { Backend, Tail } from './backend.ts'
import type { Event, Session, SessionRecord } from './types.ts'

/** Reads what agents keep of their conversations: what it cost, and what their hooks do not tell. */
export interface Transcripts {
  /** Begins to read a live session's transcripts, unless that is done already or there is none yet. */
  attend(record: SessionRecord): void
  /** Reads the last of an ended session's transcripts, and no more. */
  finish(id: string): Promise<void>
  /** The whole conversation, as far as it can be read. */
  messages(record: SessionRecord): Promise<Message[]>
  close(): void
}

export interface TranscriptsOptions {
  readonly backends: Readonly<Record<string, Backend>>
  readonly agents: Readonly<Record<string, Agent>>
  readonly get: (id: string) => SessionRecord | undefined
  readonly happened: (id: string, event: Event) => void
  readonly learned: (id: string, known: Pick<SessionRecord, 'pending'> & Pick<Session, 'usage'>) => void
}

interface Reading {
  readonly tails: Map<string, Promise<Tail>>
  /** By the id of the message, which may come in several parts. */
  readonly usages: Map<string, Readonly<Record<string, number>>>
  /** By file: a session that was cleared begins another. */
  readonly pending: Map<string, number>
}

export function createTranscripts({ backends, agents, get, happened, learned }: TranscriptsOptions): Transcripts {
  const readings = new Map<string, Reading>()

  function tell(id: string, path: string, { usages, pending }: Reading, lines: readonly string[]): void {
    let isNews = false
    for (const line of lines.map(parse)) {
      const record = get(id)
      const transcript = record && agents[record.session.agent]?.transcript
      if (!transcript) return
      const message = transcript.message(line)
      // A resumed conversation begins with what earlier runs paid for.
      if (message?.usage && message.at >= record.session.createdAt) {
        usages.set(message.id, message.usage)
        isNews = true
      }
      const queued = transcript.queued?.(line)
      if (queued && queued.at >= record.session.createdAt) {
        pending.set(path, Math.max(0, (pending.get(path) ?? 0) + queued.by))
        isNews = true
      }
      const event = transcript.read?.(line, record)
      if (event) happened(id, event)
    }
    if (isNews) learned(id, { usage: usages.size === 0 ? null : sum(usages.values()), pending: [...pending.values()].at(-1) ?? 0 })
  }

  return {
    attend({ session: { id, agent, backend: name }, conversation }) {
      const backend = backends[name]
      if (!backend?.tail || !agents[agent]?.transcript || !conversation) return
      const reading = readings.get(id) ?? { tails: new Map(), usages: new Map(), pending: new Map() }
      readings.set(id, reading)
      for (const path of conversation.transcripts) {
        if (reading.tails.has(path)) continue
        const tailing = backend.tail(path, 0, (lines) => tell(id, path, reading, lines))
        reading.tails.set(path, tailing)
        // The agent makes it with the first thing that is said; its next signal tries again.
        tailing.catch(() => reading.tails.delete(path))
      }
    },
    async finish(id) {
      const tails = [...(readings.get(id)?.tails.values() ?? [])]
      readings.delete(id)
      for (const tailing of tails) {
        const tail = await tailing.catch(() => null)
        await tail?.catchUp().catch(() => {})
        tail?.close()
      }
    },
    async messages({ session, conversation }) {
      const backend = backends[session.backend]
      const transcript = agents[session.agent]?.transcript
      if (!backend?.tail || !transcript) return []
      const messages: Message[] = []
      for (const path of conversation?.transcripts ?? []) {
        const read = (lines: readonly string[]) => messages.push(...lines.flatMap((line) => transcript.message(parse(line)) ?? []))
        const tail = await backend.tail(path, 0, read).catch(() => null)
        tail?.close()
      }
      // Not every program writes them in their order.
      return fold(messages.toSorted((a, b) => (a.at < b.at ? -1 : Number(a.at > b.at))))
    },
    close() {
      for (const { tails } of readings.values())
        for (const tailing of tails.values()) void tailing.then((tail) => tail.close()).catch(() => {})
      readings.clear()
    },
  }
}

/** The parts of a message as one, in the place of the first. */
function fold(parts: readonly Message[]): Message[] {
  const messages = new Map<string, Message>()
  for (const part of parts) {
    const known = messages.get(part.id)
    messages.set(
      part.id,
      known
        ? {
            ...known,
            text: [known.text, part.text].filter((text) => text !== '').join('\n'),
            tools: [...known.tools, ...part.tools],
            usage: part.usage ?? known.usage,
          }
        : part,
    )
  }
  // What only tells a cost is nothing to read.
  return [...messages.values()].filter(({ text, tools }) => text !== '' || tools.length > 0)
}

function sum(usages: Iterable<Readonly<Record<string, number>>>): Record<string, number> {
  const total: Record<string, number> = {}
  for (const usage of usages) for (const [name, value] of Object.entries(usage)) total[name] = (total[name] ?? 0) + value
  return total
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}
