import { maxTextBytes, type Line } from './place.ts'

/** How far a file has been read. */
export interface Reading {
  /** After the last line that was told. */
  cursor: number
  /** Up to here no further line ends. */
  searched: number
}

export const blockBytes = 1024 * 1024

/**
 * The lines that are complete in the next block where one is; null when there is none. `read` gives the bytes at an offset,
 * at least as many as there are and were asked for; null when there is no file. Of a line that is not complete no more than
 * a block is held, and one of more than `maxTextBytes` is passed over: it is told without its text, after `tooLong`.
 */
export async function nextLines(
  reading: Reading,
  read: (offset: number, length: number) => Promise<Buffer | null>,
  tooLong: () => void,
): Promise<Line[] | null> {
  for (;;) {
    const { cursor, searched } = reading
    const bytes = await read(searched, blockBytes)
    if (!bytes || bytes.length === 0) return null
    const end = bytes.indexOf(10)
    if (end < 0) {
      reading.searched += bytes.length
      continue
    }
    const length = searched + end - cursor
    const begun = searched === cursor || length > maxTextBytes ? bytes.subarray(0, end) : await read(cursor, length)
    if (!begun) return null
    const lines = [lineOf(begun.subarray(0, length), length, cursor)]
    for (let begin = end + 1, next; (next = bytes.indexOf(10, begin)) >= 0; begin = next + 1)
      lines.push(lineOf(bytes.subarray(begin, next), next - begin, searched + begin))
    for (const { isTooLong } of lines) if (isTooLong) tooLong()
    return lines
  }
}

/** What the log says of a line that is too long. */
export const passedOver = (file: string): [string, Record<string, unknown>] => [
  'a line is passed over: it is too long',
  { file, limit: maxTextBytes },
]

function lineOf(bytes: Buffer, length: number, offset: number): Line {
  const cursor = offset + length + 1
  return length > maxTextBytes ? { text: '', cursor, isTooLong: true } : { text: bytes.toString('utf8'), cursor }
}
