import * as v from 'valibot'
import type { Backend } from '../runtime/backend.ts'
import { bytesBody } from '../runtime/body.ts'
import { InstarError } from '../runtime/error.ts'
import type { Sighting } from '../runtime/backend.ts'
import type { Handle } from '../runtime/types.ts'
import { jsonBody, jsonIn } from './body.ts'
import type { Connection } from './connections.ts'
import * as schema from './executor-schema.ts'
import { parse } from './schema.ts'

/** What is to be done on a connection, once its backend is open. */
export type Ask = (on: Connection, backend: Backend) => unknown

export interface Verb {
  /** Reads what is asked for, and refuses what makes no sense. */
  read(request: Request): Promise<Ask>
}

/** A verb whose body is JSON. */
const json = <T extends v.GenericSchema>(
  body: T,
  ask: (given: v.InferOutput<T>, on: Connection, backend: Backend, signal: AbortSignal) => unknown,
): Verb => ({
  async read(request) {
    const given = parse(body, await jsonBody(request, schema.maxVerbBody), 'body')
    return (on, backend) => ask(given, on, backend, request.signal)
  },
})

/** The verbs of the backend contract, by the last part of their path. */
export const verbs: Readonly<Record<string, Verb>> = {
  check: json(schema.emptyBody, (_, __, backend) => backend.check()),
  start: json(schema.startBody, ({ id, name, command }, on, backend) => {
    const known = on.starting.get(id)
    const start = known ?? backend.start(id, name, command).then((handle) => shown(backend, handle))
    if (!known) on.starting.set(id, start)
    return start
  }),
  follow: json(schema.followBody, ({ id, handle, cursor }, _, backend) => backend.follow({ id, handle }, cursor)),
  list: json(schema.emptyBody, async (_, __, backend) =>
    (await backend.list()).map(({ id, handle }): Sighting => ({ id, handle: shown(backend, handle) })),
  ),
  capture: json(schema.captureBody, ({ handle, lines, styles }, _, backend) => backend.capture(handle, lines, { styles })),
  send: json(schema.sendBody, ({ handle, keystrokes }, _, backend) => backend.send(handle, keystrokes)),
  stop: json(schema.stopBody, ({ handle, graceMs }, _, backend) => backend.stop(handle, graceMs)),
  remove: json(schema.idBody, ({ id }, on, backend) => {
    on.starting.delete(id)
    return backend.remove(id)
  }),
  abandon: json(schema.idBody, ({ id }, on, backend) => abandon(id, on, backend)),
  answer: json(schema.answerBody, ({ handle, mailbox, text }, _, backend) => backend.answer?.(handle, mailbox, text) ?? false),
  terminals: json(schema.emptyBody, (_, __, backend) => backend.terminals?.() ?? []),
  tail: json(schema.tailBody, async ({ tail, path, cursor }, on, backend) => {
    if (!backend.tail) throw cannot('read on in a file')
    const opened = await backend
      // Our backends read no further before what they have told has gone.
      .tail(path, cursor, async (lines, at) => on.pushLater({ type: 'tail', tail, lines, cursor: at }))
      .catch((error: unknown) => {
        throw unreadable('a file', error)
      })
    on.follow(tail, opened)
  }),
  'catch-up': json(schema.tailOnly, ({ tail }, on) => on.followed(tail)?.catchUp?.()),
  'close-tail': json(schema.tailOnly, ({ tail }, on) => on.unfollow(tail)),
  watch: json(schema.watchBody, async ({ watch, directory }, on, backend) => {
    if (!backend.watch) throw cannot('watch a directory')
    const stop = await backend
      .watch(directory, (text) => on.push({ type: 'watch', watch, text }))
      .catch((error: unknown) => {
        throw unreadable('a directory', error)
      })
    on.follow(watch, { close: stop })
  }),
  'close-watch': json(schema.watchOnly, ({ watch }, on) => on.unfollow(watch)),
  environment: json(schema.emptyBody, (_, on, backend) => backend.environment?.() ?? on.environment),
  read: json(schema.readBody, ({ directory, names, ...options }, _, backend) => backend.read?.(directory, names, options) ?? null),
  // Nothing is known of what the executor's backend cannot look for.
  find: json(schema.findBody, ({ programs, path }, _, backend) => backend.find?.(programs, path) ?? []),
  run: {
    async read(request) {
      // The options as one line, and after it what the program is to read.
      const bytes = await bytesBody(request, schema.maxInput)
      const end = bytes.indexOf(10)
      const { argv, input, ...options } = parse(schema.runBody, jsonIn(end < 0 ? bytes : bytes.subarray(0, end)), 'body')
      return (_, backend) => {
        if (!backend.run) throw cannot('run a program')
        return backend.run(argv, { ...options, ...(input && end >= 0 ? { input: bytes.subarray(end + 1) } : {}), signal: request.signal })
      }
    },
  },
  acknowledge: json(schema.acknowledgeBody, ({ stored, failed }, on) => on.acknowledge(stored, failed)),
}

/** What an executor's control plane keeps of a session, with what a person types to sit down at it. */
function shown(backend: Backend, handle: Handle): Handle {
  const attachWith = backend.attach(handle)
  return attachWith === null ? handle : { ...handle, attachWith }
}

/** Ends what was started for a control plane that has given it up. */
async function abandon(id: string, on: Connection, backend: Backend): Promise<void> {
  await on.starting.get(id)?.catch(() => {})
  const sighting = (await backend.list()).find((each) => each.id === id)
  if (sighting) await backend.stop(sighting.handle, 0)
  await backend.remove(id)
}

const cannot = (what: string): InstarError => new InstarError('backend_failed', `Cannot ${what}: the executor's backend has no way to`)

const unreadable = (what: string, cause: unknown): InstarError =>
  cause instanceof InstarError
    ? cause
    : new InstarError('backend_failed', `Cannot follow ${what} of the executor: it is not there, or cannot be read`, {}, cause)
