import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { socketName, stateDirectory } from '../src/entry/settings.ts'
import type { Session } from '../src/runtime/types.ts'
import { foreground, listening } from './support/foreground.ts'
import { endServer, tmuxOn } from './support/tmux.ts'
import { git, makeRepository } from './support/repository.ts'
import { until } from './support/wait.ts'

/**
 * A real server, killed with SIGKILL: what it has said to its clients stays true.
 */

const locker = fileURLToPath(new URL('backends/fixture-lock.ts', import.meta.url))

let project: string
let processes: (PromiseLike<unknown> & { kill(signal: NodeJS.Signals): boolean })[]

beforeEach(async () => {
  project = await realpath(await mkdtemp(join(tmpdir(), 'instar-restart-')))
  processes = []
  await mkdir(join(project, 'out'))
  await writeFile(join(project, 'instar.config.json'), JSON.stringify({ limits: { graceMs: 1500 } }))
})
afterEach(async () => {
  for (const child of processes) child.kill('SIGKILL')
  await Promise.all(processes)
  await endServer(socketName(stateDirectory(project)))
  await rm(project, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
})

describe('a server that is killed', () => {
  it('has lost nothing that it said, and does nothing twice', async () => {
    const kills = 15
    const names = Array.from({ length: 40 }, (_, i) => `n-${i}`)
    const attempts: Attempt[] = []
    let server = await launch()
    const { token } = server

    for (let round = 0; round < kills; round++) {
      const running = server
      let down = false
      const die = () => {
        if (!down) running.child.kill('SIGKILL')
        down = true
      }
      // It dies at any time; or in the moment in which it says yes; or while it starts several at once.
      const kind = (['any', 'answer', 'burst'] as const)[round % 3]!
      let answers = 1 + Math.floor(Math.random() * 8)
      const timer = setTimeout(die, kind === 'burst' ? Math.random() * 60 : 30 + Math.random() * 500)
      const worker = async () => {
        while (!down) {
          await (kind === 'burst' ? spawn(running, pick(names), attempts) : act(running, names, attempts))
          if (kind === 'answer' && --answers === 0) die()
        }
      }
      await Promise.all(Array.from({ length: kind === 'burst' ? 8 : 3 }, worker))
      clearTimeout(timer)
      await server.child
      server = await launch()
      expect(server.token).toBe(token)
      await checkRestart(server, attempts)
    }

    const sessions = await until(
      async () => {
        const all = await server.sessions()
        const unfinished = all.filter(({ prompt, endedAt }) => endedAt === null && !prompt.includes('exec cat'))
        return unfinished.length === 0 && all
      },
      { timeout: 20_000, what: 'every program that ends by itself to have ended' },
    )
    await checkEverything(server, sessions, attempts)
  }, 150_000)

  it('goes on to end what it was ending', async () => {
    const first = await launch()
    const script = `trap 'echo asked >>out/asked' TERM; trap '' HUP; echo ready >out/ready; while :; do sleep 0.05; done`
    const { id } = await first.spawn('stubborn', script)
    await until(() => read('ready'), { what: 'the program' })
    const answer = first.call('DELETE', '/sessions/stubborn').catch(() => null)
    await until(() => read('asked'), { what: 'the request to end' })
    first.child.kill('SIGKILL')
    await Promise.all([first.child, answer])
    const second = await launch()
    const session = await until(async () => (await second.sessions()).find((each) => each.id === id && each.endedAt), { what: 'the end' })
    expect(session).toMatchObject({ status: 'killed', signal: 'SIGKILL', reason: 'ended on request' })
    await until(async () => (await terminals()).length === 0, { what: 'no terminal to be left' })
  })

  it('can end, read and write what it took over', async () => {
    const first = await launch()
    const { id } = await first.spawn('taken-over', 'echo hello; exec cat')
    await until(async () => (await first.output('taken-over')).includes('hello'), { what: 'the output' })
    first.child.kill('SIGKILL')
    await first.child
    const second = await launch()
    expect(await second.output('taken-over')).toBe('hello')
    expect(await second.call('POST', '/sessions/taken-over/input', { text: 'there' })).toMatchObject({ status: 200 })
    await until(async () => (await second.output('taken-over')) === 'hello\nthere\nthere', { what: 'the echo' })
    const ended = await second.call('DELETE', '/sessions/taken-over')
    expect(ended).toMatchObject({ status: 200, body: { id, status: 'killed' } })
    expect(await second.output('taken-over')).toBe('hello\nthere\nthere')
  })

  it('knows when a program began and ended that it could not see', async () => {
    const first = await launch()
    const { id, startedAt } = await first.spawn('unseen', 'until [ -e out/go ]; do sleep 0.05; done; seq 500; exit 9')
    first.child.kill('SIGKILL')
    await first.child
    await writeFile(join(project, 'out/go'), '')
    const record = join(stateDirectory(project), 'sessions', id, 'exit')
    await until(() => exists(record), { what: 'the record of the end' })
    const over = (await stat(record)).mtimeMs
    await until(() => Date.now() - over > 2000, { what: 'the end to be long ago' })
    const second = await launch()
    const session = await until(async () => (await second.sessions()).find((each) => each.endedAt), { what: 'the end to be known' })
    expect(session).toMatchObject({ id, status: 'error', exitCode: 9, signal: null })
    expect(Math.abs(Date.parse(session.endedAt!) - over)).toBeLessThan(1000)
    expect(Math.abs(Date.parse(session.startedAt!) - Date.parse(startedAt!))).toBeLessThan(1000)
    expect(await second.output('unseen', 500)).toBe(numbers(500))
  })
})

it('a worktree that a killed server was making is undone by the next one, and one that a session had goes on', async () => {
  const repo = await makeRepository(join(project, 'repo'), { 'a.txt': 'one\n' })
  const first = await launch()
  const spawnIn = (name: string, prompt: string, worktree: object) =>
    first.call('POST', '/sessions/spawn', { name, prompt, agent: 'shell', cwd: repo, hooks: { worktree } })
  expect((await spawnIn('lives', 'echo x > x; exec cat', {})).status).toBe(201)
  const pid = join(project, 'setup.pid')
  const lost = spawnIn('lost', 'true', { setup: `echo $$ > ${pid}; echo y > y; exec sleep 60` }).catch(() => null)
  await until(() => exists(pid), { what: 'the setup to run' })
  try {
    first.child.kill('SIGKILL')
    await lost
    const next = await launch()
    await until(async () => (await git(repo, 'branch', '--list', 'instar/*')).trim() === '+ instar/lives', {
      what: 'the branch to be gone',
    })
    expect(await git(repo, 'worktree', 'list')).not.toContain('lost')
    expect((await next.call('GET', '/sessions/lives/diff')).body).toMatchObject({ files: [{ path: 'x', status: 'untracked' }] })
    await next.call('DELETE', '/sessions/lives')
    expect((await next.call('POST', '/sessions/lives/finish', { how: 'keep' })).status).toBe(200)
  } finally {
    process.kill(Number(await readFile(pid, 'utf8')), 'SIGKILL')
  }
})

describe('a state directory', () => {
  it('has one server; another is refused and harms nothing', async () => {
    const first = await launch()
    await first.spawn('mine', 'exec cat')
    // Also one that writes times in other words.
    for (const environment of [{}, { TZ: 'Asia/Tokyo', LC_TIME: 'C.UTF-8' }]) {
      const second = keep(foreground(project, environment))
      await until(() => second.exitCode !== null, { what: 'the second server to give up' })
      const { exitCode, stderr, stdout } = await second
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' })
      expect(stderr).toContain('a server already runs for this project')
      expect(stderr).toContain(String(first.child.pid))
    }
    expect(await first.sessions()).toMatchObject([{ name: 'mine', endedAt: null }])
  })

  it.each([
    ['of a process that there is not', (lock: string) => lock],
    ['with the number of another process', (lock: string) => lock.replace(/"pid":\d+/, `"pid":${process.pid}`)],
    ['that is cut off', (lock: string) => lock.slice(0, 20)],
    ['that is empty', () => ''],
  ])('takes a lock for what it is: one %s', async (_, left) => {
    const first = await launch()
    first.child.kill('SIGKILL')
    await first.child
    const file = join(stateDirectory(project), 'server.json')
    await writeFile(file, left(await readFile(file, 'utf8')))
    const second = await launch()
    expect(await second.sessions()).toEqual([])
    const names = await readdir(stateDirectory(project))
    expect(names.filter((name) => name.startsWith('server.json'))).toEqual(['server.json'])
  })

  it('that a killed server left goes to one of those that want it at the same time', async () => {
    const state = stateDirectory(project)
    await mkdir(state, { recursive: true })
    const children = Array.from({ length: 5 }, () => keep(execa('node', ['--import', 'tsx', locker, state], { reject: false })))
    const lines = children.map((child) => child.iterable()[Symbol.asyncIterator]())
    const answers = () => Promise.all(lines.map(async (line) => (await line.next()).value))
    const tell = (word: string) => children.forEach((child) => child.stdin!.write(`${word}\n`))
    await answers()
    for (let round = 0; round < 12; round++) {
      await writeFile(join(state, 'server.json'), JSON.stringify({ pid: process.pid, started: 'long ago', url: null }))
      tell('lock')
      expect((await answers()).map(String).toSorted(), `round ${round}`).toEqual(['mine', 'refused', 'refused', 'refused', 'refused'])
      tell('release')
      await answers()
    }
  })

  it('with damaged records keeps them, and everything else works', async () => {
    const first = await launch()
    const store = join(stateDirectory(project), 'store')
    const ids: string[] = []
    for (const name of ['cut', 'garbage', 'empty', 'shape', 'swapped', 'whole', 'other'])
      ids.push((await first.spawn(name, 'echo hello')).id)
    await until(async () => (await first.sessions()).every(({ endedAt }) => endedAt), { what: 'the ends' })
    await until(async () => (await Promise.all(ids.map(readRecord))).every((text) => text.includes('"completed"')), { what: 'the records' })
    first.child.kill('SIGKILL')
    await first.child

    const record = (id: string) => join(store, 'sessions', `${id}.json`)
    const [cut, garbage, empty, shape, swapped, whole, other] = ids as [string, string, string, string, string, string, string]
    await truncate(record(cut), 200)
    await writeFile(record(garbage), Buffer.from([0xff, 0, 0xfe, 0x7b, 0x0a, 0x80]))
    await truncate(record(empty), 0)
    await writeFile(record(shape), JSON.stringify({ session: { id: shape, status: 'dancing' }, handle: 5 }))
    await writeFile(record(swapped), await readFile(record(whole)))
    const damaged = [cut, garbage, empty, shape, swapped]
    const bytes = await Promise.all(damaged.map((id) => readFile(record(id))))

    for (let starts = 0; starts < 2; starts++) {
      const next = await launch()
      expect((await next.sessions()).map(({ id }) => id)).toEqual([other, whole])
      expect(await next.output('whole')).toBe('hello')
      for (const [i, id] of damaged.entries()) expect(await readFile(join(store, 'damaged', 'sessions', `${id}.json`))).toEqual(bytes[i])
      const { id } = await next.spawn('cut', 'exit 0')
      await until(async () => (await next.sessions()).find((each) => each.id === id)?.endedAt, { what: 'a session of an old name' })
      expect(await next.call('DELETE', '/sessions/cut?purge=true')).toMatchObject({ status: 200 })
      next.child.kill('SIGKILL')
      await next.child
    }

    async function readRecord(id: string): Promise<string> {
      return readFile(join(store, 'sessions', `${id}.json`), 'utf8')
    }
  })
})

// ---- what a client does, and what it may believe afterwards ----------------------------------------------------------

/** A spawn that was asked for; `id` once it was answered with 201. */
interface Attempt {
  readonly key: string
  readonly name: string
  readonly prompt: string
  readonly kind: 'quick' | 'timed' | 'killed' | 'long'
  readonly code: number | null
  readonly lines: number
  id: string | null
  refused: boolean
  readonly inputs: { text: string; answered: boolean }[]
  deletion: 'none' | 'asked' | 'done'
  purge: 'none' | 'asked' | 'done'
}

async function act(server: Running, names: readonly string[], attempts: Attempt[]): Promise<void> {
  const dice = Math.random()
  const known = attempts.filter(({ id, purge }) => id !== null && purge === 'none')
  const long = known.filter(({ kind, deletion }) => kind === 'long' && deletion === 'none')
  if (dice < 0.2 && long.length > 0) return input(server, pick(long))
  if (dice < 0.27 && long.length > 0) return remove(server, pick(long), false)
  if (dice < 0.3 && known.length > 0) return remove(server, pick(known), true)
  return spawn(server, pick(names), attempts)
}

async function spawn(server: Running, name: string, attempts: Attempt[]): Promise<void> {
  const key = `k${attempts.length}`
  const kind = pick(['quick', 'quick', 'timed', 'killed', 'long'] as const)
  const lines = 1 + Math.floor(Math.random() * 300)
  const code = kind === 'quick' || kind === 'timed' ? Math.floor(Math.random() * 120) : null
  const begin = `echo begun >>out/${key}.begun; `
  const finish = `seq ${lines}; : >out/${key}.over; `
  const prompt = {
    quick: `${begin}${finish}exit ${code}`,
    timed: `${begin}sleep 0.${Math.floor(Math.random() * 90) + 10}; ${finish}exit ${code}`,
    killed: `${begin}sleep 0.${Math.floor(Math.random() * 40) + 10}; ${finish}kill -KILL $$`,
    long: `${begin}exec cat >>out/${key}.typed`,
  }[kind]
  const attempt: Attempt = { key, name, prompt, kind, code, lines, id: null, refused: false, inputs: [], deletion: 'none', purge: 'none' }
  attempts.push(attempt)
  const answer = await server.call('POST', '/sessions/spawn', { name, prompt, agent: 'shell' }).catch(() => null)
  if (!answer) return
  if (answer.status === 409) attempt.refused = true
  else {
    expect(answer.status, JSON.stringify(answer.body)).toBe(201)
    attempt.id = (answer.body as Session).id
  }
}

async function input(server: Running, attempt: Attempt): Promise<void> {
  const said = { text: `${attempt.key} says ${attempt.inputs.length}`, answered: false }
  attempt.inputs.push(said)
  const answer = await server.call('POST', `/sessions/${attempt.id}/input`, { text: said.text }).catch(() => null)
  if (answer?.status === 200) said.answered = true
  // Somebody else ended it first.
  else if (answer) expect(answer, JSON.stringify(answer)).toMatchObject({ status: 409, body: { error: { code: 'session_ended' } } })
}

async function remove(server: Running, attempt: Attempt, purge: boolean): Promise<void> {
  if (attempt.deletion === 'none') attempt.deletion = 'asked'
  if (purge) attempt.purge = 'asked'
  const answer = await server.call('DELETE', `/sessions/${attempt.id}${purge ? '?purge=true' : ''}`).catch(() => null)
  if (!answer) return
  // Somebody else purged it first.
  if (answer.status === 404 && attempt.purge !== 'none') return
  expect(answer.status, JSON.stringify(answer.body)).toBe(200)
  expect((answer.body as Session).endedAt).not.toBeNull()
  attempt.deletion = 'done'
  if (purge) attempt.purge = 'done'
}

/** What holds as soon as a server is there again. */
async function checkRestart(server: Running, attempts: readonly Attempt[]): Promise<void> {
  const sessions = await server.sessions()
  const ids = sessions.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids).toEqual(ids.toSorted().reverse())
  const live = sessions.filter(({ endedAt }) => endedAt === null).map(({ name }) => name)
  expect(new Set(live).size).toBe(live.length)
  for (const { id, purge } of attempts) {
    if (id !== null && purge === 'none') expect(ids).toContain(id)
    if (purge === 'done') expect(ids).not.toContain(id)
  }
}

async function checkEverything(server: Running, sessions: readonly Session[], attempts: readonly Attempt[]): Promise<void> {
  const live = sessions.filter(({ endedAt }) => endedAt === null).map(({ id }) => id)
  let seen: string[] = []
  await until(async () => (seen = (await terminals()).toSorted()).join() === live.toSorted().join(), {
    what: 'tmux to have the live sessions, each once',
  }).catch(() => expect(seen).toEqual(live.toSorted()))
  expect(sessions.filter(({ status }) => status === 'starting')).toEqual([])

  for (const attempt of attempts) {
    const mine = sessions.filter(({ prompt }) => prompt === attempt.prompt)
    const story = JSON.stringify({ attempt, mine }, null, 1)
    const begun = (await read(`${attempt.key}.begun`))?.split('\n').length ?? 1
    expect(begun - 1, `times that it was run: ${story}`).toBeLessThanOrEqual(1)
    expect(mine.length, story).toBeLessThanOrEqual(1)
    const [session] = mine
    if (attempt.refused) expect([mine.length, begun], story).toEqual([0, 1])
    if (attempt.purge !== 'none') continue
    if (attempt.id !== null) expect(session?.id, story).toBe(attempt.id)
    if (!session) {
      expect(begun, `it ran, and no session tells of it: ${story}`).toBe(1)
      continue
    }
    expect(session.name, story).toBe(attempt.name)
    if (begun === 1) {
      // It was never run: then nobody was told that it was, and the session says so.
      expect(attempt.id, story).toBeNull()
      expect(session, story).toMatchObject({ status: 'error', exitCode: null, reason: expect.any(String) })
      continue
    }
    expect(Date.parse(session.startedAt ?? ''), story).toBeGreaterThanOrEqual(Date.parse(session.createdAt) - 50)
    if (attempt.kind === 'long') await checkLong(session, attempt, story)
    else await checkEnded(server, session, attempt, story)
  }
}

async function checkEnded(server: Running, session: Session, attempt: Attempt, story: string): Promise<void> {
  if (attempt.kind === 'killed') expect(session, story).toMatchObject({ status: 'error', exitCode: null, signal: 'SIGKILL' })
  else expect(session, story).toMatchObject({ status: attempt.code === 0 ? 'completed' : 'error', exitCode: attempt.code, signal: null })
  const over = (await stat(join(project, 'out', `${attempt.key}.over`))).mtimeMs
  // A busy machine lets the shell that has made the file wait before it ends.
  expect(Date.parse(session.endedAt!) - over, story).toBeGreaterThan(-1000)
  expect(Date.parse(session.endedAt!) - over, story).toBeLessThan(5000)
  expect(await server.output(session.id, 1000), story).toBe(numbers(attempt.lines))
}

async function checkLong(session: Session, attempt: Attempt, story: string): Promise<void> {
  if (attempt.deletion === 'done') expect(session.status, story).toBe('killed')
  else if (attempt.deletion === 'none') expect(session.status, story).toBe('running')
  else expect(['running', 'killed'], story).toContain(session.status)
  for (const { text, answered } of attempt.inputs) {
    const count = async () => (await read(`${attempt.key}.typed`))?.split('\n').filter((line) => line === text).length ?? 0
    if (answered && attempt.deletion === 'none')
      await until(async () => (await count()) === 1, { what: `${text} to be typed once: ${story}` })
    else expect(await count(), story).toBeLessThanOrEqual(1)
  }
}

// ---- a server process ------------------------------------------------------------------------------------------------

const exists = async (path: string) => (await stat(path).catch(() => null)) !== null

interface Running {
  readonly child: ReturnType<typeof foreground>
  readonly token: string
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>
  sessions(): Promise<Session[]>
  spawn(name: string, prompt: string): Promise<Session>
  output(ref: string, lines?: number): Promise<string>
}

/** Ends with the test. */
function keep<T extends (typeof processes)[number]>(child: T): T {
  processes.push(child)
  return child
}

/** Starts a server and waits until it answers. */
async function launch(): Promise<Running> {
  const child = keep(foreground(project))
  const url = await listening(child)
  const { auth } = JSON.parse(await readFile(join(stateDirectory(project), 'config.json'), 'utf8')) as { auth: { token: string } }
  const fetched = (method: string, path: string, body?: unknown) =>
    fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${auth.token}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(15_000),
    })
  const call: Running['call'] = async (method, path, body) => {
    const response = await fetched(method, path, body)
    return { status: response.status, body: await response.json() }
  }
  return {
    child,
    token: auth.token,
    call,
    sessions: async () => (await call('GET', '/sessions')).body as Session[],
    async spawn(name, prompt) {
      const { status, body } = await call('POST', '/sessions/spawn', { name, prompt, agent: 'shell' })
      expect(status, JSON.stringify(body)).toBe(201)
      return body as Session
    },
    output: async (ref, lines = 100) => (await fetched('GET', `/sessions/${ref}/output?lines=${lines}`)).text(),
  }
}

/** The ids of our sessions that tmux has, also those that it has twice. */
async function terminals(): Promise<string[]> {
  const list = await tmuxOn(socketName(stateDirectory(project)), 'list-panes', '-a', '-F', '#{@instar_id}')
  return list.split('\n').filter(Boolean)
}

const read = (name: string): Promise<string | null> => readFile(join(project, 'out', name), 'utf8').catch(() => null)
const numbers = (count: number): string => Array.from({ length: count }, (_, i) => `${i + 1}`).join('\n')
const pick = <T>(from: readonly T[]): T => from[Math.floor(Math.random() * from.length)]!
