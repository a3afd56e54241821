import { join } from 'node:path'
import * as v from 'valibot'
import { boxed, submitted, withoutSuggestion, isSame } from '../../src/plugins/agents/text.ts'
import type { Agent } from '../../src/runtime/agent.ts'
import { waitingFor } from '../../src/runtime/session.ts'
import type { Event, OpenPrompt, SessionRecord, Signal } from '../../src/runtime/types.ts'

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
