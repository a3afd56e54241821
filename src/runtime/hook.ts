import type { ContextFiles } from './agent.ts'
import type { Found, Ran, ReadOptions, RunOptions } from './backend.ts'
import type { Handle, Launch, Session } from './types.ts'

/**
 * Wraps the launch of a session: changes what it is launched with, makes what it needs, or refuses it by throwing.
 *
 *   export const motto = (text: string) =>
 *     defineHook({
 *       name: 'motto',
 *       launch: (launch, next) => next({ ...launch, instructions: [...launch.instructions, { title: 'Motto', text }] }),
 *     })
 *
 * Hooks are folded once into an onion, in the order of the config: the first sees the launch first and its outcome last.
 */
export interface Hook<Options = any, Kept = any> {
  readonly name: string
  /** What a spawn may say in `hooks: {<name>: …}`. Without it nothing but `false`. valibot's schemas are such, and those of others. */
  readonly options?: Schema<Options>
  /** It keeps others from harm: a session cannot change its options for its own children, only a person can. Default false. */
  readonly isProtective?: boolean
  /** What a child gets of what was said of its parent. Default: all of it. */
  passOn?(options: Options): Options
  /** How long it may take by itself. Default two minutes. */
  readonly timeoutMs?: number
  /** Calls `next` once, and resolves to what that resolves to. What it throws refuses the launch, with the hook's name. */
  launch(launch: Launch, next: Next, context: HookContext<Options, Kept>): Promise<Handle>
  /** Takes back what was made, when a later step failed or the server was killed before the session began. Idempotent. */
  undo?(kept: Kept, place: HookPlace): Promise<void>
  /** For a hook that gives a session a working copy of its own. */
  readonly copy?: WorkingCopy<Kept>
}

export type Next = (launch: Launch) => Promise<Handle>

export interface HookContext<Options = unknown, Kept = unknown> {
  /** What the spawn says, checked; undefined when it says nothing. */
  readonly options: Options | undefined
  /** What it kept of the run that this one goes on with; undefined when there is none. */
  readonly before: Kept | undefined
  /** The session as it was accepted. */
  readonly session: Session
  readonly place: HookPlace
  /** The server's own project, on its own machine. */
  readonly directory: string
  /** What the agent reads of the project by itself; see `Agent.context`. */
  readonly reads: ContextFiles
  /** See `Agent.runsGuards`. */
  readonly runsGuards: boolean
  /** A text without the values of secrets that the launch or the server know of. What a hook throws is redacted anyhow. */
  redact(text: string): string
  /** Keeps a JSON with the session, instead of the one before; resolves when it is safe. Keep before making, so that it can be unmade after a crash. */
  keep(value: Kept): Promise<void>
  /** Aborted when the hook has taken too long. */
  readonly signal: AbortSignal
}

/** Where the session is to run. */
export interface HookPlace {
  /** The name of its backend in the config. */
  readonly backend: string
  /** Whether `run` and `project` are on the server's own machine. */
  readonly isHere: boolean
  /** Where the project is to be, as `run` sees it; see `Backend.project`. */
  readonly project: string
  /** Whether the backend runs anything outside of sessions. */
  readonly canRun: boolean
  /** Runs a program there, without `cwd` in `/`. Rejects when the backend cannot. */
  run(argv: readonly [string, ...string[]], options?: RunOptions): Promise<Ran>
  /** Text files there, which takes no program; see `Backend.read`. Null also when the backend reads none. */
  read(directory: string, names: readonly string[], options: ReadOptions): Promise<readonly Found[] | null>
}

/** What a session changed in its working copy, and what becomes of that. */
export interface WorkingCopy<Kept = unknown> {
  diff(kept: Kept, place: HookPlace): Promise<Diff>
  /** Ends the working copy of an ended session: `merge` brings its changes into the branch it came from, `keep` leaves them where they are. Refuses, and changes nothing, when that would lose something. */
  finish(kept: Kept, how: Finish, context: FinishContext<Kept>): Promise<Finished>
  /** Removes what is left when the session's record is removed. `work_unsaved` when there is work that is nowhere else. */
  remove(kept: Kept, place: HookPlace): Promise<void>
}

export interface FinishContext<Kept = unknown> {
  readonly place: HookPlace
  /** As for a launch. What is kept before something is removed makes a second `finish` go on after a crash, or give the same answer. */
  keep(value: Kept): Promise<void>
}

export interface Diff {
  /** What it is compared with, such as a commit. */
  readonly base: string
  readonly branch: string
  /** The working copy's directory; null when it is finished. */
  readonly directory: string | null
  readonly files: readonly DiffFile[]
  readonly stat: { readonly files: number; readonly additions: number; readonly deletions: number }
  /** A unified diff. */
  readonly patch: string
  /** The patch or the list of files is cut off; `stat` counts everything. */
  readonly truncated: boolean
  /** What was not committed where it came from when it was made, and which it therefore has not. */
  readonly leftOut: readonly string[]
}
export interface DiffFile {
  readonly path: string
  /** What a renamed file was called. */
  readonly from?: string
  readonly status: 'added' | 'modified' | 'deleted' | 'renamed' | 'untracked'
  /** Null for a binary file. */
  readonly additions: number | null
  readonly deletions: number | null
}

export type Finish = 'merge' | 'keep'
export interface Finished {
  readonly how: Finish
  readonly branch: string
  /** The commit that the branch it was merged into is at; null for `keep`. */
  readonly commit: string | null
  /** Where it is; null when it is removed. */
  readonly directory: string | null
}

/** The part of a Standard Schema (standardschema.dev) that is needed here. */
export interface Schema<Output> {
  readonly '~standard': {
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined
  }
}
type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[] }

/** Checks the types of a hook, and gives it back. */
export const defineHook = <Options = never, Kept = never>(hook: Hook<Options, Kept>): Hook<Options, Kept> => hook
