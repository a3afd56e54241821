import type { Command, Event, Keystroke, Launch, OpenPrompt, SessionRecord, Sight, Signal } from './types.ts'

/**
 * A program that runs in a session: how to start it, what it says of itself, how its composer takes a text. Every method
 * is pure. What a program cannot do is left out.
 */
export interface Agent {
  /** What to run for a launch. `directory` is where the session's files will be, as the program sees it. */
  plan(launch: Launch, directory: string): Command
  /** What a sight means for the session; null when it means nothing. */
  read(sight: Exclude<Sight, { type: 'exited' }>, record: SessionRecord): Event | null
  /** How this program's composer takes a text followed by Enter. */
  type(text: string): readonly Keystroke[]
  /** What stops what the program does now, and not the program. */
  readonly interrupt?: readonly Keystroke[]
  /** Whether a signal proves that the composer took a text, as it was typed. Without it a receipt stays at `typed`. */
  readonly took?: (signal: Signal, text: string) => boolean
  /** Whether a signal proves that a turn began, besides the events that do. */
  readonly began?: (signal: Signal) => boolean
  /** What stands in the composer of a screen with its styles; null when it shows no composer. Without it nobody's draft is seen. An agent with it needs a terminal. */
  readonly draft?: (screen: string) => string | null
  /** What empties the composer of a text that was typed into it. Without it what an interrupt brings back counts as somebody's draft. */
  readonly erase?: readonly Keystroke[]
  /** How to give a prompt the answer that a person chose. */
  answer?(prompt: OpenPrompt, reply: Reply): Answer
  /** The program's own conversation, as a signal tells of it: its id, and the file it is kept in when there is one. */
  conversation?(signal: Signal): { readonly id: string; readonly transcript: string | null } | null
  /** The program's own record of a conversation. */
  readonly transcript?: Transcript
  /** Where the program keeps its own state, which knows what its hooks do not tell. */
  readonly registry?: Registry
  /** A dialog at the start, which no signal tells: what the screen shows of a session that has not begun `afterMs` after it was accepted. */
  readonly startup?: { readonly afterMs: number; read(screen: string, at: string): Event }
  /** The model when a request names none. */
  readonly model?: string
  /** What it reads of a project by itself. Default nothing. */
  readonly context?: ContextFiles
  /** Whether it runs the guards of a launch before each use of a tool. Default false: it uses no tools that could be told of, and is given none. */
  readonly runsGuards?: boolean
  /** Names of the server's environment variables that this program may see, besides the common ones. `*` at the end matches any rest. */
  readonly inherits?: readonly string[]
}

/** Files of a project that an agent reads by itself, and whether it reads what they name as `@path`, too. */
export interface ContextFiles {
  readonly files: readonly string[]
  readonly imports: boolean
}

/** The id of an option of the prompt; for a question that takes several, one for each. `message` is for the agent to read. */
export interface Reply {
  readonly choice: string | readonly string[]
  readonly message?: string | undefined
}

/** An answer goes to the hook that waits for it, or is typed. */
export type Answer =
  | { readonly type: 'mailbox'; readonly text: string }
  | { readonly type: 'keys'; readonly keystrokes: readonly Keystroke[] }

/** A directory of JSON files, one for each process of an agent, that the agent keeps up to date. Both methods are pure. */
export interface Registry {
  directory(env: Readonly<Record<string, string>>): string
  /** What an entry means for a session; null when it is about another one, or older than what is known. */
  read(entry: unknown, record: SessionRecord): Event | null
}

/** A file of JSON lines that an agent adds to as a conversation goes on. Both methods are pure. */
export interface Transcript {
  /** What a line says; null when it is no part of the conversation. Messages with one id are parts of one. */
  message(line: unknown): Message | null
  /** Whether a line tells that texts were put into the queue for the next turn, or with a negative number taken out of it; otherwise null. */
  queued?(line: unknown): { readonly by: number; readonly at: string } | null
  /** What a line means for the session, where the agent's hooks do not tell; null when it is older than what is known. */
  read?(line: unknown, record: SessionRecord): Event | null
}

export interface Message {
  readonly id: string
  readonly role: 'user' | 'assistant' | 'tool'
  readonly text: string
  /** The tools that are called. A message of a tool answers the one with its id. */
  readonly tools: readonly { readonly id: string; readonly name: string; readonly input: unknown }[]
  /** What it cost, by names such as `inputTokens`; the last part of a message tells it for all. Null when that is not told. */
  readonly usage: Readonly<Record<string, number>> | null
  readonly at: string
}
