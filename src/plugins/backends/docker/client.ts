import { lostLine } from '../box.ts'
import { shellQuote } from '../quote.ts'
import { ring } from '../scripts.ts'

export interface ContainerClient {
  /** Docker's client, and its options. */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** The container's. */
  readonly name: string
  /** For `docker run`. */
  readonly run: readonly string[]
  /** To whom the files of the session are given first, as `<uid>:<gid>`; null when they are theirs. */
  readonly owner: { readonly user: string; readonly paths: readonly string[] } | null
}

const maxPauseSeconds = 15

/**
 * See `Box.client`. It runs the container only once, whoever runs it again, and asks docker how it is whenever its client is
 * gone: only docker knows. In another terminal it shows the end of what was on the one before. A byte that is in no text is
 * what would detach the client. 125 is docker's own: without a trace of the launcher inside nothing has run.
 */
export function clientScript({ argv, env, name, run, owner }: ContainerClient): string {
  const words = (list: readonly string[]) => list.map(shellQuote).join(' ')
  const exports = Object.entries(env).map(([key, value]) => `export ${key}=${shellQuote(value)}\n`)
  const give = owner ? `chown -R -- ${words([owner.user, ...owner.paths])}\n` : ''
  return `\
${exports.join('')}\
instar_dir=$1
set -- ${words(argv)}
instar_keys=$(printf '\\377')
instar_state=
instar_ask() {
  instar_state=$("$@" inspect --type=container --format='{{json .State}}' ${name} 2>"$instar_dir/inspect.err")
}
if [ ! -e "$instar_dir/entered" ]; then
  : >"$instar_dir/entered"
  ${give}"$@" run --detach-keys="$instar_keys" --sig-proxy=false ${words(run)} 2>"$instar_dir/client.err"
  instar_code=$?
else
  # What was on the screen. By way of another file: what is shown is added to the log.
  tail -c 65536 "$instar_dir/output.log" >"$instar_dir/before" 2>/dev/null
  stty -opost
  cat "$instar_dir/before"
  stty opost
  rm -f "$instar_dir/before"
  instar_code=0
fi
instar_pause=0 instar_lost=
instar_lose() {
  instar_lost=1
  echo '${lostLine}' >>"$instar_dir/signals.jsonl"
  ${ring('$instar_dir')}
}
# Nothing tells when a daemon is back: it is asked, ever less often.
instar_wait() {
  sleep "$instar_pause"
  [ "$instar_pause" -ge ${maxPauseSeconds} ] || instar_pause=$((instar_pause + 1))
}
while :; do
  if instar_ask "$@"; then
    case $instar_state in *'"Running":true'*) ;; *) break ;; esac
    [ -z "$instar_lost" ] || instar_pause=0
    instar_lost=
    instar_wait
    instar_began=$(date +%s)
    "$@" attach --sig-proxy=false --detach-keys="$instar_keys" ${name} 2>"$instar_dir/client.err"
    [ "$(($(date +%s) - instar_began))" -lt ${maxPauseSeconds} ] || instar_pause=0
  else
    case $(cat "$instar_dir/inspect.err") in *[Nn]'o such '*) break ;; esac
    [ -e "$instar_dir/inside/launcher.err" ] || [ "$instar_code" -lt 125 ] || break
    [ -n "$instar_lost" ] || instar_lose
    instar_wait
  fi
done
if [ ! -s "$instar_dir/ended" ]; then
  { printf '%s\\n' "$instar_state"; cat "$instar_dir/client.err"; } >"$instar_dir/ended.new" && mv "$instar_dir/ended.new" "$instar_dir/ended"
fi
"$@" rm --force --volumes ${name} >/dev/null 2>&1
exit 0
`
}
