import type { Tail } from '../../../runtime/backend.ts'
import type { InstarError } from '../../../runtime/error.ts'
import type { Exit } from '../../../runtime/types.ts'
import { deferred } from '../../../runtime/deferred.ts'
import type { SessionDirectory } from '../directory.ts'

/** What is known of a session that is followed. */
export interface Tracked {
  readonly id: string
  readonly name: string
  readonly directory: SessionDirectory
  readonly placed: Promise<void>
  cursor: number
  follower: Tail | null
  /** The title that was last told; null when nobody wants to know. */
  title: string | null
  /** The launcher's pid, as tmux says: what a session's own files say of it could name any process. Null while unknown. */
  pid: number | null
  /** Null: it has none. Undefined: nobody has looked yet. */
  pane: string | null | undefined
  /** How it ended, once its launcher has said so. */
  recorded: Exit | null
  /** Until `start` has resolved. */
  isStarting: boolean
  /** Set instead of a report when its program never began while it was started. */
  refusal: InstarError | null
  /** Counts the beginnings and the ends of making another terminal: what was seen of the panes in between is not true any more. */
  entering: number
  /** Set while its end is looked into. */
  reaping: Promise<void> | null
  /** Resolves when something was reported, or it was dropped. */
  readonly begun: Promise<void>
  readonly begin: () => void
  /** Resolves when it is dropped, after its end was reported. */
  readonly ended: Promise<void>
  readonly end: () => void
}

/** `placed` resolves when its pane is set; until then its end is not looked into. */
export type Found = Pick<Tracked, 'id' | 'name' | 'cursor' | 'directory' | 'placed' | 'title'>

export function track(found: Found): Tracked {
  const begun = deferred()
  const ended = deferred()
  return {
    ...found,
    follower: null,
    isStarting: false,
    refusal: null,
    entering: 0,
    pid: null,
    pane: null,
    recorded: null,
    reaping: null,
    begun: begun.promise,
    begin: begun.resolve,
    ended: ended.promise,
    end: ended.resolve,
  }
}
