import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect } from 'vitest'
import type { Message } from '../../src/runtime/agent.ts'
import type { Prompt, Session, Status, Step } from '../../src/runtime/types.ts'
import type { TestApp } from '../support/app.ts'
import { pass, until } from '../support/wait.ts'

export interface AgentPlace {
  readonly app: TestApp
  /** How long a dialog may take to close before its key is pressed again, which the composer would get else. Default 700. */
  readonly keyMs?: number
  /** The requests of conversations that came to the model, in whatever form. */
  readonly requests: readonly unknown[]
  /** The last thing that a person said in the last of them; '' before the first. */
  heard(): string
  /** What a tool answered last in the last of them; '' where none did. */
  result(): string
}

/** A status has to be right within a second; how it would be known otherwise takes six or sixty. A machine under load is slow. */
export const promptMs = 5500
export const slowMs = 60_000

interface Told {
  readonly status: number
  readonly body: Session & {
    readonly session?: Session
    readonly stage?: string
    readonly timedOut?: boolean
    readonly error?: { readonly code: string; readonly data: Readonly<Record<string, unknown>> }
  }
}

/** One session after another, as several cases use it. */
export type Seat = ReturnType<typeof takeSeat>

export function takeSeat(place: AgentPlace) {
  const { app } = place
  let name = ''
  let runs = 0
  let marks = 0
  let seen: Step[] = []
  let last: string | null = null
  let was: Status | null = null
  const delays: number[] = []
  // The trail is short; nothing of it may be missed.
  const recorder = setInterval(record, 20)

  function record(): void {
    if (name === '' || !app.runtime.has(name)) return
    const { trail } = app.runtime.explain(name)
    const texts = trail.map((step) => JSON.stringify(step))
    seen.push(...trail.slice(last === null ? 0 : texts.lastIndexOf(last) + 1))
    last = texts.at(-1) ?? last
  }

  async function request(path: string, init: RequestInit = {}): Promise<Told> {
    const answer = await app.request(path, init)
    return { status: answer.status, body: (await answer.json()) as Told['body'] }
  }
  const get = async <T>(path: string): Promise<T> => (await app.request(`/sessions/${name}/${path}`)).json() as Promise<T>
  const post = async (path: string, body: object = {}, ref = name): Promise<Told> => {
    record()
    const told = await request(`/sessions/${ref}/${path}`, { method: 'POST', body: JSON.stringify(body) })
    // A new run has a trail of its own.
    if (path === 'resume' && told.status === 201) last = was = null
    return told
  }
  const session = (): Session => app.runtime.get(name)
  const output = async (lines = 60): Promise<string> => (await app.request(`/sessions/${name}/output?lines=${lines}`)).text()
  const pane = () => app.tmux('capture-pane', '-p', '-t', `=${name}:`)

  async function begin(request_: object): Promise<Told> {
    if (name !== '') await remove()
    name = `s${++runs}`
    last = was = null
    seen = []
    return request('/sessions/spawn', { method: 'POST', body: JSON.stringify({ name, ...request_ }) })
  }
  async function spawn(prompt: string): Promise<void> {
    const { status, body } = await begin({ prompt })
    expect(status, JSON.stringify(body)).toBe(201)
  }
  async function is(status: Status, timeout = promptMs): Promise<void> {
    const began = Date.now()
    await until(() => session().status === status, { timeout, what: `session ${name} to be ${status}; it is ${session().status}` }).catch(
      async (error: unknown) => {
        throw new Error(`${String(error)}\n${explain()}\n${await output()}`, { cause: error })
      },
    )
    if (timeout === promptMs) delays.push(Date.now() - began)
  }
  const explain = (): string =>
    app.runtime
      .explain(name)
      .trail.map(({ at, source, rule, event, status }) => `${at} ${source} ${rule}: ${event} → ${status}`)
      .join('\n')

  /** A new session that has done its first turn. */
  async function restart(prompt: string): Promise<void> {
    await spawn(prompt)
    await until(() => place.heard().includes(prompt), { timeout: slowMs, what: 'the first turn' })
    await is('idle', slowMs)
    await went('starting', 'running', 'idle')
    await until(async () => (await messages()).length > 1, { what: 'the record of the first turn' })
  }
  const messages = () => get<Message[]>('messages')
  /** What it became since the course was asked for last, and what it was then. */
  function statuses(): Status[] {
    record()
    const all = [...(was === null ? [] : [was]), ...seen.map(({ status }) => status)]
    return all.filter((status, place) => status !== all[place - 1])
  }
  function course(): Status[] {
    const all = statuses()
    const told = was === null ? all : all.slice(1)
    was = all.at(-1) ?? was
    seen = []
    return told
  }
  /** That was its course, and no other. A model may hear a text before the agent's hook has told of it here. */
  async function went(...expected: readonly Status[]): Promise<void> {
    const count = expected.length + (was === null ? 0 : 1)
    await until(() => statuses().length >= count, { timeout: promptMs, what: 'the end of its course' }).catch(() => {})
    expect(course(), explain()).toEqual(expected)
  }
  async function remove(): Promise<Told> {
    record()
    const told = await request(`/sessions/${name}`, { method: 'DELETE' })
    record()
    return told
  }
  /** Presses the keys until it has an effect; not while they may still have one. */
  async function pressUntil(keys: readonly string[], check: () => boolean | Promise<boolean>, most = 4): Promise<void> {
    for (let tries = 1; ; tries++) {
      await press(...keys)
      const done = await until(check, { timeout: place.keyMs ?? 700, what: `what ${keys.join(' ')} does` }).catch((error: unknown) => {
        if (tries === most) throw error
        return false
      })
      if (done) return
    }
  }
  async function press(...keys: readonly string[]): Promise<void> {
    for (const key of keys) await app.tmux('send-keys', '-t', `=${name}:`, key)
  }
  async function write(text: string): Promise<void> {
    await app.tmux('send-keys', '-t', `=${name}:`, '-l', '--', text)
    await shows(text)
  }
  async function shows(text: string): Promise<void> {
    const squeeze = (words: string) => words.replace(/\s+/g, '')
    await until(async () => squeeze(await output()).includes(squeeze(text)), { what: `the screen to show "${text}"` }).catch(
      async (error: unknown) => {
        throw new Error(`${String(error)}\n${explain()}\n${await output()}`, { cause: error })
      },
    )
  }
  const processes = async (): Promise<string[]> => (await execa('ps', ['-A', '-ww', '-o', 'pid=,ppid=,stat=,args='])).stdout.split('\n')

  return {
    place,
    begin,
    spawn,
    restart,
    remove,
    session,
    post,
    press,
    pressUntil,
    write,
    shows,
    output,
    pane,
    is,
    course,
    went,
    /** The session has been that in the course so far, for however short a time. */
    async was(status: Status): Promise<void> {
      const check = () => {
        record()
        return seen.some((step) => step.status === status)
      }
      await until(check, { timeout: promptMs, what: `session ${name} to have been ${status}` })
    },
    /** The session is idle, as it was since the case before; after one that failed it is another. */
    async ready(): Promise<void> {
      record()
      const isIdle = name !== '' && session().status === 'idle' && was !== null
      if (isIdle && seen.every(({ status }) => status === was)) return void (seen = [])
      if (isIdle) expect.soft(course(), 'what it was after the case before').toEqual([])
      else await restart('[say ready] get ready')
    },
    send: (text: string, more: object = {}) => post('input', { text, ...more }),
    interrupt: () => post('interrupt'),
    inputs: async () => app.runtime.inputs(name),
    messages,
    /** The texts of the conversation up to the one that is awaited: it is written a little after it is said. */
    texts: (last: string) =>
      until(
        async () => {
          const all = (await messages()).map(({ text }) => text)
          return all.at(-1) === last && all
        },
        { what: `the message "${last}"` },
      ),
    prompts: () => get<Prompt[]>('prompts'),
    trail: () => [...seen, ...app.runtime.explain(name).trail.slice(-3)],
    asked: () => place.requests.length,
    heard: (text: string) => until(() => place.heard().includes(text), { timeout: slowMs, what: `the model to hear "${text}"` }),
    /** A person types a command and Enter. */
    async command(text: string): Promise<void> {
      await write(text)
      // As a person does: an Enter that comes at once may count as a part of a paste.
      await pass(200)
      await press('Enter')
    },
    answerAtTerminal: (shows: string, keys: readonly string[]) => pressUntil(keys, async () => !(await output()).includes(shows)),
    file: () => `file-${++marks}`,
    exists: (file: string) => existsSync(join(app.project, file)),
    made: (file: string) => until(() => existsSync(join(app.project, file)), { timeout: slowMs, what: `the file ${file}` }),
    make: (file: string) => execa('touch', [join(app.project, file)]),
    /** A number of seconds that only one process in the world sleeps for. */
    mark: () => `${86_400 + ++marks}.${process.pid}${Date.now() % 100_000}`,
    gone: (mark: string) =>
      until(async () => !(await processes()).some((row) => !/^\s*\d+\s+\d+\s+Z/.test(row) && row.includes(`sleep ${mark}`)), {
        what: `sleep ${mark} to be gone`,
      }),
    /** No hook waits for an answer any more. */
    nobodyWaits: () =>
      until(
        async () => {
          const dirs = await readdir(join(app.state, 'sessions'))
          const rows = await processes()
          return !rows.some((row) =>
            dirs.some((dir) => row.includes(`${dir}/answers/`) || (row.includes(`${dir}/hook.sh`) && row.endsWith(' wait'))),
          )
        },
        { timeout: promptMs, what: 'no hook to wait' },
      ),
    /** The program itself, as its launcher started it. */
    async programs(): Promise<number[]> {
      const launcher = (await app.tmux('display-message', '-p', '-t', `=${name}:`, '#{pane_pid}')).trim()
      return (await processes()).flatMap((row) => {
        const [pid, parent] = row.trim().split(/\s+/)
        return parent === launcher ? [Number(pid)] : []
      })
    },
    wasPrompt(): void {
      const sorted = delays.toSorted((a, b) => a - b)
      expect(sorted[Math.floor(sorted.length * 0.75)] ?? 0, `the delays were ${sorted.join(' ')}`).toBeLessThan(1000)
    },
    async close(): Promise<void> {
      clearInterval(recorder)
      await app.close()
    },
  }
}
