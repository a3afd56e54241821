import type { Found, Health, Ran, ReadOptions, RunOptions, Tail } from '../../runtime/backend.ts'
import type { BackendFactory, BackendState } from '../../runtime/config.ts'

/**
 * Where a terminal server runs, and all that its backend needs of the machine there. `here()` is this machine, `ssh()`
 * another one. Whatever cannot be asked rejects with `backend_unavailable`; what is gone is an answer.
 *
 * Names of files are relative to the place's own directory, where everything of this server is kept; absolute paths are as
 * they are.
 */
export interface Place {
  readonly isHere: boolean
  /** A short name for a terminal server that no other server uses there, such as for `tmux -L`. */
  readonly socket: string
  readonly files: PlaceFiles
  readonly processes: PlaceProcesses
  /** By how many milliseconds the clock there is ahead of this one's; 0 when they are the same, as far as can be told. */
  aheadMs(): number
  /**
   * Resolves at once; a place that cannot be reached is tried again until `close`. Whenever it is found, `files` are written
   * into its directory, then `reach` is told, then everything that is followed is caught up with.
   */
  open(options: PlaceOptions): Promise<void>
  /** Whether it can be reached now, and if not, why. Never throws. Tries, when it is not open. */
  check(): Promise<Health>
  /** Waits a little for a connection that is being made. Rejects with the reason when the place cannot be reached now. */
  reached(): Promise<void>
  /** The absolute path of one of its files. `backend_unavailable` when the place has never been reached. */
  path(name: string): string
  /**
   * A process of this machine whose standard input and output are those of `argv` there. That runs with `env`, the place's own
   * PATH and HOME, and nothing else. Waits until the place is found.
   */
  terminal(argv: Argv, env: Readonly<Record<string, string>>): Promise<LocalProcess>
  /** What a person types to run a command there, in a terminal. */
  command(line: string): string
  run(argv: Argv, options?: RunOptions): Promise<Ran>
  /** See `Backend.environment`; a place that is here has none of its own. */
  environment?(): Promise<Readonly<Record<string, string>>>
  close(): Promise<void>
}

/** For `run`; see `RunOptions` and `Ran`. */
export const runTimeoutMs = 30_000
export const maxRunBytes = 16 * 1024 * 1024
/**
 * What is held at a time of what a session has written, at most: a line, or a file. An agent's transcript has whole results
 * of tools in a line, images too; a request to its service may have 32 MB.
 */
export const maxTextBytes = 32 * 1024 * 1024

export type Argv = readonly [string, ...string[]]

export interface LocalProcess {
  readonly argv: Argv
  readonly env: Readonly<Record<string, string>>
}

export interface PlaceOptions {
  readonly files: Readonly<Record<string, string>>
  readonly reach?: ((health: Health) => void) | undefined
}

/** A complete line of a file; `cursor` is the offset after it, in bytes. One of more than `maxTextBytes` is told without its text. */
export interface Line {
  readonly text: string
  readonly cursor: number
  readonly isTooLong?: true
}

export interface PlaceFiles {
  /** Makes a directory (0700) with files (0600). */
  create(directory: string, files: Readonly<Record<string, string>>): Promise<void>
  /** Writes a file (0600) so that nobody sees half of it. */
  replace(name: string, text: string): Promise<void>
  /** See `Backend.read`. */
  texts(directory: string, names: readonly string[], options: ReadOptions): Promise<readonly Found[] | null>
  /** Its first `maxTextBytes`, at most; null when there is none. `at` is when it was last written, ISO 8601 UTC by the clock of this machine. */
  read(name: string): Promise<{ readonly text: string; readonly at: string } | null>
  writtenAt(name: string): Promise<string | null>
  /** The last bytes, at most; of a file that is gone, none. */
  lastOf(name: string, bytes: number): Promise<Uint8Array>
  /** A directory with everything in it. */
  remove(directory: string): Promise<void>
  /**
   * Calls `tell` with every complete line after `cursor`, now and whenever one is added, until closed; `at` is when the file
   * was last written, or later. Resolves after what is there was told, or when that cannot be asked now. A file that is not there has no lines.
   */
  follow(name: string, cursor: number, tell: (lines: readonly Line[], at: string) => void | Promise<void>): Promise<Tail>
  /** See `Backend.watch`. */
  watch(directory: string, tell: (text: string) => void): Promise<() => void>
  /** Gives a text to who reads at a FIFO, and removes that. False when nobody does, or does not read on. */
  answer(fifo: string, text: string): Promise<boolean>
}

export interface PlaceProcesses {
  /** All, without those that have ended and that nobody has collected. */
  list(): Promise<readonly Process[]>
  /** Those with the mark of a session in their environment. */
  marked(id: string): Promise<readonly number[]>
  /** The one whose arguments end with `words`; null when there is none. */
  find(words: string): Promise<number | null>
  /** Sends a signal; without one it only asks. Resolves to those that there are. */
  signal(pids: readonly number[], signal?: NodeJS.Signals): Promise<number[]>
}

export interface Process {
  readonly pid: number
  readonly parent: number
  readonly group: number
  /**
   * What shares its controlling terminal: the leader of its POSIX session, or where ps tells none of that, which is macOS, the
   * terminal's name. A name says less: every container, and whatever else has a devpts of its own, has a pts/0.
   */
  readonly session: string
}

/** A backend that is a terminal server somewhere; others may run on the same place. */
export interface PlacedFactory extends BackendFactory {
  readonly place: (state: BackendState) => Place
  /** Of its terminal server. */
  readonly terminals: { readonly program?: string }
  /** Its programs run in boxes, and see nothing of the programs of the place. */
  readonly isBoxed: boolean
}
