import * as v from 'valibot'
import type { Reply } from '../runtime/agent.ts'
import type { Input } from '../runtime/inbox.ts'
import { InstarError } from '../runtime/error.ts'
import type { Finish } from '../runtime/hook.ts'
import { statuses, type HookOptions, type ResumeRequest, type SpawnRequest, type Status } from '../runtime/types.ts'

/** The words a client may use. Unknown fields are refused, so that a misspelt one is not silently without effect. */

export const mebibyte = 1024 * 1024
const maxPromptBytes = mebibyte
const maxLines = 5000
const maxEntries = 200

const bytes = (text: string): number => new TextEncoder().encode(text).length
const noNul = v.check<string, string>((text) => !text.includes('\0'), 'must not hold a NUL character')

/** The kernel gives a program at most 128 KiB in one word, and about 2 MiB in all. */
const maxWordBytes = 100_000
const maxWordsBytes = mebibyte
const word = () =>
  v.pipe(
    v.string('must be a string'),
    v.check((text) => bytes(text) <= maxWordBytes, `must have at most ${maxWordBytes} bytes`),
    noNul,
  )
const inAll = (words: readonly string[]): boolean => words.reduce((sum, each) => sum + bytes(each), 0) <= maxWordsBytes

const shortText = v.pipe(v.string('must be a string'), v.maxLength(1000, 'must have at most 1000 characters'), noNul)

const name = v.pipe(
  v.string('must be a string'),
  v.regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be 1 to 63 lower-case letters, digits and hyphens, and begin with a letter or digit'),
  // GET /sessions/tmux is another route.
  v.notValue('tmux', 'must not be "tmux", which is the name of a route'),
)

/** Names that a plain object cannot hold safely; valibot's `record` would drop them without a word. */
const reserved = ['__proto__', 'constructor', 'prototype']

const entries = <T extends v.GenericSchema<string>>(key: T) =>
  v.pipe(
    v.custom<Record<string, unknown>>(
      (given) => typeof given === 'object' && given !== null && !Array.isArray(given),
      'must be an object of strings',
    ),
    v.check((given) => !Object.keys(given).some((name) => reserved.includes(name)), `must not name ${reserved.join(', ')}`),
    v.check((given) => Object.keys(given).length <= maxEntries, `must have at most ${maxEntries} entries`),
    v.record(key, word()),
    v.check((given) => inAll(Object.values(given)), 'must have at most 1 MiB in all'),
  )

const between = (min: number, max: number) =>
  v.pipe(
    v.number('must be a number'),
    v.integer('must be a whole number'),
    v.minValue(min, `must be at least ${min}`),
    v.maxValue(max, `must be at most ${max}`),
  )

const prompt = v.pipe(
  v.string('must be a string'),
  v.minLength(1, 'must not be empty'),
  v.check((text) => text.length <= maxPromptBytes && bytes(text) <= maxPromptBytes, 'must have at most 1 MiB'),
  noNul,
)

const spawnEntries = {
  name,
  prompt,
  model: v.optional(v.pipe(shortText, v.regex(/^[A-Za-z0-9]/, 'must begin with a letter or digit'))),
  jobSlug: v.optional(shortText),
  agent: v.optional(shortText),
  backend: v.optional(shortText),
  cwd: v.optional(v.pipe(shortText, v.startsWith('/', 'must be an absolute path'))),
  env: v.optional(entries(v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable')))),
  args: v.optional(
    v.pipe(
      v.array(word(), 'must be an array of strings'),
      v.maxLength(maxEntries, `must have at most ${maxEntries} entries`),
      v.check((given) => inAll(given), 'must have at most 1 MiB in all'),
    ),
  ),
  labels: v.optional(entries(v.pipe(v.string(), v.minLength(1, 'must not be empty')))),
  parent: v.optional(shortText),
  hooks: v.optional(
    v.pipe(
      v.custom<HookOptions>((given) => typeof given === 'object' && given !== null && !Array.isArray(given), 'must be an object'),
      v.check((given) => Object.keys(given).length <= maxEntries, `must have at most ${maxEntries} entries`),
    ),
  ),
  limits: v.optional(
    v.strictObject(
      { depth: v.optional(between(0, 100)), children: v.optional(between(0, 10_000)) },
      'must be an object with depth and children',
    ),
  ),
  size: v.optional(v.strictObject({ cols: between(20, 1000), rows: between(5, 500) }, 'must be an object with cols and rows')),
}

export const spawnSchema: v.GenericSchema<unknown, SpawnRequest> = v.strictObject({ ...spawnEntries, resume: v.optional(shortText) })

/** Everything as it was in the run that is resumed, but for what is given. */
export const resumeSchema: v.GenericSchema<unknown, ResumeRequest> = v.strictObject({
  ...spawnEntries,
  name: v.optional(name),
  prompt: v.optional(prompt),
})

/** A key by tmux's name, with modifiers: `Escape`, `C-c`, `M-Left`, `a`. */
const key = v.pipe(
  v.string('must be a string'),
  v.regex(/^(?:[CMS]-){0,3}(?:[!-~]|[A-Z][A-Za-z0-9]{1,9})$/, 'must be the name of a key, such as Escape, C-c, Up or a'),
)

const flag = v.boolean('must be true or false')

export const inputSchema: v.GenericSchema<unknown, Input> = v.pipe(
  v.strictObject({
    text: v.optional(v.pipe(v.string('must be a string'), v.minLength(1, 'must not be empty'), noNul)),
    keys: v.optional(
      v.pipe(v.array(key, 'must be an array of keys'), v.minLength(1, 'must not be empty'), v.maxLength(100, 'must have at most 100 keys')),
    ),
    submit: v.optional(flag),
    mode: v.optional(v.picklist(['steer', 'queue'], 'must be steer or queue')),
  }),
  v.forward(
    v.check(({ text, keys }) => (text === undefined) !== (keys === undefined), 'is missing; it or keys must be given, not both'),
    ['text'],
  ),
  v.forward(
    v.check(({ keys, submit }) => keys === undefined || submit === undefined, 'is for a text; keys press Enter themselves'),
    ['submit'],
  ),
  v.forward(
    v.check(({ keys, submit, mode }) => mode === undefined || (keys === undefined && submit !== false), 'is for a text that is submitted'),
    ['mode'],
  ),
  v.transform(({ text, keys, submit, mode }): Input => (keys ? { keys } : { text: text!, submit, mode })),
)

const choice = v.pipe(v.string('must be the id of an option'), v.minLength(1, 'must not be empty'), v.maxLength(1000, 'is too long'))

export const replySchema: v.GenericSchema<unknown, Reply> = v.strictObject({
  choice: v.union([choice, v.pipe(v.array(choice), v.minLength(1), v.maxLength(20))], 'must be the id of an option, or an array of them'),
  message: v.optional(v.pipe(v.string('must be a string'), v.maxLength(10_000, 'must have at most 10000 characters'), noNul)),
})

const idempotencyKey = v.pipe(v.string(), v.regex(/^[!-~]{1,200}$/, 'must be 1 to 200 visible ASCII characters'))
export const headerSchema = v.strictObject({ 'Idempotency-Key': v.optional(idempotencyKey) })

const statusList = v.pipe(
  v.string('must be given once'),
  v.transform((text) => text.split(',')),
  v.array(v.picklist(statuses, `must be one of ${statuses.join(', ')}, or several with commas`)),
)

const seconds = v.pipe(
  v.string('must be given once'),
  v.regex(/^\d{1,6}(?:\.\d{1,3})?$/, 'must be a number of seconds from 0 to 3600'),
  v.transform(Number),
  v.maxValue(3600, 'must be at most 3600'),
)

/** Everything but that it works: what a client waits for that does not say. */
const settled: Status[] = statuses.filter((status) => status !== 'starting' && status !== 'running')

export const waitQuery = v.strictObject({ for: v.optional(statusList, settled.join()), timeout: v.optional(seconds, '30') })
export const alsoWaitQuery = v.strictObject({ wait: v.optional(statusList), timeout: v.optional(seconds, '30') })

export const listQuery = v.strictObject({
  status: v.optional(statusList),
}) satisfies v.GenericSchema<unknown, { status?: Status[] | undefined }>

export const outputQuery = v.strictObject({
  lines: v.optional(
    v.pipe(v.string(), v.regex(/^\d{1,6}$/, `must be a whole number from 1 to ${maxLines}`), v.transform(Number), between(1, maxLines)),
    '100',
  ),
})

const flagText = v.pipe(
  v.picklist(['true', 'false'], 'must be true or false'),
  v.transform((text) => text === 'true'),
)
export const endQuery = v.strictObject({ purge: v.optional(flagText, 'false') })

export const statusQuery = v.strictObject({ explain: v.optional(v.picklist(['0', '1', 'true', 'false'], 'must be 1 or 0'), '0') })

/** Without one the `Accept` header decides. */
export const diffQuery = v.strictObject({ format: v.optional(v.picklist(['json', 'patch'], 'must be json or patch')) })

export const finishSchema = v.strictObject({ how: v.picklist(['merge', 'keep'], 'must be merge or keep') }) satisfies v.GenericSchema<
  unknown,
  { how: Finish }
>

export const noQuery = v.strictObject({})

/** A name is shown to be recognised; one that is longer is a mistake of another kind. */
const maxFieldLength = 100

/** The parameters of a query. One that is given twice stays a list, which no schema takes. */
export const queryOf = (url: string): Record<string, string | string[]> => {
  const { searchParams } = new URL(url)
  return Object.fromEntries(
    [...new Set(searchParams.keys())].map((name) => {
      const values = searchParams.getAll(name)
      return [name, values.length === 1 ? values[0]! : values]
    }),
  )
}

/** Whether an `Accept` header names a type, and does not name another one before it. */
export function prefers(type: string, other: string, accept = ''): boolean {
  const types = accept.split(',').map((part) => part.split(';')[0]!.trim())
  const [wanted, instead] = [types.indexOf(type), types.indexOf(other)]
  return wanted >= 0 && (instead < 0 || wanted < instead)
}

/** The value that a schema makes of what a client sent; `invalid_request` names the first field that is wrong, and what is wrong with it. */
export function parse<T extends v.GenericSchema>(schema: T, given: unknown, what: 'body' | 'query' | 'header'): v.InferOutput<T> {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new InstarError('invalid_request', `Cannot read the ${what}: it must be a JSON object`, { field: what })
  }
  const result = v.safeParse(schema, given)
  if (result.success) return result.output
  // A misspelt field first: that another one is missing follows from it.
  const issue = result.issues.find(({ type, expected }) => type === 'strict_object' && expected === 'never') ?? result.issues[0]
  const field = (v.getDotPath(issue) ?? what).slice(0, maxFieldLength)
  const isUnknown = issue.type === 'strict_object' && issue.expected === 'never'
  const problem = isUnknown ? 'is not known' : issue.type === 'strict_object' ? 'is missing' : issue.message
  // Of a field that is not known its own name is what was found.
  throw new InstarError('invalid_request', `Cannot read the ${what}: ${field} ${problem}`, {
    field,
    ...(isUnknown ? {} : found(issue.input)),
  })
}

/** What was found, in a form that is short and cannot be a secret: a number or the type. */
function found(input: unknown): Record<string, unknown> {
  if (typeof input === 'number') return { found: input }
  if (typeof input === 'string') return { found: `a string of ${input.length} characters` }
  if (input === undefined || input === null) return { found: String(input) }
  return { found: Array.isArray(input) ? 'an array' : `a value of type ${typeof input}` }
}
