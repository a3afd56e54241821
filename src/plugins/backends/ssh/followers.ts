import type { Tail } from '../../../runtime/backend.ts'
import type { BackendState } from '../../../runtime/config.ts'
import { InstarError } from '../../../runtime/error.ts'
import { nextLines, passedOver, type Reading } from '../lines.ts'
import { startChild } from '../child.ts'
import type { Line, LocalProcess } from '../place.ts'
import { shellQuote } from '../quote.ts'
import { isTooMuch, type Shell } from './shell.ts'

/**
 * Files of another machine that are read on, all over one connection.
 *
 *   hook.sh, launch.sh ─ append the session's id ─▶ bell ─ tail -f ─▶ ring ─▶ read on in that session's signals.jsonl
 *   once a second ─ one look at the sizes of all that is followed ─▶ read on in what has grown
 *
 * The look is for what rings no bell, such as the agents' own files, and tells that the connection is alive. It is one
 * snippet however many files there are, and says something only when something has changed.
 */
export interface Followers {
  follow(name: string, cursor: number, tell: Tell): Promise<Tail>
  watch(directory: string, tell: (text: string) => void): Promise<() => void>
  /** Follows the bell over a new connection. */
  listen(channel: LocalProcess): void
  /** Reads on in everything: the connection is a new one. */
  resume(): void
  close(): void
}

type Tell = (lines: readonly Line[], at: string) => void | Promise<void>

interface Followed extends Reading {
  readonly name: string
  readonly read: (replay?: boolean) => Promise<void>
}

interface Watched {
  readonly directory: string
  readonly known: Map<string, string>
  readonly tell: (text: string) => void
}

export interface FollowersOptions {
  /** Throws when there is none now. */
  readonly shell: () => Shell
  /** A time of the far clock, in seconds, as ISO 8601 by ours. */
  readonly toTime: (seconds: string) => string
  readonly now?: () => Date
  readonly log?: BackendState['log']
}

const lookMs = 1000
/** Of a line of the bell that has no end; an id is shorter. */
const bellLength = 100

export function createFollowers({ shell, toTime, now = () => new Date(), log }: FollowersOptions): Followers {
  const followed = new Set<Followed>()
  const watched = new Set<Watched>()
  let hasChanged = true
  let looking: Promise<void> | null = null
  let lookAgain = false
  let bell: { kill(signal: 'SIGKILL'): boolean } | null = null
  const timer = setInterval(() => {
    if (followed.size + watched.size > 0) look()
  }, lookMs).unref()

  // ---- what has grown ------------------------------------------------------------------------------------------------

  function look(): void {
    lookAgain = true
    looking ??= lookNow()
      .catch(() => {}) // The next connection reads everything.
      .finally(() => (looking = null))
  }

  async function lookNow(): Promise<void> {
    while (lookAgain) {
      lookAgain = false
      const names = [...new Set([...followed].map(({ name }) => name))]
      const directories = [...new Set([...watched].map(({ directory }) => directory))]
      const afresh = hasChanged
      hasChanged = false
      const looks = [
        afresh ? filesAsArguments(names) : ':',
        news('instar_sizes', 'wc -c -- "$@"', afresh),
        ...directories.map((directory, i) => news(`instar_entries_${i}`, `instar_entries ${shellQuote(directory)}`, afresh)),
      ]
      const on = shell()
      const answers = await Promise.all(looks.map((look) => on.run(look)))
      const [, grown, ...entries] = answers.map(({ output }) => output.toString('utf8'))
      if (grown) hearSizes(grown)
      for (const [i, text] of entries.entries()) if (text) hearEntries(directories[i]!, text.slice(1))
    }
  }

  function hearSizes(text: string): void {
    const sizes = new Map(
      text.split('\n').flatMap((row) => {
        const [, size, name] = /^\+?\s*(\d+) (.*)$/.exec(row) ?? []
        return name === undefined ? [] : [[name, Number(size)] as const]
      }),
    )
    for (const each of followed) if ((sizes.get(each.name) ?? 0) > each.searched) each.read().catch(() => {})
  }

  /** `grep` puts the name before each line. */
  function hearEntries(directory: string, text: string): void {
    const files = new Map<string, string[]>()
    for (const row of text.split('\n')) {
      const end = row.indexOf('.json:', directory.length)
      if (!row.startsWith(`${directory}/`) || end < 0) continue
      const name = row.slice(0, end)
      const lines = files.get(name) ?? []
      lines.push(row.slice(end + 6))
      files.set(name, lines)
    }
    for (const each of watched) {
      if (each.directory !== directory) continue
      for (const [name, lines] of files) {
        const entry = lines.join('\n')
        if (each.known.get(name) === entry) continue
        each.known.set(name, entry)
        each.tell(entry)
      }
      for (const name of each.known.keys()) if (!files.has(name)) each.known.delete(name)
    }
  }

  // ---- what is new in a file -------------------------------------------------------------------------------------------

  /** `whole` is all that there is, and when it was last written does not matter. */
  async function bytesAfter(name: string, offset: number, length: number | 'whole'): Promise<{ bytes: Buffer; at: string } | null> {
    const file = shellQuote(name)
    const [time, head] = length === 'whole' ? ['echo', ''] : [`instar_written ${file}`, ` | head -c ${length}`]
    const output = await shell().ask(`if [ -f ${file} ]; then ${time}; tail -c +${offset + 1} -- ${file}${head}; else instar_gone; fi`)
    if (!output) return null
    const begin = output.indexOf(10) + 1
    const written = output.toString('utf8', 0, begin).trim()
    return { bytes: output.subarray(begin), at: written === '' ? now().toISOString() : toTime(written) }
  }

  async function follow(name: string, cursor: number, tell: Tell): Promise<Tail> {
    let reading: Promise<void> | null = null
    let again = false
    let closed = false

    async function readAll(replay: boolean): Promise<void> {
      let at = ''
      // When it was last written matters only for what happened while nobody looked, and mostly only then there is much.
      let isMuch = replay
      const read = async (offset: number, length: number): Promise<Buffer | null> => {
        const found = await bytesAfter(name, offset, isMuch ? length : 'whole').catch((error: unknown) => {
          if (isMuch || !isTooMuch(error)) throw error
          isMuch = true
          return bytesAfter(name, offset, length)
        })
        at = found?.at ?? at
        return found && found.bytes
      }
      while (again && !closed) {
        again = false
        for (let lines; (lines = await nextLines(file, read, () => log?.(...passedOver(name)))) && !closed;) {
          await tell(lines, at)
          file.cursor = file.searched = lines.at(-1)!.cursor
        }
      }
    }

    const file: Followed = {
      name,
      cursor,
      searched: cursor,
      read(replay = false) {
        again = true
        reading ??= readAll(replay).finally(() => (reading = null))
        return reading
      },
    }
    followed.add(file)
    hasChanged = true
    try {
      await file.read(true)
    } catch (error) {
      // The next connection reads it.
      if (!(error instanceof InstarError) || error.code !== 'backend_unavailable') throw error
    }
    return {
      catchUp: () => file.read(),
      close() {
        closed = true
        hasChanged ||= followed.delete(file)
      },
    }
  }

  function ring(ids: ReadonlySet<string>): void {
    for (const each of followed) {
      const id = /^sessions\/([^/]+)\/signals\.jsonl$/.exec(each.name)?.[1]
      if (id !== undefined && ids.has(id)) each.read().catch(() => {})
    }
    // What an agent does is in its own files as well.
    look()
  }

  return {
    follow,
    async watch(directory, tell) {
      if (!(await shell().ask(`[ -d ${shellQuote(directory)} ] || instar_gone`)))
        throw new InstarError('backend_failed', `Cannot watch ${directory}: there is no such directory`)
      const entry = { directory, known: new Map<string, string>(), tell }
      watched.add(entry)
      hasChanged = true
      look()
      await looking
      return () => {
        watched.delete(entry)
        hasChanged = true
      }
    },
    listen(process) {
      bell?.kill('SIGKILL')
      const { child } = startChild(process)
      let rest = ''
      child.stdout.on('data', (bytes: Buffer) => {
        const lines = (rest + bytes.toString()).split('\n')
        rest = lines.pop()!.slice(-bellLength)
        if (lines.length > 0) ring(new Set(lines))
      })
      bell = child
    },
    resume() {
      hasChanged = true
      for (const each of followed) each.read(true).catch(() => {})
      look()
    },
    close() {
      clearInterval(timer)
      bell?.kill('SIGKILL')
      followed.clear()
      watched.clear()
    },
  }
}

/** Only files: who opens a FIFO waits for whoever has it. */
const filesAsArguments = (names: readonly string[]): string =>
  `set --; for instar_file in ${names.map(shellQuote).join(' ')}; do [ -f "$instar_file" ] && set -- "$@" "$instar_file"; done`

/** Prints what a command prints after a `+`, when that is not what it was. */
const news = (known: string, command: string, afresh: boolean): string =>
  `${afresh ? `${known}=none; ` : ''}instar_news=$(${command} 2>/dev/null); [ "$instar_news" = "$${known}" ] || printf '+%s\n' "$instar_news"; ${known}=$instar_news`
