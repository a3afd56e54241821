import { fileRules } from './rules-files.ts'
import { programRules } from './rules-programs.ts'

/**
 * What the guard forbids, as data. A command is judged as it would be run: without quotes, with its variables filled in,
 * without what runs it (sudo, env, xargs, sh -c and the like), as one line: the program's name, its words, and what is
 * known of them (facts). A blank inside of a word is `_`.
 *
 *   sudo rm -rf "$PWD/.."   rm -rf /srv/app/.. @project
 *   git push -f             git push -f @protected @forced
 *
 * Facts of words: `@root` (the system's directories, or all in them), `@home` (a person's), `@project` (what the session
 * works on, or is in), `@device` (a disk), `@secret`, `@state` and `@environ` (where Instar's token is), `@guard` (the
 * session's own files), `@token`. Of a word `of=/dev/sda` it is `@of=device`.
 *
 * A pattern is an extended regular expression of POSIX, without `{n}` and backslash classes: other awks do not know them.
 */
export interface GuardRule {
  /** Lower-case words with hyphens. */
  readonly id: string
  /** What the agent is told: what is wrong, and what to do instead. */
  readonly why: string
  readonly when: readonly When[]
  /** Commands that it forbids, and some that look like them. */
  readonly example: readonly string[]
  readonly harmless: readonly string[]
}

/** All patterns of `all` match the line, and none of `unless`. */
export interface When {
  /** Names of programs; `*` is any. `>` and `<` are a file that is written or read, `sh` with `@fetched` a script that is run. */
  readonly programs: readonly string[]
  readonly all?: readonly string[] | undefined
  readonly unless?: readonly string[] | undefined
}

export const guardRules: readonly GuardRule[] = [...fileRules, ...programRules]
