import { constants } from 'node:os'
import type { Tail } from '../../runtime/backend.ts'
import { InstarError } from '../../runtime/error.ts'
import type { Command, Exit, Signal } from '../../runtime/types.ts'
import { insideOf, type Box, type Left } from './box.ts'
import { blockBytes } from './lines.ts'
import type { Line, Place } from './place.ts'
import { boxCommandFile, boxLauncher, commandFile, hook } from './scripts.ts'

/**
 * A session's directory (0700), the truth that outlives the server:
 *
 *   command         what launch.sh reads: environment, directory, arguments
 *   signals.jsonl   appended by the launcher (started, exited) and by the agent's hooks
 *   exit            the exit code; its modification time is when the program ended
 *   launcher.err    what the shell itself had to say
 *   output.log      the raw bytes of the terminal, from the first
 *   screen.txt      the rendered screen with its history, after the end
 *   hook.sh         what the agent's hooks run; and the agent's own files
 *   payload.*       what a hook was told that is too long for a line
 *   answers/        where hooks wait for an answer
 *
 * With a box, what the program sees is in inside/ (see box.ts): the command, hook.sh, payload.* and the agent's own files, and
 * `exit` and launcher.err of its own. Then `command` is the box's client, and `exit` tells that the box has ended too;
 * `terminal` is what its terminal was made with.
 */
export interface SessionDirectory {
  /** Absolute. */
  path(): string
  /** Where its program's files are. Absolute. */
  inside(): string
  create(name: string, command: Command): Promise<void>
  /** Calls `tell` with every complete line after `cursor`, now and whenever one is added, until closed. Resolves after what is there was told. */
  follow(cursor: number, tell: (entries: readonly Entry[]) => void): Promise<Tail>
  /** Answers a hook that waits. False when it waits no more. */
  answer(mailbox: string, text: string): Promise<boolean>
  /** What the terminal of a box was made with; null where there is none. */
  terminal(): Promise<Pick<Command, 'size' | 'titles'> | null>
  /** Why the program of a box that has ended never began; null when it did. */
  refusal(): Promise<InstarError | null>
  /** How the program ended, as its launcher recorded it; null when there is no record. */
  exit(): Promise<Exit | null>
  saveScreen(text: string): Promise<void>
  /** The screen that was saved; without one, the text of the log without its control sequences. */
  screen(): Promise<string>
  remove(): Promise<void>
}

/** One line of signals.jsonl; `cursor` is the offset after it, in bytes. */
export type Entry = { readonly cursor: number } & (
  | { readonly type: 'started'; readonly at: string }
  | { readonly type: 'exited'; readonly exit: Exit }
  | { readonly type: 'signal'; readonly signal: Signal }
  | { readonly type: 'lost' }
  | { readonly type: 'unreadable' }
)

/** Of how many lines the files that they name are read at a time. */
const linesAtATime = 4
/** Of what a launcher says why it could not start a program, which the program can write too. */
export const maxWords = 1000
/** The last part of a log that is worth rendering without a terminal. */
const logTailBytes = 256 * 1024

export function sessionDirectory(place: Place, id: string, box: Box | null): SessionDirectory {
  const { files } = place
  const path = `sessions/${id}`
  const inside = box ? insideOf(path) : path
  const file = (name: string) => `${path}/${name}`

  /** What a launcher recorded; null when there is no record. */
  async function recordIn(directory: string): Promise<Exit | null> {
    const [record, words] = await Promise.all([files.read(`${directory}/exit`), files.read(`${directory}/launcher.err`)])
    const code = record?.text.trim()
    return record && code ? { ...decode(Number(code), words?.text ?? ''), at: record.at } : null
  }

  /** What there is of a box; its time is that of the record inside. */
  async function left(): Promise<Left & { readonly at: string | null }> {
    const [recorded, words, client] = await Promise.all([recordIn(inside), files.read(`${inside}/launcher.err`), files.read(file('ended'))])
    return { text: client?.text ?? '', hasBegun: words !== null, recorded, at: recorded?.at ?? null }
  }

  async function exit(): Promise<Exit | null> {
    const record = await recordIn(path)
    if (!record || !box) return record
    const { at, ...rest } = await left()
    return { at: at ?? record.at, ...box.ended(rest) }
  }

  async function entry({ text, isTooLong }: Line, at: string, hold: (length: number) => void): Promise<DistributiveOmit<Entry, 'cursor'>> {
    if (isTooLong) return { type: 'signal', signal: { event: 'line_too_long', payload: null, at } }
    try {
      const json = JSON.parse(text) as Record<string, unknown>
      // Its files were made right before its program starts.
      if (json['launcher'] === 'started') return { type: 'started', at: (await files.writtenAt(file('command'))) ?? at }
      if (json['box'] === 'lost') return { type: 'lost' }
      if (json['launcher'] === 'exited') return { type: 'exited', exit: (await exit()) ?? { ...decode(Number(json['code']), ''), at } }
      if (typeof json['hook'] !== 'string') return { type: 'unreadable' }
      const spilled = typeof json['file'] === 'string' && /^payload\.\d+-\d+$/.test(json['file']) ? json['file'] : null
      const long = spilled ? (await files.read(`${inside}/${spilled}`))!.text : ''
      hold(long.length)
      const payload: unknown = spilled ? JSON.parse(long) : json['payload']
      const mailbox = typeof json['mailbox'] === 'string' && isMailbox(json['mailbox']) ? { mailbox: json['mailbox'] } : {}
      return { type: 'signal', signal: { event: json['hook'], payload, at: within(json['time'], at, place.aheadMs()), ...mailbox } }
    } catch (error) {
      // A place that is lost in the middle is read again.
      if (error instanceof InstarError) throw error
      return { type: 'unreadable' }
    }
  }

  return {
    path: () => place.path(path),
    exit,
    inside: () => place.path(inside),
    terminal: async () =>
      box ? (JSON.parse((await files.read(file('terminal')))?.text ?? 'null') as Pick<Command, 'size' | 'titles'> | null) : null,
    refusal: async () => box?.refusal(await left()) ?? null,
    async create(name, command) {
      const own = { ...command.files, 'hook.sh': hook, 'signals.jsonl': '' }
      if (!box) return files.create(path, { ...own, command: commandFile(command) })
      const client = await box.client({ id, name, directory: place.path(path) }, command)
      await files.create(path, {
        command: client,
        'signals.jsonl': '',
        terminal: JSON.stringify({ size: command.size, titles: command.titles }),
      })
      await files.create(inside, { ...own, command: boxCommandFile(command), 'run.sh': boxLauncher })
      await Promise.all([path, inside].map((directory) => files.create(`${directory}/answers`, {})))
    },
    follow(cursor, tell) {
      // A place that is lost in the middle of some lines has them read again.
      let told = cursor
      return files.follow(file('signals.jsonl'), cursor, async (lines, at) => {
        const untold = lines.filter((line) => line.cursor > told)
        const entries: Entry[] = []
        let held = 0
        while (untold.length > 0) {
          const some = untold.splice(0, linesAtATime).map(async (line) => {
            const found = await entry(line, at, (length) => (held += length))
            return { ...found, cursor: line.cursor }
          })
          entries.push(...(await Promise.all(some)))
          if (held < blockBytes && untold.length > 0) continue
          told = entries.at(-1)!.cursor
          tell(entries.splice(0))
          held = 0
        }
      })
    },
    answer: async (mailbox, text) => isMailbox(mailbox) && files.answer(file(`answers/${mailbox}`), text),
    saveScreen: (text) => files.replace(file('screen.txt'), text),
    async screen() {
      const saved = await files.read(file('screen.txt'))
      return saved?.text ?? plain(new TextDecoder().decode(await files.lastOf(file('output.log'), logTailBytes)))
    },
    remove: () => files.remove(path),
  }
}

/** A shell's `$?` as an exit: above 128 it is a signal if the shell said that something was killed, or is silent about that signal by custom. */
function decode(code: number, words: string): Omit<Exit, 'at'> {
  const signal = signalName(code - 128)
  const silent = signal === 'SIGINT' || signal === 'SIGPIPE'
  if (signal && (silent || words.trim() !== '')) return { code: null, signal, reason: null }
  const said = words.trim().split('\n').at(-1)
  return { code, signal: null, reason: (code === 126 || code === 127) && said ? `could not start: ${said.slice(0, maxWords)}` : null }
}

export const signalName = (number: number): string | null =>
  Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? null

/** A time in whole seconds, made as exact as can be: not after `latest`, which is exact for the last line of a file. */
function within(seconds: unknown, latest: string, aheadMs: number): string {
  if (typeof seconds !== 'number') return latest
  const end = new Date(seconds * 1000 + 999 - aheadMs).toISOString()
  return end < latest ? end : latest
}

const isMailbox = (name: string): boolean => /^\d+-\d+$/.test(name)

/** A terminal's bytes as text, for when nothing has rendered them: control sequences out, the last of overwritten lines. */
function plain(raw: string): string {
  return (
    raw
      // eslint-disable-next-line no-control-regex
      .replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g, '')
      .split('\n')
      .map((text) => text.replace(/\r+$/, '').split('\r').at(-1)!)
      .join('\n')
      // eslint-disable-next-line no-control-regex
      .replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '')
  )
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never
