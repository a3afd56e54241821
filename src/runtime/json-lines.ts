import { maxPushBytes } from './executor.ts'
import { pieces } from './pieces.ts'

/**
 * The lines of a stream of JSON lines, as values. Throws a `SyntaxError` for a line that is not JSON, an `Error` for one of
 * more than `maxPushBytes`, and what the stream throws.
 */
export async function* jsonLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<unknown, void> {
  const decoder = new TextDecoder()
  const reader = stream.getReader()
  const line = pieces()
  const add = (bytes: Uint8Array) => {
    line.add(bytes)
    if (line.bytes().length > maxPushBytes) throw new Error(`it sent a line of more than ${maxPushBytes / 1024 / 1024} MiB`)
  }
  try {
    for (let chunk; !(chunk = await reader.read()).done;) {
      let begin = 0
      for (let end; (end = chunk.value.indexOf(10, begin)) >= 0; begin = end + 1) {
        add(chunk.value.subarray(begin, end))
        const text = decoder.decode(line.bytes())
        line.drop(line.bytes().length)
        yield JSON.parse(text)
      }
      add(chunk.value.subarray(begin))
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}
