import * as v from 'valibot'
import type { Push } from '../../../runtime/executor.ts'
import type { Report, Sight } from '../../../runtime/types.ts'

/** What an executor may push. Its word is not taken for more than it is: it is another machine. */

const text = v.string()
const maybeText = v.nullable(text)
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const time = v.pipe(text, v.isoTimestamp())

const sight: v.GenericSchema<unknown, Sight> = v.variant('type', [
  v.object({ type: v.literal('launched'), at: time }),
  v.object({
    type: v.literal('signal'),
    signal: v.object({ event: text, payload: v.unknown(), at: time, mailbox: v.exactOptional(text) }),
  }),
  v.object({ type: v.literal('title'), title: text, at: time }),
  v.object({ type: v.literal('exited'), exit: v.object({ code: v.nullable(v.number()), signal: maybeText, reason: maybeText, at: time }) }),
])
const report: v.GenericSchema<unknown, Report> = v.object({ id: text, cursor: count, sights: v.array(sight) })
const health = v.variant('ok', [v.object({ ok: v.literal(true), detail: text }), v.object({ ok: v.literal(false), reason: text })])

export const pushSchema: v.GenericSchema<unknown, Push> = v.variant('type', [
  v.object({ type: v.literal('hello'), protocol: v.number(), version: text, connection: text }),
  v.object({
    type: v.literal('open'),
    directory: maybeText,
    project: maybeText,
    maxSessions: v.exactOptional(count),
    cannot: v.exactOptional(v.record(text, text)),
  }),
  v.object({ type: v.literal('report'), report }),
  v.object({ type: v.literal('tail'), tail: text, lines: v.array(text), cursor: count }),
  v.object({ type: v.literal('watch'), watch: text, text }),
  v.object({ type: v.literal('reach'), health }),
  v.object({ type: v.literal('ping') }),
  v.object({ type: v.literal('replaced') }),
])
