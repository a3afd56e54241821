import type { Peer } from '../runtime/body.ts'
import { SettingsError } from './settings.ts'

/** The only thing that differs per runtime. Rejects with what the runtime says; `host` is an address or a name, port 0 any free one. */
export type Listen = (fetch: Fetch, host: string, port: number) => Promise<Listener>
export type Fetch = (request: Request, peer?: Peer) => Response | Promise<Response>

export interface Listener {
  /** The address that it really listens on. */
  readonly hostname: string
  readonly port: number
  /** Ends open connections too: a stream would hold it open for ever. */
  close(): Promise<void>
}

export async function listening(listen: Listen, fetch: Fetch, host: string, port: number): Promise<Listener & { readonly url: string }> {
  const listener = await listen(fetch, host, port).catch((error: unknown) => {
    throw cannotListen(error, host, port)
  })
  const { hostname } = listener
  return { ...listener, url: `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${listener.port}` }
}

const loopback = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/

/** The names that a server on `host` answers to, besides those of loopback. */
export const namesOf = (host: string): string[] => (loopback.test(host) ? [] : [host, `[${host}]`])

function cannotListen(error: unknown, host: string, port: number): SettingsError {
  const { code = '', message } = error as NodeJS.ErrnoException
  const problems: Readonly<Record<string, string>> = {
    EADDRINUSE: 'the port is in use',
    EACCES: 'this user may not use that port',
    EADDRNOTAVAIL: 'this machine does not have that address',
    ENOTFOUND: 'there is no such host',
  }
  return new SettingsError(`Cannot listen on ${host}:${port}: ${problems[code] ?? message}`)
}
