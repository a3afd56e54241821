import { defineDriver } from 'unstorage'

/** The part of a Durable Object's storage that is used here. */
export interface ObjectStorage {
  get(key: string): Promise<unknown>
  put(key: string, value: string): Promise<void>
  delete(key: string): Promise<boolean>
  list(options: { prefix: string }): Promise<Map<string, unknown>>
}

/**
 * An unstorage driver over a Durable Object's own storage, of which the object is the only writer. A write is whole, and safe before
 * any answer leaves the object (its output gate). With SQLite, as new objects have it, an item may have 2 MB.
 */
export const objectStorage = defineDriver<{ storage: ObjectStorage }>(({ storage }) => {
  const read = async (key: string): Promise<string | null> => ((await storage.get(key)) as string | undefined) ?? null
  const write = async (key: string, value: string | Uint8Array) =>
    storage.put(key, typeof value === 'string' ? value : new TextDecoder().decode(value))
  return {
    name: 'instar-durable-object',
    hasItem: async (key) => (await read(key)) !== null,
    getItem: read,
    getItemRaw: read,
    setItem: write,
    setItemRaw: write,
    removeItem: async (key) => void (await storage.delete(key)),
    getKeys: async (base) => [...(await storage.list({ prefix: base })).keys()],
  }
})
