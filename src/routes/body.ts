import { bytesBody } from '../runtime/body.ts'
import { InstarError } from '../runtime/error.ts'

/**
 * A request's body as JSON, whatever content type it claims: curl says `application/x-www-form-urlencoded` by itself.
 * Never keeps more than `limit` bytes. `empty` is what an empty body stands for; without it there must be one.
 */
export async function jsonBody(request: Request, limit: number, empty?: unknown): Promise<unknown> {
  const bytes = await bytesBody(request, limit)
  return bytes.length === 0 && empty !== undefined ? empty : jsonIn(bytes)
}

export function jsonIn(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    const problem = bytes.length === 0 ? 'it is empty' : 'it is not valid JSON in UTF-8'
    throw new InstarError('invalid_json', `Cannot read the body: ${problem}`, {}, cause)
  }
}
