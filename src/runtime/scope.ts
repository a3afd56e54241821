import { InstarError } from './error.ts'
import type { Input } from './inbox.ts'
import type { Runtime } from './runtime.ts'
import { hasComposer } from './session.ts'
import type { ResumeRequest, Session } from './types.ts'

export interface Bounds {
  /** The names of hooks whose options are a person's to set. */
  readonly protective: readonly string[]
  /** Whether the sessions of a backend are kept from the server's own machine, as in a container or on another host. */
  readonly isConfined: (backend: string) => boolean
}

/**
 * The runtime as a session may use it: it spawns its own children, and sees and directs what descends from it. Of itself it
 * sees the record. Answers to what a session asks are a person's to give, and so are the options of protective hooks. One
 * that is kept from the server's machine has its children where it is itself, and tells hooks, which act outside, nothing.
 */
export function scopedRuntime(runtime: Runtime, id: string, { protective, isConfined }: Bounds): Runtime {
  const byRef = (ref: string) => (runtime.has(ref) ? runtime.get(ref) : null)

  /** By its id alone: one that is gone could have left it to a session that took it for a name. */
  function parentOf({ parent }: Session): Session | null {
    const session = parent === null ? null : byRef(parent)
    return session?.id === parent ? session : null
  }

  function isOwn(session: Session): boolean {
    const seen = new Set<string>()
    for (let each: Session | null = session; each && !seen.has(each.id); each = parentOf(each)) {
      seen.add(each.id)
      if (each.parent === id) return true
    }
    return false
  }

  /** The id of a descendant: a name could have come to mean another one meanwhile. */
  function own(ref: string, verb: string): string {
    const session = byRef(ref)
    if (session && isOwn(session)) return session.id
    throw new InstarError('session_not_found', `Cannot ${verb} session "${ref}": no session of yours has that name or id`)
  }

  const forbidden = (what: string): InstarError => new InstarError('forbidden', `Cannot ${what}: the token is a session's`)

  /** Nothing that a child is spawned with leads further than its parent gets. */
  function refuseEscape({ backend, cwd, hooks = {} }: ResumeRequest): void {
    const { backend: ownBackend, cwd: ownCwd } = runtime.get(id)
    const confined = isConfined(ownBackend)
    const isTold = (name: string) => protective.includes(name) || (confined && !['false', '{}'].includes(JSON.stringify(hooks[name])))
    const told = Object.keys(hooks).find(isTold)
    if (told !== undefined) throw forbidden(`set the options of hook "${told}"`)
    if (!confined) return
    if (backend !== undefined && backend !== ownBackend) throw forbidden(`spawn a session on backend "${backend}"`)
    if (cwd !== undefined && !isWithin(ownCwd, cwd)) throw forbidden('spawn a session outside of its own directory')
  }

  /** The id of a descendant whom the input does not answer in a person's place: unlike texts, keys reach a dialog as well. */
  function typedInto(ref: string, input: Input): string {
    const descendant = own(ref, 'send to')
    const session = runtime.get(descendant)
    if ('keys' in input && (session.status === 'starting' || !hasComposer(session)))
      throw forbidden(`press keys in session "${session.name}", which is ${session.status}`)
    return descendant
  }

  /** A name can be taken by a session that this one does not see: then only that is told. */
  function unseen(name: string, error: unknown): unknown {
    if (!(error instanceof InstarError) || error.code !== 'name_in_use') return error
    const holder = byRef(String(error.data['id']))
    return holder && isOwn(holder) ? error : new InstarError('name_in_use', `Cannot spawn session "${name}": another one has that name`)
  }

  return {
    // Keys of others are not this session's to ask for.
    once: { run: (key, request, deed) => runtime.once.run(`${id} ${key}`, request, deed) },
    async spawn(request, newId) {
      const { parent = id, resume } = request
      if (parent !== id && byRef(parent)?.id !== id) throw forbidden('spawn a session for another parent')
      refuseEscape(request)
      const resumed = resume === undefined ? {} : { resume: own(resume, 'resume') }
      return runtime
        .spawn({ ...request, ...resumed, parent: id }, newId)
        .catch((error: unknown) => Promise.reject(unseen(request.name, error)))
    },
    async resume(ref, request) {
      if (request.parent !== undefined) throw forbidden('resume a session for another parent')
      refuseEscape(request)
      return runtime.resume(own(ref, 'resume'), request)
    },
    list: (only) => runtime.list(only).filter(isOwn),
    get: (ref) => (byRef(ref)?.id === id ? runtime.get(id) : runtime.get(own(ref, 'show'))),
    has: (ref) => {
      const session = byRef(ref)
      return session !== null && (session.id === id || isOwn(session))
    },
    output: async (ref, lines) => runtime.output(own(ref, 'read'), lines),
    input: async (ref, input, receipt) => runtime.input(typedInto(ref, input), input, receipt),
    inputAndWait: async (ref, input, wait, receipt) => runtime.inputAndWait(typedInto(ref, input), input, wait, receipt),
    inputs: (ref) => runtime.inputs(own(ref, 'read')),
    prompts: (ref) => runtime.prompts(own(ref, 'read')),
    async answer() {
      throw forbidden('answer a prompt')
    },
    messages: async (ref) => runtime.messages(own(ref, 'read')),
    explain: (ref) => runtime.explain(own(ref, 'explain')),
    interrupt: async (ref) => runtime.interrupt(own(ref, 'interrupt')),
    wait: async (ref, wait) => runtime.wait(own(ref, 'wait for'), wait),
    end: async (ref, options) => runtime.end(own(ref, 'end'), options),
    diff: async (ref) => runtime.diff(own(ref, 'compare')),
    finish: async (ref, how) => runtime.finish(own(ref, 'finish'), how),
    changes: (tell) => runtime.changes((session) => isOwn(session) && tell(session)),
    async terminals() {
      throw forbidden('list terminals')
    },
    health: async () => runtime.health(),
    backends: async () => runtime.backends(),
    agents: async () => runtime.agents(),
    async dialled() {
      throw forbidden('dial in')
    },
    async close() {
      throw forbidden('stop the server')
    },
  }
}

/** Whether a path is a directory or below it; one that goes up on its way is taken for none. */
const isWithin = (directory: string, path: string): boolean =>
  `${path}/`.startsWith(`${directory.replace(/\/+$/, '')}/`) && !path.split('/').includes('..')
