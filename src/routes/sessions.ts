import { Hono } from 'hono'
import type { Runtime } from '../runtime/runtime.ts'
import type { Session } from '../runtime/types.ts'
import { jsonBody } from './body.ts'
import { copyRoutes } from './copies.ts'
import { once } from './once.ts'
import {
  alsoWaitQuery,
  endQuery,
  listQuery,
  mebibyte,
  noQuery,
  outputQuery,
  parse,
  prefers,
  queryOf,
  resumeSchema,
  spawnSchema,
} from './schema.ts'
import { turnRoutes } from './turns.ts'
import { flat, waitOf } from './waiting.ts'

const maxSpawnBody = 16 * mebibyte

/** Sessions are values that never change, so each is turned into text once, not once for every list it stands in. */
const texts = new WeakMap<Session, string>()
function textOf(session: Session): string {
  const known = texts.get(session)
  if (known !== undefined) return known
  const text = JSON.stringify(session)
  texts.set(session, text)
  return text
}

const json = { 'content-type': 'application/json' }

/** `/sessions`: the fixed part of the contract. */
export function sessionRoutes(runtime: Runtime) {
  return new Hono()
    .get('/', (c) => {
      const { status } = parse(listQuery, queryOf(c.req.url), 'query')
      return c.body(`[${runtime.list(status).map(textOf).join(',')}]`, 200, json)
    })
    .post('/spawn', async (c) => {
      const query = parse(alsoWaitQuery, queryOf(c.req.url), 'query')
      const request = parse(spawnSchema, await jsonBody(c.req.raw, maxSpawnBody), 'body')
      const wait = waitOf(query, c.req.raw.signal)
      const answer = async (id: string) => (wait ? flat(await runtime.wait(id, wait)) : runtime.get(id))
      const session = await once(
        c,
        runtime,
        { request, wait: query.wait },
        {
          make: async (id) => answer((await runtime.spawn(request, id)).id),
          isMade: (id) => runtime.has(id),
          answer,
        },
      )
      return c.json(session, 201)
    })
    .get('/tmux', async (c) => {
      parse(noQuery, queryOf(c.req.url), 'query')
      return c.json(await runtime.terminals())
    })
    .get('/:name', (c) => {
      parse(noQuery, queryOf(c.req.url), 'query')
      return c.json(runtime.get(c.req.param('name')))
    })
    .delete('/:name', async (c) => {
      const { purge } = parse(endQuery, queryOf(c.req.url), 'query')
      return c.json(await runtime.end(c.req.param('name'), { purge }))
    })
    .get('/:name/output', async (c) => {
      const { lines } = parse(outputQuery, queryOf(c.req.url), 'query')
      const { session, text, truncated } = await runtime.output(c.req.param('name'), lines)
      if (!prefers('application/json', 'text/plain', c.req.header('accept')))
        return c.text(text, 200, { 'content-type': 'text/plain; charset=utf-8' })
      return c.json({ session: session.name, output: text, lines: text === '' ? 0 : text.split('\n').length, truncated })
    })
    .post('/:name/resume', async (c) => {
      const query = parse(alsoWaitQuery, queryOf(c.req.url), 'query')
      const request = parse(resumeSchema, await jsonBody(c.req.raw, maxSpawnBody, {}), 'body')
      const session = await runtime.resume(c.req.param('name'), request)
      const wait = waitOf(query, c.req.raw.signal)
      return c.json(wait ? flat(await runtime.wait(session.id, wait)) : session, 201)
    })
    .route('/', turnRoutes(runtime))
    .route('/', copyRoutes(runtime))
}
