import { Hono } from 'hono'
import type { Runtime } from '../runtime/runtime.ts'
import { noQuery, parse, queryOf } from './schema.ts'

/** What is configured: where sessions can run, and what in them. */
export function pluginRoutes(runtime: Runtime) {
  return new Hono()
    .get('/backends', async (c) => {
      parse(noQuery, queryOf(c.req.url), 'query')
      return c.json(await runtime.backends())
    })
    .get('/agents', async (c) => {
      parse(noQuery, queryOf(c.req.url), 'query')
      return c.json(await runtime.agents())
    })
}
