import type { Backend, Terminal } from './backend.ts'
import { InstarError, stateOf } from './error.ts'

export interface ListedTerminal extends Terminal {
  /** This server's store has a live session for it. */
  readonly managed: boolean
  readonly backend: string
}

export interface ListedTerminals {
  readonly sessions: readonly ListedTerminal[]
  /** Backends that cannot be asked now. Missing when there are none. */
  readonly unreachable?: readonly { readonly backend: string; readonly reason: string }[]
}

/** What the terminal servers of all backends list. `backend_unavailable` when none can be asked. */
export async function listTerminals(
  backends: Readonly<Record<string, Backend>>,
  isManaged: (id: string) => boolean,
): Promise<ListedTerminals> {
  const all = Object.entries(backends).filter(([, backend]) => backend.terminals)
  const lists = await Promise.all(
    all.map(async ([name, backend]) => {
      try {
        const sessions = (await backend.terminals!()).map((each) => ({
          ...each,
          managed: each.id !== null && isManaged(each.id),
          backend: name,
        }))
        return { sessions, unreachable: [] }
      } catch (error) {
        if (!(error instanceof InstarError) || error.code !== 'backend_unavailable') throw error
        return { sessions: [], unreachable: [{ backend: name, error }] }
      }
    }),
  )
  const unreachable = lists.flatMap((each) => each.unreachable)
  if (unreachable.length > 0 && unreachable.length === all.length) throw unreachable[0]!.error
  return {
    sessions: lists.flatMap((each) => each.sessions),
    ...(unreachable.length > 0 ? { unreachable: unreachable.map(({ backend, error }) => ({ backend, reason: stateOf(error) })) } : {}),
  }
}
