import type { Context, MiddlewareHandler } from 'hono'
import type { Peer } from '../runtime/body.ts'
import { InstarError } from '../runtime/error.ts'
import { bearerIn, isSameToken } from '../runtime/token.ts'

const loopback = /^(?:localhost|[a-z0-9-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/** Refuses a Host that is neither loopback nor listed, and an Origin that is not this server's own: a page on another site, or a name made to point here, gets nothing. */
export function sameSite(allowedHosts: readonly string[]): MiddlewareHandler {
  const allowed = new Set(allowedHosts.map((host) => host.toLowerCase()))
  const isOurs = (host: string) => loopback.test(nameOf(host)) || allowed.has(nameOf(host)) || allowed.has(host.toLowerCase())
  return async function sameSite(c, next) {
    const host = c.req.header('host') ?? new URL(c.req.url).host
    if (!isOurs(host))
      throw new InstarError('host_not_allowed', 'Cannot answer: the Host header names a host that is not configured', { field: 'Host' })
    const origin = c.req.header('origin')
    if (origin !== undefined && !matches(origin, host)) {
      throw new InstarError('origin_not_allowed', 'Cannot answer: the Origin header names another site', { field: 'Origin' })
    }
    await next()
  }
}

/** An origin matches when it is the very host and port that the request was sent to. */
function matches(origin: string, host: string): boolean {
  try {
    const url = new URL(origin)
    return (url.protocol === 'http:' || url.protocol === 'https:') && url.host === new URL(`${url.protocol}//${host}`).host
  } catch {
    return false
  }
}

const nameOf = (host: string): string => host.toLowerCase().replace(/:\d+$/, '')

/** The token a request bears: none, the right one, or another. */
export function bearer(c: Context, token: string): 'none' | 'right' | 'wrong' {
  const given = tokenOf(c)
  if (given === undefined) return 'none'
  return isSameToken(given, token) ? 'right' : 'wrong'
}

const tokenOf = (c: Context): string | undefined => bearerIn(c.req.header('authorization'))

/** What a token that is not the server's may use; null when it is nobody's. */
export type Others = (token: string) => Promise<{ fetch(request: Request, peer?: Peer): Response | Promise<Response> } | null>

export function authenticated(token: string, others: Others = async () => null): MiddlewareHandler {
  return async function authenticated(c, next) {
    const given = tokenOf(c)
    if (given === undefined) {
      c.header('WWW-Authenticate', 'Bearer')
      throw new InstarError('unauthorized', 'Cannot answer: the request bears no token; send "Authorization: Bearer <token>"')
    }
    if (isSameToken(given, token)) return next()
    const other = await others(given)
    if (!other) throw new InstarError('forbidden', 'Cannot answer: the token is wrong')
    const answer = await other.fetch(c.req.raw, c.env as Peer | undefined)
    // Made anew, because only so it gets the headers that were set for every answer.
    return c.newResponse(answer.body, answer)
  }
}
