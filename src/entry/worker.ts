import type { ObjectStorage } from '../plugins/storage/durable-object.ts'
import { serverIn, type Answers, type Configure, type ServerBindings } from './object.ts'

/** What a Worker is bound to. */
export interface WorkerBindings extends ServerBindings {
  /** The namespace of the Durable Object. */
  readonly INSTAR: { idFromName(name: string): unknown; get(id: never): Answers }
}

export interface Worker<Bindings> {
  readonly handler: { fetch(request: Request, bindings: Bindings): Promise<Response> }
  /** The Durable Object that is the server: there is one, so the sessions' records have one writer. */
  readonly Instar: new (object: { readonly storage: ObjectStorage }, bindings: Bindings) => Answers
}

/** The server as a Cloudflare Worker, on workerd here or on Cloudflare; its backends are `remote`. */
export const createWorker = <Bindings extends WorkerBindings>(configure: Configure<Bindings>): Worker<Bindings> => ({
  handler: { fetch: async (request, { INSTAR }) => INSTAR.get(INSTAR.idFromName('instar') as never).fetch(request) },
  Instar: class {
    readonly #server: Answers

    constructor({ storage }: { readonly storage: ObjectStorage }, bindings: Bindings) {
      this.#server = serverIn(storage, bindings, configure)
    }

    fetch(request: Request): Promise<Response> {
      return this.#server.fetch(request)
    }
  },
})
