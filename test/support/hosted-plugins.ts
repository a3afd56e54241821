import { expect } from 'vitest'
import type { Hosted } from './hosted.ts'
import { until } from './wait.ts'

/** A part of a config, the same on every runtime. */
export const hostedPlugins = `[
  badge(),
  chat({ spawn: { agent: 'shell' } }),
  async () => definePlugin({
    name: 'bad',
    timeoutMs: 200,
    async fetch(request) {
      const what = new URL(request.url).pathname.slice(1)
      if (what === 'throws') throw new Error('it throws')
      if (what === 'hangs') return new Promise(() => {})
      if (what === 'forgets') void Promise.reject(new Error('it forgets'))
      if (what === 'breaks') return new Response(new ReadableStream({ start(c) { c.enqueue(new Uint8Array(10)) }, async pull(c) { c.error(new Error('it breaks')) } }))
      if (what === 'breaks-json') return new Response(new ReadableStream({ pull(c) { c.enqueue(new TextEncoder().encode('[1,')); c.error(new Error('its JSON breaks')) } }), { headers: { 'content-type': 'application/json' } })
      if (what === 'floods') return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(65536)) } }))
      return new Response(request.body)
    },
  }),
]`

/** The two plugins that are there, and one that does everything wrong, on a server in a process of its own. */
export async function usePlugins({ url, token, client, printed }: Hosted): Promise<void> {
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`${url}/plugins/${path}`, { ...init, headers: { authorization: `Bearer ${token}` } })
  const said = await ask('chat', {
    method: 'POST',
    body: JSON.stringify({ text: 'read -r line; echo "got $line"; sleep 100', thread: 'T1' }),
  })
  expect(said.status).toBe(201)
  const { session } = (await said.json()) as { session: string }
  expect((await ask('chat', { method: 'POST', body: JSON.stringify({ text: 'hello', thread: 'T1' }) })).status).toBe(200)
  await until(async () => (await client.output(session)).output.includes('got hello'), { what: 'the answer' })
  expect(await (await ask(`badge/${session}.svg`)).text()).toContain('>running</text>')

  const floods = await ask('bad/floods')
  const whole = async (path: string) =>
    ask(path)
      .then((answer) => answer.text())
      .catch(() => null)
  const [throws, hangs] = await Promise.all([ask('bad/throws'), ask('bad/hangs')])
  expect([throws.status, hangs.status]).toEqual([502, 502])
  expect(await hangs.json()).toMatchObject({ error: { code: 'plugin_failed', data: { plugin: 'bad' } } })
  // What has come is not taken for the whole.
  expect([await whole('bad/breaks'), await whole('bad/breaks-json')]).toEqual([null, null])
  await ask('bad/forgets').catch(() => {})
  expect(await (await ask('bad/echo', { method: 'POST', body: 'whole' })).text()).toBe('whole')
  expect((await ask('bad/echo', { method: 'POST', body: 'x'.repeat(1024 * 1024 + 1) })).status).toBe(413)
  expect((await fetch(`${url}/plugins/badge/${session}.svg`)).status).toBe(401)
  await floods.body!.cancel()
  expect(await client.end(session)).toMatchObject({ status: 'killed' })
  // The log has what went wrong, in lines of its own; nobody else's stacks stand between them.
  for (const problem of ['it throws', 'it breaks', 'its JSON breaks'])
    await until(() => printed().includes(problem), { what: `"${problem}" in the log` })
  expect(printed()).not.toMatch(/^ +at /m)
}
