import type { Command } from '../../../runtime/types.ts'
import { shellQuote } from './protocol.ts'

/**
 * The shell programs that run beside an agent, in plain POSIX sh: no process of ours is left waiting for anything.
 */

/**
 * Runs in every session's pane: `sh launch.sh DIRECTORY`. It runs what DIRECTORY/command says in the foreground and
 * records how that ended, whether or not a server is there.
 *
 * - DIRECTORY/command (see `commandFile`) is read in the subshell that becomes the program, so that no variable of the
 *   program's can be one of the launcher's.
 * - The shell's own words go to launcher.err: when a program dies by a signal, sh says so there and only there, which
 *   tells `exit 143` from a SIGTERM. The program gets the terminal inside the subshell, because dash redirects a simple
 *   command before it forks, and would say it on the terminal.
 * - It records the end, closes the terminal, and stays until tmux hangs up. tmux hangs up when it has read everything;
 *   if the leader of the terminal's session left earlier, the kernel would throw away what is unread (up to 8 KB), and
 *   tmux before 3.6 built with utempter would miss our SIGCHLD, which falls into the time it takes to close the terminal
 *   (tmux issue 4559).
 */
export const launcher = `\
exec 3>&2 2>"$1/launcher.err" 4>>"$1/signals.jsonl" 5>>"$1/launcher.err"
trap : HUP INT QUIT TERM
(
  exec 2>&3 3>&-
  . "$1/command"
)
code=$?
trap '' HUP INT QUIT TERM
printf '%s\\n' "$code" >"$1/exit"
printf '{"launcher":"exited","code":%d}\\n' "$code" >&4
trap 'exit $code' HUP
exec </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&-
sleep 5 &
wait
exit $code
`

/**
 * What DIRECTORY/command holds: the program's environment, directory and arguments, and its start. Values stand in no
 * argument list. Unset is what our tmux server was given and what tmux adds, but for TERM.
 */
export function commandFile({ argv, env, cwd }: Pick<Command, 'argv' | 'env' | 'cwd'>): string {
  const exports = Object.entries(env).map(([name, value]) => `export ${name}=${shellQuote(value)}\n`)
  const fail = (problem: string, code: number) =>
    `{ printf '%s\\n' ${shellQuote(problem)} >&5; printf 'instar: %s\\n' ${shellQuote(problem)} >&2; exit ${code}; }`
  return `\
unset PATH HOME LANG SHELL TMUX TMUX_PANE TERM_PROGRAM TERM_PROGRAM_VERSION COLORTERM
${exports.join('')}\
CDPATH= cd -- ${shellQuote(cwd)} 2>/dev/null || ${fail(`cannot enter the directory ${cwd}`, 126)}
set -- ${argv.map(shellQuote).join(' ')}
command -v "$1" >/dev/null || ${fail(`cannot find the program ${argv[0]}`, 127)}
printf '{"launcher":"started","pid":%d}\\n' "$$" >&4
exec "$@" 4>&- 5>&-
`
}

/**
 * Runs in the keeper, the session that our control connection is attached to. What tmux types into it echoes back to us
 * (the doorbell); a line makes tmux look for children that it missed. Only builtins: no process is ever started.
 */
export const keeper = `stty -isig -ixon -icanon echo; while read -r instar_line; do kill -CHLD $PPID; done`

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
[ -z "$instar_box" ] || exec cat "$instar_dir/answers/$instar_box"
`
