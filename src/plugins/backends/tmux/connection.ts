import { InstarError } from '../../../runtime/error.ts'
import { deferred } from '../../../runtime/deferred.ts'
import type { LocalProcess } from '../place.ts'
import { Control } from './control.ts'
import { oldestVersion } from './health.ts'
import { versionNumber } from './protocol.ts'
import { keeper } from './scripts.ts'

/** The session that our control connection is attached to. Not a name a session of ours can have. */
export const keeperName = '_keeper'

const backoffMs = [20, 100, 300, 1000, 3000, 10_000]
const attachKeeper = [
  '-f',
  '/dev/null',
  '-u',
  '-C',
  'new-session',
  '-A',
  '-s',
  keeperName,
  '-x',
  '200',
  '-y',
  '5',
  '--',
  '/bin/sh',
  '-c',
  keeper,
]
/** How often the keeper is looked after. */
const tendMs = 1000
const historyLimit = 5000

export interface Connection {
  /** The connected client; waits up to a second for one. `backend_unavailable` when there is none. */
  control(): Promise<Control>
  /** What the server last connected to is, such as `3.3a`, 303 and the path of its socket; null before the first. */
  version(): { readonly name: string; readonly number: number; readonly socket: string } | null
  close(): Promise<void>
}

export interface ConnectionOptions {
  /** The process that is a tmux client with these arguments; waits until the place is found, and rejects when it is lost again meanwhile. */
  readonly client: (args: readonly string[]) => Promise<LocalProcess>
  /** A session's program has ended, or sessions may have: look. */
  readonly onBell: () => void
  /** Connected, perhaps to another tmux server than before. */
  readonly onConnected: () => void
  /** It was lost, or cannot be made; it is tried again. */
  readonly onLost: (cause: Error) => void
  /** How long a verb waits for a connection that is being made again, in milliseconds. */
  readonly patienceMs: number
}

/**
 * Keeps one control connection alive, and with it the tmux server. Our connection is attached only to the keeper, so no
 * agent's output can flood it, and it can hold up no agent.
 */
export function connect({ client, onBell, onConnected, onLost, patienceMs }: ConnectionOptions): Connection {
  let closing = false
  let giveUp = () => {}
  const givenUp = deferred<never>()
  let version: ReturnType<Connection['version']> = null
  /** The last one that was made; while it is open, asking for it takes no timer. */
  let latest: Control | null = null
  let current: Promise<Control> = attempt(0)
  current.catch(() => {})

  function tryAgain(cause: Error, failures: number): void {
    if (closing) return
    onLost(cause)
    const wait = backoffMs[Math.min(failures, backoffMs.length - 1)]!
    current = new Promise((resolve, reject) => {
      const timer = setTimeout(() => attempt(failures + 1).then(resolve, reject), wait).unref()
      giveUp = () => {
        clearTimeout(timer)
        reject(cause)
      }
    })
    current.catch(() => {})
  }

  async function attempt(failures: number): Promise<Control> {
    let bell = '%output'
    const process = await Promise.race([client(attachKeeper), givenUp.promise]).catch((error: Error) => {
      tryAgain(error, failures)
      throw error
    })
    const control = new Control(process, (text) => {
      // The second: somebody has killed a session by hand, which rings no bell.
      if (text.startsWith(bell) || text.startsWith('%unlinked-window-close')) onBell()
    })
    let keeperPane = ''
    const tick = setInterval(() => void tend(control, keeperPane, version?.number ?? 0, onBell).catch(() => {}), tendMs).unref()
    void control.closed.then((cause) => {
      clearInterval(tick)
      tryAgain(cause, failures)
    })
    try {
      const [[facts = '']] = (await control.run([
        'display-message',
        '-p',
        '-t',
        `=${keeperName}:`,
        '#{version} #{pane_id} #{socket_path}',
      ])) as [string[]]
      const [name = '', pane = '', ...socket] = facts.split(' ')
      const number = versionNumber(name)
      if (number < oldestVersion) {
        throw new InstarError('backend_unavailable', `Cannot use tmux ${name}: 3.2 or newer is needed`, { version: name })
      }
      await setUp(control, pane, number)
      version = { name, number, socket: socket.join(' ') }
      // What tmux types into the keeper comes back as its output; the line of a nudge does not hold the letter.
      bell = `%output ${pane} x`
      keeperPane = pane
    } catch (error) {
      await control.close()
      throw error
    }
    failures = 0
    latest = control
    onConnected()
    return control
  }

  return {
    version: () => version,
    async control() {
      if (closing) throw stopping()
      if (latest && !latest.isClosed) return latest
      // Once it is known to be gone, `current` is the next one.
      await latest?.closed
      return Promise.race([current, patience(patienceMs)])
    },
    async close() {
      closing = true
      giveUp()
      givenUp.reject(stopping())
      const control = await current.catch(() => null)
      await control?.close()
    },
  }
}

/** Brings back a keeper that somebody has killed; and tells tmux before 3.6 to look for children whose SIGCHLD it missed, which only a launcher that was killed needs. */
async function tend(control: Control, pane: string, version: number, onBell: () => void): Promise<void> {
  if (pane === '') return
  const [answer] = await control.run(['display-message', '-p', '-t', pane, '#{pane_dead}'])
  if (answer?.[0] === '1') {
    await control.run(['respawn-pane', '-k', '-t', pane])
    onBell()
  } else if (version < 306) await control.run(['send-keys', '-t', pane, 'Enter'])
}

async function setUp(control: Control, pane: string, version: number): Promise<void> {
  const options = [
    ['-s', 'exit-empty', 'off'],
    // Otherwise `show-messages` keeps the last commands, and with them prompts.
    ['-s', 'message-limit', '0'],
    ['-s', 'set-clipboard', 'off'],
    ['-g', 'status', 'off'],
    ['-g', 'remain-on-exit', 'on'],
    // Otherwise "Pane is dead" scrolls the last screen by a line.
    ...(version >= 303 ? [['-g', 'remain-on-exit-format', '']] : []),
    ['-g', 'automatic-rename', 'off'],
    ['-g', 'allow-rename', 'off'],
    ['-g', 'update-environment', ''],
    ['-g', 'default-terminal', 'tmux-256color'],
    ['-g', 'history-limit', String(historyLimit)],
    ['-g', 'default-shell', '/bin/sh'],
  ]
  await control.run(...options.map((option) => ['set-option', ...option]), ['set-hook', '-g', 'pane-died', `send-keys -t ${pane} -l x`])
}

const stopping = () => new InstarError('backend_unavailable', 'Cannot ask tmux: the server is stopping')

async function patience(patienceMs: number): Promise<never> {
  await new Promise((resolve) => setTimeout(resolve, patienceMs).unref())
  throw new InstarError('backend_unavailable', 'Cannot ask tmux: there is no connection to it now')
}
