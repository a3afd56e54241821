import type { Backend } from '../../runtime/backend.ts'
import { InstarError } from '../../runtime/error.ts'
import type { Place } from './place.ts'

const timeoutMs = 3000
/** One line for each: where it is, or nothing. */
const script = 'PATH=$1; shift; for program; do command -v -- "$program" || echo; done'

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
