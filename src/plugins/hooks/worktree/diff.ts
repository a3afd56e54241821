import { InstarError } from '../../../runtime/error.ts'
import type { Diff, DiffFile, HookPlace } from '../../../runtime/hook.ts'
import { commitOf, fields, gitAt, itself, problemOf, type Git } from './git.ts'
import type { Kept } from './worktree.ts'

const maxPatchBytes = 1024 * 1024
const maxFiles = 5000

/** The same whatever a person has configured for themselves. */
const form = ['--no-ext-diff', '--no-textconv', '--find-renames', '--src-prefix=a/', '--dst-prefix=b/', '--submodule=short']

/** A large repository on a slow disk. */
const timeoutMs = 60_000

/** Everything that a session changed, committed or not; when its worktree is gone, what it had committed. */
export async function diff(kept: Kept, place: HookPlace): Promise<Diff> {
  const git = gitAt(place)
  if (await isGone(git, kept)) throw allGone(kept)
  if (kept.finished) return committed(git, kept, kept.finished.from, kept.finished.to)
  const own = await ownPart(git, kept.directory)
  if (own !== null) {
    const head = await commitOf(git, kept.directory, 'HEAD')
    const base = head === null ? kept.base : await forkPoint(git, kept, head)
    return withUntracked(git, kept, own, (env, untracked) =>
      compare(git, kept, { directory: kept.directory, range: [base], env, untracked }),
    )
  }
  const tip = await tipOf(git, kept)
  if (tip === null) throw allGone(kept)
  return committed(git, kept, await forkPoint(git, kept, tip), tip)
}

const allGone = ({ name, branch }: Kept): InstarError =>
  new InstarError('no_working_copy', `Cannot compare session "${name}": its worktree and its branch "${branch}" are gone`)

/** Both were deleted by hand, with the whole repository. */
export const isGone = async (git: Git, { repository, directory }: Kept): Promise<boolean> =>
  (await git.script('[ ! -e "$1" ] && [ ! -e "$2" ] || echo there', [repository, directory])) === ''

/** A worktree's own part of its repository; null when the worktree is not there. */
export async function ownPart(git: Git, directory: string): Promise<string | null> {
  const found = await git.run(directory, ['rev-parse', '--show-toplevel', '--absolute-git-dir'])
  const [top, own] = found.stdout.split('\n')
  if (found.code !== 0) {
    // Such as one that belongs to somebody else, which git does not look into.
    if ((await git.script('[ ! -e "$1/.git" ] || echo there', [directory])) !== '') throw new Error(problemOf(found))
    return null
  }
  // A directory that is left without its link is in the repository around it.
  return top === directory && own ? own : null
}

export const tipOf = (git: Git, { repository, branch }: Kept): Promise<string | null> =>
  commitOf(git, repository, `refs/heads/${branch}`, itself)

/** Where a commit left what it came from: the commit it began at, or a later one of its target that was merged or rebased onto since. */
export async function forkPoint(git: Git, { repository, base, target }: Kept, tip: string): Promise<string> {
  const targets = target === null ? [] : [(await commitOf(git, repository, `refs/heads/${target}`, itself)) ?? []].flat()
  const { code, stdout } = await git.run(repository, [...itself, 'merge-base', tip, base, ...targets])
  return code === 0 ? stdout.split('\n')[0]! : base
}

const committed = (git: Git, kept: Kept, from: string, to: string): Promise<Diff> =>
  compare(git, kept, { directory: null, range: [from, to], env: {}, untracked: new Set() })

/** With a copy of the index in which the files that git does not know of are announced, so that they are compared too. */
async function withUntracked<T>(
  git: Git,
  { directory }: Kept,
  own: string,
  task: (env: Readonly<Record<string, string>>, untracked: ReadonlySet<string>) => Promise<T>,
): Promise<T> {
  const index = `${own}/instar-index-${crypto.randomUUID()}`
  const env = { GIT_INDEX_FILE: index }
  try {
    const listed = fields(await git.read(directory, ['ls-files', '--others', '--exclude-standard', '-z'], { timeoutMs }))
    // Another repository within is not ours to compare.
    const untracked = listed.filter((path) => !path.endsWith('/'))
    // With its time: by that git tells which files may have changed in the second in which it was written.
    await git.script('[ ! -e "$1" ] || cp -p "$1" "$2"', [`${own}/index`, index])
    if (untracked.length > 0) {
      const input = untracked.map((path) => `${path}\0`).join('')
      await git.read(directory, ['add', '--intent-to-add', '--pathspec-from-file=-', '--pathspec-file-nul'], { env, input, timeoutMs })
    }
    return await task(env, new Set(untracked))
  } finally {
    await git.script('rm -f "$1" "$1.lock"', [index])
  }
}

interface Comparison {
  /** Null compares two commits. */
  readonly directory: string | null
  /** One commit, which is compared with the directory, or two. */
  readonly range: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly untracked: ReadonlySet<string>
}

async function compare(git: Git, kept: Kept, { directory, range, env, untracked }: Comparison): Promise<Diff> {
  const where = directory ?? kept.repository
  const args = [...(directory === null ? itself : []), 'diff', ...form]
  const summary = await git.read(where, [...args, '--raw', '--numstat', '-z', ...range], { env, timeoutMs })
  const files = parseSummary(summary, untracked)
  const patch = await git.cut(where, [...args, '--patch', ...range], maxPatchBytes, { env, timeoutMs })
  const sum = (of: (file: DiffFile) => number | null) => files.reduce((total, file) => total + (of(file) ?? 0), 0)
  return {
    base: range[0]!,
    branch: kept.branch,
    directory,
    files: files.slice(0, maxFiles),
    stat: { files: files.length, additions: sum(({ additions }) => additions), deletions: sum(({ deletions }) => deletions) },
    patch: patch.text,
    truncated: patch.truncated || files.length > maxFiles,
    leftOut: kept.leftOut,
  }
}

const statuses: Readonly<Record<string, DiffFile['status']>> = { A: 'added', D: 'deleted', R: 'renamed', C: 'added' }

/** What `git diff --raw --numstat -z` tells. Pure. */
export function parseSummary(output: string, untracked: ReadonlySet<string>): DiffFile[] {
  const all = output.split('\0')
  let at = 0
  const next = () => all[at++] ?? ''
  const known = new Map<string, Pick<DiffFile, 'status' | 'from'>>()
  while (all[at]?.startsWith(':')) {
    const letter = next().split(' ').at(-1)!.charAt(0)
    const first = next()
    const moved = letter === 'R' || letter === 'C' ? next() : null
    const path = moved ?? first
    const status = untracked.has(path) && letter === 'A' ? 'untracked' : (statuses[letter] ?? 'modified')
    known.set(path, letter === 'R' ? { status, from: first } : { status })
  }
  const files: DiffFile[] = []
  while (at < all.length - 1) {
    const [, additions, deletions, name] = /^(\d+|-)\t(\d+|-)\t([\s\S]*)$/.exec(next()) ?? []
    // A renamed file has both names after it.
    if (name === '') next()
    const path = name || next()
    const count = (text = '-') => (text === '-' ? null : Number(text))
    files.push({ path, ...(known.get(path) ?? { status: 'modified' }), additions: count(additions), deletions: count(deletions) })
  }
  return files
}
