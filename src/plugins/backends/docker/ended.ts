import { constants } from 'node:os'
import type { Exit } from '../../../runtime/types.ts'
import type { Left } from '../box.ts'

/** What `docker inspect` says of a container, as far as it matters here. */
interface State {
  readonly Status?: string
  readonly ExitCode?: number
  readonly OOMKilled?: boolean
  readonly Error?: string
}
type End = Omit<Exit, 'at'>

/** Why nothing ever ran in a container that was made; null when something did, or it was not made. The client writes a line of JSON with its state, and what it has said itself. */
export function neverRan({ text, hasBegun }: Left): string | null {
  const { Status, Error, ExitCode } = stateIn(text)
  if (hasBegun || Status === undefined) return null
  if (Status === 'created') return plain(Error || saidIn(text).trim().split('\n').at(-1) || 'docker does not say why')
  return `it ended with exit code ${ExitCode}, and nothing ran in it: the image has no sh, or its user may not read the files of the session`
}

/** See `Box.ended`. */
export function endedContainer(left: Left): End {
  const { recorded } = left
  const state = stateIn(left.text)
  const memory = 'its container ran out of memory'
  // What is killed together with its container hears of a hangup first.
  const isKilled = recorded?.signal === 'SIGHUP' && state.ExitCode === 137
  if (recorded && !isKilled) return state.OOMKilled && recorded.signal === 'SIGKILL' ? { ...recorded, reason: memory } : recorded
  if (state.Status === undefined) return { code: null, signal: null, reason: 'its container is not there any more' }
  const code = state.ExitCode ?? 0
  const signal = nameOf(code - 128)
  const never = neverRan(left)
  if (never !== null && !signal)
    return { code: code === 0 ? null : code, signal: null, reason: `its container could not be started: ${never}` }
  if (state.OOMKilled) return { code: null, signal: signal ?? 'SIGKILL', reason: memory }
  if (signal) return { code: null, signal, reason: null }
  return { code: null, signal: null, reason: `its container was ended, with exit code ${code}, and its program left no record` }
}

const stateIn = (text: string): State => parse(text.split('\n')[0]!)
/** What docker's client said. */
export const saidIn = (text: string): string => text.split('\n').slice(1).join('\n')

/** The end of a chain of causes: `failed to create shim task: OCI runtime create failed: …: exec: "sh": executable file not found in $PATH: unknown`. */
export const plain = (problem: string): string =>
  problem
    .replace(/^.*unable to start container process: /s, '')
    .replace(/: unknown\.?$/, '')
    .trim()

function parse(line: string): State {
  try {
    return JSON.parse(line) as State
  } catch {
    return {}
  }
}

const nameOf = (number: number): string | null => Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? null
