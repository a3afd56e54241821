import type { Health } from '../../runtime/backend.ts'
import type { BackendState } from '../../runtime/config.ts'
import type { InstarError } from '../../runtime/error.ts'
import type { Command, Exit } from '../../runtime/types.ts'
import type { Place } from './place.ts'

/**
 * In what the programs of a terminal server run, such as a container. A box is made on the machine where the terminals are,
 * a terminal holds no more than a client of it, and it goes on when that is gone.
 *
 *   DIRECTORY         the session's, outside: `client` as the launcher's command, and everything of the terminal
 *   DIRECTORY/inside  what the program sees, at the same path: its command and files; it may write there
 *   DIRECTORY/ended   written by the client when the box has ended, or could not be entered, as `ended` reads it
 *
 * signals.jsonl and answers/ lie outside, and are seen inside.
 */
export interface Box {
  /** Whether boxes can be made now. Never throws. */
  check(): Promise<Health>
  /** Whether boxes can be asked for now, whatever else is missing. Never throws. */
  reached(): Promise<Health>
  /** See `Backend.environment`. */
  environment(): Promise<Readonly<Record<string, string>>>
  /** See `Backend.find`. Rejects when there is no shell to look with. */
  find(programs: readonly string[], path: string): Promise<readonly (string | null)[]>
  /** See `Backend.project`: where a project is carried to, in a session's directory. Missing where it is seen as it is. */
  project?(directory: string): string
  /** Rejects a path that a program has named and that lies, links followed, where it can see nothing: nobody is to read for it what it cannot. */
  admit(path: string): Promise<void>
  /**
   * Shell text, run in the terminal with DIRECTORY as `$1`: makes the box and enters it, or enters it again if it is still there,
   * and ends after it. While nobody can tell it how the box is, it says so with a line of signals.jsonl, and waits.
   * Rejects what can be seen to be wrong before.
   */
  client(session: Boxed, command: Pick<Command, 'cwd'>): Promise<string>
  /** How the program ended, from what the client has left and what was recorded inside, if anything was. Pure. */
  ended(left: Left): Omit<Exit, 'at'>
  /** Why nothing ever ran inside; null when something did. Pure. */
  refusal(left: Left): InstarError | null
  /** Sends a signal to everything in a session's box; SIGKILL ends the box itself. One that has ended is what was wanted. */
  signal(session: Boxed, signal: NodeJS.Signals): Promise<void>
  /** Removes a session's box, and ends what is in it. Idempotent. */
  remove(session: Boxed): Promise<void>
  /** Those of this server that are there. */
  list(): Promise<readonly { readonly id: string; readonly name: string; readonly hasBegun: boolean }[]>
}

/** What there is of a box that has ended. */
export interface Left {
  /** What the client has written. */
  readonly text: string
  /** The launcher inside has begun. */
  readonly hasBegun: boolean
  readonly recorded: Omit<Exit, 'at'> | null
}

export interface Boxed {
  readonly id: string
  readonly name: string
  /** The session's own on the machine of the terminals. Absolute. */
  readonly directory: string
}

export type BoxFactory = (place: Place, state: BackendState) => Box

/** Where the program's part of a session's directory is. */
export const insideOf = (directory: string): string => `${directory}/inside`

/** What a client says in signals.jsonl when nobody can tell it how its box is. */
export const lostLine = '{"box":"lost"}'
