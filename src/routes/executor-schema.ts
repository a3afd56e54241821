import * as v from 'valibot'
import type { Command, Handle, Keystroke } from '../runtime/types.ts'
import { mebibyte } from './schema.ts'

/** What a control plane may ask an executor for; by the names of the verbs of the backend contract. */

/** A part of a path. */
export const uuid = v.pipe(v.string('must be a string'), v.regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'must be a UUID'))
const text = v.string('must be a string')
const count = v.pipe(v.number('must be a number'), v.safeInteger('must be a whole number'), v.minValue(0, 'must not be negative'))
const strings = v.record(v.string(), text, 'must be an object of strings')
const argv = v.custom<[string, ...string[]]>(
  (given) => Array.isArray(given) && given.length > 0 && given.every((each) => typeof each === 'string'),
  'must be an array of strings that is not empty',
)

const handle: v.GenericSchema<unknown, Handle> = v.record(v.string(), v.union([text, v.number()], 'must be a string or a number'))
const size = v.strictObject({ cols: count, rows: count })
const command: v.GenericSchema<unknown, Command> = v.strictObject({
  argv,
  env: strings,
  cwd: text,
  files: strings,
  size,
  titles: v.exactOptional(v.boolean()),
})
const keystroke: v.GenericSchema<unknown, Keystroke> = v.variant('type', [
  v.strictObject({ type: v.literal('paste'), text }),
  v.strictObject({ type: v.literal('visible'), text }),
  v.strictObject({ type: v.literal('pause'), ms: count }),
  v.strictObject({ type: v.literal('key'), key: text }),
])

export const connectBody = v.strictObject({
  silenceMs: v.pipe(count, v.minValue(100, 'must be at least 100'), v.maxValue(600_000, 'must be at most 600000')),
})
export const startBody = v.strictObject({ id: uuid, name: text, command })
export const followBody = v.strictObject({ id: uuid, handle, cursor: count })
export const captureBody = v.strictObject({ handle, lines: count, styles: v.optional(v.boolean(), false) })
export const sendBody = v.strictObject({ handle, keystrokes: v.array(keystroke) })
export const stopBody = v.strictObject({ handle, graceMs: count })
export const idBody = v.strictObject({ id: uuid })
export const answerBody = v.strictObject({ handle, mailbox: text, text })
export const tailBody = v.strictObject({ tail: uuid, path: text, cursor: count })
export const watchBody = v.strictObject({ watch: uuid, directory: text })
export const tailOnly = v.strictObject({ tail: uuid })
export const watchOnly = v.strictObject({ watch: uuid })
export const acknowledgeBody = v.strictObject({ stored: v.array(count), failed: v.array(count) })
export const runBody = v.strictObject({
  argv,
  cwd: v.exactOptional(text),
  env: v.exactOptional(strings),
  timeoutMs: v.exactOptional(count),
  /** What it reads follows, after the end of the line. */
  input: v.boolean('must be true or false'),
})
export const readBody = v.strictObject({
  directory: text,
  names: v.array(text),
  maxBytes: count,
  outside: v.boolean('must be true or false'),
})
export const findBody = v.strictObject({ programs: v.array(text), path: text })
export const emptyBody = v.strictObject({})

/** A spawn may be 16 MiB, and JSON and the files of hooks add to that. */
export const maxVerbBody = 64 * mebibyte
/** What a program may be given to read, such as a project as an archive. */
export const maxInput = 512 * mebibyte
