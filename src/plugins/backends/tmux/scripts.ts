/**
 * The shell programs that run beside an agent, in plain POSIX sh: no process of ours is left waiting for anything.
 */

/**
 * Runs in every session's pane: `sh launch.sh DIRECTORY`. It takes its environment, arguments and directory from
 * DIRECTORY/command, runs the program in the foreground and records how it ended, whether or not a server is there.
 *
 * - The shell's own words go to launcher.err: when a program dies by a signal, sh says so there and only there, which
 *   tells `exit 143` from a SIGTERM. The program gets the terminal inside the subshell, because dash redirects a simple
 *   command before it forks, and would say it on the terminal.
 * - It closes the terminal before it records the end, and then stays until tmux hangs up. tmux hangs up when it has
 *   read everything; if the leader of the terminal's session left earlier, the kernel would throw away what is unread
 *   (up to 8 KB), and tmux before 3.6 built with utempter would miss our SIGCHLD, which falls into the time it takes to
 *   close the terminal (tmux issue 4559).
 */
export const launcher = `\
instar_dir=$1
instar_path=$PATH
exec 3>&2 2>"$instar_dir/launcher.err"
unset TMUX TMUX_PANE TERM_PROGRAM TERM_PROGRAM_VERSION CDPATH
trap : HUP INT QUIT TERM
. "$instar_dir/command"
instar_code=0
if ! cd -- "$instar_cwd"; then
  printf 'instar: cannot enter the directory %s\\n' "$instar_cwd" >&3
  instar_code=126
elif ! command -v "$1" >/dev/null; then
  printf 'instar: cannot find the program %s\\n' "$1" | tee -a "$instar_dir/launcher.err" >&3
  instar_code=127
else
  printf '{"launcher":"started","pid":%d}\\n' $$ >>"$instar_dir/signals.jsonl"
  (exec 2>&3 3>&-; exec "$@")
  instar_code=$?
fi
PATH=$instar_path
trap '' INT QUIT TERM
trap 'exit $instar_code' HUP
exec </dev/null >/dev/null 2>&1 3>&-
printf '%s\\n' "$instar_code" >"$instar_dir/exit"
printf '{"launcher":"exited","code":%d}\\n' "$instar_code" >>"$instar_dir/signals.jsonl"
sleep 5 &
wait
exit $instar_code
`

/**
 * Runs in the keeper, the session that our control connection is attached to. What tmux types into it echoes back to us
 * (the doorbell); a line makes tmux look for children that it missed. Only builtins: no process is ever started.
 */
export const keeper = `stty -isig -ixon -icanon echo; while read -r instar_line; do kill -CHLD $PPID; done`

/**
 * Appends what an agent's hook was told to signals.jsonl: `sh hook.sh EVENT <payload`. A long payload goes to a file of
 * its own, because only a short line is written in one piece when several hooks write at once.
 */
export const hook = `\
instar_dir=\${0%/*}
instar_payload=$(cat)
if [ \${#instar_payload} -le 3000 ]; then
  printf '{"hook":"%s","payload":%s}\\n' "$1" "\${instar_payload:-null}" >>"$instar_dir/signals.jsonl"
else
  printf '%s' "$instar_payload" >"$instar_dir/payload.$$"
  printf '{"hook":"%s","file":"payload.%d"}\\n' "$1" $$ >>"$instar_dir/signals.jsonl"
fi
`
