import { dirname, join, relative, resolve } from 'node:path/posix'
import { InstarError } from '../../../runtime/error.ts'
import { commitOf, fields, itself, problemOf, uncommitted, worktreesOf, type Git } from './git.ts'
import type { Asked, Kept } from './worktree.ts'

/** Below a repository's main worktree, because that is what a container mounts; not in `.instar`, which it does not see. */
export const defaultDirectory = '.worktrees'

/** Of the branches that nobody gave a name. */
const prefix = 'instar/'

/** The repository around a directory. Absolute paths, as git of the place sees them. */
export interface Repository {
  /** The root of the worktree that the directory is in. */
  readonly top: string
  /** The directory below it; empty for the root itself. */
  readonly below: string
  /** What all its worktrees share. */
  readonly common: string
  /** Where the paths of options begin. */
  readonly root: string
}

/** The repository around a directory; refuses what is none that could have worktrees. */
export async function repositoryAt(git: Git, directory: string): Promise<Repository> {
  const found = await git.run(directory, ['rev-parse', '--is-bare-repository', '--is-inside-work-tree', '--show-prefix', '--show-toplevel'])
  const [isBare, isInside, below = '', top] = found.stdout.split('\n')
  if (isBare === 'true') throw new Error(`${directory} is a bare repository: give the directory of a worktree of it as cwd`)
  if (isInside === 'false') throw new Error(`${directory} is the inside of a repository: give the directory of a worktree of it as cwd`)
  if (/not a git repository/.test(found.stderr))
    throw new Error(`${directory} is in no git repository: give a directory of one as cwd, or leave the worktree out`)
  if (found.code !== 0 || !top) throw new Error(problemOf(found))
  const [own, common] = (await git.read(top, ['rev-parse', '--absolute-git-dir', '--git-common-dir'])).split('\n')
  const shared = resolve(top, common!)
  // A worktree within another one would go when that is removed.
  return { top, below: below.replace(/\/$/, ''), common: shared, root: own === shared ? top : dirname(shared) }
}

/** What a session's worktree is made from. */
export interface Base {
  readonly commit: string
  /** The branch it is; null for a commit, a tag or a branch of a remote. */
  readonly branch: string | null
  /** What is there but not in the commit. */
  readonly leftOut: readonly string[]
}

export async function baseOf(git: Git, { top }: Repository, asked: Asked, name: string): Promise<Base> {
  const given = asked.base ?? 'HEAD'
  const commit = await commitOf(git, top, given)
  if (commit === null) {
    const { code } = await git.run(top, ['rev-parse', '--verify', '--quiet', 'HEAD'])
    if (asked.base === undefined || code !== 0) throw new Error('its repository has no commits: make the first one')
    throw wrong(name, 'base', `"${asked.base}" is no branch, tag or commit of the repository`)
  }
  const full = (await git.run(top, ['rev-parse', '--symbolic-full-name', given])).stdout.trim()
  const branch = full.startsWith('refs/heads/') ? full.slice('refs/heads/'.length) : null
  const leftOut = asked.base === undefined ? await uncommitted(git, top) : []
  return { commit, branch, leftOut: leftOut.slice(0, 100) }
}

export const wrong = (name: string, option: string, problem: string): InstarError =>
  new InstarError('invalid_request', `Cannot spawn session "${name}": hooks.worktree.${option} ${problem}`, {
    field: `hooks.worktree.${option}`,
  })

/** `$1` the directory for worktrees, `$2` whether it is to hide itself from git: `new`, `always` or `never`. Tells its real path. */
const makeParent = `
hide=$2
[ -d "$1" ] || { mkdir -p "$1" || exit 1; [ "$hide" != new ] || hide=always; }
[ "$hide" != always ] || [ -e "$1/.gitignore" ] || git -C "$1" check-ignore -q "$1/x" || printf '*\\n' >"$1/.gitignore" || exit 1
cd "$1" && pwd -P`

/** The directory in which worktrees are made; made when it is missing. */
export async function parentOf(git: Git, { top, root }: Repository, directory: string): Promise<string> {
  const parent = resolve(root, directory)
  const isAmong = isWithin(top, parent) || isWithin(root, parent)
  const hide = directory === defaultDirectory ? 'always' : isAmong ? 'new' : 'never'
  return (await git.script(makeParent, [parent, hide])).trim()
}

/** A branch and a directory that are not taken. */
export async function freeNames(
  git: Git,
  { top, common }: Repository,
  { parent, branch }: { readonly parent: string; readonly branch: string | undefined },
  name: string,
): Promise<{ readonly branch: string; readonly directory: string }> {
  const [branches, worktrees, present] = await Promise.all([
    git.read(top, ['for-each-ref', '--format=%(refname:lstrip=2)', 'refs/heads']),
    worktreesOf(git, common),
    git.script('ls -1a "$1" 2>/dev/null || :', [parent]),
  ])
  const taken = new Set([...worktrees.map(({ path }) => path), ...present.split('\n').map((each) => join(parent, each))])
  const known = new Set(branches.split('\n'))
  if (branch !== undefined) {
    await refuseBranch(git, top, branch, name)
    const elsewhere = worktrees.find((each) => each.branch === branch)
    if (elsewhere) throw wrong(name, 'branch', `"${branch}" is checked out in ${elsewhere.path}; take another name`)
    if (known.has(branch)) throw wrong(name, 'branch', `"${branch}" exists already; take another name, or give it as base`)
  }
  // A branch "instar" leaves no room for one "instar/…".
  const own = known.has('instar') ? 'instar-' : prefix
  for (let n = 1; ; n++) {
    const suffix = n === 1 ? name : `${name}-${n}`
    const names = { branch: branch ?? own + suffix, directory: join(parent, suffix) }
    if (!taken.has(names.directory) && !(branch === undefined && known.has(names.branch))) return names
  }
}

async function refuseBranch(git: Git, top: string, branch: string, name: string): Promise<void> {
  const { code } = await git.run(top, ['check-ref-format', `refs/heads/${branch}`])
  if (code !== 0 || branch === 'HEAD') throw wrong(name, 'branch', `"${branch}" cannot be the name of a branch`)
}

/** `$1` the worktree, `$2` its link to the repository. */
const relink = `printf 'gitdir: %s\\n' "$2" >"$1/.git"`

/** Adds the worktree that is kept. Resolves to its own part of the repository; null when somebody was quicker with one of the names. */
export async function addWorktree(git: Git, kept: Kept, top: string): Promise<string | null> {
  const { directory, branch, base, session } = kept
  const added = await git.run(top, ['worktree', 'add', '--lock', '--quiet', '--no-track', '-b', branch, directory, base], {
    timeoutMs: addTimeoutMs,
  })
  if (added.code !== 0) {
    if (/already exists|is already checked out|already used by worktree/.test(added.stderr)) return null
    throw new Error(`git worktree add: ${problemOf(added)}`)
  }
  // Nobody prunes it because it is out of sight for a moment, such as on a volume or in a container with other paths.
  await giveTo(git, kept, session)
  const own = (await git.read(directory, ['rev-parse', '--absolute-git-dir'])).trim()
  // Relative, so that it holds in a container too, where paths may be others.
  await git.script(relink, [directory, relative(directory, own)])
  return own
}

/** A large checkout on a slow disk. */
const addTimeoutMs = 100_000

/** Locks a worktree in the name of a session, instead of whose it was. */
export async function giveTo(git: Git, { repository, directory }: Kept, session: string): Promise<void> {
  await git.run(repository, [...itself, 'worktree', 'unlock', directory])
  await git.read(repository, [...itself, 'worktree', 'lock', '--reason', ownerMark(session), directory])
}

/** Why a worktree is locked: it tells whose it is. */
export const ownerMark = (session: string): string => `session ${session} of Instar`

/** `$1` from, `$2` to, files on standard input: copies what is not there yet, and nothing through a symbolic link out of `$2`. */
const copyFiles = `
xargs -0 sh -c '
from=$1 to=$2
shift 2
for path; do
  path=\${path%/}
  case $path in */*) parent=\${path%/*} ;; *) parent=. ;; esac
  up=$to rest=$parent/
  while [ -n "$rest" ]; do
    up=$up/\${rest%%/*} rest=\${rest#*/}
    [ ! -L "$up" ] || continue 2
  done
  mkdir -p "$to/$parent" || exit 1
  [ -e "$to/$path" ] || [ -L "$to/$path" ] || cp -pPR "$from/$path" "$to/$path" || exit 1
done' sh "$1" "$2"`

const maxIncluded = 10_000

/** What agents keep for one person, which git ignores, and without which they are not the same. */
const ownSettings = ['/.claude/settings.local.json', '/CLAUDE.local.md']

const listScript = `
cd "$1" || exit
shift
[ ! -f .worktreeinclude ] || set -- "$@" --exclude-from=.worktreeinclude
git ls-files --others --ignored -z "$@"`

/** Copies what git ignores and `.worktreeinclude` of the place it comes from lists. */
export async function include(git: Git, top: string, directory: string): Promise<void> {
  const never = [join(top, '.instar'), dirname(directory)]
  const isMeant = (path: string) => !never.some((each) => isWithin(each, join(top, path)) || isWithin(resolve(top, path), each))
  const list = async (...options: string[]) => {
    const words = [top, ...options, ...ownSettings.map((pattern) => `--exclude=${pattern}`)]
    const paths = fields(await git.script(listScript, words)).filter(isMeant)
    const input = paths.map((path) => `${path}\0`).join('')
    if (paths.length === 0) return []
    // It takes no literal paths, and calls it a failure when nothing is ignored.
    const ignored = await git.run(top, ['check-ignore', '-z', '--stdin'], { input, env: { GIT_LITERAL_PATHSPECS: '0' } })
    if (ignored.code > 1) throw new Error(problemOf(ignored))
    return fields(ignored.stdout)
  }
  const whole = (await list('--directory')).filter((path) => path.endsWith('/'))
  const single = (await list()).filter((path) => !whole.some((each) => path.startsWith(each)))
  const paths = [...whole, ...single]
  if (paths.length > maxIncluded) throw new Error(`.worktreeinclude lists ${paths.length} files, and ${maxIncluded} is the limit`)
  if (paths.length === 0) return
  await git.script(copyFiles, [top, directory], { input: paths.map((path) => `${path}\0`).join(''), timeoutMs: addTimeoutMs })
}

const isWithin = (root: string, path: string): boolean => path === root || path.startsWith(`${root}/`)
