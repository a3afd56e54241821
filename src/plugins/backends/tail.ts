import type { Backend } from '../../runtime/backend.ts'
import { InstarError } from '../../runtime/error.ts'
import type { PlaceFiles } from './place.ts'

/** See `Backend.tail`. */
export const tailOf =
  (files: PlaceFiles): NonNullable<Backend['tail']> =>
  async (path, cursor, tell) => {
    if ((await files.writtenAt(path)) === null) throw new InstarError('backend_failed', `Cannot read ${path}: there is no such file`)
    return files.follow(path, cursor, (lines) =>
      tell(
        lines.map(({ text }) => text),
        lines.at(-1)!.cursor,
      ),
    )
  }
