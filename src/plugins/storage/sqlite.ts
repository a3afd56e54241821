import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { defineDriver } from 'unstorage'
import type { Swapping } from '../../runtime/lease.ts'

export interface SqliteOptions {
  /** The file; made with its directory when missing. */
  readonly path: string
}

/**
 * Keeps items in one SQLite file (0600), by what the runtime has for it: Node 22.5 or newer, Deno, Bun. Each write is whole, and on
 * the disk when it resolves (WAL, flushed); several processes may have the file open, and the lease lets one of them be the server.
 */
export const sqlite = defineDriver<SqliteOptions>((options) => {
  let opening: Promise<Database> | null = null
  const database = () =>
    (opening ??= openDatabase(options).catch((error: unknown) => {
      opening = null
      throw error
    }))
  const read = async (key: string) => (await database()).prepare('SELECT value FROM items WHERE key = ?').get(key)?.['value'] ?? null
  const write = async (key: string, value: string | Uint8Array) => {
    ;(await database())
      .prepare('INSERT INTO items (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
      .run(key, value)
  }
  return {
    name: 'instar-sqlite',
    options,
    async hasItem(key: string) {
      return (await read(key)) !== null
    },
    async getItem(key: string) {
      const value = await read(key)
      return value instanceof Uint8Array ? new TextDecoder().decode(value) : value
    },
    getItemRaw: read,
    setItem: write,
    setItemRaw: write,
    async removeItem(key: string) {
      ;(await database()).prepare('DELETE FROM items WHERE key = ?').run(key)
    },
    async getKeys(base = '') {
      const rows = (await database()).prepare('SELECT key FROM items WHERE substr(key, 1, length(?1)) = ?1').all(base)
      return rows.map(({ key }) => key as string)
    },
    async swap(key: string, expected: string | null, next: string | null) {
      const db = await database()
      const [words, ...values] =
        expected === null
          ? ['INSERT INTO items (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING', key, next]
          : next === null
            ? ['DELETE FROM items WHERE key = ? AND value = ?', key, expected]
            : ['UPDATE items SET value = ?2 WHERE key = ?1 AND value = ?3', key, next, expected]
      return Number(db.prepare(words!).run(...values).changes) === 1
    },
    async dispose() {
      const db = await opening
      opening = null
      db?.close()
    },
  } satisfies ReturnType<Parameters<typeof defineDriver<SqliteOptions>>[0]> & Swapping
})

/** The part of node:sqlite that is used; its types come with later versions of Node. */
interface Database {
  exec(sql: string): void
  prepare(sql: string): {
    get(...values: unknown[]): Record<string, string | Uint8Array> | undefined
    all(...values: unknown[]): Record<string, unknown>[]
    run(...values: unknown[]): { readonly changes: number | bigint }
  }
  close(): void
}

/** Another process may write for so long; meanwhile this one stands still. */
const busyTimeoutMs = 2000

async function openDatabase({ path }: SqliteOptions): Promise<Database> {
  const name = 'node:sqlite'
  const { DatabaseSync } = (await import(name).catch((cause: unknown) => {
    throw new Error('this runtime has no SQLite: it takes Node 22.5 or newer, Deno or Bun', { cause })
  })) as { DatabaseSync: new (path: string) => Database }
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  // SQLite gives its other files the mode of this one.
  await (await open(path, 'a', 0o600)).close()
  const db = new DatabaseSync(path)
  db.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`)
  db.exec('PRAGMA journal_mode = WAL')
  db.exec('PRAGMA synchronous = FULL')
  db.exec('CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID')
  return db
}
