import type { ContextFiles } from './agent.ts'
import type { Backend } from './backend.ts'
import { deferred } from './deferred.ts'
import { InstarError } from './error.ts'
import type { Hook, HookContext, HookPlace, Next, WorkingCopy } from './hook.ts'
import { problemOfLaunch } from './launch-check.ts'
import { redactor, type Redactor } from './redact.ts'
import type { Handle, HookOptions, HookRecord, Launch, Session, SessionRecord } from './types.ts'

/**
 * The hooks around a launch, folded once:
 *
 *   outermost ─ launch ▸ next ─ … ─ innermost ─ launch ▸ start ─▶ Handle
 *
 * When one throws, or a later step does, the launch has failed; whoever asked for it ends the program, and then has `undo` undo what each had kept,
 * innermost first. An error of a hook's own names it; an error from further in passes through as it is.
 */
export interface Hooks {
  /** What each hook is told of a spawn; `invalid_request` names the option that is wrong. Hooks that are left out are not in it. */
  check(options: HookOptions): Promise<readonly Chosen[]>
  /** What a child gets of what was said of its parent. */
  passOn(options: HookOptions): HookOptions
  launch(chosen: readonly Chosen[], launching: Launching): Promise<Handle>
  /** Undoes what is kept of a launch that came to nothing. Resolves to what cannot be undone now, which the log tells of. */
  undo(record: SessionRecord, redact?: Redactor): Promise<readonly HookRecord[]>
  /** The session's own working copy; null when it has none. */
  copyOf(record: SessionRecord): Copy | null
}

export interface Chosen {
  readonly hook: Hook
  readonly options: unknown
}

export interface Launching {
  readonly launch: Launch
  readonly session: Session
  /** What hooks did for the run that this one goes on with. */
  readonly before: readonly HookRecord[]
  readonly reads: ContextFiles
  readonly runsGuards: boolean
  readonly redact: Redactor
  /** Notes what became of a hook; resolves when that is safe. */
  note(record: HookRecord): Promise<void>
  start(launch: Launch): Promise<Handle>
}

export interface Copy {
  readonly hook: string
  readonly copy: WorkingCopy
  readonly kept: unknown
  readonly place: HookPlace
}

export interface HooksOptions {
  readonly hooks: readonly Hook[]
  readonly backends: Readonly<Record<string, Backend>>
  /** See `HookContext.directory`. */
  readonly directory: string
  /** The server's own, whose secrets are shown to nobody. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly log: (message: string, data?: Record<string, unknown>) => void
  /** How long a hook may take by itself. */
  readonly timeoutMs?: number
}

/** A project may have to be carried, or a worktree set up. */
const defaultTimeoutMs = 120_000

export function createHooks({ hooks, backends, directory, environment, log, timeoutMs = defaultTimeoutMs }: HooksOptions): Hooks {
  const twice = hooks.find(({ name }, index) => hooks.findIndex((other) => other.name === name) !== index)
  if (twice) throw new RangeError(`two hooks are named "${twice.name}"`)

  function placeOf({ id, cwd, backend: name }: Session): HookPlace {
    const backend = backends[name]
    return {
      backend: name,
      isHere: backend?.isHere === true,
      project: backend?.project?.(id, cwd) ?? cwd,
      canRun: backend?.run !== undefined,
      async run(argv, options) {
        if (backend?.run) return backend.run(argv, options)
        throw new Error(`the backend "${name}" runs nothing outside of sessions`)
      },
      read: async (directory, names, options) => (await backend?.read?.(directory, names, options)) ?? null,
    }
  }

  async function fold([chosen, ...rest]: readonly Chosen[], { launch, ...around }: Launching): Promise<Handle> {
    if (!chosen) return around.start(launch)
    const { hook, options } = chosen
    const limitMs = hook.timeoutMs ?? timeoutMs
    const clock = createClock(limitMs, `it did not get on within ${limitMs / 1000} s`)
    let kept: unknown = null
    let isOver = false
    const began: { inner: Promise<Handle> | null } = { inner: null }
    /** A hook that is over, or has taken too long, does nothing more to its session. */
    const refuse = () => {
      clock.signal.throwIfAborted()
      if (isOver) throw new Error('it is over')
    }
    const next: Next = (changed) => {
      refuse()
      if (began.inner) throw new Error('it called next() twice')
      const problem = problemOfLaunch(changed)
      if (problem !== null) throw new Error(problem)
      clock.stop()
      around.redact.learn(changed.env)
      const inner = fold(rest, { ...around, launch: changed }).finally(() => isOver || clock.go())
      inner.catch(() => {})
      began.inner = inner
      return inner
    }
    const context: HookContext = {
      options,
      before: around.before.find(({ name }) => name === hook.name)?.kept ?? undefined,
      session: around.session,
      place: placeOf(around.session),
      directory,
      reads: around.reads,
      runsGuards: around.runsGuards,
      redact: around.redact,
      signal: clock.signal,
      async keep(value) {
        refuse()
        kept = value
        await around.note({ name: hook.name, ms: null, kept: value })
      },
    }
    let running: Promise<unknown> | null = null
    try {
      clock.go()
      running = Promise.resolve(hook.launch(launch, async (changed) => next(changed), context))
      const handle = await Promise.race([running, clock.over])
      isOver = true
      const made = await began.inner
      if (made === null || handle !== made) throw new Error('it did not resolve to what next() gave it')
      clock.stop()
      // What it keeps is safe already; how long it took is written with what comes next.
      around.note({ name: hook.name, ms: clock.spentMs(), kept }).catch(() => {})
      return made
    } catch (error) {
      isOver = true
      clock.stop()
      const passed = await failureOf(began.inner)
      // It may still be making what it had announced.
      if (clock.signal.aborted && running) void running.catch(() => {}).then(() => tryUndo(hook, kept, around))
      throw passed && passed.error === error ? error : ownError(hook.name, error, around)
    }
  }

  async function tryUndo(
    hook: Hook | undefined,
    kept: unknown,
    { session, redact }: Pick<Launching, 'session' | 'redact'>,
  ): Promise<boolean> {
    if (kept === null || !hook?.undo) return true
    const clock = createClock(hook.timeoutMs ?? timeoutMs, 'it takes too long')
    try {
      clock.go()
      await Promise.race([hook.undo(kept, placeOf(session)), clock.over])
      return true
    } catch (error) {
      log('a hook could not undo what it made', { hook: hook.name, id: session.id, error: redact(String(error)) })
      return false
    } finally {
      clock.stop()
    }
  }

  const hookOf = (name: string) => hooks.find((hook) => hook.name === name)

  return {
    async check(options) {
      const unknown = Object.keys(options).find((name) => !hookOf(name))
      if (unknown !== undefined) {
        const known = hooks.length === 0 ? 'there are none' : `there is ${hooks.map(({ name }) => name).join(', ')}`
        throw wrongOption(unknown, `is not the name of a hook; ${known}`)
      }
      const chosen = await Promise.all(
        hooks.map((hook) => choose(hook, Object.hasOwn(options, hook.name) ? options[hook.name] : undefined)),
      )
      return chosen.flatMap((each) => each ?? [])
    },
    passOn: (options) =>
      Object.fromEntries(
        Object.entries(options).map(([name, said]) => [name, said === false ? said : (hookOf(name)?.passOn?.(said) ?? said)]),
      ),
    launch: (chosen, launching) => fold(chosen, launching),
    async undo({ session, hooks: records }, redact = redactor(environment)) {
      const place = ({ name }: HookRecord) => hooks.findIndex((hook) => hook.name === name)
      const left: HookRecord[] = []
      for (const record of records.toSorted((a, b) => place(b) - place(a)))
        if (!(await tryUndo(hookOf(record.name), record.kept, { session, redact }))) left.unshift(record)
      return left
    },
    copyOf({ session, hooks: records }) {
      for (const { name, kept } of records) {
        const copy = hookOf(name)?.copy
        if (copy && kept !== null) return { hook: name, copy, kept, place: placeOf(session) }
      }
      return null
    },
  }
}

/** Null when it is left out. */
async function choose(hook: Hook, given: unknown): Promise<Chosen | null> {
  if (given === false) return null
  if (given === undefined) return { hook, options: undefined }
  if (!hook.options) throw wrongOption(hook.name, 'takes no options, only false')
  const result = await hook.options['~standard'].validate(given)
  if (!result.issues) return { hook, options: result.value }
  const [issue] = result.issues
  const path = (issue?.path ?? []).map((each) => String(typeof each === 'object' && each !== null && 'key' in each ? each.key : each))
  throw wrongOption([hook.name, ...path].join('.'), `is wrong: ${issue?.message ?? 'it is not what the hook takes'}`)
}

const wrongOption = (path: string, problem: string): InstarError => {
  const field = `hooks.${path}`.slice(0, 100)
  return new InstarError('invalid_request', `Cannot spawn a session: ${field} ${problem}`, { field })
}

/** How a promise failed; null when it did not. */
async function failureOf(promise: Promise<unknown> | null): Promise<{ readonly error: unknown } | null> {
  try {
    await promise
    return null
  } catch (error) {
    return { error }
  }
}

/** More of what a hook says is not shown, such as the whole output of a program. */
const maxProblem = 2000

/** An error with a code keeps it: a hook may say more exactly what is wrong. Nothing of it shows a secret. */
function ownError(hook: string, error: unknown, { session, redact }: Pick<Launching, 'session' | 'redact'>): InstarError {
  const show = (text: string) => redact(text.slice(0, 10 * maxProblem)).slice(0, maxProblem)
  const { cause: inside } = error instanceof Error ? error : {}
  const cause = new Error(show(inside instanceof Error ? inside.message : String(error)))
  if (error instanceof InstarError) {
    const data = Object.entries(error.data).map(([name, value]) => [name, typeof value === 'string' ? show(value) : value])
    return new InstarError(error.code, show(error.message), { ...Object.fromEntries(data), hook }, cause)
  }
  const problem = show(error instanceof Error ? error.message : String(error))
  return new InstarError('hook_failed', `Cannot spawn session "${session.name}": its hook "${hook}" failed: ${problem}`, { hook }, cause)
}

interface Clock {
  readonly signal: AbortSignal
  /** Rejects when the time is over. */
  readonly over: Promise<never>
  go(): void
  stop(): void
  spentMs(): number
}

/** Counts the time between `go` and `stop`. */
function createClock(limitMs: number, problem: string): Clock {
  const controller = new AbortController()
  const over = deferred<never>()
  let spent = 0
  let began: number | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  const stop = () => {
    clearTimeout(timer)
    if (began !== null) spent += performance.now() - began
    began = null
  }
  return {
    signal: controller.signal,
    over: over.promise,
    stop,
    go() {
      stop()
      began = performance.now()
      timer = setTimeout(() => {
        const error = new Error(problem)
        controller.abort(error)
        over.reject(error)
      }, limitMs - spent)
    },
    spentMs: () => Math.round(spent * 10) / 10,
  }
}
