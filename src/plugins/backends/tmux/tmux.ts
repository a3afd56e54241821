import { access, mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import type { BackendFactory, BackendState } from '../../../runtime/config.ts'
import { InstarError } from '../../../runtime/error.ts'
import type { Backend, Health, Terminal } from '../../../runtime/backend.ts'
import type { Command, Handle, Report } from '../../../runtime/types.ts'
import { connect, keeperName, oldestVersion, type Connection } from './connection.ts'
import type { Control } from './control.ts'
import { sessionDirectory } from './directory.ts'
import { descendants, marked, onRequest, terminate } from './processes.ts'
import { line, literalTime, shellQuote, versionNumber } from './protocol.ts'
import { followLines } from './lines.ts'
import { launcher } from './scripts.ts'
import { press, screenOf, trimEnd, type Client } from './terminal.ts'
import { watchDirectory } from './watch.ts'
import { createTracker, deferred, hasEnded, type Row, type Tracked } from './tracker.ts'

export interface TmuxOptions {
  /** The tmux program. Default: `tmux` on the PATH. */
  readonly program?: string
}

/** How long a launcher may take to say that it runs. Its shell starts in 1-2 ms; a machine short of memory takes longer. */
const launchTimeoutMs = 10_000
/** A program that goes on starting others while it is ended is not chased for ever. */
const endTries = 5
/** How long a launcher may take to record the end when nothing is left that it waits for. */
const recordTimeoutMs = 5000

/**
 * Sessions as tmux sessions on a server of our own, driven over one control connection. Needs tmux 3.2 or newer;
 * before 3.3 it cannot tell which signal ended a launcher that was itself killed. No other tmux server is ever touched.
 */
export const tmux =
  (options: TmuxOptions = {}): BackendFactory =>
  (state) =>
    createTmux(state, options)

function createTmux({ directory: base, socket }: BackendState, { program = 'tmux' }: TmuxOptions): Backend {
  const sessions = join(base, 'sessions')
  const launchFile = join(base, 'launch.sh')
  // All that the tmux server and its panes see of this process's environment.
  const env = {
    PATH: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
    HOME: process.env['HOME'] ?? '/',
    LANG: 'C.UTF-8',
    TERM: 'xterm-256color',
    SHELL: '/bin/sh',
  }
  const directoryOf = (id: string) => sessionDirectory(sessions, id)
  let connection: Connection | null = null
  let tell: (report: Report) => Promise<void> = async () => {}
  const tracker = createTracker(client, (report) => tell(report))

  async function client(): Promise<Client> {
    if (!connection) throw new InstarError('backend_unavailable', 'Cannot ask tmux: the backend is not open')
    const control = await connection.control()
    return { control, version: connection.version()?.number ?? 0 }
  }

  async function check(): Promise<Health> {
    // Connected is the best answer, and takes no process.
    const connected = await client().catch(() => null)
    if (connected) return { ok: true, detail: `tmux ${connection!.version()!.name}` }
    try {
      const { stdout } = await execa(program, ['-V'], { env, extendEnv: false, timeout: 5000 })
      const version = stdout.replace(/^tmux /, '').trim()
      if (versionNumber(version) >= oldestVersion) return { ok: true, detail: `tmux ${version}` }
      return { ok: false, reason: `tmux ${version} is too old: install tmux 3.2 or newer` }
    } catch (error) {
      const missing = (error as { code?: string }).code === 'ENOENT'
      return { ok: false, reason: missing ? 'tmux is not installed: apt-get install tmux, or brew install tmux' : 'tmux does not answer' }
    }
  }

  /** A connection that cannot be made most often means that tmux is missing or too old: say that. */
  async function explain(error: unknown): Promise<never> {
    const health = await check()
    throw health.ok ? error : new InstarError('backend_unavailable', `Cannot start a session: ${health.reason}`)
  }

  const look = () => void tracker.scan().catch(() => {}) // When the connection broke, the next one looks.

  /** Makes the tmux session, with its log: one line, so that tmux reads nothing from the pane before the log is there. */
  async function make(control: Control, { id, name, directory }: Tracked, { size, titles }: Command): Promise<Pick<Row, 'pane' | 'pid'>> {
    const target = `=${name}:`
    const log = literalTime(`exec cat >>${shellQuote(join(directory.path, 'output.log'))}`)
    const wanted = ['-x', String(size.cols), '-y', String(size.rows)]
    // tmux 3.2 makes it 80x24 whatever is asked for.
    const resize = (connection?.version()?.number ?? 0) < 303 ? [['resize-window', '-t', target, ...wanted]] : []
    const listen = titles
      ? [
          ['set-option', '-t', target, '@instar_titles', '1'],
          ['set-hook', '-p', '-t', target, 'pane-title-changed', line([['send-keys', '-t', `=${keeperName}:`, '-l', 'x']])],
        ]
      : []
    const place = ['-s', name, '-n', 'agent', ...wanted, '-c', '/']
    const [made] = await control.run(
      ['new-session', '-d', '-P', '-F', '#{pane_id} #{pane_pid}', ...place, '--', '/bin/sh', launchFile, directory.path],
      ['set-option', '-t', target, '@instar_id', id],
      ['pipe-pane', '-t', target, log],
      ...resize,
      ...listen,
    )
    const [pane = '', pid] = made![0]!.split(' ')
    return { pane, pid: Number(pid) }
  }

  /** When the connection broke, a session was made or not: the next connection tells. */
  async function found(error: unknown, id: string): Promise<Row> {
    if (!(error instanceof InstarError) || error.code !== 'backend_unavailable') throw error
    const row = (await tracker.rows()).find((each) => each.id === id)
    if (!row) throw error
    return row
  }

  /** Ends what a launcher started, and then what that started on its way out. */
  async function endAll(id: string, launcher: number, graceMs: number): Promise<void> {
    for (let tries = 0; tries < endTries; tries++) {
      const pids = [...new Set([...(await descendants(launcher)), ...(await marked(id))])].filter((pid) => pid !== launcher)
      if (pids.length === 0) return
      await terminate(pids, onRequest(graceMs))
    }
  }

  /** What an earlier server had not cleared away when it was killed. */
  async function sweep(id: string, graceMs: number): Promise<void> {
    const row = (await tracker.rows()).find((each) => each.id === id)
    if (!row) return
    if (!row.dead) await endAll(id, row.pid, graceMs)
    await (await client()).control.run(['kill-session', '-t', row.pane]).catch(() => {})
  }

  /** After a start that failed or whose outcome is unknown: nothing of it may stay. */
  async function unmake(id: string): Promise<void> {
    const row = (await tracker.rows().catch(() => [])).find((each) => each.id === id)
    if (row) await (await client()).control.run(['kill-session', '-t', row.pane]).catch(() => {})
    await directoryOf(id).remove()
  }

  async function terminals(): Promise<Terminal[]> {
    const [lines] = await (
      await client()
    ).control.run(['list-sessions', '-F', '#{@instar_id}\t#{session_created}\t#{session_attached}\t#{session_name}'])
    return lines!.map((text) => {
      const [id = '', created, attached, ...name] = text.split('\t')
      return {
        name: name.join('\t'),
        id: id === '' ? null : id,
        createdAt: new Date(Number(created) * 1000).toISOString(),
        attached: attached !== '0',
      }
    })
  }

  return {
    check,
    terminals,
    watch: watchDirectory,
    directory: (id) => join(sessions, id),
    attach(handle) {
      // By its path, because a person's TMUX_TMPDIR may be another.
      const path = connection?.version()?.socket
      return `${program} ${path && !/\s/.test(path) ? `-S ${path}` : `-L ${socket}`} attach -t =${handle['name']}`
    },

    async open(report) {
      tell = report
      await mkdir(sessions, { recursive: true, mode: 0o700 })
      // By rename: a shell reads its script while it runs, so the launchers of running sessions keep the old file.
      await writeFile(`${launchFile}.tmp`, launcher, { mode: 0o600 })
      await rename(`${launchFile}.tmp`, launchFile)
      connection = connect({ tmux: [program, '-L', socket], env, onBell: look, onConnected: look })
      await connection.control().catch(() => {})
    },

    async start(id, name, command, ready) {
      const placed = deferred()
      const session = tracker.add({
        id,
        name,
        cursor: 0,
        directory: directoryOf(id),
        placed: placed.promise,
        title: command.titles ? '' : null,
      })
      try {
        const [{ control }] = await Promise.all([client().catch(explain), session.directory.create(command), ready])
        const [row] = await Promise.all([
          make(control, session, command).catch((error: unknown) => found(error, id)),
          tracker.follow(session),
        ])
        session.pane = row.pane
        session.pid = row.pid
        placed.resolve()
        if (command.titles) look()
      } catch (error) {
        tracker.drop(session)
        await unmake(id)
        if (!(error instanceof InstarError) || !error.message.includes('duplicate session')) throw error
        throw new InstarError(
          'name_in_use',
          `Cannot start session "${name}": its terminal server has a session of that name that is not ours`,
        )
      }
      await Promise.race([session.begun, new Promise((resolve) => setTimeout(resolve, launchTimeoutMs).unref())])
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
      session.begin()
      look()
    },

    async list() {
      const format = '#{@instar_id}\t#{@instar_titles}\t#{session_name}'
      const [lines] = await (await client()).control.run(['list-sessions', '-f', '#{@instar_id}', '-F', format])
      return lines!.map((text) => {
        const [id = '', titles, ...name] = text.split('\t')
        return { id, handle: handleOf(id, name.join('\t'), titles === '1') }
      })
    },

    async capture(handle, lines, { styles = false } = {}) {
      const id = String(handle['id'])
      const session = tracker.get(id)
      const pane = session && (await tracker.paneOf(session))
      const live = async (pane: string) => {
        try {
          // One more than asked for tells whether there is more.
          return await screenOf(await client(), pane, lines + 1, styles)
        } catch (error) {
          if (session?.pane === pane) throw error
          return null // It ended meanwhile, and its screen was saved.
        }
      }
      const all = (pane ? await live(pane) : null) ?? trimEnd((await directoryOf(id).screen()).split('\n'))
      return { text: all.slice(-lines).join('\n'), truncated: all.length > lines }
    },

    async send(handle, keystrokes) {
      const session = tracker.get(String(handle['id']))
      const pane = session && (await tracker.paneOf(session))
      if (!pane || !(await press(await client(), pane, keystrokes))) throw hasEnded(String(handle['name']))
    },

    answer: (handle, mailbox, text) => directoryOf(String(handle['id'])).answer(mailbox, text),

    async tail(path, cursor, tell) {
      await access(path)
      return followLines(path, cursor, (lines) =>
        tell(
          lines.map(({ text }) => text),
          lines.at(-1)!.cursor,
        ),
      )
    },

    async stop(handle, graceMs) {
      const id = String(handle['id'])
      const session = tracker.get(id)
      if (!session) return sweep(id, graceMs)
      await session.begun
      await tracker.paneOf(session)
      const { pid } = session
      if (pid !== null) await endAll(id, pid, graceMs)
      await Promise.race([session.ended, timeout(recordTimeoutMs)])
      if (tracker.get(id) !== session || pid === null) return
      await terminate([pid], onRequest(0))
      look()
      await Promise.race([session.ended, timeout(recordTimeoutMs)])
    },

    async remove(id) {
      await directoryOf(id).remove()
    },

    async close() {
      tracker.close()
      await connection?.close()
    },
  }
}

const handleOf = (id: string, name: string, titles = false): Handle => ({ id, name, ...(titles ? { titles: 1 } : {}) })

const timeout = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref())
