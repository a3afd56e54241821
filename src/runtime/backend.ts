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
 * A place that runs sessions (also called executor or driver).
 *
 * Errors are `InstarError`s: `backend_unavailable` when it cannot be asked, `backend_failed` when it was asked and said
 * no. "Gone" is an answer: `stop`, `remove` and `forget` of something gone succeed; `list` never returns an empty list
 * because it could not ask.
 */
export interface Backend {
  /** Where a session's files will be, as the program in it sees it. */
  directory(id: string): string
  /** The command a person types to sit down at the session's terminal. */
  attach(handle: Handle): string
  /** Never throws. */
  check(): Promise<Health>
  /**
   * Begins to report. Called once, before any other verb but `check`. Resolves at once; a place that cannot be reached
   * now is tried again until `close`. What `report` returns resolves when the report is safe: until then the backend
   * must be able to report it again after a restart.
   */
  open(report: (report: Report) => Promise<void>): Promise<void>
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
  /** What the terminal server lists, also what this backend did not start. */
  terminals?(): Promise<readonly Terminal[]>
  /** Stops reporting; sessions run on. */
  close(): Promise<void>
}

export interface Tail {
  /** Resolves when everything that was there by now has been told. */
  catchUp(): Promise<void>
  close(): void
}
