import type { Context } from 'hono'
import type { Runtime } from '../runtime/runtime.ts'
import { headerSchema, parse } from './schema.ts'

/**
 * Does what a request asks for; with an `Idempotency-Key` at most once, in a day and over restarts. The same key and
 * request get the first answer again, with `Idempotency-Replayed: true`. `find`: see `Once.run`.
 */
export async function once<T>(
  c: Context,
  runtime: Runtime,
  request: unknown,
  verb: (id?: string) => Promise<T>,
  find: (id: string) => T | undefined,
): Promise<T> {
  const { 'Idempotency-Key': key } = parse(headerSchema, { 'Idempotency-Key': c.req.header('idempotency-key') }, 'header')
  if (key === undefined) return verb()
  const { answer, replayed } = await runtime.once.run(key, { method: c.req.method, path: c.req.path, request }, verb, find)
  if (replayed) c.header('Idempotency-Replayed', 'true')
  return answer
}
