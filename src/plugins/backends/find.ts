import type { Backend } from '../../runtime/backend.ts'
import { InstarError } from '../../runtime/error.ts'
import type { Place } from './place.ts'

const timeoutMs = 3000
/** One line for each: where it is, or nothing. `command -v` tells no more than the name of what the shell itself has, which in busybox is all. */
const script = `path=$1; shift; IFS=:; set -f
is_program() { [ -f "$1" ] && [ -x "$1" ]; }
for program; do
  found=
  case $program in
  */*) ! is_program "$program" || found=$program ;;
  *) for directory in $path; do is_program "$directory/$program" && found=$directory/$program && break; done ;;
  esac
  printf '%s\\n' "$found"
done`

/** See `Backend.find`. One process, however many programs. */
export const findIn =
  (place: Pick<Place, 'run'>): NonNullable<Backend['find']> =>
  async (programs, path) => {
    const { code, stdout } = await place.run(['sh', '-c', script, 'sh', path, ...programs], { timeoutMs })
    const lines = stdout.split('\n').slice(0, -1)
    if (code !== 0 || lines.length !== programs.length)
      throw new InstarError('backend_failed', 'Cannot look for programs: the shell does not answer as it should')
    return lines.map((line) => line || null)
  }
