import type { Tail } from '../../../runtime/backend.ts'
import { InstarError } from '../../../runtime/error.ts'
import type { Push } from '../../../runtime/executor.ts'
import type { Asked, Link } from './link.ts'

/** The files that are read on in, and the directories that are watched, over every link that there is. */
export interface Files {
  hear(push: Extract<Push, { type: 'tail' | 'watch' }>): void
  tail(path: string, cursor: number, tell: (lines: readonly string[], cursor: number) => void): Promise<Tail>
  watch(directory: string, tell: (text: string) => void): Promise<() => void>
  /** Goes on with all of them on a new link. */
  takeUp(link: Link): Promise<void>
}

interface Tailed {
  readonly path: string
  cursor: number
  readonly tell: (lines: readonly string[], cursor: number) => void
}

interface Watched {
  readonly directory: string
  readonly tell: (text: string) => void
}

/** Reading a large file to its end takes as long as its way here. `fetch` itself waits for 5 minutes. */
const readTimeoutMs = 240_000

export function createFiles(link: () => Promise<Link>): Files {
  const tails = new Map<string, Tailed>()
  const watches = new Map<string, Watched>()

  const openTail = (tail: string, { path, cursor }: Tailed, on: Link) =>
    on.ask<null>('tail', { tail, path, cursor }, { timeoutMs: readTimeoutMs })
  const openWatch = (watch: string, { directory }: Watched, on: Link) =>
    on.ask<null>('watch', { watch, directory }, { timeoutMs: readTimeoutMs })

  /** What was begun on a link that has gone since goes on by itself on the next one. */
  function settle(asked: Asked<null>, on: Link, what: string): void {
    if (asked.type === 'value' || (asked.type === 'lost' && on.isGone())) return
    throw asked.type === 'refused'
      ? asked.error
      : new InstarError('backend_unavailable', `Cannot follow ${what}: the executor ${asked.reason}`)
  }

  return {
    hear(push) {
      if (push.type === 'watch') return watches.get(push.watch)?.tell(push.text)
      const tail = tails.get(push.tail)
      if (!tail) return
      tail.cursor = push.cursor
      tail.tell(push.lines, push.cursor)
    },
    async tail(path, cursor, tell) {
      const on = await link()
      const id = crypto.randomUUID()
      const tailed: Tailed = { path, cursor, tell }
      tails.set(id, tailed)
      try {
        settle(await openTail(id, tailed, on), on, 'a file')
      } catch (error) {
        tails.delete(id)
        throw error
      }
      return {
        async catchUp() {
          if (!tails.has(id)) return
          const asked = await (await link()).ask('catch-up', { tail: id }, { timeoutMs: readTimeoutMs })
          if (asked.type === 'refused') throw asked.error
          if (!asked.isWhole) throw new InstarError('backend_unavailable', 'Cannot read on in a file: the executor was lost')
        },
        close() {
          if (!tails.delete(id)) return
          void link().then(
            (now) => now.ask('close-tail', { tail: id }),
            () => {},
          )
        },
      }
    },
    async watch(directory, tell) {
      const on = await link()
      const id = crypto.randomUUID()
      const watched: Watched = { directory, tell }
      watches.set(id, watched)
      try {
        settle(await openWatch(id, watched, on), on, 'a directory')
      } catch (error) {
        watches.delete(id)
        throw error
      }
      return () => {
        if (!watches.delete(id)) return
        void link().then(
          (now) => now.ask('close-watch', { watch: id }),
          () => {},
        )
      }
    },
    async takeUp(on) {
      // A file that is gone tells nothing more, as it would without a new link.
      await Promise.all([
        ...[...tails].map(([id, tailed]) => openTail(id, tailed, on)),
        ...[...watches].map(([id, watched]) => openWatch(id, watched, on)),
      ])
    },
  }
}
