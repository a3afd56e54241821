export type RemoteOptions = RemoteOptionsBesides &
  (
    | {
        /** Where the executor listens, such as `https://build.example.com:4041`. */
        readonly url: string
      }
    | {
        /** The executor dials in here: `instar executor --dial <this server>/dial/<the name of this backend>`. */
        readonly dial: true
      }
  )

interface RemoteOptionsBesides {
  /** Its `executor.token`. */
  readonly token: string
  /** The name of the backend in the executor's config. Default: its first. */
  readonly backend?: string
  /** What a person gives `ssh` to get to the executor's machine: `attach` then begins with `ssh -t <host>`. Without it `attach` is to be typed there. */
  readonly host?: string
  /** How long nothing may be heard of it before it counts as lost. Default 20 s. */
  readonly silenceMs?: number
  /** How long a spawn waits for an executor that was lost in the middle of it. Default 10 s. */
  readonly patienceMs?: number
  /** Default: the global one. */
  readonly fetch?: typeof fetch
}

/** Where an executor is asked, and what it is called in a sentence. */
export interface Named {
  readonly url: string
  readonly name: string
}

/** Throws a `TypeError` for options that make no sense. */
export function nameOf(options: RemoteOptions): Named {
  const { url: given, dial, token, silenceMs, patienceMs } = { ...options } as Partial<Record<string, unknown>>
  if ((given === undefined) === (dial === undefined) || (dial !== undefined && dial !== true))
    throw new TypeError('Cannot use remote({ … }): it takes either url, where the executor listens, or dial: true, when it dials in')
  // Nobody resolves the one of an executor that dials in.
  const url = dial ? 'http://executor.invalid' : urlIn(given)
  const name = dial ? 'the executor that dials in' : `the executor at ${url}`
  checkToken(token, name)
  checkMs({ silenceMs }, 100, 600_000)
  checkMs({ patienceMs }, 0, 600_000)
  return { url, name }
}

function urlIn(given: unknown): string {
  const url = typeof given === 'string' && URL.canParse(given) ? new URL(given) : null
  if (!url || !/^https?:$/.test(url.protocol))
    throw new TypeError(`Cannot use remote({ url: ${JSON.stringify(given)} }): it must be like https://build.example.com:4041`)
  if (url.username || url.password)
    throw new TypeError(`Cannot use remote({ url }) with a user and a password for ${url.host}: what opens an executor is its token`)
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}

function checkToken(token: unknown, name: string): void {
  if (!token) throw new TypeError(`${name} has no token here: it is under executor.token in .instar/config.json there`)
  if (typeof token !== 'string' || !/^\S{16,}$/.test(token))
    throw new TypeError(`Cannot use remote({ token }) for ${name}: it must have at least 16 characters and no blanks`)
}

function checkMs(option: Readonly<Record<string, unknown>>, least: number, most: number): void {
  for (const [name, ms] of Object.entries(option))
    if (ms !== undefined && !(typeof ms === 'number' && ms >= least && ms <= most))
      throw new TypeError(
        `Cannot use remote({ ${name}: ${JSON.stringify(ms)} }): it must be a number of milliseconds from ${least} to ${most}`,
      )
}
