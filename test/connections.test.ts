import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { deferred } from '../src/runtime/deferred.ts'
import { createConnections } from '../src/routes/connections.ts'
import { verbs } from '../src/routes/executor-verbs.ts'
import { maxUnreadBytes } from '../src/routes/pushes.ts'
import type { Backend, Tail } from '../src/runtime/backend.ts'
import { maxPushBytes, type Push } from '../src/runtime/executor.ts'
import { jsonLines } from '../src/runtime/json-lines.ts'
import type { Report } from '../src/runtime/types.ts'

test.each([
  ['tail', { path: '/x', cursor: 0 }],
  ['watch', { directory: '/x' }],
] as const)('what a %s opens after its connection has ended is closed', async (verb, body) => {
  const opening = deferred<Tail>()
  let closed = 0
  const tail: Tail = { catchUp: async () => {}, close: () => void closed++ }
  const backend = {
    open: async () => {},
    close: async () => {},
    directory: () => '/',
    tail: () => opening.promise,
    watch: () => opening.promise.then(() => tail.close),
  } as unknown as Backend
  const connections = createConnections({ version: '1', make: () => backend, environment: {}, log: () => {} })
  const on = connections.connect('here', randomUUID(), 20_000)
  await on.opened
  const request = new Request('http://localhost/', { method: 'POST', body: JSON.stringify({ [verb]: randomUUID(), ...body }) })
  const asked = (await verbs[verb]!.read(request))(on, backend)
  await on.end()
  opening.resolve(tail)
  await asked
  expect(closed).toBe(1)
})

/** A connection whose backend only says what the test has it say. */
async function connected() {
  const logged: string[] = []
  let closed = 0
  let report!: (report: Report) => Promise<void>
  const backend = {
    open: async (tell: typeof report) => void (report = tell),
    close: async () => void closed++,
    directory: () => '/',
  } as unknown as Backend
  const connections = createConnections({ version: '1', make: () => backend, environment: {}, log: (text) => void logged.push(text) })
  const on = connections.connect('here', randomUUID(), 20_000)
  await on.opened
  return { on, logged, closed: () => closed, report: (given: Report) => void report(given) }
}

const signal = (text: string) => ({ type: 'signal' as const, signal: { event: 'E', payload: text, at: new Date().toISOString() } })

test('a control plane that does not read is held no more than so much for: its connection ends, and it may make another', async () => {
  const { on, logged, closed, report } = await connected()
  const text = 'x'.repeat(1024 * 1024)
  let told = 0
  for (; told < 1000 && logged.length === 0; told++) report({ id: 'a', cursor: told, sights: [signal(text)] })
  expect(told * text.length).toBeLessThanOrEqual(2 * maxUnreadBytes + text.length)
  expect(logged).toEqual(['a control plane does not read what it is told'])
  await on.end()
  expect(closed()).toBe(1)
  await expect(on.stream.getReader().read()).rejects.toThrow('the connection has ended')
})

test('what is read on in waits until what was told is read, loses nothing, and waits no more when the connection ends', async () => {
  const { on } = await connected()
  const lines = ['x'.repeat(4 * 1024 * 1024)]
  const many = Array.from({ length: 40 }, (_, cursor) => on.pushLater({ type: 'tail', tail: 't', lines, cursor }))
  await many[10]
  const before = on.pushed()
  const cursors: number[] = []
  for await (const push of jsonLines(on.stream) as AsyncIterable<Push>) {
    if (push.type === 'tail') cursors.push(push.cursor)
    if (cursors.length === 1) expect(before * lines[0]!.length).toBeLessThan(2 * maxUnreadBytes)
    if (cursors.length === many.length) break
  }
  expect(cursors).toEqual(many.map((_, cursor) => cursor))

  const another = (await connected()).on
  const waiting = many.map((_, cursor) => another.pushLater({ type: 'tail', tail: 't', lines, cursor }))
  await another.end()
  await Promise.all(waiting)
  expect(another.pushed()).toBeLessThan(many.length)
})

test('what is longer as JSON than a push may be is left out, and everything after it comes', async () => {
  const { on, logged, report } = await connected()
  const text = '\u0001'.repeat(maxPushBytes / 4)
  on.push({ type: 'tail', tail: 't', lines: [text], cursor: 5 })
  report({ id: 'a', cursor: 6, sights: [{ type: 'launched', at: new Date().toISOString() }, signal(text)] })
  on.push({ type: 'watch', watch: 'w', text })
  on.push({ type: 'tail', tail: 't', lines: ['next'], cursor: 7 })
  await on.end()
  const pushes: Push[] = []
  for await (const push of jsonLines(on.stream) as AsyncIterable<Push>) pushes.push(push)
  expect(pushes.slice(2)).toMatchObject([
    { type: 'tail', lines: [], cursor: 5 },
    { type: 'report', report: { cursor: 6, sights: [{ type: 'launched' }] } },
    { type: 'tail', lines: ['next'], cursor: 7 },
  ])
  expect(logged).toHaveLength(3)
})
