import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa } from 'execa'
import * as v from 'valibot'
import { socketName, stateDirectory } from '../../src/entry/settings.ts'
import { boxed, submitted, withoutSuggestion, isSame } from '../../src/plugins/agents/text.ts'
import { shell } from '../../src/plugins/agents/shell.ts'
import type { Agent } from '../../src/runtime/agent.ts'
import type { Receipt } from '../../src/runtime/deliveries.ts'
import { waitingFor } from '../../src/runtime/session.ts'
import type { Event, OpenPrompt, Prompt, Session, SessionRecord, Signal } from '../../src/runtime/types.ts'
import { testApp, type TestApp, type TestAppOptions } from './app.ts'
import { endServer } from './tmux.ts'
import { until } from './wait.ts'

/**
 * An agent that does what it is told to, so that the runtime can be tested where real agents cannot be made to do a
 * thing at a certain time. It has a composer as claude has one, and tells of itself through hook.sh. What happened to it
 * stands in `<session>.jsonl` in its directory, one line each; see `Happening`. What it does is steered by marks in the
 * text that is submitted:
 *
 *   [work]           works until it is interrupted, or the file `<session>.go` is there
 *   [slow MS]        works for that time                   [at-once]   tells of the beginning and the end in one write
 *   [late MS]        tells that late that it took the text [refused]   takes the text, and begins no turn
 *   [fail TEXT]      the turn fails                        [limit MS]  the usage limit is reached, which ends then
 *   [ask NAME]       asks for a permission; several at once, when there are several
 *   [keys NAME]      the same, but only the terminal can answer
 *   [silent NAME]    the same, and no hook tells of it     [exit CODE] ends
 *
 * And in a text that stands in the composer: [swallow N], the first N times Enter does nothing; [dialog], the first Enter
 * opens a dialog over it instead. While the file `<session>.deaf` is there, Enter does nothing at all.
 */
const program = String.raw`
import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const directory = dirname(fileURLToPath(import.meta.url))
const name = process.env.INSTAR_SESSION
const [conversation, first] = process.argv.slice(2)
let composer = ''
let busy = false
let turn = 0
let swallowed = 0
let asks = []
let hooks = Promise.resolve()

const note = (what) => appendFileSync(name + '.jsonl', JSON.stringify(what) + '\n')
const mark = (text, name) => [...text.matchAll(new RegExp('\\[' + name + '(?: ([^\\]]*))?\\]', 'g'))].map((each) => each[1] ?? '')

function run(event, payload, ...more) {
  const child = spawn('sh', [join(directory, 'hook.sh'), event, ...more], { stdio: ['pipe', 'pipe', 'ignore'] })
  child.stdin.on('error', () => {})
  child.stdin.end(JSON.stringify(payload))
  return child
}
/** One after the other, as they happened. */
const hook = (event, payload = {}) => (hooks = hooks.then(() => new Promise((done) => run(event, payload).on('close', done))))
const wait = (ms) => new Promise((done) => setTimeout(done, ms))

// ---- turns

async function submit(text) {
  const mine = ++turn
  const wasBusy = busy
  note({ submitted: text })
  const [slow] = mark(text, 'slow')
  const [late] = mark(text, 'late')
  const [code] = mark(text, 'exit')
  const limit = mark(text, 'limit')[0]
  const fails = mark(text, 'fail')[0]
  if (mark(text, 'at-once').length > 0) {
    const time = Math.floor(Date.now() / 1000)
    const line = (hook) => JSON.stringify({ hook, time, mailbox: '', payload: { text } }) + '\n'
    return appendFileSync(join(directory, 'signals.jsonl'), line('UserPromptSubmit') + line('Stop'))
  }
  if (late) await wait(Number(late))
  await hook('UserPromptSubmit', { text })
  if (mark(text, 'refused').length > 0) return hook('Quiet')
  if (wasBusy) return
  busy = true
  draw()
  await hook('Work')
  if (slow) await wait(Number(slow))
  while (mark(text, 'work').length > 0 && busy && !existsSync(name + '.go')) await wait(10)
  rmSync(name + '.go', { force: true })
  const names = ['ask', 'keys', 'silent'].flatMap((kind) => mark(text, kind).map((id) => ({ kind, id })))
  if (names.length > 0 && busy) await Promise.all(names.map(({ kind, id }) => ask(kind, id)))
  if (code !== undefined) process.exit(Number(code))
  if (!busy) return
  busy = false
  draw()
  if (limit !== undefined) await hook('StopFailure', { error: 'the limit is reached', until: new Date(Date.now() + Number(limit)).toISOString() })
  else if (fails !== undefined) await hook('StopFailure', { error: fails })
  else await hook('Stop')
}

function ask(kind, id) {
  return new Promise((done) => {
    const asked = { id, child: null, done: (how) => {
      if (!asks.includes(asked)) return
      asks = asks.filter((each) => each !== asked)
      note({ prompt: id, ...how })
      draw()
      done()
    } }
    asks.push(asked)
    if (kind === 'keys') hook('PermissionRequest', { id })
    if (kind === 'ask') {
      asked.child = run('PermissionRequest', { id, pad: 'x'.repeat(id.startsWith('long') ? 5000 : 0) }, 'wait')
      note({ prompt: id, hook: asked.child.pid })
      let said = ''
      asked.child.stdout.on('data', (bytes) => (said += bytes))
      asked.child.on('close', (code, signal) => {
        note({ prompt: id, hook: asked.child.pid, said, code, signal })
        if (said !== '') hook('Answered', { id }).then(() => asked.done({ by: 'hook' }))
      })
    }
    draw()
  })
}

function interrupt() {
  for (const asked of asks) {
    asked.child?.kill('SIGKILL')
    asked.done({ by: 'Escape' })
  }
  if (!busy) return
  busy = false
  note({ interrupted: true })
  hook('Interrupted')
  draw()
}

// ---- the terminal

let screen = ''
function draw() {
  const { columns = 80, rows = 24 } = process.stdout
  const rule = '─'.repeat(columns)
  const lines = []
  if (asks.length > 0) lines.push(rule, ' Allow ' + asks[0].id + '?', ' 1. Yes', ' 2. No', ' Esc to cancel')
  else {
    const text = composer.split('\n').flatMap((line) => line.match(new RegExp('.{1,' + (columns - 3) + '}', 'gu')) ?? [''])
    const shown = text.slice(-(rows - 5))
    lines.push(rule, ...shown.map((line, i) => (i === 0 ? '> ' : '  ') + line), rule, busy ? ' esc to interrupt' : ' ready')
  }
  const next = lines.join('\r\n')
  if (next === screen) return
  screen = next
  process.stdout.write('\x1b[H\x1b[K' + next.replaceAll('\r\n', '\x1b[K\r\n\x1b[K') + '\x1b[J')
}

function enter() {
  if (composer === '') return
  if (existsSync(name + '.deaf')) return note({ swallowed: 0 })
  const [times = 0] = mark(composer, 'swallow')
  if (swallowed++ < Number(times)) return note({ swallowed })
  if (composer.includes('[dialog]') && swallowed === 1) return void ask('silent', 'over it')
  swallowed = 0
  const text = composer
  composer = ''
  draw()
  submit(text)
}

function key(name) {
  if (asks.length > 0) {
    note({ dialog: name })
    if (name === 'Escape') interrupt()
    else if (name === '1' || name === 'Enter') {
      const [asked] = asks
      hook('Answered', { id: asked.id }).then(() => asked.done({ by: name }))
    }
  } else if (name === 'Enter') {
    note({ key: name })
    enter()
  }
  else if (name === 'Escape') interrupt()
  else if (name === 'C-u') composer = ''
  else composer += name
}

let pasting = false
let rest = ''
let timer = null
const begin = '\x1b[200~'
const end = '\x1b[201~'
const partOf = (text, marker) => {
  for (let length = Math.min(text.length, marker.length - 1); length > 0; length--) if (text.endsWith(marker.slice(0, length))) return length
  return 0
}
function read(bytes) {
  clearTimeout(timer)
  rest += bytes
  while (rest !== '') {
    const marker = pasting ? end : begin
    const at = rest.indexOf(marker)
    const length = at >= 0 ? at : rest.length - partOf(rest, marker)
    const part = rest.slice(0, length)
    if (pasting) {
      if (asks.length > 0) part !== '' && note({ dialog: part })
      else composer += part.replace(/\r/g, '\n')
    } else for (const character of part) key({ '\r': 'Enter', '\x1b': 'Escape', '\x15': 'C-u', '\x03': 'C-c' }[character] ?? character)
    rest = rest.slice(length)
    if (at < 0) break
    rest = rest.slice(marker.length)
    pasting = !pasting
  }
  // A lone ESC is the key.
  if (!pasting && rest === '\x1b') timer = setTimeout(() => { rest = ''; key('Escape'); draw() }, 25)
  draw()
}

process.stdin.setRawMode(true)
process.stdin.setEncoding('utf8')
process.stdin.on('data', read)
process.stdout.write('\x1b[?2004h\x1b[2J')
draw()
await hook('SessionStart', { conversation })
if (first !== undefined) submit(first)
`

export interface ScriptedOptions {
  /** Empties the composer. */
  readonly erases?: boolean
}

export function scripted({ erases = false }: ScriptedOptions = {}): Agent {
  return {
    plan: ({ id, prompt, resume, args, cwd, env, size }, directory) => ({
      argv: ['node', join(directory, 'agent.mjs'), resume ?? `talk-${id}`, ...(prompt === '' ? [] : [prompt]), ...args],
      env: { ...env },
      cwd,
      files: { 'agent.mjs': program },
      size,
    }),
    read: (sight, record) => (sight.type === 'signal' ? readSignal(sight.signal, record) : null),
    type: (text) => submitted([text]),
    interrupt: [{ type: 'key', key: 'Escape' }],
    took: ({ event, payload }, text) => event === 'UserPromptSubmit' && isSame(parse(payload).text, text),
    draft: (screen) => boxed(withoutSuggestion(screen), /^─{20,}/, /^(?:> ?|  )/),
    ...(erases ? { erase: [{ type: 'key', key: 'C-u' }] } : {}),
    answer: ({ mailbox }, { choice }) =>
      mailbox === null
        ? { type: 'keys', keystrokes: [{ type: 'key', key: choice === 'allow' ? '1' : 'Escape' }] }
        : { type: 'mailbox', text: JSON.stringify({ choice }) },
    conversation({ event, payload }) {
      const { conversation } = parse(payload)
      return event === 'SessionStart' && conversation ? { id: conversation, transcript: null } : null
    },
  }
}

const payloadSchema = v.object({
  text: v.optional(v.string()),
  id: v.optional(v.string()),
  error: v.optional(v.string(), 'it failed'),
  until: v.optional(v.string()),
  conversation: v.optional(v.string()),
})
const parse = (payload: unknown) => {
  const parsed = v.safeParse(payloadSchema, payload ?? {})
  return parsed.success ? parsed.output : { error: 'it failed' }
}

function readSignal({ event, payload, at, mailbox }: Signal, { session, prompts }: SessionRecord): Event | null {
  const evidence = { source: 'hook', rule: event, at } as const
  const { id = '', error, until } = parse(payload)
  switch (event) {
    case 'SessionStart':
      return session.prompt === '' ? { type: 'rested', evidence } : null
    case 'UserPromptSubmit':
    case 'Work':
      return { type: 'working', evidence }
    case 'Stop':
    case 'Quiet':
    case 'Interrupted':
      return { type: 'rested', evidence }
    case 'StopFailure':
      return { type: 'turn_failed', evidence, error, ...(until ? { waiting: { kind: 'limit', message: error, until } } : {}) }
    case 'PermissionRequest': {
      const options = ['allow', 'deny'].map((choice) => ({ id: choice, label: choice }))
      const prompt: OpenPrompt = {
        id: mailbox ?? id,
        mailbox: mailbox ?? null,
        kind: 'permission',
        message: id,
        tool: id,
        options,
        openedAt: at,
      }
      return { type: 'asked', waiting: waitingFor(prompt), prompt, evidence }
    }
    case 'Answered': {
      const prompt = prompts.find(({ tool }) => tool === id)
      return prompt ? { type: 'settled', prompt: prompt.id, evidence } : null
    }
    default:
      return null
  }
}

// ---- what happened to it ---------------------------------------------------------------------------------------------

/** A line of what a scripted agent writes down. */
export interface Happening {
  /** It took a text. */
  readonly submitted?: string
  /** A key that its composer got; one that it ignored; what a dialog got. */
  readonly key?: string
  readonly swallowed?: number
  readonly dialog?: string
  readonly interrupted?: boolean
  /** It asked; `hook` is the process that waits, `said` what that printed at its end. `by`: who answered. */
  readonly prompt?: string
  readonly hook?: number
  readonly said?: string
  readonly code?: number | null
  readonly signal?: string | null
  readonly by?: string
}

export async function happenings(directory: string, name: string): Promise<Happening[]> {
  const text = await readFile(join(directory, `${name}.jsonl`), 'utf8').catch(() => '')
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Happening)
}
export const submittedTo = async (directory: string, name: string): Promise<string[]> =>
  (await happenings(directory, name)).flatMap(({ submitted }) => submitted ?? [])

// ---- talking to a server ---------------------------------------------------------------------------------------------

export interface Answer<T = Record<string, unknown>> {
  readonly status: number
  readonly headers: Headers
  readonly body: T & { readonly error?: { readonly code: string; readonly message: string; readonly data: Record<string, unknown> } }
}

/** The verbs as a client uses them, in process or over a socket. */
export interface Talk {
  readonly project: string
  call<T = Record<string, unknown>>(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer<T>>
  spawn(name: string, prompt: string, more?: object): Promise<Session>
  send(name: string, body: object, headers?: Record<string, string>): Promise<Answer<Receipt>>
  inputs(name: string): Promise<Receipt[]>
  prompts(name: string): Promise<Prompt[]>
  session(name: string): Promise<Session>
  reaches(name: string, ...statuses: Session['status'][]): Promise<Session>
  happenings(name: string): Promise<Happening[]>
  submitted(name: string): Promise<string[]>
  /** Lets a [work] go on to its end. */
  go(name: string): Promise<void>
}

function talk(project: string, request: (path: string, init: RequestInit) => Promise<Response>): Talk {
  const call: Talk['call'] = async (method, path, body, headers = {}) => {
    const response = await request(path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    return { status: response.status, headers: response.headers, body: (await response.json()) as never }
  }
  const get = async <T>(path: string): Promise<T> => {
    const { status, body } = await call<T>('GET', path)
    if (status !== 200) throw new Error(`GET ${path}: ${JSON.stringify(body)}`)
    return body
  }
  return {
    project,
    call,
    async spawn(name, prompt, more = {}) {
      const { status, body } = await call<Session>('POST', '/sessions/spawn', { name, prompt, agent: 'scripted', ...more })
      if (status !== 201) throw new Error(`spawn ${name}: ${JSON.stringify(body)}`)
      return body
    },
    send: (name, body, headers) => call<Receipt>('POST', `/sessions/${name}/input`, body, headers),
    inputs: (name) => get<Receipt[]>(`/sessions/${name}/inputs`),
    prompts: (name) => get<Prompt[]>(`/sessions/${name}/prompts`),
    session: (name) => get<Session>(`/sessions/${name}`),
    reaches: (name, ...statuses) =>
      until(
        async () => {
          const session = await get<Session>(`/sessions/${name}`)
          return statuses.includes(session.status) && session
        },
        { what: `session ${name} to be ${statuses.join(' or ')}` },
      ),
    happenings: (name) => happenings(project, name),
    submitted: (name) => submittedTo(project, name),
    go: (name) => writeFile(join(project, `${name}.go`), ''),
  }
}

export interface ScriptedApp extends TestApp, Talk {}

/** The app with scripted agents: `scripted`, `other`, and `erasing`, which can empty its composer; and `shell`. */
export async function scriptedApp(options: TestAppOptions = {}): Promise<ScriptedApp> {
  const app = await testApp({
    environment: { PATH: process.env['PATH'] ?? '' },
    ...options,
    agents: { scripted: scripted(), other: scripted(), erasing: scripted({ erases: true }), shell: shell(), ...options.agents },
  })
  return {
    ...talk(app.project, app.request),
    ...app,
    get runtime() {
      return app.runtime
    },
  }
}

/** A server in a process of its own, which can be killed; another one takes over. */
export interface Killable extends Talk {
  /** SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>
  /** Starts another one. */
  start(): Promise<void>
  close(): Promise<void>
}

export async function killable(config = ''): Promise<Killable> {
  const project = await realpath(await mkdtemp(join(tmpdir(), 'instar-killed-')))
  const self = fileURLToPath(import.meta.url)
  const agents = new URL('../../src/plugins/agents/shell.ts', import.meta.url).pathname
  await writeFile(
    join(project, 'instar.config.ts'),
    `import { scripted } from '${self}'\nimport { shell } from '${agents}'\n` +
      `export default { agents: { scripted: scripted(), shell: shell() }, limits: { graceMs: 300 }, ${config} }\n`,
  )
  const fixture = fileURLToPath(new URL('../backends/fixture-server.ts', import.meta.url))
  const launch = () =>
    execa('node', ['--import', 'tsx', fixture, project], { env: { PATH: process.env['PATH'] }, extendEnv: false, reject: false })
  let child: ReturnType<typeof launch> | null = null
  let url = ''
  let token = ''
  const request = (path: string, init: RequestInit) => {
    const headers = { ...(init.headers as Record<string, string>), authorization: `Bearer ${token}` }
    return fetch(url + path, { ...init, headers, signal: AbortSignal.timeout(30_000) })
  }
  const server: Killable = {
    ...talk(project, request),
    async kill() {
      child?.kill('SIGKILL')
      await child
    },
    async start() {
      const started = launch()
      child = started
      let said = ''
      started.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()))
      await until(() => said.endsWith('\n') || started.exitCode !== null, { timeout: 20_000, what: 'the server' })
      if (said === '') throw new Error(`the server did not start: ${(await started).stderr}`)
      url = said.trim()
      const file = await readFile(join(stateDirectory(project), 'config.json'), 'utf8')
      token = (JSON.parse(file) as { auth: { token: string } }).auth.token
    },
    async close() {
      await server.kill()
      await endServer(socketName(stateDirectory(project)))
      await rm(project, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
    },
  }
  try {
    await server.start()
    return server
  } catch (error) {
    await server.close()
    throw error
  }
}
