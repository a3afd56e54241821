import { InstarError } from '../../../runtime/error.ts'
import type { HookPlace } from '../../../runtime/hook.ts'
import type { Ran, RunOptions } from '../../../runtime/backend.ts'

/** git where sessions run. */
export interface Git {
  /** Runs git in a directory; the exit code is the caller's to judge. */
  run(directory: string, args: readonly string[], options?: RunOptions): Promise<Ran>
  /** What it wrote. Rejects with git's own words when it fails. */
  read(directory: string, args: readonly string[], options?: RunOptions): Promise<string>
  /** The first bytes of what it writes, at most, whole lines of them. */
  cut(directory: string, args: readonly string[], bytes: number, options?: RunOptions): Promise<{ text: string; truncated: boolean }>
  /** Runs a shell script with `words` as `$1`, `$2`, …, in `/`. Rejects with what it said when it fails. */
  script(text: string, words: readonly string[], options?: RunOptions): Promise<string>
}

/**
 * Independent of what a person has configured for themselves: no hooks of the repository (they may ask, or take for ever),
 * no watcher, no colours, English. Never asks for a password.
 */
const always = ['-c', 'core.hooksPath=/dev/null', '-c', 'core.fsmonitor=false', '-c', 'color.ui=false', '-c', 'advice.detachedHead=false']
const quiet = { LC_ALL: 'C', GIT_TERMINAL_PROMPT: '0', GIT_LITERAL_PATHSPECS: '1', GIT_OPTIONAL_LOCKS: '0' }

/** Somebody else's git may hold a lock of the repository for a moment: it is tried again after each of these. */
const lockedAgainMs = [20, 50, 100, 200, 400, 800, 1600]
const isLocked = /\.lock': File exists|could not lock config file .*: File exists/

/** `$1` how many bytes. */
const cutScript = `
bytes=$1
shift
git "$@" | head -c "$bytes"`

export function gitAt(place: HookPlace, signal?: AbortSignal): Git {
  const within = (options: RunOptions = {}): RunOptions => ({
    ...options,
    env: { ...quiet, ...options.env },
    ...(signal ? { signal } : {}),
  })

  async function ask(argv: readonly [string, ...string[]], options?: RunOptions): Promise<Ran> {
    try {
      return await place.run(argv, within(options))
    } catch (error) {
      const isMissing = error instanceof InstarError && error.data['missing'] === true
      throw isMissing ? new Error(`${argv[0]} is not installed there`, { cause: error }) : error
    }
  }

  async function run(directory: string, args: readonly string[], options?: RunOptions): Promise<Ran> {
    for (const waitMs of [...lockedAgainMs, null]) {
      const ran = await ask(['git', ...always, '-C', directory, ...args], options)
      if (waitMs === null || ran.code === 0 || !isLocked.test(ran.stderr)) return ran
      await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
    throw new Error('the last try has returned')
  }

  return {
    run,
    async read(directory, args, options) {
      return outputOf(await run(directory, args, options))
    },
    async cut(directory, args, bytes, options) {
      const words = [String(bytes + 1), ...always, '-C', directory, ...args]
      const ran = await ask(['sh', '-c', cutScript, 'sh', ...words], options)
      const text = outputOf(/^(?:fatal|error): /m.test(ran.stderr) ? { ...ran, code: 1 } : ran)
      const truncated = new TextEncoder().encode(text).length > bytes
      return { text: truncated ? text.slice(0, text.lastIndexOf('\n') + 1) : text, truncated }
    },
    async script(text, words, options) {
      return outputOf(await ask(['sh', '-c', text, 'sh', ...words], options))
    },
  }
}

function outputOf(ran: Ran): string {
  if (ran.code === 0) return ran.stdout
  throw new Error(problemOf(ran))
}

/** Where a repository itself is asked, whichever of its worktrees are there: `git.run(repository, [...itself, …])`. */
export const itself = ['--git-dir', '.']

/** The line in which git says why. */
export function problemOf({ stderr, code }: Ran): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  const line = lines.find((each) => /^(?:fatal|error): /.test(each)) ?? lines.at(-1) ?? `exit code ${code}`
  return line.replace(/^(?:fatal|error): /, '').slice(0, 500)
}

/** The parts of an output with `-z`. */
export const fields = (output: string): string[] => output.split('\0').filter((field) => field !== '')

/** A worktree of a repository; the first of a list is the main one. */
export interface Listed {
  readonly path: string
  readonly head: string | null
  /** Without `refs/heads/`; null when it is on no branch. */
  readonly branch: string | null
}

export async function worktreesOf(git: Git, repository: string): Promise<Listed[]> {
  const output = await git.read(repository, [...itself, 'worktree', 'list', '--porcelain'])
  return output
    .split('\n\n')
    .filter((block) => block.startsWith('worktree '))
    .map((block) => {
      const of = (name: string) =>
        block.split('\n').flatMap((line) => (line.startsWith(`${name} `) ? [line.slice(name.length + 1)] : []))[0]
      return { path: of('worktree')!, head: of('HEAD') ?? null, branch: of('branch')?.replace(/^refs\/heads\//, '') ?? null }
    })
}

/** The commit that a name means; null when it means none. */
export async function commitOf(git: Git, directory: string, name: string, before: readonly string[] = []): Promise<string | null> {
  const { code, stdout } = await git.run(directory, [...before, 'rev-parse', '--verify', '--quiet', `${name}^{commit}`])
  return code === 0 ? stdout.trim() : null
}

/** A large repository on a slow disk. */
const statusTimeoutMs = 60_000

/** The paths of what is not committed: changed, staged, in conflict, and files that git does not know of and is not told to ignore. */
export async function uncommitted(git: Git, directory: string, { untracked = true } = {}): Promise<string[]> {
  const options = [`--untracked-files=${untracked ? 'normal' : 'no'}`, `--ignore-submodules=${untracked ? 'none' : 'all'}`]
  const output = await git.read(directory, ['status', '--porcelain=v1', '-z', ...options], { timeoutMs: statusTimeoutMs })
  const paths: string[] = []
  for (const rest = fields(output); rest.length > 0;) {
    const entry = rest.shift()!
    paths.push(entry.slice(3))
    // A renamed file is followed by what it was called.
    if (/^(?:[RC].|.[RC]) /.test(entry)) rest.shift()
  }
  if (!untracked) return paths
  const hidden = fields(await git.script(unlooked, [directory], { timeoutMs: statusTimeoutMs }))
  return [...new Set([...paths, ...hidden])]
}

/**
 * `$1` the worktree. What was changed in files of which git was told not to look at them (`--skip-worktree`,
 * `--assume-unchanged`), by an index that does not know of that. A sparse checkout has none of them.
 */
const unlooked = `
cd "$1" || exit
git ls-files -v | grep -q '^[a-zS] ' || exit 0
index=$(git rev-parse --absolute-git-dir)/instar-index-$$
trap 'rm -f "$index" "$index.lock"' EXIT
cp -p "$(git rev-parse --git-path index)" "$index" || exit
quietly() { GIT_INDEX_FILE=$index git ${always.join(' ')} "$@"; }
for flag in skip-worktree assume-unchanged; do git ls-files -z | quietly update-index --no-$flag -z --stdin || exit; done
quietly diff --no-ext-diff --name-only --diff-filter=d --ignore-submodules=all -z`
