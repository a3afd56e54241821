import { InstarError } from '../runtime/error.ts'

/**
 * A request's body as JSON, whatever content type it claims: curl says `application/x-www-form-urlencoded` by itself.
 * Never keeps more than `limit` bytes. `empty` is what an empty body stands for; without it there must be one.
 */
export async function jsonBody(request: Request, limit: number, empty?: unknown): Promise<unknown> {
  const tooLarge = () => new InstarError('body_too_large', `Cannot read the body: it has more than ${limit} bytes`, { limit })
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge()
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for await (const chunk of request.body ?? []) {
      size += chunk.length
      if (size > limit) throw tooLarge()
      chunks.push(chunk)
    }
  } catch (error) {
    // The client went away in the middle: nobody reads the answer.
    throw error instanceof InstarError ? error : new InstarError('invalid_json', 'Cannot read the body: it was cut off', {}, error)
  }
  if (size === 0 && empty !== undefined) return empty
  try {
    return JSON.parse(decode(chunks, size))
  } catch (cause) {
    const problem = size === 0 ? 'it is empty' : 'it is not valid JSON in UTF-8'
    throw new InstarError('invalid_json', `Cannot read the body: ${problem}`, {}, cause)
  }
}

function decode(chunks: readonly Uint8Array[], size: number): string {
  const bytes = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.length
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
}
