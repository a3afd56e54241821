import { Hono } from 'hono'
import type { Runtime } from '../runtime/runtime.ts'
import { jsonBody } from './body.ts'
import { diffQuery, finishSchema, mebibyte, noQuery, parse, prefers, queryOf } from './schema.ts'

/** `/sessions/:name/…`: what a session changed in a working copy of its own, and what becomes of that. */
export function copyRoutes(runtime: Runtime) {
  return new Hono()
    .get('/:name/diff', async (c) => {
      const { format } = parse(diffQuery, queryOf(c.req.url), 'query')
      const diff = await runtime.diff(c.req.param('name'))
      if ((format ?? (prefers('text/plain', 'application/json', c.req.header('accept')) ? 'patch' : 'json')) === 'json') return c.json(diff)
      const truncated: Record<string, string> = diff.truncated ? { 'X-Truncated': 'true' } : {}
      return c.text(diff.patch, 200, { 'content-type': 'text/plain; charset=utf-8', ...truncated })
    })
    .post('/:name/finish', async (c) => {
      parse(noQuery, queryOf(c.req.url), 'query')
      const { how } = parse(finishSchema, await jsonBody(c.req.raw, mebibyte), 'body')
      return c.json(await runtime.finish(c.req.param('name'), how))
    })
}
