import type { HookPlace } from '../../../runtime/hook.ts'

/**
 * `$1` the worktree, `$2` the command, `$3` its time in seconds, `$4` a file for what it writes. Ends everything that the
 * command started when the time is over, tells the end of what it wrote, and exits as it did; 124 after the time. A `sleep`
 * that was killed is not the time.
 */
const script = `
below() { ps -A -o pid= -o ppid= | awk -v root="$1" '
  { parent[$1] = $2 }
  END { for (pid in parent) for (up = parent[pid]; up > 1; up = parent[up]) if (up == root) { print pid; break } }'; }
end() { kill -KILL $(below "$1") "$1" 2>/dev/null; }
cd "$1" || exit
sh -c "$2" >"$4" 2>&1 </dev/null &
command=$!
{ sleep "$3" && printf '\\n' >"$4.over" && end "$command"; } >/dev/null 2>&1 &
watch=$!
trap 'end "$command"; end "$watch"; rm -f "$4" "$4.over"; exit 143' HUP INT TERM
wait "$command"
code=$?
end "$watch"
if [ -e "$4.over" ]; then code=124; fi
tail -c 8000 "$4"
rm -f "$4" "$4.over"
exit "$code"`

export interface Setup {
  readonly directory: string
  readonly command: string
  readonly timeoutMs: number
  readonly env: Readonly<Record<string, string>>
  /** The worktree's own part of the repository. */
  readonly own: string
  readonly signal: AbortSignal
}

/** Runs the command in the worktree. Resolves to what went wrong and what it wrote last; null when all is well. */
export async function setUp(
  place: HookPlace,
  { directory, command, timeoutMs, env, own, signal }: Setup,
): Promise<{ readonly problem: string; readonly output: string } | null> {
  const seconds = Math.ceil(timeoutMs / 1000)
  const words = [directory, command, String(seconds), `${own}/instar-setup`]
  const { code, stdout } = await place.run(['sh', '-c', script, 'sh', ...words], { env, timeoutMs: timeoutMs + spareMs, signal })
  if (code === 0) return null
  return { problem: code === 124 ? `took longer than ${seconds} s` : `failed with exit code ${code}`, output: stdout }
}

/** To end what has taken too long. */
const spareMs = 10_000
