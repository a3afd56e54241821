import type { Context } from 'hono'
import type { Deed } from '../runtime/once.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { headerSchema, parse } from './schema.ts'

/**
 * Does what a request asks for; with an `Idempotency-Key` at most once, in a day and over restarts. The same key and
 * request get the first answer again, with `Idempotency-Replayed: true`.
 */
export async function once<T>(
  c: Context,
  runtime: Runtime,
  request: unknown,
  { make, ...deed }: Omit<Deed<T>, 'make'> & { make(id?: string): Promise<T> },
): Promise<T> {
  const { 'Idempotency-Key': key } = parse(headerSchema, { 'Idempotency-Key': c.req.header('idempotency-key') }, 'header')
  if (key === undefined) return make()
  const { answer, replayed } = await runtime.once.run(key, { method: c.req.method, path: c.req.path, request }, { make, ...deed })
  if (replayed) c.header('Idempotency-Replayed', 'true')
  return answer
}
