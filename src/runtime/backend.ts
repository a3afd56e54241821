import type { Command, Handle, Keystroke, Report } from './types.ts'

/** Whether a backend can start sessions now. `reason` says why not and what to do. */
export type Health = { readonly ok: true; readonly detail: string } | { readonly ok: false; readonly reason: string }

/** A session as its backend sees it now. */
export interface Sighting {
  readonly id: string
  readonly handle: Handle
}

/** A terminal as the backend's own server lists it, whoever made it. */
export interface Terminal {
  readonly name: string
  /** The session's id when this backend started it. */
  readonly id: string | null
  readonly createdAt: string
  readonly attached: boolean
}

/** A rendered screen with its history: `text` has no trailing blank lines; `truncated` when lines above were left out. */
export interface Screen {
  readonly text: string
  readonly truncated: boolean
}

/**
 * What a backend may be unable to do that has no verb of its own: give programs a terminal; tell its titles; show its
 * styles; have sessions that outlive the server; end what has left a session's process tree.
 */
export type Ability = 'terminal' | 'titles' | 'styles' | 'survive' | 'strays'

/**
 * A place that runs sessions (also called executor or driver).
 *
 * Errors are `InstarError`s: `backend_unavailable` when it cannot be asked, `backend_failed` when it was asked and said
 * no. "Gone" is an answer: `stop`, `remove` and `forget` of something gone succeed; `list` never returns an empty list
 * because it could not ask.
 */
export interface Backend {
  /** How many sessions it may have at a time. Default: as many as the server. */
  readonly maxSessions?: number | undefined
  /** What it cannot do, each with the reason. Default: it can do all of that. A verb that it does not have it cannot do either. */
  readonly cannot?: Readonly<Partial<Record<Ability, string>>>
  /** Where a session's files will be, as the program in it sees it. */
  directory(id: string): string
  /** The command a person types to sit down at the session's terminal; null where nobody can. */
  attach(handle: Handle): string | null
  /** Never throws. */
  check(): Promise<Health>
  /**
   * Begins to report. Called once, before any other verb but `check`. Resolves at once; a place that cannot be reached
   * now is tried again until `close`. What `report` returns resolves when the report is safe: until then the backend
   * must be able to report it again after a restart. `reach` is told whenever the place is lost (with the reason) and
   * found again, before anything that happened meanwhile is reported: its sessions go on, and nobody knows how.
   */
  open(report: (report: Report) => Promise<void>, reach?: (health: Health) => void): Promise<void>
  /**
   * Starts the program, but not before `ready` resolves, and follows it. Resolves when the program runs or has already
   * ended; then `launched` or `exited` was reported. When it rejects, nothing is left of it.
   */
  start(id: string, name: string, command: Command, ready?: Promise<unknown>): Promise<Handle>
  /** Reports everything of a session after `cursor`, and goes on. For sessions that an earlier server started. */
  follow(sighting: Sighting, cursor: number): Promise<void>
  /** Every session of ours that has a terminal now. */
  list(): Promise<readonly Sighting[]>
  /** The last `lines` lines, at most; with `styles` as SGR sequences in them. Works after the end too, until `remove`, then without styles. */
  capture(handle: Handle, lines: number, options?: { styles?: boolean }): Promise<Screen>
  /** Types into the terminal. Resolves when the terminal has it all. `session_ended` when the program is gone. */
  send(handle: Handle, keystrokes: readonly Keystroke[]): Promise<void>
  /** Ends the program and everything it started: asks first, then insists after `graceMs`. Resolves after `exited` was reported. Idempotent. */
  stop(handle: Handle, graceMs: number): Promise<void>
  /** Deletes what is kept of an ended session. Idempotent. */
  remove(id: string): Promise<void>
  /** Gives a waiting hook its answer. Resolves to whether it took it: false when it waits no more. */
  answer?(handle: Handle, mailbox: string, text: string): Promise<boolean>
  /** Tells every complete line of a file after `cursor` (a byte offset), now and whenever one is added. Rejects when there is no such file. */
  tail?(path: string, cursor: number, tell: (lines: readonly string[], cursor: number) => void): Promise<Tail>
  /** Tells the text of every file in a directory, now and whenever one changes, until the returned function is called. Rejects when there is no such directory. */
  watch?(directory: string, tell: (text: string) => void): Promise<() => void>
  /**
   * The environment of the place itself (PATH, HOME and the like), where that is not the server's own machine: it takes the
   * place of the server's. Rejects while that cannot be asked.
   */
  environment?(): Promise<Readonly<Record<string, string>>>
  /** `run` and the projects of its sessions are on the server's own machine. */
  readonly isHere?: boolean
  /** Runs a program where sessions run, over the connection that is there, and outside of any session. Rejects when it cannot be run or takes too long. */
  run?(argv: readonly [string, ...string[]], options?: RunOptions): Promise<Ran>
  /**
   * Text files of a directory as `run` sees it, by their relative paths and in the same order. Null when there is no such
   * directory. Starts no program of its own for each, as it is asked at every launch.
   */
  read?(directory: string, names: readonly string[], options: ReadOptions): Promise<readonly Found[] | null>
  /** Where some programs are, found on `path` by who runs sessions; null where there is none. Fewer when nothing is known of the rest. */
  find?(programs: readonly string[], path: string): Promise<readonly (string | null)[]>
  /** Where the project of a session is to be, as `run` sees it. Default: `cwd`. One that is not there is made by the hook that carries projects. */
  project?(id: string, cwd: string): string
  /** What the terminal server lists, also what this backend did not start. */
  terminals?(): Promise<readonly Terminal[]>
  /**
   * Answers what its place sends to `/dial/<its name in the config>` and below, for a place that cannot be reached from
   * here. Who sends that, it checks itself.
   */
  dialled?(request: Request): Promise<Response>
  /** Stops reporting; sessions run on. */
  close(): Promise<void>
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string | Uint8Array
  /** Default 30 s. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** What a program wrote, at most 16 MiB of each, and its exit code; a signal is 128 and its number. */
export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface ReadOptions {
  /** A file with more bytes is refused. */
  readonly maxBytes: number
  /** Take a file to which a symbolic link leads out of the directory. */
  readonly outside: boolean
}

/** A text file, or why it is not taken: `problem` goes on a sentence that begins with its name. */
export type Found =
  | { readonly state: 'missing' }
  | { readonly state: 'read'; readonly text: string; readonly bytes: number }
  | { readonly state: 'refused'; readonly problem: string }

export interface Tail {
  /** Resolves when everything that was there by now has been told. */
  catchUp(): Promise<void>
  close(): void
}
