/** Every error a client can meet: code → HTTP status. A code exists when a client would do something different. */
export const errorStatus = {
  invalid_json: 400,
  invalid_request: 400,
  unauthorized: 401,
  forbidden: 403,
  host_not_allowed: 403,
  origin_not_allowed: 403,
  not_found: 404,
  session_not_found: 404,
  method_not_allowed: 405,
  name_in_use: 409,
  session_ended: 409,
  session_waiting: 409,
  session_starting: 409,
  composer_in_use: 409,
  prompt_closed: 409,
  session_live: 409,
  nothing_to_resume: 409,
  no_working_copy: 409,
  work_unsaved: 409,
  merge_conflict: 409,
  idempotency_key_reused: 409,
  body_too_large: 413,
  hook_failed: 422,
  too_deep: 422,
  too_many_children: 429,
  too_many_sessions: 429,
  agent_limited: 429,
  internal: 500,
  plugin_failed: 502,
  plugin_busy: 503,
  storage_failed: 503,
  backend_failed: 502,
  backend_unavailable: 503,
} as const

export type ErrorCode = keyof typeof errorStatus

/**
 * The one error class. `message` reads "Cannot <verb> <thing>: <current state>", without a trailing period, and may be
 * shown to any client: no path of the server's own files, no token, no stack.
 */
export class InstarError extends Error {
  override readonly name = 'InstarError'
  readonly code: ErrorCode
  readonly data: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, data: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.data = data
  }

  get status(): (typeof errorStatus)[ErrorCode] {
    return errorStatus[this.code]
  }

  toJSON(): { error: { code: ErrorCode; message: string; data: Readonly<Record<string, unknown>> } } {
    return { error: { code: this.code, message: this.message, data: this.data } }
  }
}

/** The current state alone: an error's message without what cannot be done because of it. */
export const stateOf = (error: unknown): string => (error as Error).message.replace(/^Cannot [^:]*: /, '')

/** The error that an answer of a server of ours tells; null when it tells none. A newer server may have codes that this one does not know. */
export function errorFrom(body: unknown): InstarError | null {
  const { code, message, data } = (body as { error?: { code?: unknown; message?: unknown; data?: unknown } } | null)?.error ?? {}
  if (typeof code !== 'string' || typeof message !== 'string') return null
  const known = Object.hasOwn(errorStatus, code) ? (code as ErrorCode) : 'internal'
  return new InstarError(known, message, typeof data === 'object' && data !== null ? { ...data } : {})
}
