import type { Backend, Health } from './backend.ts'
import type { Report } from './types.ts'

/**
 * What a control plane (`remote` in its config) and an executor (`instar executor`) say to each other, over HTTP:
 *
 *   POST /executor/:backend/connect   answered with a stream of pushes, one JSON a line, for as long as the connection lasts
 *   POST /executor/:backend/:verb     a verb of the backend contract, for the connection that its header names
 *
 * A connection is to the executor what a server's life is to a backend: at its end the backend is closed, and the next
 * one follows every session from what is stored. So nothing is kept for a control plane that is away, and nothing is lost.
 */
export const protocol = 1

export const wire = {
  /** The protocol's number. */
  protocol: 'instar-protocol',
  /** Whose sessions: a UUID that a control plane keeps with its records. No other one sees them. */
  owner: 'instar-owner',
  connection: 'instar-connection',
  /** A UUID for each request: one that is sent again is carried out once. */
  request: 'instar-request',
  /** In an answer: how many pushes came before it. Whoever waits for them sees no answer overtake a report. */
  pushed: 'instar-pushed',
} as const

/** How long a side may hear nothing before it takes the other for gone. A control plane may ask for another time when it connects. */
export const silenceMs = 20_000
/** What both sides say in that time, at least. */
export const pingsInSilence = 4

/**
 * What a backend says at once. The texts are those of any session: they hold `anyId` for its id and `anyDirectory` for
 * its directory; null where it says nothing.
 */
export interface Facts extends Pick<Backend, 'maxSessions' | 'cannot'> {
  readonly directory: string | null
  readonly project: string | null
}

export type Push =
  | { readonly type: 'hello'; readonly protocol: number; readonly version: string; readonly connection: string }
  /** The backend is open. */
  | ({ readonly type: 'open' } & Facts)
  | { readonly type: 'report'; readonly report: Report }
  | { readonly type: 'tail'; readonly tail: string; readonly lines: readonly string[]; readonly cursor: number }
  | { readonly type: 'watch'; readonly watch: string; readonly text: string }
  /** The place behind the executor's own backend is lost, or found again. */
  | { readonly type: 'reach'; readonly health: Health }
  | { readonly type: 'ping' }
  /** Another connection has taken over. */
  | { readonly type: 'replaced' }

/** A line of either stream, at most; the lines that a session writes are held to half of that, and what makes JSON of them longer is left out. */
export const maxPushBytes = 64 * 1024 * 1024

export const anyId = '00000000-0000-7000-8000-000000000000'
export const anyDirectory = '/any-directory-00000000'

// ---- an executor that dials in ---------------------------------------------------------------------------------------

/**
 * An executor that cannot be reached dials its control plane, and is asked over that, by the same requests:
 *
 *   POST /dial/:backend              answered with a stream of calls, one JSON a line, for as long as it is dialled in
 *   GET  /dial/:backend/:call        the body of a call, when it does not stand in it
 *   POST /dial/:backend/:call?part=N the parts of its answer, one after the other; the last with `&last`
 *
 * No answer is streamed to the control plane: proxies tend to keep such a body until it is whole.
 */
export type Call =
  | {
      readonly type: 'ask'
      readonly id: string
      readonly method: string
      readonly path: string
      readonly headers: Readonly<Record<string, string>>
      /** Null when there is none, or when it has to be got. */
      readonly body: string | null
      readonly isLarge: boolean
    }
  | { readonly type: 'cancel'; readonly id: string }
  | { readonly type: 'ping' }
  /** Another executor has dialled in. */
  | { readonly type: 'replaced' }

/** In the first part of an answer: its status and headers, as JSON. */
export const answerHeader = 'instar-answer'
/** The bytes of a part, at most. */
export const maxPart = 1024 * 1024
