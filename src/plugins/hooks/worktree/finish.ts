import { InstarError } from '../../../runtime/error.ts'
import type { Finish, Finished, FinishContext, HookPlace } from '../../../runtime/hook.ts'
import { giveTo, ownerMark } from './add.ts'
import { forkPoint, isGone, ownPart, tipOf } from './diff.ts'
import { commitOf, fields, gitAt, itself, problemOf, uncommitted, worktreesOf, type Git } from './git.ts'
import { conflict, merge } from './merge.ts'
import type { Kept } from './worktree.ts'

/** How many of what is there an error names. */
const maxNamed = 100

/** Merges what the session committed into the branch it came from and removes worktree and branch, or leaves both as they are. */
export async function finish(kept: Kept, how: Finish, { place, keep }: FinishContext<Kept>): Promise<Finished> {
  const git = gitAt(place)
  const { branch, target } = kept
  if (await isGone(git, kept)) throw gone(kept, 'its repository is gone')
  if (kept.finished) {
    if (kept.finished.how !== how)
      throw gone(kept, kept.finished.how === 'merge' ? `it was merged into "${target}"` : `"${branch}" was kept`)
    return done(git, kept)
  }
  const own = await ownPart(git, kept.directory)
  if (own !== null && !(await isOurs(git, own, kept))) throw gone(kept, 'a later run goes on in its worktree')
  const head = own === null ? null : await commitOf(git, kept.directory, 'HEAD')
  const tip = await tipOf(git, kept)
  if (tip === null && (how === 'merge' || head === null)) throw gone(kept, `its branch "${branch}" is gone`)
  const to = tip ?? head!
  const from = await forkPoint(git, kept, to)
  if (how === 'keep') {
    const next = { ...kept, finished: { how, commit: null, from, to } } as const
    await keep(next)
    return done(git, next)
  }
  if (target === null) throw conflict(kept, 'it came from a commit, not from a branch: keep it, and merge it with git')
  const unsaved = own === null ? [] : await uncommitted(git, kept.directory)
  if (unsaved.length > 0) throw notSaved(kept, 'merge', `${count(unsaved, 'file')} not committed in its worktree`, unsaved)
  if (head !== null && head !== tip && !(await isWithin(git, kept, head, to)))
    throw notSaved(
      kept,
      'merge',
      `its worktree is not on its branch "${branch}", and has commits that this has not: merge them into that branch, or keep it`,
      [],
    )
  const lost = await inSubmodules(git, kept, own !== null)
  if (lost.length > 0) throw notSaved(kept, 'merge', `${count(lost, 'commit')} of its submodules on no remote`, [], lost)
  const commit = await merge(git, kept, { target, tip: to })
  const next = { ...kept, finished: { how, commit, from, to } } as const
  await keep(next)
  return done(git, next)
}

/** What is left to do once it is kept that it is finished; idempotent. By now, another session may have one of the same names. */
async function done(git: Git, kept: Kept): Promise<Finished> {
  const { how, commit, to } = kept.finished!
  const { branch, directory, repository } = kept
  const own = await ownPart(git, directory)
  const ours = own === null || (await isOurs(git, own, kept))
  if (how === 'keep') {
    if (own !== null && ours) await git.run(repository, [...itself, 'worktree', 'unlock', directory])
    return { how, branch, commit, directory: own === null ? null : directory }
  }
  if (ours) await takeAway(git, kept, { isThere: own !== null, tip: to })
  return { how, branch, commit, directory: null }
}

/** Removes worktree and branch, unless there is work in them that is nowhere else, or they are another run's. */
export async function remove(kept: Kept, place: HookPlace): Promise<void> {
  const git = gitAt(place)
  if (await isGone(git, kept)) return
  if (kept.finished) return void (await done(git, kept))
  const own = await ownPart(git, kept.directory)
  if (own !== null && !(await isOurs(git, own, kept))) return
  const tip = await tipOf(git, kept)
  const files = own === null ? [] : await uncommitted(git, kept.directory)
  const commits = [...(await onlyHere(git, kept, tip, own !== null)), ...(await inSubmodules(git, kept, own !== null))]
  if (files.length > 0 || commits.length > 0) {
    const what = [files.length > 0 ? count(files, 'file') : [], commits.length > 0 ? count(commits, 'commit') : []].flat().join(', and ')
    throw notSaved(kept, 'remove', `${what} nowhere else than in its worktree; finish it with merge or keep first`, files, commits)
  }
  await takeAway(git, kept, { isThere: own !== null, tip })
}

/** Takes back what a launch made that came to nothing. */
export async function undo(kept: Kept, place: HookPlace): Promise<void> {
  const git = gitAt(place)
  if (await isGone(git, kept)) return
  const own = await ownPart(git, kept.directory)
  if (own !== null && !(await isOurs(git, own, kept))) return
  if (kept.before) {
    if (kept.before.isFinished) await git.run(kept.repository, [...itself, 'worktree', 'unlock', kept.directory])
    else await giveTo(git, kept, kept.before.session)
    return
  }
  const listed = (await worktreesOf(git, kept.repository)).find(({ path }) => path === kept.directory)
  if (listed ? listed.branch !== kept.branch || listed.head !== kept.base : (await tipOf(git, kept)) !== kept.base)
    return remove(kept, place)
  // Whatever is there was made by git and the setup: the agent has not begun, or added nothing.
  const files = own === null || kept.prepared === null ? [] : await uncommitted(git, kept.directory)
  if (files.every((path) => kept.prepared?.includes(path)))
    await takeAway(git, kept, { isThere: true, tip: kept.base, force: ['--force', '--force'] })
  else await remove(kept, place)
}

async function isOurs(git: Git, own: string, { session }: Kept): Promise<boolean> {
  const locked = await git.script('[ ! -e "$1" ] || cat "$1"', [`${own}/locked`])
  return locked === '' || locked.trim() === ownerMark(session) || locked.trim() === beingAdded
}

/** What git itself writes for `worktree add --lock`. */
const beingAdded = 'added with --lock'

interface Away {
  /** The worktree is there, and ours. */
  readonly isThere: boolean
  /** Where the branch is known to be. */
  readonly tip: string | null
  /** Without `--force`, git itself looks once more whether everything is committed. */
  readonly force?: readonly string[]
}

async function takeAway(git: Git, kept: Kept, { isThere, tip, force = [] }: Away): Promise<void> {
  const { repository, directory, branch } = kept
  const listed = (await worktreesOf(git, repository)).find(({ path }) => path === directory)
  if (listed && (isThere || listed.branch === branch)) {
    await git.run(repository, [...itself, 'worktree', 'unlock', directory])
    const removed = await git.run(repository, [...itself, 'worktree', 'remove', ...force, directory], { timeoutMs: removeTimeoutMs })
    if (removed.code !== 0) {
      await giveTo(git, kept, kept.session)
      // git never removes one with submodules; that they are clean and pushed is known by now.
      if (!/submodules/.test(removed.stderr)) throw new Error(`git worktree remove: ${problemOf(removed)}`)
      await git.read(repository, [...itself, 'worktree', 'remove', '--force', '--force', directory], { timeoutMs: removeTimeoutMs })
    }
  }
  if (tip !== null) await removeBranch(git, kept, tip)
}

const removeTimeoutMs = 100_000

/** A branch that has gone on since, or that is checked out elsewhere, stays. */
async function removeBranch(git: Git, kept: Kept, tip: string): Promise<void> {
  const { repository, branch } = kept
  if ((await tipOf(git, kept)) !== tip) return
  if ((await worktreesOf(git, repository)).some((each) => each.branch === branch)) return
  await git.read(repository, [...itself, 'update-ref', '-d', `refs/heads/${branch}`, tip])
  await git.run(repository, [...itself, 'config', '--remove-section', `branch.${branch}`])
}

interface Commit {
  readonly commit: string
  readonly subject: string
}

/** Commits of the branch and of the worktree that are on no other branch, tag or branch of a remote, newest first. */
async function onlyHere(git: Git, { repository, directory, branch }: Kept, tip: string | null, isThere: boolean): Promise<Commit[]> {
  const heads = [tip, isThere ? await commitOf(git, directory, 'HEAD') : null].flatMap((each) => each ?? [])
  if (heads.length === 0) return []
  const elsewhere = [`--exclude=${branch}`, '--branches', '--remotes', '--tags']
  const args = ['log', '-z', `--max-count=${maxNamed + 1}`, '--format=%h %s', ...heads, '--not', ...elsewhere]
  return commitsOf(await git.read(repository, [...itself, ...args]))
}

/** Commits of submodules that no remote has: they are kept in the worktree's own part of the repository, and go with it. */
async function inSubmodules(git: Git, { directory }: Kept, isThere: boolean): Promise<Commit[]> {
  return isThere ? commitsOf(await git.script(submoduleCommits, [directory])) : []
}

const submoduleCommits = `
cd "$1" || exit
[ ! -e .gitmodules ] || git submodule --quiet foreach --recursive '
git log -z --max-count=20 --format="%h %s (in the submodule $displaypath)" HEAD --branches --not --remotes'`

const commitsOf = (output: string): Commit[] =>
  fields(output).map((line) => {
    const [commit = '', ...words] = line.split(' ')
    return { commit, subject: words.join(' ').slice(0, 200) }
  })

const isWithin = async (git: Git, { repository }: Kept, commit: string, tip: string): Promise<boolean> =>
  (await git.run(repository, [...itself, 'merge-base', '--is-ancestor', commit, tip])).code === 0

const count = (all: readonly unknown[], what: string): string =>
  `${all.length > maxNamed ? `more than ${maxNamed}` : all.length} ${what}${all.length === 1 ? ' is' : 's are'}`

const notSaved = ({ name }: Kept, verb: string, problem: string, files: readonly string[], commits: readonly Commit[] = []): InstarError =>
  new InstarError('work_unsaved', `Cannot ${verb} session "${name}": ${problem}`, {
    files: files.slice(0, maxNamed),
    commits: commits.slice(0, maxNamed),
  })

const gone = ({ name }: Kept, problem: string): InstarError =>
  new InstarError('no_working_copy', `Cannot finish session "${name}": ${problem}`)
