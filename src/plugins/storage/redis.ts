import { defineDriver } from 'unstorage'
import type { Swapping } from '../../runtime/lease.ts'

export interface RedisOptions {
  /** Such as `redis://:password@host:6379/0`, `rediss://…` for TLS, or the path of a Unix socket. */
  readonly url: string
  /** What every key begins with; servers with different ones do not see each other. Default `instar`. */
  readonly base?: string
}

/** How long Redis may take for an answer before that is a failure. */
const timeoutMs = 5000
const scanCount = 1000

/**
 * Keeps items in Redis, by the package ioredis, which whoever uses this installs. A write is whole; whether it outlives a crash of
 * Redis is Redis's to say (`appendonly yes`).
 */
export const redis = defineDriver<RedisOptions>((options) => {
  const base = `${options.base ?? 'instar'}:`
  let connecting: Promise<Client> | null = null
  const client = () =>
    (connecting ??= connect(options.url).catch((error: unknown) => {
      connecting = null
      throw error
    }))
  const write = async (key: string, value: string | Uint8Array) =>
    void (await (await client()).set(base + key, typeof value === 'string' ? value : Buffer.from(value)))
  return {
    name: 'instar-redis',
    async hasItem(key: string) {
      return (await (await client()).exists(base + key)) === 1
    },
    async getItem(key: string) {
      return (await client()).get(base + key)
    },
    async getItemRaw(key: string) {
      return (await client()).getBuffer(base + key)
    },
    setItem: write,
    setItemRaw: write,
    async removeItem(key: string) {
      await (await client()).del(base + key)
    },
    async getKeys(prefix = '') {
      const keys = new Set<string>()
      const pattern = `${(base + prefix).replaceAll(/[\\*?[\]]/g, String.raw`\$&`)}*`
      for (let cursor = '0'; ;) {
        const [next, found] = await (await client()).scan(cursor, 'MATCH', pattern, 'COUNT', scanCount)
        for (const key of found) keys.add(key.slice(base.length))
        if (next === '0') return [...keys]
        cursor = next
      }
    },
    async swap(key: string, expected: string | null, next: string | null) {
      return (await (await client()).eval(swap, 1, base + key, expected ?? '', next ?? '')) === 1
    },
    async dispose() {
      const connected = await connecting?.catch(() => null)
      connecting = null
      connected?.disconnect()
    },
  } satisfies ReturnType<Parameters<typeof defineDriver<RedisOptions>>[0]> & Swapping
})

const swap = `
  if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
  if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2]) end
  return 1`

/** The part of ioredis that is used. */
interface Client {
  get(key: string): Promise<string | null>
  getBuffer(key: string): Promise<Buffer | null>
  set(key: string, value: string | Buffer): Promise<unknown>
  exists(key: string): Promise<number>
  del(key: string): Promise<number>
  scan(cursor: string, ...words: readonly (string | number)[]): Promise<[string, string[]]>
  eval(script: string, keys: number, ...words: readonly string[]): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
  connect(): Promise<void>
  disconnect(): void
}

async function connect(url: string): Promise<Client> {
  const name = 'ioredis'
  const { Redis } = (await import(name).catch((cause: unknown) => {
    throw new Error('it takes the package ioredis: npm install ioredis@5', { cause })
  })) as { Redis: new (url: string, options: object) => Client }
  const client = new Redis(url, { lazyConnect: true, connectTimeout: timeoutMs, commandTimeout: timeoutMs, maxRetriesPerRequest: 1 })
  // Whoever asked for something is told.
  let last: Error | null = null
  client.on('error', (error) => (last = error))
  await client.connect().catch((error: unknown) => {
    client.disconnect()
    throw last ?? error
  })
  return client
}
