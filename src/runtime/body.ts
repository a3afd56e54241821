import { InstarError } from './error.ts'

/** A request's body as it is. Never keeps more than `limit` bytes. */
export async function bytesBody(request: Request, limit: number): Promise<Uint8Array> {
  const tooLarge = () => new InstarError('body_too_large', `Cannot read the body: it has more than ${limit} bytes`, { limit })
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge()
  const bytes = await bytesIn(request.body, limit).catch((error: unknown) => {
    // The client went away in the middle: nobody reads the answer.
    throw new InstarError('invalid_json', 'Cannot read the body: it was cut off', {}, error)
  })
  if (bytes) return bytes
  throw tooLarge()
}

/** The bytes of a stream; null when there are more than `limit`, of which it never keeps more. */
export async function bytesIn(stream: ReadableStream<Uint8Array> | null, limit: number): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream ?? []) {
    size += chunk.length
    if (size > limit) return null
    chunks.push(chunk)
  }
  const bytes = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return bytes
}

/** What a route may do with the connection that a request came on: Hono's `env`. */
export interface Peer {
  /** Ends it in the middle of an answer. Left out where a stream that fails does so, and nothing is printed of it. */
  readonly cut?: () => void
}

/** The same stream for an answer, read no sooner than it is itself. When it fails, the connection is cut: nobody takes what has come for the whole. */
export function relayed(stream: ReadableStream<Uint8Array>, peer: Peer | undefined, failed: (error: unknown) => void = () => {}) {
  const reader = stream.getReader()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (done) controller.close()
          else controller.enqueue(value)
        } catch (error) {
          failed(error)
          peer?.cut?.()
          // Bun would print a reason.
          if (peer?.cut) controller.close()
          else controller.error()
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
}
