import type { Storage } from 'unstorage'

/**
 * One server owns a storage. Where several machines can reach it, files cannot tell who; so the owner keeps a lease in the storage
 * itself, renewed while it lives. Whoever else wants it waits until it has seen no renewal for as long as a lease lasts. The owner
 * stops writing when it could not renew for that long, before anybody else may begin.
 */
export interface Lease {
  /** Whether this server may write now. */
  isHeld(): boolean
  /** Gives it up; the next server need not wait. */
  release(): Promise<void>
}

/** What a driver may offer besides unstorage's contract: puts `next` where `expected` is, at once or not at all. Null is no item. */
export interface Swapping {
  swap(key: string, expected: string | null, next: string | null): Promise<boolean>
}

export interface LeaseOptions {
  /** Of the same owner after a restart: it need not wait for itself. */
  readonly owner: string
  /** Who that is, for people. */
  readonly name: string
  readonly log: (message: string, data?: Record<string, unknown>) => void
  /** How long a lease lasts without a renewal. Default 15 s. */
  readonly lastsMs?: number
}

/** Somebody else's lease is renewed. */
export class LeaseTaken extends Error {}

const key = 'lease'
/** How many renewals may fail before the lease is over. */
const renewalsInTime = 3
/** Without `swap`, everybody who wants it at the same time has written by then, and the last one has it. */
const settleMs = 300
/** The part of a lease that is not used, because a clock may run a little faster than another. */
const margin = 1 / 15

/** Takes the lease of a storage. `LeaseTaken` when another server lives. */
export async function takeLease(storage: Storage, { owner, name, log, lastsMs = 15_000 }: LeaseOptions): Promise<Lease> {
  const swap = swapOf(storage)
  const me = crypto.randomUUID()
  let beat = 0
  const next = () => JSON.stringify({ owner, name, me, beat: beat++ })
  let current = next()
  let isTold = false

  for (let seen = await read(storage), since = now(); ;) {
    const holder = parse(seen)
    const isOver = holder === null || holder.owner === owner || now() - since > lastsMs
    if (isOver && (await swap(key, seen, current))) break
    if (!isOver && !isTold) log('the storage belonged to another server: waiting whether it is gone', { server: holder.name })
    isTold = true
    await pause(Math.min(500, lastsMs / 10))
    const found = await read(storage)
    if (found === seen) continue
    const other = parse(found)
    if (other && other.owner !== owner) throw new LeaseTaken(other.name)
    seen = found
    since = now()
  }

  let until = valid(now(), lastsMs)
  let isOver = false
  let renewing: Promise<void> = Promise.resolve()
  async function renew(): Promise<void> {
    const from = now()
    const renewed = next()
    try {
      if (await swap(key, current, renewed)) {
        current = renewed
        until = valid(from, lastsMs)
      } else if ((await read(storage)) === renewed) {
        // The answer to an earlier try was lost.
        current = renewed
        until = valid(from, lastsMs)
      } else end(parse(await read(storage))?.name ?? 'nobody')
    } catch (error) {
      log('the lease of the storage was not renewed', { error: String(error) })
    }
  }
  function end(other: string): void {
    isOver = true
    clearInterval(timer)
    log('another server has taken the storage: nothing is written any more', { server: other })
  }
  const timer = setInterval(() => (renewing = renewing.then(() => (isOver ? undefined : renew()))), lastsMs / renewalsInTime)

  return {
    isHeld: () => !isOver && now() < until.running && Date.now() < until.time,
    async release() {
      clearInterval(timer)
      await renewing
      if (!isOver) await swap(key, current, null).catch(() => false)
      isOver = true
    },
  }
}

/** The storage as the holder of a lease may use it: it writes nothing when the lease is over. */
export function leased(storage: Storage, lease: Lease): Storage {
  const guarded =
    <Given extends unknown[]>(write: (...given: Given) => Promise<void>) =>
    async (...given: Given) => {
      if (!lease.isHeld()) throw new Error('the storage is not this server’s any more')
      return write(...given)
    }
  return {
    ...storage,
    setItem: guarded(storage.setItem),
    setItemRaw: guarded(storage.setItemRaw),
    removeItem: guarded(storage.removeItem),
  }
}

/** In a way that no driver can fail to offer, though a moment's race is decided by who writes last. */
function swapOf(storage: Storage): Swapping['swap'] {
  const driver = storage.getMount('').driver as Partial<Swapping>
  if (driver.swap) return driver.swap
  return async (_, expected, wanted) => {
    if ((await read(storage)) !== expected) return false
    if (wanted === null) await storage.removeItem(key)
    else await storage.setItemRaw(key, wanted)
    // A renewal has nobody beside it.
    if (wanted !== null && parse(expected)?.me !== parse(wanted)?.me) await pause(settleMs)
    return (await read(storage)) === wanted
  }
}

async function read(storage: Storage): Promise<string | null> {
  const raw = await storage.getItemRaw<string | Uint8Array | null>(key)
  return raw === null || raw === undefined ? null : typeof raw === 'string' ? raw : new TextDecoder().decode(raw)
}

interface Holder {
  readonly owner: string
  readonly name: string
  readonly me: string
}

function parse(text: string | null): Holder | null {
  try {
    const { owner, name, me } = JSON.parse(text ?? 'null') as Record<string, unknown>
    return typeof owner === 'string' && typeof name === 'string' && typeof me === 'string' ? { owner, name, me } : null
  } catch {
    return null
  }
}

/** Milliseconds that nobody can set. */
const now = (): number => performance.now()

/** By both clocks, because one stands still while a machine sleeps, and the other can be set. */
const valid = (from: number, lastsMs: number) => ({
  running: from + lastsMs * (1 - margin),
  time: Date.now() - (now() - from) + lastsMs * (1 - margin),
})

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
