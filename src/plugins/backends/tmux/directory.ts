import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Tail } from '../../../runtime/backend.ts'
import type { Command, Exit, Signal } from '../../../runtime/types.ts'
import { followLines } from './lines.ts'
import { answerAt } from './mailbox.ts'
import { commandFile, hook } from './scripts.ts'

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
 */
export interface SessionDirectory {
  readonly path: string
  create(command: Command): Promise<void>
  /** Calls `tell` with every complete line after `cursor`, now and whenever one is added, until closed. Resolves after what is there was told. */
  follow(cursor: number, tell: (entries: readonly Entry[]) => void): Promise<Tail>
  /** Answers a hook that waits. False when it waits no more. */
  answer(mailbox: string, text: string): Promise<boolean>
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
  | { readonly type: 'unreadable' }
)

/** The last part of a log that is worth rendering without a terminal. */
const logTailBytes = 256 * 1024

export function sessionDirectory(base: string, id: string): SessionDirectory {
  const path = join(base, id)
  const file = (name: string) => join(path, name)
  const signals = file('signals.jsonl')

  async function exit(): Promise<Exit | null> {
    const info = await stat(file('exit')).catch(gone(null))
    const code = info && (await readFile(file('exit'), 'utf8')).trim()
    if (!info || !code) return null
    const words = await readFile(file('launcher.err'), 'utf8').catch(gone(''))
    return { ...decode(Number(code), words), at: info.mtime.toISOString() }
  }

  async function entry(text: string, at: string): Promise<DistributiveOmit<Entry, 'cursor'>> {
    try {
      const json = JSON.parse(text) as Record<string, unknown>
      if (json['launcher'] === 'started') return { type: 'started', at: await createdAt() }
      if (json['launcher'] === 'exited') return { type: 'exited', exit: (await exit()) ?? { ...decode(Number(json['code']), ''), at } }
      if (typeof json['hook'] !== 'string') return { type: 'unreadable' }
      const spilled = typeof json['file'] === 'string' && /^payload\.\d+-\d+$/.test(json['file']) ? json['file'] : null
      const payload: unknown = spilled ? JSON.parse(await readFile(file(spilled), 'utf8')) : json['payload']
      const mailbox = typeof json['mailbox'] === 'string' && isMailbox(json['mailbox']) ? { mailbox: json['mailbox'] } : {}
      return { type: 'signal', signal: { event: json['hook'], payload, at: within(json['time'], at), ...mailbox } }
    } catch {
      return { type: 'unreadable' }
    }
  }

  /** When its files were made, which is right before its program starts. */
  const createdAt = async () => (await stat(file('command'))).mtime.toISOString()

  return {
    path,
    exit,
    async create(command) {
      await mkdir(path, { recursive: true, mode: 0o700 })
      const all = { ...command.files, command: commandFile(command), 'hook.sh': hook, 'signals.jsonl': '' }
      await Promise.all(Object.entries(all).map(([name, text]) => writeFile(file(name), text, { mode: 0o600 })))
    },
    follow: (cursor, tell) =>
      followLines(signals, cursor, async (lines, at) => {
        tell(await Promise.all(lines.map(async ({ text, cursor }) => ({ ...(await entry(text, at)), cursor }))))
      }),
    answer: async (mailbox, text) => isMailbox(mailbox) && answerAt(file(join('answers', mailbox)), text),
    async saveScreen(text) {
      await writeFile(file('screen.txt.tmp'), text, { mode: 0o600 })
      await rename(file('screen.txt.tmp'), file('screen.txt'))
    },
    async screen() {
      const saved = await readFile(file('screen.txt'), 'utf8').catch(gone(null))
      if (saved !== null) return saved
      return plain((await lastOf(file('output.log'), logTailBytes)).toString('utf8'))
    },
    async remove() {
      await rm(path, { recursive: true, force: true })
    },
  }
}

/** A shell's `$?` as an exit: above 128 it is a signal if the shell said that something was killed, or is silent about that signal by custom. */
function decode(code: number, words: string): Omit<Exit, 'at'> {
  const signal = signalName(code - 128)
  const silent = signal === 'SIGINT' || signal === 'SIGPIPE'
  if (signal && (silent || words.trim() !== '')) return { code: null, signal, reason: null }
  const said = words.trim().split('\n').at(-1)
  return { code, signal: null, reason: (code === 126 || code === 127) && said ? `could not start: ${said}` : null }
}

export const signalName = (number: number): string | null =>
  Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? null

/** A time in whole seconds, made as exact as can be: not after `latest`, which is exact for the last line of a file. */
function within(seconds: unknown, latest: string): string {
  if (typeof seconds !== 'number') return latest
  const end = new Date(seconds * 1000 + 999).toISOString()
  return end < latest ? end : latest
}

const isMailbox = (name: string): boolean => /^\d+-\d+$/.test(name)

/** The last bytes of a file; of one that is gone, none. */
async function lastOf(path: string, length: number): Promise<Buffer> {
  const handle = await open(path, 'r').catch(gone(null))
  if (!handle) return Buffer.alloc(0)
  try {
    const { size } = await handle.stat()
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.min(size, length)), 0, null, Math.max(0, size - length))
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

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

const gone =
  <T>(value: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code === 'ENOENT') return value
    throw error
  }
