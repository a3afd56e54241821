/**
 * Runs in opencode, and tells what happens there by the hook.sh beside it: one thing after another, and only what
 * changes. A permission is told a moment late, because a person can switch to `--auto`, where opencode answers it itself.
 * That a message was taken is told with the turn that it begins, because other plugins may add messages that begin none;
 * and before the model is asked. Of a model that it does not know opencode makes another, which nobody wanted: refused.
 */
export const plugin = `\
import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'

const directory = import.meta.dirname
const transcript = directory + '/transcript.jsonl'
const active = new Map()
const errors = new Map()
const taken = new Map()
const asked = new Map()
const roots = new Map()
const written = new Set()
let client
let given
let model
let refused
let resting
let last = Promise.resolve()

const next = (task) => void (last = last.then(task).catch(() => {}))
const get = async (url) => (await client._client.get({ url })).data
const post = (url, body) => client._client.post({ url, body, headers: { 'content-type': 'application/json' } })

function hook(event, payload, ...how) {
  const child = spawn('sh', [directory + '/hook.sh', event, ...how], { cwd: directory, stdio: ['pipe', 'pipe', 'ignore'] })
  let text = ''
  child.stdout.on('data', (data) => (text += data))
  child.over = new Promise((resolve) => child.on('close', () => resolve(text)).on('error', () => resolve('')))
  child.stdin.on('error', () => {}).end(JSON.stringify(payload))
  return child
}
const tell = (event, payload) => next(() => hook(event, payload).over)

// Nothing is carried out that a guard forbids.
async function guarded(payload) {
  for (const name of given.guards) {
    const child = spawn('sh', [directory + '/' + name], { cwd: payload.cwd, stdio: ['pipe', 'ignore', 'pipe'] })
    let why = ''
    child.stderr.on('data', (data) => (why += data))
    const code = new Promise((resolve) => child.on('close', resolve).on('error', () => resolve(null)))
    child.stdin.on('error', () => {}).end(JSON.stringify(payload))
    if ((await code) === 2) throw new Error(why.trim())
  }
}

async function isRoot(id) {
  if (!roots.has(id)) roots.set(id, !(await get('/session/' + id))?.parentID)
  return roots.get(id)
}

const textOf = (parts) => parts.flatMap((part) => (part.type === 'text' && !part.synthetic && !part.ignored ? [part.text] : [])).join('\\n')

async function write({ info: { id, sessionID, role, time, tokens, cost, summary }, parts }) {
  if (written.has(id)) return
  written.add(id)
  const shown = (await isRoot(sessionID)) && summary !== true ? parts : []
  const calls = shown.filter(({ type }) => type === 'tool')
  const tools = calls.map(({ callID, tool, state }) => ({ id: callID, name: tool, input: state.input }))
  const results = calls.map(({ callID, state }) => ({ id: callID, role: 'tool', at: state.time?.end ?? Date.now(), text: state.output ?? state.error }))
  const lines = [{ id, role, at: time.created, text: textOf(shown), tools, tokens, cost }, ...results]
  appendFileSync(transcript, lines.map((line) => JSON.stringify(line) + '\\n').join(''), { mode: 0o600 })
}

async function resume(id) {
  const messages = (await get('/session/' + id + '/message')) ?? []
  for (const message of messages) await write(message)
  await hook('session.resumed', { sessionID: id, transcript }).over
  if (!existsSync(directory + '/prompt.md')) return
  const parts = [{ type: 'text', text: readFileSync(directory + '/prompt.md', 'utf8') }]
  // Without one it would go on as the default agent, which may do more.
  const agent = messages.findLast(({ info }) => info.role === 'user')?.info.agent
  const [providerID, ...modelID] = given.model?.split('/') ?? []
  const model = providerID && { providerID, modelID: modelID.join('/') }
  await post('/session/' + id + '/prompt_async', { parts, ...(agent ? { agent } : {}), ...(model ? { model } : {}) })
}

const take = (sessionID, text) => next(async () => {
  if (await isRoot(sessionID)) await hook('chat.message', { sessionID, transcript, text }).over
})

function begin(sessionID) {
  const before = active.get(sessionID)
  clearTimeout(resting?.timer)
  resting = null
  active.set(sessionID, 'busy')
  errors.delete(sessionID)
  for (const [id, entry] of asked) if (entry.sessionID === sessionID && entry.rejected) settle(entry.rejected, id)
  if (taken.has(sessionID)) take(sessionID, taken.get(sessionID))
  taken.delete(sessionID)
  if (before === 'retry' || (!before && active.size === 1)) tell('session.busy', { sessionID })
}

function end(sessionID) {
  if (!active.delete(sessionID)) return
  const error = errors.get(sessionID)
  errors.delete(sessionID)
  for (const [id, entry] of asked) if (entry.sessionID === sessionID) settle(active.size > 0 && 'prompt.dropped', id)
  if (active.size === 0) rest({ sessionID, error }, 20)
}

// Also at its end it is idle first, and then disposed of; that alone would be true of settings that it reads again.
function rest(payload, heldMs) {
  clearTimeout(resting?.timer)
  const timer = setTimeout(() => {
    resting = null
    tell('session.idle', payload)
  }, heldMs)
  resting = { payload, timer }
}

function ask(kind, heldMs, { id, sessionID, ...about }) {
  const entry = { sessionID, timer: setTimeout(() => next(open), heldMs) }
  const answer = async (text) => {
    const { verb, body } = JSON.parse(text)
    await post('/' + kind + '/' + id + '/' + verb, body)
  }
  const open = () => {
    if (!asked.has(id) || entry.rejected) return
    entry.child = hook(kind + '.asked', { id, sessionID, ...about }, 'wait')
    entry.child.over.then((text) => text && answer(text)).catch(() => {})
  }
  asked.set(id, entry)
}

// Most often the turn is over then: that is told, or else that it goes on.
function reject(event, id) {
  const entry = asked.get(id)
  if (entry) entry.rejected = event
}

function settle(event, id) {
  const entry = asked.get(id)
  if (!entry) return
  asked.delete(id)
  clearTimeout(entry.timer)
  next(async () => {
    if (!entry.child) return
    entry.child.kill()
    await entry.child.over
    if (event) await hook(event, { id }).over
  })
}

const handlers = {
  'session.status': ({ sessionID, status }) => {
    if (status.type === 'busy') begin(sessionID)
    else if (status.type === 'idle') end(sessionID)
    else {
      active.set(sessionID, 'retry')
      tell('session.retry', status)
    }
  },
  'session.error': ({ sessionID, error }) => {
    const told = { name: error?.name, message: (error?.data?.message ?? error?.message)?.split('\\n    at ')[0] }
    if (active.has(sessionID)) errors.set(sessionID, told)
    else if (sessionID && active.size === 0) tell('session.error', { sessionID, error: told })
  },
  'message.updated': ({ info: { id, sessionID, role, time } }) => {
    if (role !== 'assistant' || !time.completed || written.has(id)) return
    next(async () => write(await get('/session/' + sessionID + '/message/' + id)))
  },
  'permission.asked': (request) => ask('permission', given.auto ? 2000 : 200, request),
  'permission.replied': ({ requestID, reply }) => (reply === 'reject' ? reject : settle)('permission.replied', requestID),
  'question.asked': (request) => ask('question', 0, request),
  'question.replied': ({ requestID }) => settle('question.replied', requestID),
  'question.rejected': ({ requestID }) => reject('question.rejected', requestID),
}

export const instar = async (input, options) => {
  client = input.client
  if (!given) {
    given = options
    model = given.model
    if (given.resume) next(() => resume(given.resume))
  }
  const tool = (event) => async ({ tool, sessionID }) => active.has(sessionID) && tell(event, { tool, sessionID })
  return {
    dispose: async () => resting && rest(resting.payload, 3000),
    event: async ({ event }) => handlers[event.type]?.(event.properties),
    'chat.params': () => Promise.race([last, new Promise((resolve) => setTimeout(resolve, 1000))]),
    'tool.execute.before': async (called, { args }) => {
      await tool('tool.execute.before')(called)
      await guarded({ tool: called.tool, args, cwd: input.directory })
    },
    'tool.execute.after': tool('tool.execute.after'),
    'chat.message': async ({ sessionID }, { message, parts }) => {
      const used = message.model.providerID + '/' + message.model.modelID
      if (model && model !== used) refused = used
      if (used === refused) {
        const error = 'opencode does not know the model ' + given.model + ', and would have asked ' + used
        tell('session.error', { sessionID, error: { message: error } })
        throw new Error(error)
      }
      model = null
      next(() => write({ info: message, parts }))
      if (active.has(sessionID)) take(sessionID, textOf(parts))
      else taken.set(sessionID, textOf(parts))
    },
  }
}
`
