/**
 * Tokens of sessions: `<the session's id>.<HMAC-SHA-256 of it>`. They need no storage, are the same after a restart, and are
 * worth nothing with another server token. Whether the session still lives is asked of its record.
 */
export interface SessionTokens {
  of(id: string): Promise<string>
  /** The id of the session whose token it is; null when it is nobody's. Takes as long for a wrong one as for a right one. */
  idIn(token: string): Promise<string | null>
}

const algorithm = { name: 'HMAC', hash: 'SHA-256' }

export function createSessionTokens(secret: string): SessionTokens {
  const encode = (text: string) => new TextEncoder().encode(text)
  const key = crypto.subtle.importKey('raw', encode(`instar session tokens\n${secret}`), algorithm, false, ['sign', 'verify'])
  return {
    async of(id) {
      const bytes = new Uint8Array(await crypto.subtle.sign(algorithm, await key, encode(id)))
      return `${id}.${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`
    },
    async idIn(token) {
      const [, id, hex] = /^([0-9a-f-]{36})\.([0-9a-f]{64})$/.exec(token) ?? []
      if (id === undefined || hex === undefined) return null
      const bytes = Uint8Array.from(hex.match(/../g)!, (pair) => Number.parseInt(pair, 16))
      return (await crypto.subtle.verify(algorithm, await key, bytes, encode(id))) ? id : null
    },
  }
}
