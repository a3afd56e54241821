import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import fc from 'fast-check'
import { createStorage, type Driver } from 'unstorage'
import memory from 'unstorage/drivers/memory'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { files } from '../src/plugins/storage/files.ts'
import { createIds } from '../src/runtime/id.ts'
import { openStore } from '../src/runtime/store.ts'
import type { Session, SessionRecord } from '../src/runtime/types.ts'
import { sampleRecord } from './support/session.ts'
import { pass } from './support/wait.ts'

let directory: string
let base: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'instar-store-'))
  // Deep enough that a key which leads out of it still ends in what is removed.
  base = join(directory, 'a', 'b', 'c', 'store')
})
afterEach(async () => {
  await rm(directory, { recursive: true, force: true })
})

describe('files', () => {
  const segment = fc.oneof(
    fc.constantFrom('.', '..', '...', 'x', 'x.json', 'x.tmp', 'x y', '%2E%2E', '%', 'a/b', 'a\\b', '\n', '*', '~', '-', 'ü', '🌱'),
    fc.string({ minLength: 1, maxLength: 12, unit: 'binary' }).filter((text) => !/[:]/.test(text)),
  )
  const key = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join(':'))

  test('gives back every value under every key, and never leaves its directory', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.dictionary(key, fc.string({ unit: 'binary', maxLength: 40 }), { maxKeys: 6 }), async (given) => {
        const root = join(directory, `run${run++}`)
        const driver = files({ base: join(root, 'a', 'b', 'c', 'd', 'store') })
        for (const [key, value] of Object.entries(given)) await driver.setItem!(key, value, {})
        for (const [key, value] of Object.entries(given)) {
          expect(await driver.getItem(key, {})).toBe(value)
          expect(await driver.hasItem(key, {})).toBe(true)
        }
        expect([...(await driver.getKeys('', {}))].sort()).toEqual(Object.keys(given).sort())
        const outside = (await readdir(root, { recursive: true, withFileTypes: true })).filter(
          (entry) => entry.isFile() && !entry.parentPath.startsWith(join(root, 'a', 'b', 'c', 'd', 'store')),
        )
        expect(outside).toEqual([])
        for (const key of Object.keys(given)) await driver.removeItem!(key, {})
        expect(await driver.getKeys('', {})).toEqual([])
      }),
      { numRuns: 150 },
    )
  })

  test.each([
    ['x', 'x:y'],
    ['x', 'x.json:y'],
    ['a:b', 'a:.:b'],
    ['..', '.'],
    ['..:..:x', 'x'],
    ['a:..:b', 'b'],
    ['x', 'x.tmp'],
    ['X%3AY', 'X:Y'],
  ])('keeps %j apart from %j', async (one, other) => {
    const driver = files({ base })
    await driver.setItem!(one, '1', {})
    await driver.setItem!(other, '2', {})
    expect([await driver.getItem(one, {}), await driver.getItem(other, {})]).toEqual(['1', '2'])
    expect([...(await driver.getKeys('', {}))].sort()).toEqual([one, other].sort())
    expect(await readdir(join(base, '..'))).toEqual(['store'])
    expect(await filesBelow(directory)).toHaveLength(2)
  })

  test('gives back bytes as they were', async () => {
    const storage = createStorage({ driver: files({ base }) })
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
    await storage.setItemRaw('a:b', bytes)
    expect(new Uint8Array((await storage.getItemRaw<Uint8Array>('a:b'))!)).toEqual(bytes)
    expect(await storage.getItemRaw('a:missing')).toBeNull()
    expect(await storage.hasItem('a')).toBe(false)
  })

  test('is for its owner only: files 0600, directories 0700', async () => {
    const driver = files({ base })
    for (const key of ['a:b:c', 'a:b:d', 'a:b:c']) await driver.setItem!(key, '1', {})
    const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)
    for (const name of ['c.json', 'd.json']) expect(await mode(join(base, 'a', 'b', name))).toBe('600')
    for (const path of [base, join(base, 'a'), join(base, 'a', 'b')]) expect(await mode(path)).toBe('700')
  })

  test('sweeps away what a crash left half-written, and nothing else', async () => {
    await files({ base }).setItem!('a:b', '1', {})
    await files({ base }).setItem!('a:b.tmp', '2', {})
    await writeFile(join(base, 'a', 'b.json.0000.tmp'), 'half of a val')
    await writeFile(join(base, 'x.json.0000.tmp'), '')
    const again = files({ base })
    expect([...(await again.getKeys('', {}))].sort()).toEqual(['a:b', 'a:b.tmp'])
    expect(await filesBelow(base)).toHaveLength(2)
  })

  test('in a place where no directory can be fail when they are used, and not before', async () => {
    await writeFile(join(directory, 'file'), '')
    const driver = files({ base: join(directory, 'file') })
    // A rejection that nobody waits for would be told by now.
    await pass(200)
    await expect(driver.getItem('a', {})).rejects.toMatchObject({ code: 'EEXIST' })
  })

  test('lists no file that somebody else has put there', async () => {
    await files({ base }).setItem!('a:b', '1', {})
    for (const name of ['%zz.json', 'a.b.json', 'notes.txt', '.json.swp']) await writeFile(join(base, 'a', name), '{}')
    expect(await files({ base }).getKeys('', {})).toEqual(['a:b'])
  })

  test('a write that fails leaves the old value and no draft', async () => {
    const driver = files({ base })
    await driver.setItem!('a', 'old', {})
    await mkdir(join(base, 'b.json'))
    await expect(driver.setItem!('b', 'new', {})).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/)
    expect(await filesBelow(base)).toEqual(['a.json'])
  })

  test('goes on after it was cleared', async () => {
    const storage = createStorage({ driver: files({ base }) })
    for (const key of ['a', 'a:b', 'c']) await storage.setItemRaw(key, '1')
    await storage.clear()
    expect(await storage.getKeys()).toEqual([])
    await storage.setItemRaw('a', '2')
    expect(await storage.getKeys()).toEqual(['a'])
  })

  test('a reader never meets a missing, empty or torn value while writers replace it', async () => {
    const driver = files({ base })
    const keys = Array.from({ length: 20 }, (_, i) => `sessions:${i}`)
    for (const key of keys) await driver.setItem!(key, whole(0, 300), {})
    // Opened first: whoever opens a directory sweeps it.
    const other = files({ base })
    await other.getKeys('', {})
    let reads = 0
    const writers = keys.map(async (key, i) => {
      for (let n = 1; reads < 200; n++) await driver.setItem!(key, whole(n, [300, 4000, 200_000][(i + n) % 3]!), {})
    })
    const reader = (async () => {
      for (; reads < 200; reads++) expect(isWhole(String(await other.getItem(keys[reads % 20]!, {})))).toBe(true)
    })().finally(() => (reads = 200))
    await Promise.all([...writers, reader])
  })

  test('a writer that is killed leaves every value whole', { timeout: 60_000 }, async () => {
    // `whole` once more, because a function of a transformed file does not run elsewhere.
    const script = `
      import { createHash } from 'node:crypto'
      import { files } from ${JSON.stringify(new URL('../src/plugins/storage/files.ts', import.meta.url).href)}
      const driver = files({ base: process.argv[1] })
      const rewrite = (i, n) => {
        const size = [300, 4000, 200_000][(i + n) % 3]
        const filler = (n + ' ').repeat(Math.ceil(size / 2)).slice(0, size - 80)
        return driver.setItem('sessions:' + i, filler + '|' + createHash('sha256').update(filler).digest('hex'), {})
      }
      const all = Array.from({ length: 20 }, (_, i) => i)
      await Promise.all(all.map((i) => rewrite(i, 0)))
      process.stdout.write('ready')
      await Promise.all(all.map(async (i) => { for (let n = 1; ; n++) await rewrite(i, n) }))`
    let drafts = 0
    let rewritten = 0
    const runs = Array.from({ length: 10 }, (_, run) => run)
    const once = async (run: number) => {
      const base = join(directory, `run${run}`)
      const writer = execa(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script, base], {
        buffer: false,
        reject: false,
        stderr: 'inherit',
      })
      try {
        await Promise.race([new Promise((resolve) => writer.stdout.once('data', resolve)), writer])
        await new Promise((resolve) => setTimeout(resolve, 5 + run * 23))
      } finally {
        writer.kill('SIGKILL')
      }
      expect((await writer).signal).toBe('SIGKILL')
      drafts += (await filesBelow(base)).filter((name) => name.endsWith('.tmp')).length
      const driver = files({ base })
      expect(await driver.getKeys('', {})).toHaveLength(20)
      for (const key of await driver.getKeys('', {})) {
        const value = String(await driver.getItem(key, {}))
        expect(isWhole(value)).toBe(true)
        if (!value.startsWith('0 ')) rewritten++
      }
      expect((await filesBelow(base)).filter((name) => !name.endsWith('.json'))).toEqual([])
    }
    for (const pair of [0, 1, 2, 3, 4]) await Promise.all(runs.slice(pair * 2, pair * 2 + 2).map(once))
    // Otherwise the kill came when nothing was being written, and the test has shown nothing.
    expect(drafts).toBeGreaterThan(0)
    expect(rewritten).toBeGreaterThan(0)
  })
})

describe('openStore', () => {
  test('has nothing at first', async () => {
    const store = await openStore(createStorage())
    expect([store.all(), store.damaged, store.liveCount()]).toEqual([[], [], 0])
    expect([store.get('x'), store.newest('x')]).toEqual([undefined, undefined])
  })

  test('knows the newest run of a name, and all newest first, also after it is opened again', async () => {
    const storage = createStorage({ driver: files({ base }) })
    const store = await openStore(storage)
    const [one, two, three] = [record('a', { status: 'killed' }), record('b'), record('a')]
    for (const each of [one, two, three]) await store.put(each)
    for (const each of [store, await openStore(createStorage({ driver: files({ base }) }))]) {
      expect(each.newest('a')).toEqual(three)
      expect(each.newest('b')).toEqual(two)
      expect(each.get(one.session.id)).toEqual(one)
      expect(each.all()).toEqual([three, two, one])
      expect(each.liveCount()).toBe(2)
    }
    await store.remove(three.session.id)
    for (const each of [store, await openStore(createStorage({ driver: files({ base }) }))]) {
      expect(each.newest('a')).toEqual(one)
      expect(each.all()).toEqual([two, one])
    }
    await store.remove(one.session.id)
    await store.remove(one.session.id)
    expect(store.newest('a')).toBeUndefined()
  })

  test('a record comes back as it was', async () => {
    const full = record('full', {
      status: 'waiting',
      model: 'opus',
      jobSlug: 'nightly',
      parent: 'other',
      labels: { team: 'ü', '': '🌱' },
      startedAt: '2026-01-01T00:00:00.000Z',
      lastError: 'overloaded',
      waiting: { kind: 'limit', message: 'later', options: ['a'], until: '2026-01-01T00:00:00.000Z' },
      usage: { tokens: 5 },
      attach: 'tmux attach',
      prompt: '\ud800 a lone surrogate, and "quotes"\n\t\u2028',
    })
    const whole = { ...full, handle: { id: 'x', pane: 7 }, cursor: 99, stopping: 'ended on request' }
    await (await openStore(createStorage({ driver: files({ base }) }))).put(whole)
    expect((await openStore(createStorage({ driver: files({ base }) }))).all()).toEqual([whole])
  })

  test('reading touches no storage', async () => {
    const counted = counting()
    const store = await openStore(createStorage({ driver: counted.driver }))
    await Promise.all(Array.from({ length: 50 }, (_, i) => store.put(record(`s${i}`))))
    const before = { ...counted.calls }
    for (let i = 0; i < 100; i++) {
      expect(store.all()).toHaveLength(50)
      expect(store.newest('s7')).toBeDefined()
      expect(store.liveCount()).toBe(50)
    }
    expect(counted.calls).toEqual(before)
    expect(counted.calls.read).toBe(0)
  })

  test('puts are seen at once; those that wait become one, and the last one wins', async () => {
    const counted = counting()
    const storage = createStorage({ driver: counted.driver })
    const store = await openStore(storage)
    const first = record('a')
    const puts = Array.from({ length: 100 }, (_, cursor) => {
      const put = store.put({ ...first, cursor })
      expect(store.get(first.session.id)?.cursor).toBe(cursor)
      return put
    })
    await Promise.all(puts)
    expect(counted.calls.written).toBeLessThanOrEqual(2)
    expect((await openStore(storage)).get(first.session.id)?.cursor).toBe(99)
  })

  test('what is held is seen at once, and written with the next put', async () => {
    const counted = counting()
    const store = await openStore(createStorage({ driver: counted.driver }))
    const first = record('a')
    store.hold(first)
    await store.flush()
    expect([store.newest('a'), store.liveCount(), counted.calls.written]).toEqual([first, 1, 0])
    await store.put({ ...first, cursor: 1 })
    expect(counted.calls.written).toBe(1)
  })

  test('any order of puts and removes ends as it does in memory', async () => {
    const change = fc.tuple(fc.constantFrom('a', 'b'), fc.constantFrom('put', 'put', 'remove', 'wait'))
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 25 }), async (changes) => {
        const storage = createStorage({ driver: counting().driver })
        const store = await openStore(storage)
        const records = { a: record('a'), b: record('b') }
        let cursor = 0
        for (const [name, what] of changes) {
          const id = records[name as 'a'].session.id
          if (what === 'put') void store.put({ ...records[name as 'a'], cursor: cursor++ })
          if (what === 'remove') void store.remove(id)
          if (what === 'wait') await new Promise((resolve) => setTimeout(resolve, 1))
        }
        await store.flush()
        const byId = (all: SessionRecord[]) => all.toSorted((x, y) => x.session.id.localeCompare(y.session.id))
        expect(byId((await openStore(storage)).all())).toEqual(byId(store.all()))
      }),
      { numRuns: 60 },
    )
  })

  test('flush waits for everything, also for what is only queued', async () => {
    const storage = createStorage({ driver: counting(20).driver })
    const store = await openStore(storage)
    const first = record('a')
    void store.put(first)
    void store.put({ ...first, cursor: 1 })
    await new Promise((resolve) => setTimeout(resolve, 5))
    void store.put({ ...first, cursor: 2 })
    await store.flush()
    expect((await openStore(storage)).get(first.session.id)?.cursor).toBe(2)
  })

  test('a storage that fails is told to the caller as storage_failed, and the next put tries again', async () => {
    const counted = counting()
    const store = await openStore(createStorage({ driver: counted.driver }))
    counted.fail = new Error('the disk is full: /secret/path')
    const first = record('a')
    const error = await store.put(first).catch((cause: unknown) => cause)
    expect(error).toMatchObject({ name: 'InstarError', code: 'storage_failed', status: 503, data: {} })
    expect((error as Error).message).not.toContain('/secret/path')
    await store.flush()
    counted.fail = null
    await store.put({ ...first, cursor: 1 })
    expect(counted.calls.written).toBe(1)
  })
})

describe('damaged records', () => {
  const good = record('good')
  const text = JSON.stringify(good)
  const { session, ...rest } = good

  test.each([
    ['cut off', text.slice(0, -20)],
    ['empty', ''],
    ['null', 'null'],
    ['a number', '123'],
    ['a string', '"sessions"'],
    ['an array', '[]'],
    ['another object', '{}'],
    ['not text', Buffer.from([0xff, 0xfe, 0, 1])],
    ['zeros, as after a power cut', Buffer.alloc(300)],
    ['two values', text + text],
    ['without a session', JSON.stringify(rest)],
    ['a status that does not exist', JSON.stringify({ ...good, session: { ...session, status: 'paused' } })],
    ['a number for a name', JSON.stringify({ ...good, session: { ...session, name: 5 } })],
    ['a text for the cursor', JSON.stringify({ ...good, cursor: '5' })],
    ['a negative cursor', JSON.stringify({ ...good, cursor: -1 })],
    ['an array for the handle', JSON.stringify({ ...good, handle: [] })],
    ['another id than its key', JSON.stringify({ ...good, session: { ...session, id: 'another' } })],
  ])('%s: set aside with its bytes unchanged, and the others load', async (_, content) => {
    const driver = files({ base })
    const other = record('other')
    await driver.setItem!(`sessions:${other.session.id}`, JSON.stringify(other), {})
    const key = `sessions:${session.id}`
    const path = join(base, 'sessions', `${session.id}.json`)
    await writeFile(path, content)

    const store = await openStore(createStorage({ driver: files({ base }) }))
    expect(store.damaged).toEqual([key])
    expect(store.all()).toEqual([other])
    await expect(stat(path)).rejects.toThrow('ENOENT')
    const kept = await readFile(join(base, 'damaged', 'sessions', `${session.id}.json`))
    expect(kept.equals(Buffer.from(content))).toBe(true)

    const again = await openStore(createStorage({ driver: files({ base }) }))
    expect(again.damaged).toEqual([])
    expect(again.all()).toEqual([other])
  })

  test('what a later version wrote besides is dropped, and the record loads', async () => {
    const driver = files({ base })
    await driver.setItem!(`sessions:${session.id}`, JSON.stringify({ ...good, colour: 1, session: { ...session, mood: 'good' } }), {})
    const store = await openStore(createStorage({ driver }))
    expect([store.damaged, store.all()]).toEqual([[], [good]])
  })

  test('a storage that cannot be read is a failure, not damage: nothing is moved', async () => {
    const counted = counting()
    const storage = createStorage({ driver: counted.driver })
    await (await openStore(storage)).put(good)
    counted.failReads = 1
    await expect(openStore(storage)).rejects.toThrow()
    const store = await openStore(storage)
    expect([store.damaged, store.all()]).toEqual([[], [good]])
  })
})

const newId = createIds()

function record(name: string, given: Partial<Session> = {}): SessionRecord {
  return sampleRecord({ id: newId(), name, ...given })
}

/** A storage in memory that takes its time, counts, and fails when told to. */
function counting(ms = 1) {
  const inner = memory()
  const calls = { read: 0, written: 0, removed: 0 }
  const pause = () => new Promise((resolve) => setTimeout(resolve, ms))
  const counted = {
    calls,
    fail: null as Error | null,
    failReads: 0,
    driver: {
      ...inner,
      async getItemRaw(key: string) {
        calls.read++
        if (counted.failReads-- > 0) throw new Error('the network is away')
        return inner.getItemRaw!(key, {}) as unknown
      },
      async setItem(key: string, value: string) {
        await pause()
        if (counted.fail) throw counted.fail
        calls.written++
        await inner.setItem!(key, value, {})
      },
      async removeItem(key: string) {
        await pause()
        if (counted.fail) throw counted.fail
        calls.removed++
        await inner.removeItem!(key, {})
      },
    } satisfies Driver as Driver,
  }
  return counted
}

/** A value of `size` that shows whether it is whole. */
function whole(n: number, size: number): string {
  const filler = `${n} `.repeat(Math.ceil(size / 2)).slice(0, size - 80)
  return `${filler}|${createHash('sha256').update(filler).digest('hex')}`
}

function isWhole(text: string): boolean {
  const [filler = '', sum] = text.split('|')
  return filler !== '' && sum === createHash('sha256').update(filler).digest('hex')
}

async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1))
    .sort()
}
