import type { Command } from '../../runtime/types.ts'
import { shellQuote } from './quote.ts'

/**
 * The shell programs that run beside an agent, in plain POSIX sh: no process of ours is left waiting for anything.
 */

/** Runs what `$1/command` says, and then goes on with its exit code. */
export const run = `\
exec 3>&2 2>"$1/launcher.err" 4>>"$1/signals.jsonl" 5>>"$1/launcher.err"
trap : HUP INT QUIT TERM
(
  exec 2>&3 3>&-
  . "$1/command"
)
code=$?
trap '' HUP INT QUIT TERM`

/**
 * Tells who follows the sessions of this machine from another one that there is something new in a session's signals. Here
 * there is no such file, and where it is out of reach nothing is lost but time.
 */
export const ring = (directory: string): string =>
  `instar_ring=\${${directory.slice(1)}%/inside}
[ ! -w "$instar_ring/../../bell" ] || echo "\${instar_ring##*/}" 2>/dev/null >>"$instar_ring/../../bell"`

/** Runs in a box: \`sh run.sh DIRECTORY\`. Records how the program ended, and no more: its client tells the rest. */
export const boxLauncher = `\
${run}
printf '%s\\n' "$code" >"$1/exit"
exit $code
`

/**
 * What DIRECTORY/command holds: the program's environment, directory and arguments, and its start. Values stand in no
 * argument list. Unset is what our tmux server was given and what tmux adds, but for TERM.
 */
export function commandFile({ argv, env, cwd }: Pick<Command, 'argv' | 'env' | 'cwd'>, begin = ownEnvironment): string {
  const exports = Object.entries(env).map(([name, value]) => `export ${name}=${shellQuote(value)}\n`)
  const fail = (problem: string, code: number) =>
    `{ printf '%s\\n' ${shellQuote(problem)} >&5; printf 'instar: %s\\n' ${shellQuote(problem)} >&2; exit ${code}; }`
  return `\
${begin}
${exports.join('')}\
CDPATH= cd -- ${shellQuote(cwd)} 2>/dev/null || ${fail(`cannot enter the directory ${cwd}`, 126)}
command -v ${shellQuote(argv[0])} >/dev/null || ${fail(`cannot find the program ${argv[0]}`, 127)}
printf '{"launcher":"started","pid":%d}\\n' "$$" >&4
${ring('$1')}
set -- ${argv.map(shellQuote).join(' ')}
exec "$@" 4>&- 5>&-
`
}

const ownEnvironment = 'unset PATH HOME LANG SHELL TMUX TMUX_PANE TERM_PROGRAM TERM_PROGRAM_VERSION COLORTERM'

/**
 * The same in a box, of whose environment nothing is known: every variable goes that another image or person has set. Its
 * terminal gets its size before the program can ask for it, as the client tells it only after the start.
 */
export const boxCommandFile = (command: Command): string =>
  commandFile(
    command,
    `\
unset $(export -p | while read -r instar_word instar_name; do
  instar_name=\${instar_name%%=*}
  case $instar_word:$instar_name in *:|*:[0-9]*|*:*[!A-Za-z0-9_]*|*:SHELLOPTS|*:BASHOPTS|*:PWD) ;; export:*) echo "$instar_name" ;; esac
done)
export TERM=xterm-256color
stty rows ${command.size.rows} cols ${command.size.cols} 2>/dev/null`,
  )

/**
 * Appends what an agent's hook was told to signals.jsonl: `sh hook.sh EVENT <payload`. A long payload goes to a file of
 * its own, because only a short line is written in one piece when several hooks write at once.
 *
 * `sh hook.sh EVENT wait` then waits for an answer and prints it. It waits at a FIFO, which takes no time of anybody's,
 * and the kernel tells a writer whether a reader is there. As the very process that the agent started: when the agent
 * gives it up, nobody waits any more.
 */
export const hook = `\
instar_dir=\${0%/*}
instar_time=$(date +%s)
instar_payload=$(tr '\\n' ' ')
instar_id=$$-$instar_time
instar_box=
if [ "$2" = wait ]; then
  mkdir -p -m 700 "$instar_dir/answers" && mkfifo -m 600 "$instar_dir/answers/$instar_id" && instar_box=$instar_id
fi
if [ \${#instar_payload} -le 3000 ]; then
  instar_payload='"payload":'\${instar_payload:-null}
else
  printf '%s' "$instar_payload" >"$instar_dir/payload.$instar_id"
  instar_payload='"file":"payload.'$instar_id'"'
fi
printf '{"hook":"%s","time":%d,"mailbox":"%s",%s}\\n' "$1" "$instar_time" "$instar_box" "$instar_payload" >>"$instar_dir/signals.jsonl"
${ring('$instar_dir')}
[ -z "$instar_box" ] || exec cat "$instar_dir/answers/$instar_box"
`
