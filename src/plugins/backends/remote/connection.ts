import { InstarError } from '../../../runtime/error.ts'
import { openLink, replaced, type Link, type LinkOptions } from './link.ts'

/** How long a verb waits for a connection that is being made. */
const patienceMs = 1000
/** After so many failures a verb waits for the next one only. */
const patientFailures = 3
const backoffMs = [50, 200, 500, 1000, 3000, 10_000]

export interface Connection {
  /** The link; waits for one that is being made. `backend_unavailable`, with the reason, when there is none. */
  link(): Promise<Link>
  /** Why there is none now; null while there is one. */
  reason(): string | null
  /** Resolves with the first link after now, or with null after `ms`. */
  next(ms: number): Promise<Link | null>
  /** Tries at once: there is a reason to think that it is there now. */
  hurry(): void
  close(): void
}

export interface ConnectionOptions extends Omit<LinkOptions, 'owner'> {
  readonly owner: () => Promise<string>
  /** Takes up on a new link what the last one left; until it resolves the link is for nobody else. A rejection ends the link. */
  readonly prepare: (link: Link) => Promise<void>
  readonly onLost: (reason: string) => void
}

/** Keeps one link to an executor, from now until it is closed. */
export function connect({ owner, prepare, onLost, ...options }: ConnectionOptions): Connection {
  const closing = new AbortController()
  const waiting = new Set<(link: Link | null) => void>()
  let current: Link | null = null
  let reason = 'has not answered yet'
  let hurry = () => {}

  async function attempt(): Promise<void> {
    const link = await openLink({ ...options, owner: await owner() }, closing.signal)
    try {
      await prepare(link)
    } catch (error) {
      link.end((error as Error).message)
    }
    if (!link.isGone()) {
      current = link
      failures = 0
      for (const tell of waiting) tell(link)
      waiting.clear()
    }
    reason = await link.gone
    current = null
  }

  let failures = 0
  async function keep(): Promise<void> {
    for (; !closing.signal.aborted; failures++) {
      await attempt().catch((error: unknown) => (reason = (error as Error).message))
      if (closing.signal.aborted) return
      onLost(sentence())
      if (failures >= patientFailures) for (const tell of waiting) tell(null)
      // Two servers that take over from each other would do nothing else.
      const isReplaced = reason === replaced
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, isReplaced ? backoffMs.at(-1) : backoffMs[Math.min(failures, backoffMs.length - 1)])
        hurry = () => {
          if (isReplaced && !closing.signal.aborted) return
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
  void keep()

  const sentence = () => `${options.address.name} ${reason}`

  async function next(ms: number): Promise<Link | null> {
    return new Promise((resolve) => {
      const tell = (link: Link | null) => {
        clearTimeout(timer)
        waiting.delete(tell)
        resolve(link)
      }
      const timer = setTimeout(() => tell(null), ms)
      waiting.add(tell)
    })
  }

  return {
    reason: () => (current ? null : sentence()),
    next,
    hurry: () => hurry(),
    async link() {
      if (closing.signal.aborted) throw new InstarError('backend_unavailable', 'Cannot ask the executor: the server is stopping')
      if (current && !current.isGone()) return current
      hurry()
      const link = await next(patienceMs)
      if (link) return link
      throw new InstarError('backend_unavailable', `Cannot ask the executor: ${sentence()}`)
    },
    close() {
      closing.abort()
      hurry()
      current?.end('is not needed any more')
    },
  }
}
