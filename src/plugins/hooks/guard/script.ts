import { code } from './awk-code.ts'
import { expansion } from './awk-expand.ts'
import { feeding } from './awk-feed.ts'
import { git } from './awk-git.ts'
import { input } from './awk-input.ts'
import { judgement } from './awk-judge.ts'
import { parameters } from './awk-parameters.ts'
import { parse } from './awk-parse.ts'
import { programs } from './awk-programs.ts'
import { removal } from './awk-removal.ts'
import { execution } from './awk-run.ts'
import { scripts } from './awk-scripts.ts'
import { skipping } from './awk-skip.ts'
import { tables } from './awk-tables.ts'
import { tools } from './awk-tools.ts'
import { verdict } from './awk-verdict.ts'
import type { GuardRule } from './rules.ts'

export interface GuardSettings {
  readonly rules: readonly Pick<GuardRule, 'id' | 'why' | 'when'>[]
  /** Patterns of commands that no rule forbids. */
  readonly allow: readonly string[]
  /** Patterns of names of branches. */
  readonly protectedBranches: readonly string[]
  readonly unjudged: 'allow' | 'deny'
}

/**
 * What the agent runs before each use of a tool: `sh guard.sh <payload`. Exit code 2 forbids it, and standard error says
 * why. What was forbidden, and what could not be judged, goes to signals.jsonl.
 */
export const guardScript = `\
guard_dir=\${0%/*}
guard_top=$PWD guard_head=
until [ -z "$guard_top" ] || [ -e "$guard_top/.git" ]; do guard_top=\${guard_top%/*}; done
guard_git=$guard_top/.git
if [ -f "$guard_git" ]; then
  read -r guard_git <"$guard_git"
  guard_git=\${guard_git#gitdir: }
  case $guard_git in /*) ;; *) guard_git=$guard_top/$guard_git ;; esac
fi
[ ! -f "$guard_git/HEAD" ] || read -r guard_head <"$guard_git/HEAD"
export GUARD_DIRECTORY="$guard_dir" GUARD_TOP="$guard_top" GUARD_HEAD="$guard_head"
guard_said=$(LC_ALL=C awk -f "$guard_dir/guard.awk")
guard_code=$?
[ "$guard_code" -ne 0 ] || exit 0
guard_payload=\${guard_said%%'
'*}
guard_why=\${guard_said#*'
'}
case $guard_code in
10) guard_event=guard_blocked ;;
11) guard_event=guard_unjudged ;;
*)
  # Without awk there is no guard; one that cannot get on with what it is told may have been made to.
  guard_event=guard_blocked guard_reason='it cannot get on with it'
  [ "$guard_code" -ne 127 ] || guard_reason='there is no awk here'
  [ "$guard_code" -ne 127 ] || [ -e "$guard_dir/guard.deny" ] || guard_event=guard_unjudged
  guard_why="Instar's guard forbids this: $guard_reason."
  guard_payload='{"rule":"unjudged","why":"'$guard_reason'","code":'$guard_code'}'
  ;;
esac
printf '{"hook":"%s","time":%d,"mailbox":"","payload":%s}\\n' "$guard_event" "$(date +%s)" "$guard_payload" >>"$guard_dir/signals.jsonl"
[ "$guard_event" = guard_blocked ] || exit 0
printf '%s\\n' "$guard_why" >&2
exit 2
`

/** The program of guard.awk, for a session that runs in `cwd`. Runs the same in mawk, gawk, busybox and the awk of the BSDs and macOS. */
export function guardProgram({ rules, allow, protectedBranches, unjudged }: GuardSettings): (cwd: string) => string {
  const whens = rules.flatMap(({ when }, rule) => when.map((each) => ({ rule, ...each })))
  const byProgram = new Map<string, number[]>()
  for (const [place, { programs: names }] of whens.entries())
    for (const name of names) byProgram.set(name, [...(byProgram.get(name) ?? []), place])
  const lines = [
    `DENY = ${unjudged === 'deny' ? 1 : 0}`,
    ...protectedBranches.map((pattern, place) => `PROTECTED[${place + 1}] = ${quote(`^(${pattern})$`)}`),
    `PROTECTEDS = ${protectedBranches.length}`,
    ...allow.map((pattern, place) => `ALLOW[${place + 1}] = ${quote(pattern)}`),
    `ALLOWS = ${allow.length}`,
    ...rules.map(({ id, why }, rule) => `ID[${rule}] = ${quote(id)}; REASON[${rule}] = ${quote(why)}`),
    ...[...byProgram].map(([name, places]) => `RULES[${quote(name)}] = "${places.join(' ')}"`),
    ...whens.flatMap(({ rule, all = [], unless = [] }, place) => [
      `RULE[${place}] = ${rule}; ALLS[${place}] = ${all.length}${unless.length > 0 ? `; UNLESSES[${place}] = ${unless.length}` : ''}`,
      ...all.map((pattern, nth) => `ALL[${place}, ${nth + 1}] = ${quote(pattern)}`),
      ...unless.map((pattern, nth) => `UNLESS[${place}, ${nth + 1}] = ${quote(pattern)}`),
    ]),
  ]
  const program = [...lines.map((line) => `  ${line}\n`), '}\n', ...parts].join('')
  return (cwd) => `function settings() {\n  LAUNCH = ${quote(cwd)}\n${program}`
}

/** Without what only people read: it is made anew for every session, and read for every tool. */
const parts = [
  tables,
  input,
  parse,
  skipping,
  expansion,
  parameters,
  execution,
  scripts,
  judgement,
  programs,
  feeding,
  git,
  tools,
  code,
  removal,
  verdict,
].map((part) => part.replaceAll(/^ *(?:#.*)?\n?/gm, ''))

const quote = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', ' ')}"`
