import { Hono } from 'hono'
import type { Runtime } from '../runtime/runtime.ts'
import { jsonBody } from './body.ts'
import { once } from './once.ts'
import { alsoWaitQuery, inputSchema, mebibyte, noQuery, parse, queryOf, replySchema, statusQuery, waitQuery } from './schema.ts'
import { flat, waitOf } from './waiting.ts'

const maxBody = mebibyte

/** `/sessions/:name/…`: what is said between a session and the people and agents around it. */
export function turnRoutes(runtime: Runtime) {
  return new Hono()
    .get('/:name/wait', async (c) => {
      const query = parse(waitQuery, queryOf(c.req.url), 'query')
      return c.json(flat(await runtime.wait(c.req.param('name'), waitOf({ ...query, wait: query.for }, c.req.raw.signal)!)))
    })
    .get('/:name/status', (c) => {
      const { explain } = parse(statusQuery, queryOf(c.req.url), 'query')
      const { session, trail } = runtime.explain(c.req.param('name'))
      const { id, name, status, waiting, lastError, evidence } = session
      return c.json({ id, name, status, waiting, lastError, evidence, ...(explain === '1' || explain === 'true' ? { trail } : {}) })
    })
    .get('/:name/inputs', (c) => {
      parse(noQuery, queryOf(c.req.url), 'query')
      return c.json(runtime.inputs(c.req.param('name')))
    })
    .post('/:name/input', async (c) => {
      const name = c.req.param('name')
      const query = parse(alsoWaitQuery, queryOf(c.req.url), 'query')
      const input = parse(inputSchema, await jsonBody(c.req.raw, maxBody), 'body')
      const wait = waitOf(query, c.req.raw.signal)
      const receiptOf = (id: string) => (runtime.has(name) ? runtime.inputs(name).find((receipt) => receipt.id === id) : undefined)
      const receipt = await once(
        c,
        runtime,
        { input, wait: query.wait },
        {
          async make(id) {
            if (!wait) return runtime.input(name, input, id)
            const { receipt, ...waited } = await runtime.inputAndWait(name, input, wait, id)
            return { ...receipt, ...waited }
          },
          isMade: (id) => receiptOf(id) !== undefined,
          answer: async (id) => ({ ...receiptOf(id)!, ...(wait ? await runtime.wait(name, wait) : {}) }),
        },
      )
      return c.json(receipt)
    })
    .post('/:name/interrupt', async (c) => {
      parse(noQuery, queryOf(c.req.url), 'query')
      return c.json(await runtime.interrupt(c.req.param('name')))
    })
    .get('/:name/prompts', (c) => {
      parse(noQuery, queryOf(c.req.url), 'query')
      return c.json(runtime.prompts(c.req.param('name')))
    })
    .post('/:name/prompts/:id', async (c) => {
      parse(noQuery, queryOf(c.req.url), 'query')
      const reply = parse(replySchema, await jsonBody(c.req.raw, maxBody), 'body')
      return c.json(await runtime.answer(c.req.param('name'), c.req.param('id'), reply))
    })
    .get('/:name/messages', async (c) => {
      parse(noQuery, queryOf(c.req.url), 'query')
      return c.json(await runtime.messages(c.req.param('name')))
    })
}
