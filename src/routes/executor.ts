import { Hono, type Context } from 'hono'
import * as v from 'valibot'
import { InstarError } from '../runtime/error.ts'
import { relayed, type Peer } from '../runtime/body.ts'
import { protocol, wire } from '../runtime/executor.ts'
import { jsonBody } from './body.ts'
import type { Connections } from './connections.ts'
import { connectBody, uuid } from './executor-schema.ts'
import { verbs } from './executor-verbs.ts'
import { parse } from './schema.ts'

export interface ExecutorRoutesOptions {
  readonly version: string
  /** The names of the backends that are served, the first being the default. */
  readonly backends: readonly string[]
  readonly connections: Connections
  readonly log: (message: string, data?: Record<string, unknown>) => void
}

const maxConnectBody = 1000

/** `/executor`: the backend contract for control planes; see runtime/executor.ts. */
export function executorRoutes({ version, backends, connections, log }: ExecutorRoutesOptions) {
  return new Hono()
    .use(async function sameProtocol(c, next) {
      const given = c.req.header(wire.protocol)
      if (given !== String(protocol)) {
        throw new InstarError(
          'invalid_request',
          `Cannot talk to this executor: it speaks protocol ${protocol} (Instar ${version}), and was spoken to in ${given ?? 'none'}`,
          { protocol, version },
        )
      }
      await next()
    })
    .get('/', (c) => c.json({ protocol, version, backends }))
    .post('/:backend/connect', async (c) => {
      const { silenceMs } = parse(connectBody, await jsonBody(c.req.raw, maxConnectBody), 'body')
      const { owner } = parse(ownerHeaders, { owner: c.req.header(wire.owner) }, 'header')
      const { stream } = connections.connect(named(c.req.param('backend'), backends), owner, silenceMs)
      const peer = c.env as Peer | undefined
      return c.body(peer?.cut ? relayed(stream, peer) : stream, 200, {
        'content-type': 'application/x-ndjson',
        'cache-control': 'no-store',
      })
    })
    .post('/:backend/:verb', async (c) => {
      const name = c.req.param('verb')
      const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined
      if (!verb) throw new InstarError('not_found', 'Cannot ask for that verb: this executor does not know it')
      const { owner, connection, request } = parse(verbHeaders, headersOf(c), 'header')
      const on = connections.get(named(c.req.param('backend'), backends), owner, connection)
      const ask = await verb.read(c.req.raw)
      try {
        const value = await on.once(request, async () => ask(on, await on.opened))
        c.header(wire.pushed, String(on.pushed()))
        return c.json({ value: value ?? null })
      } catch (error) {
        const refusal = asRefusal(error)
        if (refusal.code === 'internal') log('a verb failed', { verb: name, error: error instanceof Error ? error.stack : String(error) })
        c.header(wire.pushed, String(on.pushed()))
        return c.json({ ...refusal.toJSON(), from: 'backend' }, refusal.status)
      }
    })
}

/** The backend that a path names; `-` is the first. */
function named(name: string, backends: readonly string[]): string {
  if (name === '-') return backends[0]!
  if (backends.includes(name)) return name
  throw new InstarError('not_found', `Cannot ask that backend: this executor has ${backends.join(', ')}`, { backends })
}

const ownerHeaders = v.strictObject({ owner: uuid })
const verbHeaders = v.strictObject({ owner: uuid, connection: uuid, request: uuid })
const headersOf = (c: Context) => ({
  owner: c.req.header(wire.owner),
  connection: c.req.header(wire.connection),
  request: c.req.header(wire.request),
})

function asRefusal(error: unknown): InstarError {
  if (error instanceof InstarError) return error
  return new InstarError('internal', 'Cannot answer: something went wrong inside the executor', {}, error)
}
