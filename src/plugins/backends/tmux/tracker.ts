import { InstarError } from '../../../runtime/error.ts'
import type { Tail } from '../../../runtime/backend.ts'
import type { Exit, Report, Sight } from '../../../runtime/types.ts'
import { keeperName } from './connection.ts'
import { signalName, type Entry, type SessionDirectory } from './directory.ts'
import { afterHangUp, descendants, findProcess, isAlive, marked, terminate } from './processes.ts'
import { screenOf, type Client } from './terminal.ts'

/**
 * What becomes of sessions: listens to their files, looks at their panes when the bell rings, and reports the end of
 * each once, after its last screen is safe.
 *
 *   signals.jsonl ── started, hooks ──▶ report
 *                 └─ exited ─┐
 *   bell ─▶ scan ── dead ────┼─▶ reap: how it ended ▸ tmux has read everything ▸ screen.txt ▸ report ▸ kill-session
 *                └─ gone ────┘
 */
export interface Tracker {
  get(id: string): Tracked | undefined
  /** `placed` resolves when its pane is set; until then its end is not looked into. */
  add(session: Pick<Tracked, 'id' | 'name' | 'cursor' | 'directory' | 'placed' | 'title'>): Tracked
  /** Begins to report what the session's files say. */
  follow(session: Tracked): Promise<void>
  /** Looks at all panes. Calls while one is under way become one more. */
  scan(): Promise<void>
  rows(): Promise<Row[]>
  /** The session's pane; null when it has none any more. */
  paneOf(session: Tracked): Promise<string | null>
  drop(session: Tracked): void
  close(): void
}

export interface Tracked {
  readonly id: string
  readonly name: string
  readonly directory: SessionDirectory
  readonly placed: Promise<void>
  cursor: number
  follower: Tail | null
  /** The title that was last told; null when nobody wants to know. */
  title: string | null
  /** The launcher's pid, as tmux says: what a session's own files say of it could name any process. Null while unknown. */
  pid: number | null
  /** Null: it has none. Undefined: nobody has looked yet. */
  pane: string | null | undefined
  /** Set while its end is looked into. */
  reaping: Promise<void> | null
  /** Resolves when something was reported, or it was dropped. */
  readonly begun: Promise<void>
  readonly begin: () => void
  /** Resolves when it is dropped, after its end was reported. */
  readonly ended: Promise<void>
  readonly end: () => void
}

export interface Row {
  readonly id: string
  readonly pane: string
  readonly pid: number
  readonly dead: boolean
  readonly status: string
  readonly signal: string
  readonly title: string
}

/** tmux reads a terminal once per turn of its event loop, and a terminal holds at most 12 KB unread: so many turns read everything. */
const drainTurns = 64
/** A dead pane without a status gets one when tmux next looks for its children; 3.2 never tells a signal. */
const statusTimeoutMs = 2500
const lookAgainMs = 15
/** All that tmux keeps: its history limit and a screen. */
const everything = 10_000
/** How long a dead session's log may take to be written. A launcher leaves after 5 s at the latest, and its pane is dead then. */
const buryAfterMs = 7000
/** How long a launcher may take to record the end of its program. */
const recordMs = 2000

export function createTracker(client: () => Promise<Client>, tell: (report: Report) => Promise<void>): Tracker {
  const tracked = new Map<string, Tracked>()
  /** Sessions whose end is told and whose tmux session may still be there, because the connection broke. */
  const told = new Set<string>()
  const burying = new Set<string>()
  let scanning: Promise<void> | null = null
  let scanAgain = false

  async function rows(): Promise<Row[]> {
    const fields = ['@instar_id', 'pane_id', 'pane_pid', 'pane_dead', 'pane_dead_status', 'pane_dead_signal', 'pane_title']
    const format = fields.map((field) => `#{${field}}`).join('\t')
    const [lines] = await (await client()).control.run(['list-panes', '-a', '-f', '#{@instar_id}', '-F', format])
    return lines!.map((text) => {
      const [id = '', pane = '', pid, dead, status = '', signal = '', ...title] = text.split('\t')
      return { id, pane, pid: Number(pid), dead: dead === '1', status, signal, title: title.join('\t') }
    })
  }

  function scan(): Promise<void> {
    scanAgain = true
    scanning ??= look().finally(() => (scanning = null))
    return scanning
  }

  async function look(): Promise<void> {
    while (scanAgain) {
      scanAgain = false
      const awaited = [...tracked.values()].filter((session) => session.pane !== null)
      const seen = new Map((await rows()).map((row) => [row.id, row]))
      for (const session of awaited) {
        const row = seen.get(session.id)
        session.pane = row?.pane ?? null
        session.pid = row?.pid ?? session.pid
        if (!row || row.dead) reap(session, row ?? null)
        else if (session.title !== null && session.title !== row.title) void hearTitle(session, row.title)
      }
      for (const id of told) {
        const row = seen.get(id)
        if (row) bury(id, row.pane).catch(() => {})
        else told.delete(id)
      }
    }
  }

  async function paneOf(session: Tracked): Promise<string | null> {
    if (session.pane === undefined) await scan()
    return session.pane ?? null
  }

  /** The bell may be quicker than the file that tells of the launch. */
  async function hearTitle(session: Tracked, title: string): Promise<void> {
    session.title = title
    await session.begun
    if (tracked.get(session.id) === session && !session.reaping) report(session, [{ type: 'title', title, at: new Date().toISOString() }])
  }

  function hear(session: Tracked, entries: readonly Entry[]): void {
    if (tracked.get(session.id) !== session) return
    const sights: Sight[] = []
    for (const entry of entries) {
      if (entry.type === 'exited') {
        reap(session, null, entry.exit)
        break
      }
      session.cursor = entry.cursor
      if (entry.type === 'started') sights.push({ type: 'launched', at: entry.at })
      if (entry.type === 'signal') sights.push({ type: 'signal', signal: entry.signal })
    }
    if (sights.length === 0) return
    report(session, sights)
    session.begin()
  }

  /** What is not stored is told again after a restart, from the cursor that was. */
  function report(session: Tracked, sights: readonly Sight[]): void {
    tell({ id: session.id, cursor: session.cursor, sights }).catch(() => {})
  }

  /** Reports the end of a session, once. When the connection breaks on the way, the scan after the next one comes here again. */
  function reap(session: Tracked, row: Row | null, recorded: Exit | null = null): void {
    session.reaping ??= (async () => {
      await session.placed
      const exit = recorded ?? (await howItEnded(session, row))
      const pane = await saveLastScreen(session)
      // The bell may be quicker than the file: what was said before the end is told before it.
      await session.follower?.catchUp()
      await tell({ id: session.id, cursor: session.cursor, sights: [{ type: 'exited', exit }] })
      drop(session)
      // What a program that was killed had started does not hear of it.
      const isKilled = exit.code === null
      await Promise.all([
        pane !== null && bury(session.id, pane),
        isKilled && marked(session.id).then((pids) => terminate(pids, afterHangUp)),
      ])
    })().catch(() => {
      session.reaping = null
      // Nobody else will look: a session without a pane is not awaited by a scan.
      session.pane = undefined
    })
  }

  async function howItEnded(session: Tracked, row: Row | null): Promise<Exit> {
    const recorded = await session.directory.exit()
    if (recorded) return recorded
    const at = new Date().toISOString()
    if (!row) {
      // No terminal and no record yet: its tmux session or server was killed. The kernel tells that to the launcher only, which
      // waits for its program; so the program is told here, and what nobody can reach any more is ended.
      const pid = await findProcess(`launch.sh ${session.directory.path}`)
      if (pid !== null) {
        await terminate(await descendants(pid), afterHangUp)
        await recordWithin(session, pid)
        await terminate([pid, ...(await descendants(pid))], afterHangUp)
      }
      return (await session.directory.exit()) ?? { code: null, signal: null, reason: 'its terminal is gone and it left no exit record', at }
    }
    for (const began = Date.now(); row.status === '' && row.signal === '' && Date.now() - began < statusTimeoutMs;) {
      await (await client()).control.run(['send-keys', '-t', `=${keeperName}:`, 'Enter'])
      await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
      row = (await rows()).find((each) => each.id === session.id) ?? row
    }
    const late = await session.directory.exit()
    if (late) return late
    const signal = row.signal === '' ? null : signalName(Number(row.signal))
    return { code: signal || row.status === '' ? null : Number(row.status), signal, reason: 'its launcher was killed', at }
  }

  /** Waits for the launcher's record, for some time, as long as there is a launcher. */
  async function recordWithin(session: Tracked, pid: number): Promise<void> {
    for (const began = Date.now(); isAlive(pid) && Date.now() - began < recordMs;) {
      if (await session.directory.exit()) return
      await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
    }
  }

  /**
   * The launcher has closed the terminal, or is dead: wait until tmux has read all of it, keep the screen, free the
   * name. The tmux session itself stays until the end is safe: it is what a restart would find.
   */
  async function saveLastScreen(session: Tracked): Promise<string | null> {
    const pane = await paneOf(session)
    if (pane === null) return null
    const { control, version } = await client()
    for (let turn = 0; turn < drainTurns; turn++) {
      const [lines] = await control.run(['display-message', '-p', '-t', pane, '#{pane_dead}'])
      if (lines?.[0] === '1') break
    }
    const screen = await screenOf({ control, version }, pane, everything)
    // A full disk loses the last screen; it must not keep the end from being told.
    await session.directory.saveScreen(screen.join('\n')).catch(() => {})
    await control.run(['rename-session', '-t', pane, `_ended-${session.id}`])
    return pane
  }

  /**
   * Ends the tmux session of one whose end is told, once its pane is dead: what tmux still holds for the log would be lost
   * with it. A program that was left behind can keep the pane alive, and is not waited for.
   */
  async function bury(id: string, pane: string): Promise<void> {
    if (burying.has(id)) return
    told.add(id)
    burying.add(id)
    try {
      for (const began = Date.now(); Date.now() - began < buryAfterMs; await new Promise((resolve) => setTimeout(resolve, lookAgainMs))) {
        const [lines] = await (await client()).control.run(['display-message', '-p', '-t', pane, '#{pane_dead}'])
        if (lines?.[0] !== '0') break
      }
      await (await client()).control.run(['kill-session', '-t', pane])
      told.delete(id)
    } finally {
      burying.delete(id)
    }
  }

  function drop(session: Tracked): void {
    session.follower?.close()
    if (tracked.get(session.id) === session) tracked.delete(session.id)
    session.begin()
    session.end()
  }

  return {
    get: (id) => tracked.get(id),
    add(given) {
      const begun = deferred()
      const ended = deferred()
      const session: Tracked = {
        ...given,
        follower: null,
        pid: null,
        pane: null,
        reaping: null,
        begun: begun.promise,
        begin: begun.resolve,
        ended: ended.promise,
        end: ended.resolve,
      }
      tracked.set(session.id, session)
      return session
    },
    async follow(session) {
      session.follower = await session.directory.follow(session.cursor, (entries) => hear(session, entries))
      if (tracked.get(session.id) !== session) session.follower.close()
    },
    scan,
    rows,
    paneOf,
    drop,
    close() {
      for (const session of tracked.values()) session.follower?.close()
      tracked.clear()
    },
  }
}

export function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => (resolve = done))
  return { promise, resolve }
}

export const hasEnded = (name: string): InstarError =>
  new InstarError('session_ended', `Cannot send to session "${name}": its program has ended`)
