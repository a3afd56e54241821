import { ring, run } from '../scripts.ts'

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
 * - In front of a box it runs the box's client. When that is gone and has not left how the box ended, the box goes on.
 */
export const launcher = `\
${run}
if [ -d "$1/inside" ] && [ ! -s "$1/ended" ]; then exit; fi
printf '%s\\n' "$code" >"$1/exit"
printf '{"launcher":"exited","code":%d}\\n' "$code" >&4
${ring('$1')}
trap 'exit $code' HUP
exec </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&-
sleep 5 &
wait
exit $code
`

/**
 * Runs in the keeper, the session that our control connection is attached to. What tmux types into it echoes back to us
 * (the doorbell); a line makes tmux look for children that it missed. Only builtins: no process is ever started.
 */
export const keeper = `stty -isig -ixon -icanon echo; while read -r instar_line; do kill -CHLD $PPID; done`
