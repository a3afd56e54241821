import { InstarError } from '../../../runtime/error.ts'
import { commitOf, fields, itself, problemOf, uncommitted, worktreesOf, type Git } from './git.ts'
import type { Kept } from './worktree.ts'

/** For who has not told git a name; git refuses to make one up. */
const nobody = {
  GIT_AUTHOR_NAME: 'Instar',
  GIT_AUTHOR_EMAIL: 'instar@localhost',
  GIT_COMMITTER_NAME: 'Instar',
  GIT_COMMITTER_EMAIL: 'instar@localhost',
}

const timeoutMs = 100_000

/**
 * Merges a commit into a branch, whether or not that is checked out, and resolves to where the branch is then. The merge
 * is made without a working tree; where the branch is checked out, that follows by a fast-forward, which git does whole or
 * not at all. So whatever refuses, nothing has changed.
 */
export async function merge(git: Git, kept: Kept, { target, tip }: { readonly target: string; readonly tip: string }): Promise<string> {
  const { repository } = kept
  const before = await commitOf(git, repository, `refs/heads/${target}`, itself)
  if (before === null) throw conflict(kept, `the branch "${target}", which it came from, is gone`)
  const checkout = (await worktreesOf(git, repository)).find(({ branch }) => branch === target)
  if (checkout) await refuseDirty(git, kept, target, checkout.path)
  else if ((await git.script(rebased, [repository])).split('\n').includes(`refs/heads/${target}`))
    throw conflict(kept, `"${target}" is being rebased`)
  const commit = await mergedCommit(git, kept, { target, before, tip })
  if (commit === before) return commit
  if (checkout) await follow(git, kept, { target, commit, directory: checkout.path })
  else await git.read(repository, [...itself, 'update-ref', '-m', `merge ${kept.branch}`, `refs/heads/${target}`, commit, before])
  return commit
}

export const conflict = ({ name }: Kept, problem: string, files: readonly string[] = []): InstarError =>
  new InstarError('merge_conflict', `Cannot merge session "${name}": ${problem}`, { files: files.slice(0, 100) })

/** `$1` the repository. Tells the branches that are being rebased, in any of its worktrees: they are checked out nowhere meanwhile. */
const rebased = `
cat "$1"/rebase-*/head-name "$1"/worktrees/*/rebase-*/head-name 2>/dev/null || :`

async function refuseDirty(git: Git, kept: Kept, target: string, directory: string): Promise<void> {
  if ((await git.run(directory, ['rev-parse', '--git-dir'])).code !== 0)
    throw conflict(kept, `"${target}" is checked out in ${directory}, which is not there now`)
  const files = await uncommitted(git, directory, { untracked: false })
  if (files.length > 0) throw conflict(kept, `"${target}" is checked out in ${directory}, where something is not committed`, files)
}

interface Merge {
  readonly target: string
  readonly before: string
  readonly tip: string
}

async function mergedCommit(git: Git, kept: Kept, { target, before, tip }: Merge): Promise<string> {
  const { repository, branch } = kept
  const isWithin = async (one: string, other: string) =>
    (await git.run(repository, [...itself, 'merge-base', '--is-ancestor', one, other])).code === 0
  if (await isWithin(tip, before)) return before
  if (await isWithin(before, tip)) return tip
  const merged = await git.run(repository, [...itself, 'merge-tree', '--write-tree', '-z', '--name-only', '--no-messages', before, tip], {
    timeoutMs,
  })
  if (merged.code > 1)
    throw new Error(/usage:/.test(merged.stderr) ? 'its git is older than 2.38 and merges only in a checkout' : problemOf(merged))
  const [tree = '', ...files] = fields(merged.stdout)
  if (merged.code === 1) throw conflict(kept, `"${target}" has other changes in the same places`, [...new Set(files)])
  const args = [...itself, 'commit-tree', tree, '-p', before, '-p', tip, '-m', `Merge branch '${branch}' into ${target}`]
  const made = await git.run(repository, args)
  if (made.code === 0) return made.stdout.trim()
  if (!/ident|tell me who you are|user\.(?:name|email)/i.test(made.stderr)) throw new Error(problemOf(made))
  return (await git.read(repository, args, { env: nobody })).trim()
}

async function follow(
  git: Git,
  kept: Kept,
  { target, commit, directory }: { readonly target: string; readonly commit: string; readonly directory: string },
): Promise<void> {
  const followed = await git.run(directory, ['merge', '--ff-only', '--quiet', commit], { timeoutMs })
  if (followed.code === 0) return
  const files = followed.stderr.split('\n').flatMap((line) => (line.startsWith('\t') ? [line.slice(1)] : []))
  throw conflict(kept, `"${target}" is checked out in ${directory}, and git says: ${problemOf(followed)}`, files)
}
