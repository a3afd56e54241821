import { InstarError } from '../../../runtime/error.ts'
import type { Backend, Health } from '../../../runtime/backend.ts'
import type { BackendState } from '../../../runtime/config.ts'
import type { Command, Report } from '../../../runtime/types.ts'
import { here } from '../here/here.ts'
import type { Box, BoxFactory } from '../box.ts'
import type { Place, PlacedFactory } from '../place.ts'
import { deferred } from '../../../runtime/deferred.ts'
import { lastLines, trimEnd } from '../screen.ts'
import { tailOf } from '../tail.ts'
import { enterAgain, surroundings, withoutTerminal } from './boxes.ts'
import { connect, type Connection } from './connection.ts'
import { sessionDirectory } from '../directory.ts'
import { endBox } from './end.ts'
import { endAll, onRequest, terminate } from '../processes.ts'
import { tmuxHealth } from './health.ts'
import { createReach, type Reach } from './reach.ts'
import { launcher } from './scripts.ts'
import { handleOf, newTerminal, press, screenOf, sightingsOf, terminalsOf, type Client, type Row } from './terminal.ts'
import type { Tracked } from './tracked.ts'
import { createTracker } from './tracker.ts'

export interface TmuxOptions {
  /** The tmux program. Default: `tmux` on the PATH. */
  readonly program?: string
  /** See `Backend.maxSessions`. */
  readonly maxSessions?: number | undefined
}

/** How long a launcher may take to say that it runs. Its shell starts in 1-2 ms; a machine short of memory takes longer, and one that makes many boxes at a time. */
const [launchTimeoutMs, enterTimeoutMs] = [10_000, 60_000]
/** How long a verb waits for a connection to tmux that is being made again: some processes of this machine, or a few round trips. */
const [hereMs, elsewhereMs] = [1000, 3000]
/** How long a launcher may take to record the end when nothing is left that it waits for. */
const recordTimeoutMs = 5000

/**
 * Sessions as tmux sessions on a server of our own, driven over one control connection. Needs tmux 3.2 or newer;
 * before 3.3 it cannot tell which signal ended a launcher that was itself killed. No other tmux server is ever touched.
 */
export const tmux = (options: TmuxOptions = {}): PlacedFactory => placed(here, options)

/** Sessions on a tmux server that runs in a place, and their programs in boxes there. */
export function placed(place: PlacedFactory['place'], options: TmuxOptions = {}, box?: BoxFactory): PlacedFactory {
  const create = (state: BackendState) => {
    const at = place(state)
    return createTmux(at, options, box?.(at, state) ?? null)
  }
  return Object.assign(create, { place, terminals: options, isBoxed: box !== undefined })
}

/** All that the tmux server and its panes see besides the place's own PATH and HOME. */
const environment = { LANG: 'C.UTF-8', TERM: 'xterm-256color', SHELL: '/bin/sh' }

function createTmux(place: Place, { program = 'tmux', maxSessions }: TmuxOptions, box: Box | null): Backend {
  const { processes, socket } = place
  const tail = tailOf(place.files)
  const directoryOf = (id: string) => sessionDirectory(place, id, box)
  const boxed = (id: string, name: string) => ({ id, name, directory: directoryOf(id).path() })
  let connection: Connection | null = null
  let reach: Reach | null = null
  /** Sessions that were not started, of which something may be there, by id. */
  const leftOver = new Map<string, string>()
  let tell: (report: Report) => Promise<void> = async () => {}
  const tracker = createTracker(
    client,
    processes,
    (report) => tell(report),
    async (session, pane) => box !== null && enterAgain(session, pane, client, make),
    () => reach?.lookForBoxes(),
  )

  async function client(): Promise<Client> {
    if (!connection) throw new InstarError('backend_unavailable', 'Cannot ask tmux: the backend is not open')
    await place.reached()
    const control = await connection.control()
    return { control, version: connection.version()?.number ?? 0 }
  }

  async function checkTerminals(): Promise<Health> {
    // Connected is the best answer, and takes no process.
    const connected = await client().catch(() => null)
    if (connected) return { ok: true, detail: `tmux ${connection!.version()!.name}` }
    return tmuxHealth(place, program)
  }

  async function check(): Promise<Health> {
    const terminals = await checkTerminals()
    if (!box || !terminals.ok) return terminals
    const boxes = await box.check()
    return boxes.ok ? { ok: true, detail: `${boxes.detail}, ${terminals.detail}` } : boxes
  }

  /** A connection that cannot be made most often means that tmux is missing or too old: say that. */
  async function explain(error: unknown): Promise<never> {
    const health = await checkTerminals()
    throw health.ok ? error : new InstarError('backend_unavailable', `Cannot start a session: ${health.reason}`)
  }

  const look = () => void tracker.scan().catch(() => {}) // When the connection broke, the next one looks.

  const make = (connected: Client, { id, name, directory }: Tracked, how: Pick<Command, 'size' | 'titles'>) =>
    newTerminal(connected, { ...how, id, name, directory: directory.path(), launcher: place.path('launch.sh') })

  /** When the connection broke, a session was made or not: the next connection tells. */
  async function found(error: unknown, id: string): Promise<Row> {
    if (!(error instanceof InstarError) || error.code !== 'backend_unavailable') throw error
    const row = (await tracker.rows()).find((each) => each.id === id)
    if (!row) throw error
    return row
  }

  /** What an earlier server had not cleared away when it was killed. */
  async function sweep(id: string, graceMs: number): Promise<void> {
    const row = (await tracker.rows()).find((each) => each.id === id)
    if (row && !row.dead) await endAll(processes, id, row.pid, onRequest(graceMs), row.pid)
    if (row) await (await client()).control.run(['kill-session', '-t', row.pane]).catch(() => {})
    await box?.remove(boxed(id, ''))
  }

  /** After a start that failed or whose outcome is unknown: nothing of it may stay. What cannot be done now is done when there is a connection again. */
  async function unmake(id: string, name: string): Promise<void> {
    leftOver.set(id, name)
    const isSwept = await sweep(id, 0).then(
      () => true,
      () => false,
    )
    await directoryOf(id).remove()
    if (isSwept) leftOver.delete(id)
  }

  return {
    maxSessions,
    check,
    terminals: async () => terminalsOf(await client()),
    ...surroundings(place, box, directoryOf),
    async watch(directory, tell) {
      await box?.admit(directory)
      return place.files.watch(directory, tell)
    },
    directory: (id) => directoryOf(id).inside(),
    attach(handle) {
      // By its path, because a person's TMUX_TMPDIR may be another.
      const path = connection?.version()?.socket
      return place.command(`${program} ${path && !/\s/.test(path) ? `-S ${path}` : `-L ${socket}`} attach -t =${handle['name']}`)
    },

    async open(report, tellReach = () => {}) {
      tell = report
      const reached = (reach = createReach(box, tracker.hasSessions, tellReach))
      const onConnected = () => {
        reached.terminals({ ok: true, detail: `tmux ${connection?.version()?.name}` })
        look()
        for (const [id, name] of leftOver) unmake(id, name).catch(() => {})
      }
      const onLost = ({ message }: Error) => {
        tracker.lost()
        reached.terminals({ ok: false, reason: message.split('\n')[0]! })
      }
      await place.open({ files: { 'launch.sh': launcher }, reach: reached.place })
      const client = (args: readonly string[]) => place.terminal([program, '-L', socket, ...args], environment)
      connection = connect({ client, onBell: look, onConnected, onLost, patienceMs: place.isHere ? hereMs : elsewhereMs })
      if (place.isHere) await connection.control().catch(() => {})
    },

    async start(id, name, command, ready) {
      await reach?.needBoxes(`start session "${name}"`)
      const placed = deferred()
      const session = tracker.add({
        id,
        name,
        cursor: 0,
        directory: directoryOf(id),
        placed: placed.promise,
        title: command.titles ? '' : null,
      })
      session.isStarting = true
      try {
        const [connected] = await Promise.all([client().catch(explain), session.directory.create(name, command), ready])
        const [row] = await Promise.all([
          make(connected, session, command).catch((error: unknown) => found(error, id)),
          tracker.follow(session),
        ])
        session.pane = row.pane
        session.pid = row.pid
        placed.resolve()
        if (command.titles) look()
      } catch (error) {
        tracker.drop(session)
        await unmake(id, name).catch(() => {})
        if (!(error instanceof InstarError) || !error.message.includes('duplicate session')) throw error
        throw new InstarError(
          'name_in_use',
          `Cannot start session "${name}": its terminal server has a session of that name that is not ours`,
        )
      }
      await Promise.race([session.begun, timeout(box ? enterTimeoutMs : launchTimeoutMs)])
      session.isStarting = false
      if (session.refusal !== null) {
        await unmake(id, name)
        throw session.refusal
      }
      return handleOf(id, name, command.titles)
    },

    async follow({ id, handle }, cursor) {
      if (tracker.get(id)) return
      const session = tracker.add({
        id,
        name: String(handle['name']),
        cursor,
        directory: directoryOf(id),
        placed: Promise.resolve(),
        title: handle['titles'] === 1 ? '' : null,
      })
      session.pane = undefined
      await tracker.follow(session)
      reach?.lookForBoxes()
      session.begin()
      look()
      // One that ended meanwhile, as its record says, is to be seen so from the first moment.
      if (session.reaping) await Promise.race([session.ended, session.reaping])
    },

    async list() {
      const seen = await sightingsOf(await client())
      if (!box) return seen
      const isKnown = (id: string) => tracker.get(id) !== undefined || seen.some((each) => each.id === id)
      return [...seen, ...(await withoutTerminal(box, isKnown, directoryOf))]
    },

    async capture(handle, lines, { styles = false } = {}) {
      const id = String(handle['id'])
      const session = tracker.get(id)
      const connected = session && (await client())
      const pane = session && (await tracker.paneOf(session))
      const live = async (pane: string) => {
        try {
          // One more than asked for tells whether there is more.
          return await screenOf(connected!, pane, lines + 1, styles)
        } catch (error) {
          if (session?.pane === pane || session?.pane === undefined) throw error
          return null // It ended meanwhile, and its screen was saved.
        }
      }
      const all = (pane ? await live(pane) : null) ?? trimEnd((await directoryOf(id).screen()).split('\n'))
      return lastLines(all, lines)
    },

    async send(handle, keystrokes) {
      const session = tracker.get(String(handle['id']))
      // First the connection: a pane belongs to the server that it was seen on.
      const connected = session && (await client())
      const pane = session && (await tracker.paneOf(session))
      if (session) await reach?.needBoxes(`send to session "${session.name}"`)
      if (connected && pane && (await press(connected, pane, keystrokes))) return
      throw new InstarError('session_ended', `Cannot send to session "${handle['name']}": its program has ended`)
    },

    answer: (handle, mailbox, text) => directoryOf(String(handle['id'])).answer(mailbox, text),

    async tail(path, cursor, tell) {
      await box?.admit(path)
      return tail(path, cursor, tell)
    },

    async stop(handle, graceMs) {
      const id = String(handle['id'])
      const session = tracker.get(id)
      if (!session) return sweep(id, graceMs)
      await session.begun
      await tracker.paneOf(session)
      const { pid } = session
      await reach?.needBoxes(`end session "${session.name}"`)
      if (box) await endBox(box, boxed(id, session.name), graceMs, session.ended)
      else if (pid !== null) await endAll(processes, id, pid, onRequest(graceMs), pid)
      await Promise.race([session.ended, timeout(recordTimeoutMs)])
      if (tracker.get(id) !== session || pid === null) return
      await terminate(processes, [pid], onRequest(0))
      look()
      await Promise.race([session.ended, timeout(recordTimeoutMs)])
    },

    async remove(id) {
      const directory = directoryOf(id)
      if (box && !(await directory.exit())) await box.remove(boxed(id, ''))
      await directory.remove()
    },

    async close() {
      tracker.close()
      reach?.close()
      await Promise.all([connection?.close(), place.close()])
    },
  }
}

const timeout = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref())
