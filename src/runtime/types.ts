/**
 * The values that pass between the boxes. Read this first; then the contracts of the boxes: agent.ts and
 * backend.ts.
 *
 *   SpawnRequest ─▶ Launch ─ agent.plan ─▶ Command ─ backend.start ─▶ Handle
 *   Report (what a backend saw) ─ agent.read ─▶ Event ─ advance ─▶ SessionRecord, and in it the Session
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

/** Something that an agent asks a person. Its options are those that the agent itself offers. */
export interface Prompt {
  readonly id: string
  readonly kind: Exclude<Waiting['kind'], 'limit'>
  readonly message: string
  readonly tool?: string
  /** What the tool is to be called with. */
  readonly input?: unknown
  /** Empty when it can only be answered at the terminal. */
  readonly options: readonly PromptOption[]
  readonly openedAt: string
}
export interface PromptOption {
  readonly id: string
  readonly label: string
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
  /** What it asks, oldest first. */
  readonly prompts: readonly OpenPrompt[]
  /** The agent's own conversation; null until it has told of one. */
  readonly conversation: Conversation | null
  /** How many texts the agent holds back until its turn ends. */
  readonly pending: number
  /** What was observed last, oldest first, and what it meant. */
  readonly trail: readonly Step[]
  /** What was sent last, oldest first. */
  readonly deliveries: readonly Delivery[]
  /** What a resumed run is started with again. */
  readonly launch: Pick<Launch, 'args' | 'size'>
  /** A digest of the instructions it was given; '' for none. */
  readonly told: string
  /** What the request said of hooks, with what a parent passes on. */
  readonly options: HookOptions
  /** What each hook of its launch did, outermost first. */
  readonly hooks: readonly HookRecord[]
  /** What its children may do. */
  readonly limits: { readonly depth: number; readonly children: number }
}

/** A hook's part in a launch: how long it took by itself, and its own JSON, which it is handed back. */
export interface HookRecord {
  readonly name: string
  /** Null until it is done. */
  readonly ms: number | null
  /** Null while it keeps nothing. */
  readonly kept: unknown
}

/** A prompt, with what clients are not shown. */
export interface OpenPrompt extends Prompt {
  /** Where an answer goes, when a hook of the agent waits for one; see `Signal.mailbox`. */
  readonly mailbox: string | null
  /** What the agent's own `answer` needs to know. */
  readonly details?: unknown
}

/** What an agent calls a conversation, and the files it keeps of it, oldest first: a new one may follow within a session. */
export interface Conversation {
  readonly id: string
  readonly transcripts: readonly string[]
}

/** Something observed of a session. `event` is null when it meant nothing; `status` is what the session was after it. */
export interface Step {
  readonly at: string
  readonly source: Evidence['source']
  readonly rule: string
  readonly event: Event['type'] | null
  readonly status: Status
}

/**
 * How far an input got, on evidence: it is kept until the agent has nothing to do; it is being typed; the terminal has
 * it; the composer took it; the agent began a turn. `dropped` was never typed; `unknown` may have been.
 */
export type Stage = 'queued' | 'typing' | 'typed' | 'submitted' | 'started' | 'dropped' | 'unknown'
export interface Delivery {
  readonly id: string
  readonly stage: Stage
  readonly at: string
  /** What is to be typed; null once it is. */
  readonly text: string | null
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
  /** The id of an ended run, whose agent's conversation goes on in this one. */
  readonly resume?: string | undefined
  /** What hooks are to do, by their names: their own options, or false to leave one out. */
  readonly hooks?: HookOptions | undefined
  /** What its children may do; never more than its own parent may. */
  readonly limits?: ChildLimits | undefined
}

export type HookOptions = Readonly<Record<string, unknown>>

/** How many generations may follow, and how many live children a session may have. */
export interface ChildLimits {
  readonly depth?: number | undefined
  readonly children?: number | undefined
}

/** What is to be other than in the run that is resumed. */
export type ResumeRequest = { readonly [K in keyof SpawnRequest]?: SpawnRequest[K] | undefined }

/** A terminal's size in characters. */
export interface Size {
  readonly cols: number
  readonly rows: number
}

/** What a session needs, before an agent has said how to run it. */
export interface Launch {
  readonly id: string
  readonly name: string
  /** Empty only when a conversation is resumed. */
  readonly prompt: string
  /** The agent's own id of the conversation to go on with; null begins one. */
  readonly resume: string | null
  readonly model: string | null
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly args: readonly string[]
  readonly size: Size
  /** What the agent is told of itself and its user, in its own channel for that: it outlasts compaction, a cleared conversation and a resume. In order. */
  readonly instructions: readonly Instruction[]
  /** The run that is resumed was given these very instructions; true as well when there were none and are none. */
  readonly areInstructionsKnown: boolean
  /** Files to put into the session's directory, by name; an agent's own come on top. */
  readonly files: Readonly<Record<string, string>>
  /**
   * Names of shell scripts in `files` that the agent runs before each use of a tool, in order: `sh <directory>/<name>` with
   * the agent's own JSON about the tool on standard input. Exit code 2 forbids it, and standard error says why, for the agent to read.
   */
  readonly guards: readonly string[]
}

/** A text under a title. */
export interface Instruction {
  readonly title: string
  readonly text: string
}

/**
 * A program to run in a terminal. `env` is the whole environment; nothing is inherited. In it `INSTAR_SESSION_ID` is the
 * session's id, by which a backend may know what the program has started.
 */
export interface Command {
  readonly argv: readonly [string, ...string[]]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** Files to put into the session's directory before the start, by name. */
  readonly files: Readonly<Record<string, string>>
  readonly size: Size
  /** Report the terminal's title whenever it changes. Default false: most programs say nothing with it, some ten times a second. */
  readonly titles?: boolean
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
  /** Set when the hook waits for an answer: what `Backend.answer` calls it. */
  readonly mailbox?: string
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
  | { readonly type: 'title'; readonly title: string; readonly at: string }
  | { readonly type: 'exited'; readonly exit: Exit }

/** What happened to a session: the only thing that changes one. */
export type Event =
  | { readonly type: 'launched'; readonly evidence: Evidence }
  | { readonly type: 'working'; readonly evidence: Evidence }
  | { readonly type: 'rested'; readonly evidence: Evidence }
  /** With `waiting` a person is needed before another turn can do better. */
  | { readonly type: 'turn_failed'; readonly evidence: Evidence; readonly error: string; readonly waiting?: Waiting }
  | { readonly type: 'asked'; readonly evidence: Evidence; readonly waiting: Waiting; readonly prompt?: OpenPrompt }
  /**
   * A prompt is over, and the agent works on unless it asks something else as well; one that asked before it began goes on
   * to begin. Every other event but `asked` ends all prompts.
   */
  | { readonly type: 'settled'; readonly evidence: Evidence; readonly prompt: string; readonly begins?: boolean }
  | { readonly type: 'completed' | 'failed' | 'killed'; readonly evidence: Evidence; readonly exit: Exit }

/**
 * How to type a text into a program, in order. `visible` waits until the end of what was pasted shows on the screen
 * (bounded; a program that does not echo is not waited for for ever), because an Enter that arrives in one read with a
 * paste is taken for part of it. `pause` is for a program that takes it so for some time after.
 */
export type Keystroke =
  | { readonly type: 'paste'; readonly text: string }
  | { readonly type: 'visible'; readonly text: string }
  | { readonly type: 'pause'; readonly ms: number }
  | { readonly type: 'key'; readonly key: string }
