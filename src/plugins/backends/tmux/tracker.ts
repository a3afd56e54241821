import type { Exit, Report, Sight } from '../../../runtime/types.ts'
import type { PlaceProcesses } from '../place.ts'
import { keeperName } from './connection.ts'
import { signalName, type Entry } from '../directory.ts'
import { afterHangUp, descendants, terminate } from '../processes.ts'
import { rowsOf, screenOf, type Client, type Row } from './terminal.ts'
import { track, type Found, type Tracked } from './tracked.ts'

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
  hasSessions(): boolean
  add(found: Found): Tracked
  /** Begins to report what the session's files say. */
  follow(session: Tracked): Promise<void>
  /** Looks at all panes. Calls while one is under way become one more. */
  scan(): Promise<void>
  rows(): Promise<Row[]>
  /** The session's pane; null when it has none any more. */
  paneOf(session: Tracked): Promise<string | null>
  drop(session: Tracked): void
  /** The connection is lost: the next server may use the ids of panes for others. */
  lost(): void
  close(): void
}

/** tmux reads a terminal once per turn of its event loop, and a terminal holds at most 12 KB unread: so many turns read everything. */
const drainTurns = 64
/** Over a slow connection it takes many turns while one answer is on its way. */
const [fewTurns, drainMs] = [4, 500]
/** A dead pane without a status gets one when tmux next looks for its children; 3.2 never tells a signal. */
const statusTimeoutMs = 2500
const lookAgainMs = 15
/** All that tmux keeps: its history limit and a screen. */
const everything = 10_000
/** How long a dead session's log may take to be written. A launcher leaves after 5 s at the latest, and its pane is dead then. */
const buryAfterMs = 7000
/** How long a launcher may take to record the end of its program. */
const recordMs = 2000

/** `enterAgain` makes a new terminal in place of one that is gone or dead, where the program goes on without; false where it does not. `boxLost` is told when a client says so. */
export function createTracker(
  client: () => Promise<Client>,
  processes: PlaceProcesses,
  tell: (report: Report) => Promise<void>,
  enterAgain: (session: Tracked, pane: string | null) => Promise<boolean>,
  boxLost: () => void,
): Tracker {
  const tracked = new Map<string, Tracked>()
  /** Sessions whose end is told and whose tmux session may still be there, because the connection broke. */
  const told = new Set<string>()
  const burying = new Set<string>()
  let scanning: Promise<void> | null = null
  let scanAgain = false

  const rows = async (): Promise<Row[]> => rowsOf(await client())

  function scan(): Promise<void> {
    scanAgain = true
    scanning ??= look().finally(() => (scanning = null))
    return scanning
  }

  async function look(): Promise<void> {
    while (scanAgain) {
      scanAgain = false
      const awaited = [...tracked.values()].filter((session) => session.pane !== null)
      const entering = awaited.map((session) => session.entering)
      const seen = new Map((await rows()).map((row) => [row.id, row]))
      for (const [i, session] of awaited.entries()) {
        if (session.entering % 2 === 1 || session.entering !== entering[i]) continue
        const row = seen.get(session.id)
        session.pane = row?.pane ?? null
        session.pid = row?.pid ?? session.pid
        // One whose end is recorded can have left something behind that holds its terminal.
        if (!row || row.dead || session.recorded) reap(session, row ?? null)
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
        session.recorded = entry.exit
        reap(session, null)
        break
      }
      session.cursor = entry.cursor
      if (entry.type === 'lost') boxLost()
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
  function reap(session: Tracked, row: Row | null): void {
    session.reaping ??= (async () => {
      await session.placed
      if (!session.recorded && (await enterAgain(session, row?.pane ?? null))) {
        session.reaping = null
        return void scan().catch(() => {})
      }
      const exit = session.recorded ?? (await howItEnded(session, row))
      if (session.isStarting) session.refusal = await session.directory.refusal()
      if (session.refusal !== null) return drop(session)
      const pane = await saveLastScreen(session)
      // The bell may be quicker than the file: what was said before the end is told before it.
      if (!session.recorded) await session.follower?.catchUp()
      await tell({ id: session.id, cursor: session.cursor, sights: [{ type: 'exited', exit }] })
      drop(session)
      // What a program that was killed had started does not hear of it.
      const isKilled = exit.code === null
      await Promise.all([
        pane !== null && bury(session.id, pane),
        isKilled && processes.marked(session.id).then((pids) => terminate(processes, pids, afterHangUp)),
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
      const pid = await processes.find(`launch.sh ${session.directory.path()}`)
      if (pid !== null) {
        await terminate(processes, await descendants(processes, pid), afterHangUp)
        await recordWithin(session, pid)
        await terminate(processes, [pid, ...(await descendants(processes, pid))], afterHangUp)
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
    for (const began = Date.now(); (await processes.signal([pid])).length > 0 && Date.now() - began < recordMs;) {
      if (await session.directory.exit()) return
      await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
    }
  }

  /**
   * The launcher has closed the terminal, or is dead: wait until tmux has read all of it, keep the screen, free the
   * name. The tmux session itself stays until the end is safe: it is what a restart would find.
   */
  async function saveLastScreen(session: Tracked): Promise<string | null> {
    const { control, version } = await client()
    const pane = await paneOf(session)
    if (pane === null) return null
    for (let [turn, began] = [0, Date.now()]; turn < drainTurns && (turn < fewTurns || Date.now() - began < drainMs); turn++) {
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
    hasSessions: () => tracked.size > 0,
    add(found) {
      const session = track(found)
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
    lost: () => tracked.forEach((session) => (session.pane = session.pane === null ? null : undefined)),
    close() {
      for (const session of tracked.values()) session.follower?.close()
      tracked.clear()
    },
  }
}
