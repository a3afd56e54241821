import { Hono, type Context } from 'hono'
import { relayed, type Peer } from '../runtime/body.ts'
import { deferred } from '../runtime/deferred.ts'
import { InstarError } from '../runtime/error.ts'
import { contextOf, wrongInPlugin, type LazyPlugin, type Plugin, type PluginContext } from '../runtime/plugin.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Log } from './answer.ts'
import { inputSchema, mebibyte, parse, replySchema, resumeSchema, spawnSchema } from './schema.ts'

const defaultTimeoutMs = 30_000
/** How long a request waits for plugins that are loaded later. */
const loadTimeoutMs = 10_000
/** Requests that a plugin has not answered yet. One that hangs has no more than these. */
const maxRequests = 64

/** The plugins of a config that answer requests, each known by its name once it is loaded. */
export interface Functions {
  /** `not_found` when there is none of that name. */
  find(name: string): Promise<Plugin & Required<Pick<Plugin, 'fetch'>>>
  /** How many requests of a plugin are under way. */
  readonly underWay: Map<string, number>
}

export function createFunctions(given: readonly (Plugin | LazyPlugin)[], log: Log): Functions {
  const loaded = new Map(given.flatMap((plugin) => (typeof plugin === 'object' ? [[plugin.name, plugin] as const] : [])))
  const waiting = new Set(given.filter((plugin): plugin is LazyPlugin => typeof plugin === 'function'))
  const loading = new Map<LazyPlugin, Promise<void>>()

  async function load(lazy: LazyPlugin): Promise<void> {
    try {
      const module = await lazy()
      const plugin = 'default' in module ? module.default : module
      const wrong = wrongInPlugin(plugin)
      if (wrong !== null) throw new TypeError(wrong)
      if (loaded.has(plugin.name)) throw new TypeError(`there are two plugins "${plugin.name}"`)
      if (plugin.backends || plugin.agents || plugin.hooks)
        throw new TypeError(`"${plugin.name}" brings what is needed from the start: name it in the config itself, not in a function`)
      loaded.set(plugin.name, plugin)
      waiting.delete(lazy)
    } catch (error) {
      // It is tried again with the next request for a name that nobody has.
      log('a plugin cannot be loaded', { error: error instanceof Error ? error.message : String(error) })
    }
  }

  /** Resolves as soon as the plugin is there, all are loaded or have failed, or the time is over: one may hang. */
  async function loadUntil(name: string): Promise<void> {
    for (const lazy of waiting)
      if (!loading.has(lazy))
        loading.set(
          lazy,
          load(lazy).finally(() => loading.delete(lazy)),
        )
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        log('plugins are not loaded yet, and are waited for no longer', { howMany: loading.size })
        resolve()
      }, loadTimeoutMs)
      const goOn = () => {
        clearTimeout(timer)
        resolve()
      }
      for (const each of loading.values()) void each.then(() => loaded.has(name) && goOn())
      void Promise.all(loading.values()).then(goOn)
    })
  }

  return {
    underWay: new Map(),
    async find(name) {
      if (!loaded.has(name) && waiting.size > 0) await loadUntil(name)
      const plugin = loaded.get(name)
      if (plugin?.fetch) return plugin as Plugin & Required<Pick<Plugin, 'fetch'>>
      if (!plugin && waiting.size > 0)
        throw new InstarError(
          'plugin_failed',
          `Cannot answer: plugin "${name}" is not there, and one could not be loaded; the server's log says why`,
          {
            plugin: name,
          },
        )
      throw new InstarError('not_found', `Cannot answer: there is no plugin "${name}" that answers requests`)
    },
  }
}

/** `/plugins/<name>`: what plugins answer, each contained, so that one that fails, hangs or is flooded holds up no other request. */
export function functionRoutes(runtime: Runtime, plugins: Functions, log: Log) {
  const context = contextOf(checked(runtime))
  const answer = async (c: Context) => {
    const name = c.req.param('plugin') ?? ''
    const plugin = await plugins.find(name)
    const count = plugins.underWay.get(name) ?? 0
    if (count >= maxRequests)
      throw new InstarError('plugin_busy', `Cannot answer: plugin "${name}" has not answered ${count} requests yet`, {
        plugin: name,
        retryAfter: 1,
      })
    plugins.underWay.set(name, count + 1)
    try {
      return await ask(plugin, c, context, log)
    } finally {
      plugins.underWay.set(name, plugins.underWay.get(name)! - 1)
    }
  }
  return new Hono().all('/:plugin', answer).all('/:plugin/*', answer)
}

async function ask(
  { name, fetch, timeoutMs = defaultTimeoutMs, maxBodyBytes = mebibyte }: Plugin & Required<Pick<Plugin, 'fetch'>>,
  c: Context,
  context: PluginContext,
  log: Log,
): Promise<Response> {
  const failed = (what: string, cause?: unknown) =>
    new InstarError('plugin_failed', `Cannot answer: plugin "${name}" ${what}`, { plugin: name }, cause)
  const tell = (error: unknown) => log('a plugin failed', { plugin: name, error: error instanceof Error ? error.stack : String(error) })
  /** Of a client that has gone it says nothing. */
  const broken = (error: unknown) => {
    if (!ending.signal.aborted) tell(error)
  }
  const request = c.req.raw
  const isHead = request.method === 'HEAD'
  const ending = new AbortController()
  const end = () => ending.abort()
  request.signal.addEventListener('abort', end)
  const body = limited(request, maxBodyBytes)
  let timer: ReturnType<typeof setTimeout> | undefined
  const isLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(failed(`has not answered within ${timeoutMs / 1000} s`)), timeoutMs)
  })
  try {
    const given = new Request(stripped(request.url), {
      method: isHead ? 'GET' : request.method,
      headers: withoutSecrets(request.headers),
      signal: ending.signal,
      ...(body.stream ? { body: body.stream, duplex: 'half' } : {}),
    } as RequestInit)
    const answering = (async () => fetch(given, context))()
    // One that is late may still fail, and nobody waits for it.
    answering.catch(() => {})
    const answer = await Promise.race([answering, isLate, body.tooLarge])
    if (!canBeSent(answer)) throw failed('has answered with what is no Response, or was read already')
    if (isHead) answer.body?.cancel().catch(() => {})
    // Made anew, because only so it gets the headers that were set for every answer.
    return c.newResponse(isHead || !answer.body ? null : relayed(answer.body, c.env as Peer | undefined, broken), answer)
  } catch (error) {
    request.signal.removeEventListener('abort', end)
    end()
    if (error instanceof InstarError) throw error
    tell(error)
    throw failed("failed; the server's log says why", error)
  } finally {
    clearTimeout(timer)
  }
}

/** What Node's server is given it would begin to send, and cut off. */
const canBeSent = (answer: Response | undefined): answer is Response =>
  answer?.headers instanceof Headers && answer.status >= 200 && answer.status <= 599 && !answer.bodyUsed && answer.body?.locked !== true

/** The URL as the plugin sees it: as if it were the whole server. `/plugins/<name>` may be written with encoded characters. */
function stripped(url: string): URL {
  const own = new URL(url)
  own.pathname = `/${own.pathname.split('/').slice(3).join('/')}`
  return own
}

function withoutSecrets(given: Headers): Headers {
  const headers = new Headers(given)
  for (const name of ['authorization', 'cookie', 'proxy-authorization']) headers.delete(name)
  return headers
}

/** The body as it comes, up to a limit. `tooLarge` rejects when it has more. */
function limited(request: Request, limit: number): { stream: ReadableStream<Uint8Array> | null; tooLarge: Promise<never> } {
  const error = new InstarError('body_too_large', `Cannot read the body: it has more than ${limit} bytes`, { limit })
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw error
  const tooLarge = deferred<never>()
  let size = 0
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      size += chunk.length
      if (size > limit) {
        tooLarge.reject(error)
        controller.error(error)
      } else controller.enqueue(chunk)
    },
  })
  return { stream: request.body?.pipeThrough(count) ?? null, tooLarge: tooLarge.promise }
}

/** The verbs, for what somebody sent to a plugin. */
const checked = (runtime: Runtime): PluginContext => ({
  ...runtime,
  spawn: async (request) => runtime.spawn(parse(spawnSchema, request, 'body')),
  resume: async (ref, request) => runtime.resume(ref, parse(resumeSchema, request, 'body')),
  input: async (ref, input) => runtime.input(ref, parse(inputSchema, input, 'body')),
  inputAndWait: async (ref, input, wait) => runtime.inputAndWait(ref, parse(inputSchema, input, 'body'), wait),
  answer: async (ref, prompt, reply) => runtime.answer(ref, prompt, parse(replySchema, reply, 'body')),
})
