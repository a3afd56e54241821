import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ssh } from '../src/plugins/backends/ssh/ssh.ts'
import type { Step, Session } from '../src/runtime/types.ts'
import { testApp, type TestApp } from './support/app.ts'
import { openFarHost, type FarHost } from './support/netns.ts'
import { until } from './support/wait.ts'

/**
 * A whole server here, and its sessions on another host, whose cable is pulled and put back.
 */

// That a host is gone is noticed sooner than by default.
const soon = ['ServerAliveInterval=1', 'ServerAliveCountMax=2', 'ConnectTimeout=2']

let far: FarHost
beforeAll(async () => {
  far = await openFarHost()
})
afterAll(async () => {
  await far?.close()
})

let app: TestApp
let there: string
beforeEach(async () => {
  there = await realpath(await mkdtemp(join(tmpdir(), 'instar-there-')))
  app = await testApp({ backends: { far: ssh({ host: 'far', config: far.config, directory: join(there, 'state'), options: soon }) } })
})
afterEach(async () => {
  await far.join()
  await app?.close()
  await rm(there, { recursive: true, force: true })
})

const call = async (method: string, path: string, body?: unknown) => {
  const answer = await app.request(path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  const text = await answer.text()
  const isJson = answer.headers.get('content-type')?.includes('json')
  return { status: answer.status, text, json: (isJson ? JSON.parse(text) : null) as any }
}
const show = async (name: string) => (await call('GET', `/sessions/${name}`)).json as Session
const spawn = async (name: string, prompt: string) => {
  const { status, json } = await call('POST', '/sessions/spawn', { name, prompt, cwd: there })
  expect([status, json]).toEqual([201, expect.objectContaining({ status: 'running' })])
  return json as Session
}
const send = (name: string, text: string) => call('POST', `/sessions/${name}/input`, { text })
const isLost = async (name: string) => (await show(name)).evidence.rule.startsWith('unreachable')
const heard = async (name: string) => {
  const { trail } = (await call('GET', `/sessions/${name}/status?explain=1`)).json as { trail: Step[] }
  return trail.filter(({ source }) => source === 'hook').map(({ rule }) => rule)
}
const text = (name: string) => readFile(join(there, name), 'utf8').catch(() => null)
const lost = () => until(() => isLost('typed'), { timeout: 20_000, what: 'the cut to be noticed' })
const found = () => until(async () => !(await isLost('typed')), { timeout: 20_000, what: 'the host to be found again' })
const hook = `hook="sh $PWD/state/sessions/$INSTAR_SESSION_ID/hook.sh"; `

describe('a host that is cut off', () => {
  it('goes on: what happens meanwhile is told in order and once when it is joined again, and nothing is typed late', async () => {
    await spawn('typed', 'exec cat >typed')
    await spawn(
      'busy',
      `${hook}until [ -e go ]; do sleep 0.05; done; for i in 1 2 3 4 5 6; do echo '{}' | $hook "E$i"; done; : >said; exec cat`,
    )
    await spawn('ends', `until [ -e go ]; do sleep 0.05; done; echo last words; : >ended; exit 7`)
    await spawn('killed', `until [ -e go ]; do sleep 0.05; done; kill -KILL $$`)
    await send('typed', 'before')
    await until(async () => (await text('typed')) === 'before\n', { what: 'what was typed' })

    await far.cut()
    // Nobody knows of the cut yet: it is typed once or not at all, whatever the answer.
    const underWay = send('typed', 'under way')
    await lost()
    expect((await underWay).status).toBe(503)
    for (const name of ['typed', 'busy', 'ends', 'killed']) {
      expect(await show(name)).toMatchObject({
        status: 'running',
        endedAt: null,
        evidence: { source: 'backend', rule: expect.stringMatching(/^unreachable: far: \S/) },
      })
    }
    const refused = { status: 503, json: { error: { code: 'backend_unavailable', message: expect.stringMatching(/far/) } } }
    expect(await send('typed', 'meanwhile')).toMatchObject(refused)
    expect(await call('GET', '/sessions/typed/output')).toMatchObject(refused)
    expect(await call('POST', '/sessions/spawn', { name: 'new', prompt: 'exec cat', cwd: there })).toMatchObject(refused)
    expect((await call('GET', '/sessions/new')).status).toBe(404)
    expect((await call('GET', '/backends')).json).toMatchObject([{ name: 'far', ok: false, reason: expect.stringContaining('far') }])

    await writeFile(join(there, 'go'), '')
    await until(async () => (await text('said')) !== null && (await text('ended')) !== null, { what: 'what happens there meanwhile' })
    const endedAt = Date.now()
    expect((await show('ends')).status).toBe('running')

    await far.join()
    await found()
    const ends = await until(() => show('ends').then((session) => (session.endedAt === null ? null : session)), { what: 'the end' })
    expect(ends).toMatchObject({ status: 'error', exitCode: 7 })
    expect(Math.abs(Date.parse(ends.endedAt!) - endedAt)).toBeLessThan(2000)
    expect((await call('GET', '/sessions/ends/output')).text).toContain('last words')
    await until(async () => (await show('killed')).signal === 'SIGKILL', { what: 'the other end' })
    await until(async () => (await heard('busy')).length >= 6, { what: 'what was said meanwhile' })
    expect(await heard('busy')).toEqual(['E1', 'E2', 'E3', 'E4', 'E5', 'E6'])
    expect(await show('busy')).toMatchObject({ status: 'running', evidence: { source: 'process' } })
    expect((await send('typed', 'after')).status).toBeLessThan(300)
    await until(async () => (await text('typed'))?.endsWith('after\n'), { what: 'what is typed after' })
    expect(['before\nafter\n', 'before\nunder way\nafter\n']).toContain(await text('typed'))
    const stages = ((await call('GET', '/sessions/typed/inputs')).json as { stage: string }[]).map(({ stage }) => stage)
    expect(stages).toEqual(['typed', 'unknown', 'typed'])
    expect((await call('POST', '/sessions/spawn', { name: 'new', prompt: 'exit 3', cwd: there })).status).toBe(201)
    await until(async () => (await show('new')).exitCode === 3, { what: 'the end of another' })
  }, 90_000)

  it('is found by a server that starts while it is cut off, and its sessions with it', async () => {
    await spawn('typed', 'exec cat >typed')
    await spawn('ends', `until [ -e go ]; do sleep 0.05; done; : >ended; exit 9`)
    await far.cut()
    await app.restart()
    expect(await show('ends')).toMatchObject({ status: 'running' })
    await lost()
    await writeFile(join(there, 'go'), '')
    await until(async () => (await text('ended')) !== null, { what: 'the end there' })
    await far.join()
    await until(async () => (await show('ends')).exitCode === 9, { timeout: 20_000, what: 'the end' })
    expect((await send('typed', 'after')).status).toBeLessThan(300)
    await until(async () => (await text('typed')) === 'after\n', { what: 'what is typed' })
  }, 90_000)

  it('again and again loses nothing of what its sessions say', async () => {
    await spawn('typed', 'exec cat >typed')
    await spawn(
      'busy',
      `${hook} i=0; while [ $i -lt 12 ]; do i=$((i + 1)); until [ -e "go$i" ]; do sleep 0.05; done; echo '{}' | $hook "E$i"; : >"said$i"; done; exit 5`,
    )
    const say = async (i: number) => {
      await writeFile(join(there, `go${i}`), '')
      await until(async () => (await text(`said${i}`)) !== null, { what: `the event ${i}` })
    }
    for (let cut = 0; cut < 3; cut++) {
      await far.cut()
      // Some before the cut is noticed, some after, some when it is over.
      await say(cut * 4 + 1)
      await lost()
      await say(cut * 4 + 2)
      await far.join()
      await say(cut * 4 + 3)
      await found()
      await say(cut * 4 + 4)
    }
    await until(async () => (await show('busy')).exitCode === 5, { what: 'the end' })
    expect(await heard('busy')).toEqual(Array.from({ length: 12 }, (_, i) => `E${i + 1}`))
    expect((await far.log()).match(/Accepted publickey/g)!.length).toBeGreaterThan(3)
  }, 120_000)
})
