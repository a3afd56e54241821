import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createBus } from '../../src/runtime/bus.ts'
import { createUsageLimits, type UsageLimits } from '../../src/runtime/limits.ts'
import type { Store } from '../../src/runtime/store.ts'
import type { Change, Supervisor } from '../../src/runtime/supervise.ts'
import type { Session, SessionRecord } from '../../src/runtime/types.ts'
import { sampleRecord } from '../support/session.ts'

const noon = Date.parse('2026-01-01T12:00:00.000Z')
const day = 24 * 3600_000
const at = (ms: number) => new Date(noon + ms).toISOString()

let records: SessionRecord[]
let gone: string[]
let limits: UsageLimits
const changes = createBus<Change>()

beforeEach(() => {
  vi.useFakeTimers({ now: noon })
  records = []
  gone = []
})
afterEach(() => {
  limits.close()
  vi.useRealTimers()
})

function begin(): void {
  limits = createUsageLimits({
    store: { all: () => records, get: (id: string) => records.find(({ session }) => session.id === id) } as unknown as Store,
    supervisor: { changes } as unknown as Supervisor,
    resumes: true,
    now: () => new Date(),
    goOn: async ({ session: { name } }) => {
      gone.push(name)
    },
    log: () => {},
  })
}
function become(name: string, session: Partial<Session>): void {
  const record = sampleRecord({ id: name, name, agent: 'claude', ...session })
  records = [...records.filter((each) => each.session.name !== name), record]
  changes.emit({ record, signals: [] })
}
const limited = (until: string): Partial<Session> => ({
  status: 'waiting',
  waiting: { kind: 'limit', message: 'later', until },
  lastError: 'later',
})
it('takes the end that was told last', async () => {
  begin()
  become('a', limited(at(60_000)))
  become('a', limited(at(120_000)))
  await vi.advanceTimersByTimeAsync(100_000)
  expect(gone).toEqual([])
  await vi.advanceTimersByTimeAsync(25_000)
  expect(gone).toEqual(['a'])
})

it('waits for an end that is further away than a timer reaches', async () => {
  begin()
  become('a', limited(at(30 * day)))
  await vi.advanceTimersByTimeAsync(29 * day)
  expect(gone).toEqual([])
  await vi.advanceTimersByTimeAsync(day + 5000)
  expect(gone).toEqual(['a'])
})
