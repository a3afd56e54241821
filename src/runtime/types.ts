/**
 * The values that pass between the boxes, and the contracts of the boxes. Read this first.
 *
 *   SpawnRequest ─▶ Launch ─ agent.plan ─▶ Command ─ backend.start ─▶ Handle
 *   Report (what a backend saw) ─ agent.read ─▶ Event ─ reduce ─▶ Session
 *
 * Every value here can be printed as JSON and passed to a function in a test. Only a backend and the store touch the
 * world. A missing optional method means "cannot".
 */

/** A session ends in one of the last three and never leaves it. */
export const statuses = ['starting', 'running', 'idle', 'waiting', 'completed', 'error', 'killed'] as const
export type Status = (typeof statuses)[number]
export type EndStatus = 'completed' | 'error' | 'killed'

/** How a status is known. `rule` is a sentence for people; `at` is when the evidence was made, ISO 8601 UTC. */
export interface Evidence {
  readonly source: 'hook' | 'transcript' | 'screen' | 'process' | 'backend'
  readonly rule: string
  readonly at: string
}

/** What a session needs a person for. `until` is set for usage limits, when known. */
export interface Waiting {
  readonly kind: 'permission' | 'question' | 'login' | 'trust' | 'limit'
  readonly message: string
  readonly options?: readonly string[]
  readonly until?: string
}

/** One run of one agent, as clients see it. Null where unknown. Times are ISO 8601 UTC. */
export interface Session {
  readonly id: string
  readonly name: string
  readonly status: Status
  readonly agent: string
  readonly model: string | null
  readonly backend: string
  readonly prompt: string
  readonly cwd: string
  readonly jobSlug: string | null
  readonly parent: string | null
  readonly labels: Readonly<Record<string, string>>
  readonly createdAt: string
  readonly startedAt: string | null
  readonly endedAt: string | null
  readonly exitCode: number | null
  /** The signal that ended the program, such as `SIGKILL`. */
  readonly signal: string | null
  readonly reason: string | null
  readonly waiting: Waiting | null
  readonly lastError: string | null
  readonly evidence: Evidence
  readonly usage: Readonly<Record<string, number>> | null
  /** The command a person types to sit down at the terminal. */
  readonly attach: string | null
}

/** What the store keeps of a session. */
export interface SessionRecord {
  readonly session: Session
  /** Null until the backend has started it. */
  readonly handle: Handle | null
  /** How far its backend's reports are already in `session`; the backend resumes after it. */
  readonly cursor: number
  /** The directory where its agent keeps its own state; see `Agent.registry`. */
  readonly registry: string | null
  /** Why it is being ended on request; null while nobody asked. Decides `killed` against `error`. */
  readonly stopping: string | null
}

/** A backend's own JSON for a session: the runtime keeps it and hands it back, and never looks inside. */
export type Handle = Readonly<Record<string, string | number>>

export interface SpawnRequest {
  readonly name: string
  readonly prompt: string
  readonly model?: string | undefined
  readonly jobSlug?: string | undefined
  readonly agent?: string | undefined
  readonly backend?: string | undefined
  readonly cwd?: string | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly args?: readonly string[] | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  readonly parent?: string | undefined
  readonly size?: Size | undefined
}

/** A terminal's size in characters. */
export interface Size {
  readonly cols: number
  readonly rows: number
}

/** What a session needs, before an agent has said how to run it. */
export interface Launch {
  readonly id: string
  readonly name: string
  readonly prompt: string
  readonly model: string | null
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly args: readonly string[]
  readonly size: Size
}

/** A program to run in a terminal. `env` is the whole environment; nothing is inherited. */
export interface Command {
  readonly argv: readonly [string, ...string[]]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Files to put into the session's directory before the start, by name. */
  readonly files: Readonly<Record<string, string>>
  readonly size: Size
}

/** How a program ended. Both null: it is gone and nobody knows how; `reason` then says what is known. */
export interface Exit {
  readonly code: number | null
  readonly signal: string | null
  readonly reason: string | null
  readonly at: string
}

/** What an agent says of itself, through its hooks. `payload` is the agent's own JSON: trust nothing in it. */
export interface Signal {
  readonly event: string
  readonly payload: unknown
  readonly at: string
}

/** What a backend saw of a session, in order, each once. `cursor` goes into the store together with what it led to. */
export interface Report {
  readonly id: string
  readonly cursor: number
  readonly sights: readonly Sight[]
}
export type Sight =
  | { readonly type: 'launched'; readonly at: string }
  | { readonly type: 'signal'; readonly signal: Signal }
  | { readonly type: 'exited'; readonly exit: Exit }

/** What happened to a session: the only thing that changes one. */
export type Event =
  | { readonly type: 'launched'; readonly evidence: Evidence }
  | { readonly type: 'working'; readonly evidence: Evidence }
  | { readonly type: 'rested'; readonly evidence: Evidence }
  | { readonly type: 'turn_failed'; readonly evidence: Evidence; readonly error: string }
  | { readonly type: 'asked'; readonly evidence: Evidence; readonly waiting: Waiting }
  | { readonly type: 'completed' | 'failed' | 'killed'; readonly evidence: Evidence; readonly exit: Exit }

/**
 * How to type a text into a program, in order. `visible` waits until the end of what was pasted shows on the screen
 * (bounded; a program that does not echo is not waited for for ever), because an Enter that arrives in one read with a
 * paste is taken for part of it.
 */
export type Keystroke =
  | { readonly type: 'paste'; readonly text: string }
  | { readonly type: 'visible'; readonly text: string }
  | { readonly type: 'key'; readonly key: string }

/** A program that runs in a session. Every method is pure. */
export interface Agent {
  /** What to run for a launch. `directory` is where the session's files will be, as the program sees it. */
  plan(launch: Launch, directory: string): Command
  /** What a sight means for the session; null when it means nothing. */
  read(sight: Exclude<Sight, { type: 'exited' }>, session: Session): Event | null
  /** How this program's composer takes a text followed by Enter. */
  type(text: string): readonly Keystroke[]
  /** What stops what the program does now, and not the program. */
  readonly interrupt?: readonly Keystroke[]
  /** Where the program keeps its own state, which knows what its hooks do not tell. */
  readonly registry?: Registry
  /** A dialog at the start, which no signal tells: what the screen shows of a session that has not begun `afterMs` after it was accepted. */
  readonly startup?: { readonly afterMs: number; read(screen: string, at: string): Event }
  /** The model when a request names none. */
  readonly model?: string
  /** Whether a signal proves that the composer took a text. Without it a receipt stays at `typed`. */
  readonly took?: (signal: Signal) => boolean
  /** Names of the server's environment variables that this program may see, besides the common ones. `*` at the end matches any rest. */
  readonly inherits?: readonly string[]
}

/** A directory of JSON files, one for each process of an agent, that the agent keeps up to date. Both methods are pure. */
export interface Registry {
  directory(env: Readonly<Record<string, string>>): string
  /** What an entry means for a session; null when it is about another one, or older than what is known. */
  read(entry: unknown, session: Session): Event | null
}

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
  /** The last `lines` lines, at most. Works after the end too, until `remove`. */
  capture(handle: Handle, lines: number): Promise<Screen>
  /** Types into the terminal. Resolves when the terminal has it all. `session_ended` when the program is gone. */
  send(handle: Handle, keystrokes: readonly Keystroke[]): Promise<void>
  /** Ends the program and everything it started: asks first, then insists after `graceMs`. Resolves after `exited` was reported. Idempotent. */
  stop(handle: Handle, graceMs: number): Promise<void>
  /** Deletes what is kept of an ended session. Idempotent. */
  remove(id: string): Promise<void>
  /** Tells the text of every file in a directory, now and whenever one changes, until the returned function is called. Rejects when there is no such directory. */
  watch?(directory: string, tell: (text: string) => void): Promise<() => void>
  /** What the terminal server lists, also what this backend did not start. */
  terminals?(): Promise<readonly Terminal[]>
  /** Stops reporting; sessions run on. */
  close(): Promise<void>
}
