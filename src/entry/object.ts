import { createStorage, prefixStorage } from 'unstorage'
import type { App } from '../app.ts'
import { guard } from '../plugins/hooks/guard/guard.ts'
import { objectStorage, type ObjectStorage } from '../plugins/storage/durable-object.ts'
import type { Config } from '../runtime/config.ts'
import { InstarError } from '../runtime/error.ts'
import { assemble } from './assemble.ts'
import { complete } from './complete.ts'
import { log } from './log.ts'

export interface ServerBindings {
  /** At least 16 characters; a secret. Without it every request is answered with an error. */
  readonly INSTAR_TOKEN?: string
  /** Where sessions run on their executor when a request does not say. Default `/`. */
  readonly INSTAR_DIR?: string
}

export type Configure<Bindings> = (bindings: Bindings) => Config

export interface Answers {
  fetch(request: Request): Promise<Response>
}

/**
 * A server where there are neither files nor processes, in an object that may be evicted between requests: the first request
 * makes it, takes the sessions over, and knows what happened meanwhile.
 */
export function serverIn<Bindings extends ServerBindings>(
  storage: ObjectStorage,
  bindings: Bindings,
  configure: Configure<Bindings>,
): Answers {
  let opening: Promise<App> | null = null
  return {
    async fetch(request) {
      const mine = (opening ??= open(storage, bindings, configure))
      try {
        await mine
      } catch (error) {
        // The next request tries again.
        if (opening === mine) opening = null
        log('the server does not start', { error: error instanceof Error ? error.message : String(error) })
        const answer = new InstarError('internal', 'Cannot answer: the server does not start; its log says why')
        return Response.json(answer.toJSON(), { status: answer.status })
      }
      return (await mine).fetch(request)
    },
  }
}

async function open<Bindings extends ServerBindings>(own: ObjectStorage, bindings: Bindings, configure: Configure<Bindings>): Promise<App> {
  const { INSTAR_TOKEN: token = '', INSTAR_DIR: cwd = '/' } = bindings
  if (!/^\S{16,}$/.test(token)) throw new TypeError('Cannot use INSTAR_TOKEN: it must have at least 16 characters and no blanks')
  const config = complete(configure(bindings), { backends: {}, hooks: [guard()] })
  if (Object.keys(config.backends).length === 0)
    throw new TypeError('Cannot use the config: it names no backend, and there is none by default where there is no tmux')
  if (config.storage) throw new TypeError('Cannot use the config: its storage is the object itself, which lets nobody else write')
  const storage = createStorage({ driver: objectStorage({ storage: own }) })
  const { app } = await assemble({
    config,
    stateOf: (name) => ({ directory: '/', socket: name, storage: prefixStorage(storage, `backends:${encodeURIComponent(name)}`) }),
    storage,
    token,
    cwd,
    environment: {},
    allowedHosts: [],
    address: () => null,
    log,
  })
  return app
}
