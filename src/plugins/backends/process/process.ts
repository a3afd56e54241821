import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Backend, Sighting, Tail } from '../../../runtime/backend.ts'
import type { BackendFactory, BackendState } from '../../../runtime/config.ts'
import { InstarError } from '../../../runtime/error.ts'
import type { Exit, Keystroke, Report, Sight } from '../../../runtime/types.ts'
import { deferred, type Deferred } from '../../../runtime/deferred.ts'
import { findIn } from '../find.ts'
import { here } from '../here/here.ts'
import { lastLines, trimEnd } from '../screen.ts'
import { tailOf } from '../tail.ts'
import { maxWords, sessionDirectory, type Entry, type SessionDirectory } from '../directory.ts'
import { afterHangUp, endAll, onRequest } from '../processes.ts'
import { isVisible, visibleTimeoutMs } from '../typeable.ts'
import { isKey, run, type Ended, type Program } from './program.ts'

export interface ProcessOptions {
  /** See `Backend.maxSessions`. */
  readonly maxSessions?: number
}

interface Running {
  readonly id: string
  readonly name: string
  readonly directory: SessionDirectory
  cursor: number
  follower: Tail | null
  program: Program | null
  /** Resolves when something was reported. */
  readonly begun: Deferred
  /** Resolves after its end was reported. */
  readonly over: Deferred
}

/** How long programs have to end with the server. */
const closeGraceMs = 2000
/** A device can hold a process that was killed. */
const endTimeoutMs = 5000
const lookAgainMs = 15

const cannot = {
  terminal: 'its sessions are plain processes, with a pipe for their input and a file for their output',
  titles: 'its sessions have no terminal',
  styles: 'its sessions have no terminal',
  survive: 'its sessions are children of the server, and end with it',
} satisfies Backend['cannot']

/**
 * Sessions as child processes of the server, for tests and machines without tmux. They have no terminal, and end with the
 * server; those of one that is killed are ended by the next. What they have said and printed stays.
 */
export const process =
  (options: ProcessOptions = {}): BackendFactory =>
  (state) =>
    createProcesses(state, options)

function createProcesses(state: BackendState, { maxSessions }: ProcessOptions): Backend {
  const place = here(state)
  const { files, processes } = place
  const directoryOf = (id: string) => sessionDirectory(place, id, null)
  const running = new Map<string, Running>()
  let isClosing = false
  let tell: (report: Report) => Promise<void> = async () => {}

  /** What is not stored is told again after a restart, from the cursor that was. Resolves to whether it is. */
  async function report({ id, cursor }: Pick<Running, 'id' | 'cursor'>, sights: readonly Sight[]): Promise<boolean> {
    if (isClosing || sights.length === 0) return false
    return tell({ id, cursor, sights }).then(
      () => true,
      () => false,
    )
  }

  // ---- the end -------------------------------------------------------------------------------------------------------

  const fileOf = (id: string, name: string) => `sessions/${id}/${name}`

  /** Once its end is safe nothing is left to be told of a session. */
  async function reportEnd(session: Pick<Running, 'id' | 'cursor'>, exit: Exit): Promise<void> {
    if (await report(session, [{ type: 'exited', exit }])) await close(session.id)
  }
  const close = (id: string) => files.replace(fileOf(id, 'closed'), '').catch(() => {}) // It may have been removed meanwhile.

  async function finish(session: Running, { code, signal, at }: Ended): Promise<void> {
    const { id, program } = session
    await session.follower?.catchUp()
    session.follower?.close()
    const words = (await files.read(fileOf(id, 'launcher.err')))?.text.trim().split('\n').at(-1)?.slice(0, maxWords) ?? ''
    const reason = isClosing ? `its server stopped, and ${cannot.survive}` : words === '' ? null : `could not start: ${words}`
    const exit: Exit = { code, signal, reason, at }
    // A full disk loses the record of the end; it must not keep the end from being told.
    await files.replace(fileOf(id, 'exit.json'), JSON.stringify(exit)).catch(() => {})
    running.delete(id)
    void reportEnd(session, exit)
    session.begun.resolve()
    session.over.resolve()
    // What a program that was killed had started does not hear of it.
    if (code === null && program) await endAll(processes, id, program.pid, afterHangUp)
  }

  /** A session of an earlier server whose end nobody knows to be safe. */
  async function left(id: string): Promise<Sighting | null> {
    const [known, closedAt] = await Promise.all([files.read(fileOf(id, 'session.json')), files.writtenAt(fileOf(id, 'closed'))])
    return known && closedAt === null ? sightingOf({ id, ...(JSON.parse(known.text) as { name: string }) }) : null
  }

  /** How a session of an earlier server ended: with that, unless it had ended before. */
  async function recorded(id: string): Promise<Exit> {
    const record = await files.read(fileOf(id, 'exit.json'))
    if (record) return JSON.parse(record.text) as Exit
    return { code: null, signal: null, reason: `its server is gone, and ${cannot.survive}`, at: new Date().toISOString() }
  }

  // ---- what it says and is told --------------------------------------------------------------------------------------

  function hear(session: Pick<Running, 'id' | 'cursor'>, entries: readonly Entry[]): void {
    session.cursor = entries.at(-1)?.cursor ?? session.cursor
    void report(session, entries.flatMap(sightOf))
  }

  const screen = async (id: string) => trimEnd((await directoryOf(id).screen()).split('\n'))

  async function type(id: string, program: Program, stroke: Keystroke): Promise<void> {
    if (stroke.type === 'pause') await timeout(stroke.ms)
    else if (stroke.type !== 'visible') await program.type(stroke)
    else
      for (const began = Date.now(); Date.now() - began < visibleTimeoutMs && !isVisible((await screen(id)).join(''), stroke.text);)
        await timeout(lookAgainMs)
  }

  return {
    ...(maxSessions === undefined ? {} : { maxSessions }),
    cannot,
    isHere: true,
    check: async () => ({ ok: true, detail: 'plain processes on this machine' }),
    directory: (id) => directoryOf(id).path(),
    attach: () => null,
    watch: (directory, tell) => files.watch(directory, tell),
    tail: tailOf(files),
    run: (argv, options) => place.run(argv, options),
    read: (directory, names, options) => files.texts(directory, names, options),
    find: findIn(place),

    async open(report) {
      tell = report
      await place.open({ files: {} })
    },

    async start(id, name, command, ready) {
      if ([...running.values()].some((other) => other.name === name))
        throw new InstarError('name_in_use', `Cannot start session "${name}": a process of that name runs`)
      const directory = directoryOf(id)
      const session: Running = { id, name, directory, cursor: 0, follower: null, program: null, begun: deferred(), over: deferred() }
      running.set(id, session)
      try {
        await Promise.all([
          directory.create(name, { ...command, files: { ...command.files, 'session.json': JSON.stringify({ name }) } }),
          ready,
        ])
        session.follower = await directory.follow(0, (entries) => {
          hear(session, entries)
          session.begun.resolve()
        })
        session.program = await run(directory.path(), name)
      } catch (error) {
        running.delete(id)
        session.follower?.close()
        await directory.remove()
        throw error
      }
      void session.program.ended.then((ended) => finish(session, ended))
      await session.begun.promise
      return sightingOf(session).handle
    },

    async follow({ id }, cursor) {
      if (running.has(id)) return
      const session = { id, cursor }
      const follower = await directoryOf(id).follow(cursor, (entries) => hear(session, entries))
      follower.close()
      await endAll(processes, id, null, afterHangUp)
      void reportEnd(session, await recorded(id))
    },

    async list() {
      const ids = await readdir(join(state.directory, 'sessions'))
      const sightings = await Promise.all(ids.map(async (id) => (running.has(id) ? null : left(id))))
      return [...[...running.values()].map(sightingOf), ...sightings.filter((each) => each !== null)]
    },

    capture: async (handle, lines) => lastLines(await screen(String(handle['id'])), lines),

    async send(handle, keystrokes) {
      const { id, name } = handle as { id: string; name: string }
      const program = running.get(id)?.program
      if (!program) throw new InstarError('session_ended', `Cannot send to session "${name}": its program has ended`)
      refuseKeys(keystrokes, name)
      for (const stroke of keystrokes) await type(id, program, stroke)
    },

    answer: (handle, mailbox, text) => directoryOf(String(handle['id'])).answer(mailbox, text),

    async stop(handle, graceMs) {
      const id = String(handle['id'])
      const session = running.get(id)
      await session?.begun.promise
      await endAll(processes, id, session?.program?.pid ?? null, onRequest(graceMs))
      if (!session) return close(id)
      await Promise.race([session.over.promise, timeout(endTimeoutMs)])
    },

    remove: (id) => directoryOf(id).remove(),

    async close() {
      isClosing = true
      await Promise.all(
        [...running.values()].map(async ({ id, program, over }) => {
          await endAll(processes, id, program?.pid ?? null, onRequest(closeGraceMs))
          await Promise.race([over.promise, timeout(endTimeoutMs)])
        }),
      )
      await place.close()
    },
  }
}

const sightingOf = ({ id, name }: { readonly id: string; readonly name: string }): Sighting => ({ id, handle: { id, name } })

function sightOf(entry: Entry): Sight[] {
  if (entry.type === 'started') return [{ type: 'launched', at: entry.at }]
  return entry.type === 'signal' ? [{ type: 'signal', signal: entry.signal }] : []
}

/** Before anything is typed. */
function refuseKeys(keystrokes: readonly Keystroke[], name: string): void {
  const key = keystrokes.flatMap((stroke) => (stroke.type === 'key' && !isKey(stroke.key) ? [stroke.key] : []))[0]
  if (key === undefined) return
  throw new InstarError(
    'invalid_request',
    `Cannot press ${key} in session "${name}": it has no terminal; Enter, Tab, Space, C-c, C-\\, C-d and characters can be pressed`,
    { field: 'keys' },
  )
}

const timeout = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref())
