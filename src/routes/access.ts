import type { Context, MiddlewareHandler } from 'hono'
import { InstarError } from '../runtime/error.ts'

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

/** The token a request bears: none, the right one, or another. The time it takes does not tell how much of it is right. */
export function bearer(c: Context, token: string): 'none' | 'right' | 'wrong' {
  const given = /^Bearer +(\S+) *$/i.exec(c.req.header('authorization') ?? '')?.[1]
  if (given === undefined) return 'none'
  return equal(given, token) ? 'right' : 'wrong'
}

export function authenticated(token: string): MiddlewareHandler {
  return async function authenticated(c, next) {
    const found = bearer(c, token)
    if (found === 'none') {
      c.header('WWW-Authenticate', 'Bearer')
      throw new InstarError('unauthorized', 'Cannot answer: the request bears no token; send "Authorization: Bearer <token>"')
    }
    if (found === 'wrong') throw new InstarError('forbidden', 'Cannot answer: the token is wrong')
    await next()
  }
}

function equal(given: string, expected: string): boolean {
  let difference = given.length ^ expected.length
  for (let i = 0; i < given.length; i++) difference |= given.charCodeAt(i) ^ expected.charCodeAt(i % expected.length)
  return difference === 0
}
