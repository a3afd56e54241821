import type { Found, ReadOptions } from '../../../runtime/backend.ts'
import { refused, foundText, type Problem } from '../found.ts'
import { shellQuote } from '../quote.ts'
import { goneStatus, type Shell } from './shell.ts'

/** Text files of another machine, through its shell; see `Backend.read`. */
export const texts =
  (shell: () => Promise<Shell>) =>
  async (directory: string, names: readonly string[], { maxBytes, outside }: ReadOptions): Promise<readonly Found[] | null> => {
    // One that begins with a hyphen would be an option of some programs.
    const words = [directory, String(maxBytes), outside ? '1' : '0', ...names.map((name) => `./${name}`)].map(shellQuote)
    const output = await (await shell()).ask(`( trap - EXIT; set -- ${words.join(' ')}\n${script})`)
    if (!output) return null
    const lines = output.toString('utf8').split('\n')
    return names.map((_, index) => {
      const [, state, what = ''] = /^(\w+) ?(.*)$/.exec(lines[index] ?? '') ?? []
      if (state === 'missing') return { state }
      return state === 'read' ? foundText(Buffer.from(what, 'hex')) : refused(state as Problem, what, maxBytes)
    })
  }

/**
 * A line for each file: its state, and what there is to say of it; the bytes of one that is read as hexadecimal digits. A
 * loop of links is a missing file. What is not there takes no process.
 */
const script = `\
cd -- "$1" 2>/dev/null || exit ${goneStatus}
max=$2 outside=$3
shift 3
root=$(pwd -P)
for name do
  path=$name
  while [ -h "$path" ]; do
    [ -e "$path" ] || break
    to=$(readlink "$path")
    case $to in
      /*) path=$to ;;
      *) path=$(dirname -- "$path")/$to ;;
    esac
  done
  if [ ! -e "$path" ]; then echo missing; continue; fi
  if [ -d "$path" ]; then echo directory; continue; fi
  if [ ! -f "$path" ]; then echo special; continue; fi
  real=$(cd -- "$(dirname -- "$path")" 2>/dev/null && pwd -P)/$(basename -- "$path")
  case $real in
    "\${root%/}"/*) ;;
    *) if [ "$outside" != 1 ]; then printf 'outside %s\\n' "$(printf %s "$real" | tr '\\n' ' ')"; continue; fi ;;
  esac
  if [ ! -r "$path" ]; then echo unreadable EACCES; continue; fi
  size=$(($(wc -c <"$path")))
  if [ "$size" -gt "$max" ]; then echo "big $size"; continue; fi
  printf 'read '
  od -An -v -tx1 <"$path" | tr -d ' \\n'
  echo
done
`
