import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createSessionTokens } from '../src/runtime/session-token.ts'
import type { Session } from '../src/runtime/types.ts'
import { defineHook } from '../src/runtime/hook.ts'
import { shell } from '../src/plugins/agents/shell.ts'
import { testApp, type TestApp } from './support/app.ts'
import { scripted } from './support/scripted.ts'
import { until } from './support/wait.ts'

const watchful = defineHook<unknown>({
  name: 'watchful',
  isProtective: true,
  options: { '~standard': { validate: (value) => ({ value }) } },
  launch: (launch, next, { options }) => next({ ...launch, env: { ...launch.env, WATCHFUL: String(options) } }),
})

let app: TestApp
beforeAll(async () => {
  const agents = { shell: shell(), scripted: scripted() }
  app = await testApp({ access: true, hooks: [watchful], agents, limits: { maxDepth: 2, maxChildren: 3 } })
})
afterAll(() => app?.close())

const names = new Map<string, number>()
function unique(name: string): string {
  names.set(name, (names.get(name) ?? 0) + 1)
  return `${name}-${names.get(name)}`
}

async function spawn(
  body: object,
  authorization?: string,
): Promise<{ status: number; session: Session; error: { code: string; message: string; data?: { id?: string } } }> {
  const answer = await app.request('/sessions/spawn', {
    method: 'POST',
    body: JSON.stringify({ name: unique('s'), prompt: 'exec sleep 60', ...body }),
    ...(authorization ? { headers: { authorization } } : {}),
  })
  const json = (await answer.json()) as Session & { error: { code: string; message: string; data?: { id?: string } } }
  return { status: answer.status, session: json, error: json.error }
}

/** A session that writes down what it is given, and its token. */
async function parent(body: object = {}): Promise<{ session: Session; bearer: string; url: string }> {
  const { session } = await spawn({ prompt: 'echo "<$INSTAR_URL> <$INSTAR_TOKEN>"; exec sleep 60', size: { cols: 300, rows: 20 }, ...body })
  const shown = await until(
    async () => {
      const text = await (await app.request(`/sessions/${session.id}/output`)).text()
      return /<(http\S+)> <(\S+)>/.exec(text)
    },
    { what: 'what the session is given' },
  )
  return { session, url: shown[1]!, bearer: `Bearer ${shown[2]!}` }
}

const as = (authorization: string, path: string, init: RequestInit = {}) => app.request(path, { ...init, headers: { authorization } })

describe("a session's own token", () => {
  test('reaches the server that started it, from inside', async () => {
    const name = unique('made')
    const body = `{\\"name\\":\\"${name}\\",\\"prompt\\":\\"exit 3\\",\\"agent\\":\\"shell\\"}`
    const { session } = await spawn({
      prompt: `curl -sS -H "Authorization: Bearer $INSTAR_TOKEN" "$INSTAR_URL/sessions/spawn" -d "${body}"; exec sleep 60`,
    })
    const child = await until(
      async () => {
        const answer = await app.request(`/sessions/${name}`)
        return answer.status === 200 ? ((await answer.json()) as Session) : null
      },
      { what: 'the child' },
    )
    expect(child).toMatchObject({ parent: session.id, status: expect.any(String) })
  })

  test('spawns children, and sees and directs them, and what they spawn', async () => {
    const { session, bearer } = await parent({ labels: { team: 'a' } })
    const child = await spawn({ prompt: 'read -r x; echo "got $x"; exec sleep 60', labels: { task: 'b' } }, bearer)
    expect(child).toMatchObject({ status: 201, session: { parent: session.id, labels: { team: 'a', task: 'b' } } })
    const grandchild = await spawn({ parent: child.session.id })
    expect(grandchild.status).toBe(201)
    const list = (await (await as(bearer, '/sessions')).json()) as Session[]
    expect(list.map(({ id }) => id)).toEqual([grandchild.session.id, child.session.id])
    const sent = await as(bearer, `/sessions/${child.session.name}/input`, { method: 'POST', body: '{"text":"hello"}' })
    expect(sent.status).toBe(200)
    await until(async () => (await (await as(bearer, `/sessions/${child.session.id}/output`)).text()).includes('got hello'), {
      what: 'the input',
    })
    for (const path of ['', '/status', '/messages', '/prompts', '/inputs', '/wait?timeout=0'])
      expect((await as(bearer, `/sessions/${grandchild.session.id}${path}`)).status, path).toBe(200)
    expect(await (await as(bearer, `/sessions/${grandchild.session.id}`, { method: 'DELETE' })).json()).toMatchObject({ status: 'killed' })
    expect(await (await as(bearer, `/sessions/${session.id}`)).json()).toMatchObject({ id: session.id })
  })

  test('nothing of others, and nothing to itself', async () => {
    const { session, bearer } = await parent()
    const other = await spawn({})
    for (const [method, path] of [
      ['GET', `/sessions/${other.session.id}`],
      ['GET', `/sessions/${other.session.name}/output`],
      ['DELETE', `/sessions/${other.session.id}`],
      ['POST', `/sessions/${other.session.id}/interrupt`],
      ['GET', `/sessions/${session.id}/output`],
      ['DELETE', `/sessions/${session.id}`],
      ['POST', `/sessions/${session.id}/interrupt`],
    ] as const) {
      const answer = await as(bearer, path, { method })
      expect(answer.status, `${method} ${path}`).toBe(404)
      expect(await answer.json()).toMatchObject({ error: { code: 'session_not_found' } })
    }
    expect(await (await as(bearer, '/sessions')).json()).toEqual([])
    for (const [method, path] of [
      ['GET', '/sessions/tmux'],
      ['GET', '/nothing'],
      ['POST', `/sessions/${session.id}/prompts/1`],
    ] as const) {
      const init = method === 'POST' ? { method, body: '{"choice":"allow"}' } : { method }
      expect((await as(bearer, path, init)).status, path).toBe(403)
    }
    expect((await as(bearer, '/sessions')).headers.get('x-request-id')).not.toBeNull()
  })

  test('no other parent, no deeper, no more, and no laxer than allowed', async () => {
    const { session, bearer } = await parent()
    const other = await spawn({})
    expect(await spawn({ parent: other.session.id }, bearer)).toMatchObject({ status: 403, error: { code: 'forbidden' } })
    expect(await spawn({ hooks: { watchful: false } }, bearer)).toMatchObject({ status: 403, error: { code: 'forbidden' } })
    expect(await spawn({ resume: other.session.id }, bearer)).toMatchObject({ status: 404 })
    const wide = await Promise.all(Array.from({ length: 6 }, () => spawn({ limits: { children: 100, depth: 100 } }, bearer)))
    expect(wide.map(({ status }) => status).toSorted()).toEqual([201, 201, 201, 429, 429, 429])
    const child = wide.find(({ status }) => status === 201)!.session
    const grandchild = await spawn({ parent: child.name })
    expect(grandchild).toMatchObject({ status: 201, session: { parent: child.id } })
    expect(await spawn({ parent: grandchild.session.id })).toMatchObject({ status: 422, error: { code: 'too_deep' } })
    expect(session.parent).toBeNull()
  })

  test('nothing of the children of one that is gone, whose id it takes for a name', async () => {
    const { session: gone } = await spawn({})
    const { bearer } = await parent({ parent: gone.id })
    const sibling = await spawn({ parent: gone.id })
    await app.request(`/sessions/${gone.id}?purge=true`, { method: 'DELETE' })
    expect(await spawn({ name: gone.id }, bearer)).toMatchObject({ status: 201 })
    expect((await as(bearer, `/sessions/${sibling.session.id}`)).status).toBe(404)
    expect((await as(bearer, `/sessions/${sibling.session.id}`, { method: 'DELETE' })).status).toBe(404)
  })

  test('not even the id of one whose name it cannot take', async () => {
    const { bearer } = await parent()
    const other = await spawn({})
    const refused = await spawn({ name: other.session.name }, bearer)
    expect(refused).toMatchObject({
      status: 409,
      error: { code: 'name_in_use', message: expect.stringContaining('another one has that name') },
    })
    expect(JSON.stringify(refused)).not.toContain(other.session.id)
    const own = await spawn({}, bearer)
    const twice = await spawn({ name: own.session.name }, bearer)
    expect(twice.error).toMatchObject({ code: 'name_in_use', data: { id: own.session.id } })
  })

  test('no answer to what a child asks a person, by keys neither', async () => {
    const { bearer } = await parent()
    const child = await spawn({ agent: 'scripted', prompt: '[ask a]' }, bearer)
    const press = (wait = '') =>
      as(bearer, `/sessions/${child.session.id}/input${wait}`, { method: 'POST', body: '{"keys":["1"]}' }).then(({ status }) => status)
    await until(async () => app.runtime.get(child.session.id).status === 'waiting', { what: 'the question' })
    expect([await press(), await press('?wait=idle&timeout=1')]).toEqual([403, 403])
    expect(app.runtime.get(child.session.id).status).toBe('waiting')
    await app.runtime.input(child.session.id, { keys: ['1'] })
    await until(async () => app.runtime.get(child.session.id).status === 'idle', { what: 'the turn to end' })
    expect(await press()).toBe(200)
  })

  test('no laxer child by a resume that speaks of other hooks', async () => {
    const { session, bearer } = await parent()
    const child = await spawn({ agent: 'scripted', parent: session.id, prompt: '[work]', hooks: { watchful: 'strict' } })
    await until(async () => app.runtime.get(child.session.id).evidence.rule === 'Work', { what: 'its conversation' })
    await as(bearer, `/sessions/${child.session.id}`, { method: 'DELETE' })
    const answer = await as(bearer, `/sessions/${child.session.id}/resume`, { method: 'POST', body: '{"hooks":{}}' })
    expect(answer.status).toBe(201)
    const { id } = (await answer.json()) as Session
    expect(/WATCHFUL='(.*)'/.exec(await readFile(`${app.state}/sessions/${id}/command`, 'utf8'))?.[1]).toBe('strict')
  })

  test('leads out of no container: a child is where its parent is, and tells hooks nothing', async () => {
    const { session, bearer } = await parent({ cwd: '/tmp' })
    expect(await spawn({}, bearer)).toMatchObject({ status: 201, session: { backend: session.backend, cwd: '/tmp' } })
    for (const body of [
      { cwd: '/' },
      { cwd: '/tmp/../etc' },
      { cwd: '/tmpx' },
      { backend: 'elsewhere' },
      { hooks: { other: { setup: 'id' } } },
    ])
      expect(await spawn(body, bearer), JSON.stringify(body)).toMatchObject({ status: 403, error: { code: 'forbidden' } })
    expect((await spawn({ cwd: '/tmp' }, bearer)).status).toBe(201)
  })

  test('is worth nothing when the session has ended, nor with another server, nor altered', async () => {
    const { session, bearer } = await parent()
    expect((await as(bearer, '/sessions')).status).toBe(200)
    const altered = bearer.slice(0, -1) + (bearer.endsWith('0') ? '1' : '0')
    expect((await as(altered, '/sessions')).status).toBe(403)
    expect(await createSessionTokens('another-server').idIn(bearer.slice(7))).toBeNull()
    await app.restart()
    expect((await as(bearer, '/sessions')).status).toBe(200)
    await app.request(`/sessions/${session.id}`, { method: 'DELETE' })
    expect((await as(bearer, '/sessions')).status).toBe(403)
  })
})
