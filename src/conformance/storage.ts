import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createStorage, prefixStorage, type Driver, type Storage } from 'unstorage'
import { leased, LeaseTaken, takeLease, type Lease } from '../runtime/lease.ts'
import { until } from './wait.ts'

/** What a driver is tested with: a place of its own for its data. */
export interface StorageHarness {
  /** A new driver on the same data. One that was made before may still be in use, as by another server. */
  driver(): Driver
  /** Has `hammer` run on the same data by a process of its own, and kills that after `ms`. Without it the data end with the process. */
  crash?(ms: number): Promise<void>
  /** Removes the data, also after a failure. Called after every driver is disposed. */
  cleanup(): Promise<void>
}

const crashes = 3
/** Renewed three times as often: short enough for a test, long enough for a machine under load. */
const lastsMs = 1500

/** What the server asks of a storage. Everything else that unstorage has is not used. */
export function storageConformance(what: string, open: () => Promise<StorageHarness>): void {
  describe(`storage: ${what}`, () => {
    let harness: StorageHarness
    let opened: Storage[]
    let leases: Lease[]

    function storage(): Storage {
      const made = createStorage({ driver: harness.driver() })
      opened.push(made)
      return made
    }

    async function lease(owner: string, on = storage()): Promise<Lease> {
      const taken = await takeLease(on, { owner, name: `the server ${owner}`, lastsMs, log: () => {} })
      leases.push(taken)
      return taken
    }

    beforeEach(async () => {
      opened = []
      leases = []
      harness = await open()
    })
    afterEach(async () => {
      for (const each of leases) await each.release().catch(() => {})
      for (const each of opened) await each.dispose()
      await harness.cleanup()
    })

    it('gives back what was written, to another that opens the same data too', async () => {
      const [one, other] = [storage(), storage()]
      const items = Object.entries(samples)
      await Promise.all(items.map(([key, text]) => one.setItem(key, text)))
      for (const on of [one, other]) {
        for (const [key, text] of items) expect(textOf(await on.getItemRaw(key)), key).toBe(text)
        expect((await on.getKeys()).sort()).toEqual(items.map(([key]) => key).sort())
      }
    })

    it('keeps bytes as they are', async () => {
      const bytes = Uint8Array.from({ length: 1000 }, (_, i) => 32 + (i % 90))
      const on = storage()
      await on.setItemRaw('damaged:sessions:x', bytes)
      expect(textOf(await on.getItemRaw('damaged:sessions:x'))).toBe(textOf(bytes))
    })

    it('lists the keys below a prefix and no others', async () => {
      const on = storage()
      const keys = ['sessions:a', 'sessions:b', 'sessions2:c', 'session:d', 'keys:e', 'sessions:%f', 'sess_ons:g', 'sess*:h']
      for (const key of keys) await on.setItem(key, 'x')
      expect((await on.getKeys('sessions:')).sort()).toEqual(['sessions:%f', 'sessions:a', 'sessions:b'])
      expect(await on.getKeys('sess_ons:')).toEqual(['sess_ons:g'])
      expect(await on.getKeys('sess*:')).toEqual(['sess*:h'])
      const part = prefixStorage(on, 'backends:a%2Fb')
      await part.setItem('owner', 'me')
      expect([await part.getItem('owner'), await part.getKeys()]).toEqual(['me', ['owner']])
    })

    it('removes, and has nothing for what is not there', async () => {
      const on = storage()
      await on.setItem('sessions:a', 'x')
      await on.removeItem('sessions:a')
      await on.removeItem('sessions:a')
      expect([await on.getItem('sessions:a'), await on.getItemRaw('sessions:a'), await on.getKeys()]).toEqual([null, null, []])
    })

    it('never shows half of an item to who reads while it is written', async () => {
      const [writer, reader] = [storage(), storage()]
      await writer.setItem('sessions:a', sampleRecord(0))
      let isDone = false
      const writing = (async () => {
        for (let i = 1; i <= 60; i++) await writer.setItem('sessions:a', sampleRecord(i))
        isDone = true
      })()
      let reads = 0
      for (; !isDone || reads === 0; reads++) {
        expect(isWhole(textOf(await reader.getItemRaw('sessions:a')))).toBe(true)
        await new Promise((resolve) => setTimeout(resolve))
      }
      await writing
    })

    it('keeps every item whole when the process that writes is killed', async (test) => {
      if (!harness.crash) return test.skip('its data end with the process')
      for (let i = 0; i < crashes; i++) {
        await harness.crash(300 + i * 70)
        const on = storage()
        const keys = await on.getKeys('sessions:')
        expect(keys).toHaveLength(hammered)
        for (const key of keys) expect(isWhole(textOf(await on.getItemRaw(key))), key).toBe(true)
      }
    })

    describe('has one owner at a time', () => {
      it('a second server is refused while the first one lives', async () => {
        const first = await lease('a')
        await expect(lease('b')).rejects.toThrow(LeaseTaken)
        await expect(lease('b')).rejects.toThrow('the server a')
        expect(first.isHeld()).toBe(true)
      })

      it('of many that want it at once one gets it', async () => {
        const outcomes = await Promise.allSettled(Array.from({ length: 6 }, (_, i) => lease(`owner-${i}`)))
        const got = outcomes.filter(({ status }) => status === 'fulfilled')
        const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
        expect(got).toHaveLength(1)
        for (const reason of refused) expect(reason).toBeInstanceOf(LeaseTaken)
      })

      it('what was given up is there at once, and its owner after a crash need not wait for itself', async () => {
        await (await lease('a')).release()
        const began = Date.now()
        await lease('b')
        // As a server does that was killed, and is started again on the same state directory.
        await lease('b')
        expect(Date.now() - began).toBeLessThan(lastsMs)
      })

      it('what a dead server left is there after a while, and the dead one writes no more should it wake', async () => {
        const asleep = storage()
        let isAwake = true
        // A machine that sleeps: nothing it does reaches the storage.
        const dead = await lease(
          'a',
          sleeping(asleep, () => isAwake),
        )
        const writing = leased(asleep, dead)
        await writing.setItem('sessions:a', 'of a')
        isAwake = false
        const second = await lease('b')
        isAwake = true
        expect([second.isHeld(), dead.isHeld()]).toEqual([true, false])
        await expect(writing.setItem('sessions:a', 'late')).rejects.toThrow('not this server')
        await expect(writing.removeItem('sessions:a')).rejects.toThrow('not this server')
        expect(await asleep.getItem('sessions:a')).toBe('of a')
        await until(() => second.isHeld(), { what: 'the second to go on' })
      })
    })
  })
}

/** A storage whose lease nobody reaches meanwhile. */
function sleeping(storage: Storage, isAwake: () => boolean): Storage {
  const { driver, ...mount } = storage.getMount('') as { driver: Driver & { swap?: (...given: never[]) => Promise<boolean> }; base: string }
  const ifAwake =
    <Given extends unknown[], T>(does: (...given: Given) => Promise<T>) =>
    async (...given: Given): Promise<T> => {
      if (!isAwake()) throw new Error('asleep')
      return does(...given)
    }
  const swap = driver.swap && { swap: ifAwake(driver.swap) }
  return { ...storage, setItemRaw: ifAwake(storage.setItemRaw), getMount: () => ({ ...mount, driver: { ...driver, ...swap } }) }
}

const samples: Readonly<Record<string, string>> = {
  'sessions:01a2267f-fc71-7000-b0b3-3c36b4cf7f18': '{"session":{"prompt":"it\'s \\u0000 $HOME; ü 🙂\\n"}}',
  'keys:0f0e': '{"n":1e21}',
  'backends:a%2Fb:owner': 'an owner',
  large: `"${'x'.repeat(1_500_000)}"`,
  number: '12345678901234567890',
  none: 'null',
  word: 'true',
}

const hammered = 20

/** Writes the same items again and again, all at a time, until the process is killed. `begun` is told when each is there. */
export async function hammer(driver: Driver, begun: () => void): Promise<never> {
  const storage = createStorage({ driver })
  for (let i = 0; ; i++) {
    await Promise.all(Array.from({ length: hammered }, (_, n) => storage.setItem(`sessions:${n}`, sampleRecord(i * hammered + n))))
    if (i === 0) begun()
  }
}

/** A text of some KB that tells whether it is whole. */
const sampleRecord = (seed: number): string => {
  const body = String.fromCharCode(97 + (seed % 26)).repeat(((seed * 7919) % 60_000) + 1)
  return JSON.stringify({ length: body.length, body })
}

function isWhole(text: string): boolean {
  try {
    const { length, body } = JSON.parse(text) as { length: number; body: string }
    return body.length === length && body === body[0]!.repeat(length)
  } catch {
    return false
  }
}

const textOf = (raw: unknown): string => (typeof raw === 'string' ? raw : new TextDecoder().decode(raw as Uint8Array))
