import { join } from 'node:path/posix'
import * as v from 'valibot'
import { InstarError } from '../../../runtime/error.ts'
import { defineHook, type Hook, type HookContext, type HookPlace } from '../../../runtime/hook.ts'
import { createLock } from '../../../runtime/lock.ts'
import type { Instruction, Launch } from '../../../runtime/types.ts'
import { addWorktree, baseOf, defaultDirectory, freeNames, giveTo, include, parentOf, repositoryAt } from './add.ts'
import { diff, ownPart } from './diff.ts'
import { finish, remove, undo } from './finish.ts'
import { gitAt, uncommitted } from './git.ts'
import { setUp } from './setup.ts'

export interface WorktreeOptions {
  /** Every session in a repository gets a worktree, not only those that ask. Default false. */
  readonly always?: boolean
  /** Where worktrees are made; a relative one begins at the repository. Default `.worktrees`, which hides itself from git. */
  readonly directory?: string
  /** A shell command to run in each before its session begins, such as `npm ci`. */
  readonly setup?: string
  /** How long that may take, in seconds. Default 300. */
  readonly setupTimeout?: number
}

/** What a spawn may say. */
export interface Asked {
  readonly branch?: string | undefined
  readonly base?: string | undefined
  readonly setup?: string | undefined
}

/** Paths are those of git, which may be others than the session sees. */
export interface Kept {
  /** Whose it is, and that session's name. */
  readonly session: string
  readonly name: string
  /** The directory that all worktrees of the repository share. */
  readonly repository: string
  readonly directory: string
  /** What was not committed when the agent might begin, such as what the setup made; null until then. */
  readonly prepared: readonly string[] | null
  readonly branch: string
  /** The commit it began at. */
  readonly base: string
  /** The branch it came from, which it can be merged into; null when there is none. */
  readonly target: string | null
  readonly leftOut: readonly string[]
  /** The run before, when this one goes on in its worktree, and whether that was finished. */
  readonly before: { readonly session: string; readonly isFinished: boolean } | null
  readonly finished: FinishedCopy | null
}

export interface FinishedCopy {
  readonly how: 'merge' | 'keep'
  /** What a merge made of the target; null for `keep`. */
  readonly commit: string | null
  /** What it changed is between these two. */
  readonly from: string
  readonly to: string
}

const ref = v.pipe(
  v.string('it must be a string'),
  v.regex(/^[^-]/, 'it must not be empty or begin with a hyphen'),
  v.maxLength(200, 'it must have at most 200 characters'),
  v.regex(/^[^\s\x00-\x1f\x7f]*$/, 'it must not hold blanks or control characters'),
)
const asked = v.pipe(
  v.unknown(),
  v.transform((given) => (given === true ? {} : given)),
  v.strictObject(
    {
      branch: v.optional(ref),
      base: v.optional(ref),
      setup: v.optional(
        v.pipe(
          v.string('it must be a string'),
          v.maxLength(10_000, 'it must have at most 10000 characters'),
          v.regex(/^[^\0]*$/, 'it must not hold a NUL character'),
        ),
      ),
    },
    'it must be true or an object with branch, base and setup, and nothing else',
  ),
)

/** Besides the setup: a large checkout, and waiting for others in the same repository. */
const spareMs = 120_000

/** Gives a session a git worktree and a branch of its own. Never removes one with work that is nowhere else. */
export function worktree({ always = false, directory = defaultDirectory, setup, setupTimeout = 300 }: WorktreeOptions = {}): Hook<
  Asked,
  Kept
> {
  /** Several at a time in one repository would meet each other's locks. */
  const alone = createLock()
  const inTurn = <T>(place: HookPlace, repository: string, task: () => Promise<T>) => alone(`${place.backend}\0${repository}`, task)

  async function make(asked: Asked, launch: Launch, context: HookContext<Asked, Kept>): Promise<Launch> {
    const { place, session, keep, redact, signal } = context
    const git = gitAt(place, signal)
    const repository = await repositoryAt(git, place.project)
    const base = await baseOf(git, repository, asked, session.name)
    const parent = await parentOf(git, repository, directory)
    const { kept, own } = await inTurn(place, repository.common, async () => {
      for (let tries = 1; ; tries++) {
        const names = await freeNames(git, repository, { parent, branch: asked.branch }, session.name)
        const { commit, branch: target, leftOut } = base
        const { id, name } = session
        const { common } = repository
        const kept = {
          session: id,
          name,
          repository: common,
          ...names,
          prepared: null,
          base: commit,
          target,
          leftOut,
          before: null,
          finished: null,
        }
        await keep(kept)
        const own = await addWorktree(git, kept, repository.top)
        if (own !== null) return { kept, own }
        if (tries === 5) throw new Error(`the branch "${kept.branch}" is taken again and again`)
      }
    })
    const cwd = seenFrom(launch.cwd, place.project, join(kept.directory, repository.below))
    if (repository.below !== '') await git.script('mkdir -p "$1"', [join(kept.directory, repository.below)])
    await include(git, repository.top, kept.directory)
    const command = asked.setup ?? setup
    const failed =
      command === undefined
        ? null
        : await setUp(place, { own, directory: kept.directory, command, timeoutMs: setupTimeout * 1000, env: launch.env, signal })
    if (failed)
      throw new InstarError('hook_failed', `Cannot spawn session "${session.name}": the setup of its worktree ${failed.problem}`, {
        // After it is redacted: what is cut off must not be the half of a secret.
        output: redact(failed.output).slice(-maxOutput),
      })
    await keep({ ...kept, prepared: (await uncommitted(git, kept.directory)).slice(0, maxPrepared) })
    return { ...launch, cwd, instructions: [...launch.instructions, instruction(kept)] }
  }

  return defineHook<Asked, Kept>({
    name: 'worktree',
    options: asked,
    timeoutMs: setupTimeout * 1000 + spareMs,
    passOn: ({ branch: _branch, base: _base, ...rest }) => rest,
    async launch(launch, next, context) {
      const { options, before } = context
      if (before) return next(await goOn(before, launch, context))
      if (!options && !always) return next(launch)
      return next(await make(options ?? {}, launch, context))
    },
    undo: (kept, place) => inTurn(place, kept.repository, () => undo(kept, place)),
    copy: {
      diff: (kept, place) => translated('compare', kept, () => diff(kept, place)),
      finish: (kept, how, context) =>
        translated('finish', kept, () => inTurn(context.place, kept.repository, () => finish(kept, how, context))),
      remove: (kept, place) => translated('remove', kept, () => inTurn(place, kept.repository, () => remove(kept, place))),
    },
  })
}

/** Of what a setup wrote; errors show no more of a text. */
const maxOutput = 2000

/** More than that is not looked through. */
const maxPrepared = 200

/** git's own words as an error of ours. */
async function translated<T>(verb: string, { name }: Kept, task: () => Promise<T>): Promise<T> {
  try {
    return await task()
  } catch (error) {
    if (error instanceof InstarError) throw error
    throw new InstarError('backend_failed', `Cannot ${verb} session "${name}": ${(error as Error).message}`, {}, error)
  }
}

/** A run goes on in the worktree of the one before. */
async function goOn(before: Kept, launch: Launch, { place, session, keep, signal }: HookContext<Asked, Kept>): Promise<Launch> {
  const git = gitAt(place, signal)
  const own = before.finished?.how === 'merge' ? null : await ownPart(git, before.directory)
  if (own === null) throw new Error(`the worktree of the run before, ${before.directory}, is gone: spawn a new session`)
  const kept = {
    ...before,
    session: session.id,
    name: session.name,
    before: { session: before.session, isFinished: before.finished !== null },
    finished: null,
  }
  await keep(kept)
  await giveTo(git, kept, kept.session)
  return { ...launch, instructions: [...launch.instructions, instruction(kept)] }
}

const maxTold = 20

function instruction({ branch, base, target, leftOut }: Kept): Instruction {
  const more = leftOut.length > maxTold ? ', and more' : ''
  const missing =
    leftOut.length === 0 ? '' : ` Not in it, because it was not committed there: ${leftOut.slice(0, maxTold).join(', ')}${more}.`
  const text = `Your working directory is in a git worktree of your own, on the branch ${branch}, which began at ${target ?? base}. Commit your work on this branch.${missing}`
  return { title: 'Worktree', text }
}

/** A directory as the session sees it, by how it sees the project. Pure. */
export function seenFrom(cwd: string, project: string, directory: string): string {
  const seen = cwd.split('/')
  const real = project.split('/')
  while (seen.length > 1 && real.length > 1 && seen.at(-1) === real.at(-1)) {
    seen.pop()
    real.pop()
  }
  const root = real.join('/')
  if (directory.startsWith(`${root}/`)) return seen.join('/') + directory.slice(root.length)
  throw new Error(`its worktree would be in ${directory}, which the session does not see: give the root of the repository as cwd`)
}
