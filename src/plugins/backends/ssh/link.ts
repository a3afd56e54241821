import { lstat, mkdir, rm, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Health } from '../../../runtime/backend.ts'
import { InstarError } from '../../../runtime/error.ts'
import { deferred, type Deferred } from '../../../runtime/deferred.ts'
import type { LocalProcess } from '../place.ts'
import type { Ssh } from './options.ts'
import { Shell, unreachable } from './shell.ts'
import { sshReason } from './words.ts'

/** ssh gives up a host that does not answer after 10 s; a login that takes longer than this hangs. */
const loginTimeoutMs = 20_000
const backoffMs = [200, 500, 1000, 2000, 5000, 10_000]
/** How long a verb waits for a connection that is being made. */
const patienceMs = 5000
/** How long the far ends may take to go by themselves when it is closed. */
const leaveMs = 1000

/**
 * The one connection to a host: makes it, notices that it is lost, makes it again.
 *
 *   lost ─ ssh -M ▸ sh answers ▸ prepare ─▶ found ─ ssh or sh ends, or says nothing for 10 s ─▶ lost ─ back-off ─▶ …
 */
export interface Link {
  /** Begins to connect, and goes on until `close`. */
  open(): void
  /** The shell there. Waits a little for a connection that is being made. Rejects with the reason when there is none. */
  shell(): Promise<Shell>
  /** The same at once: what is only looked at can wait for the next connection. */
  shellNow(): Shell
  /** Resolves when there is a connection, however long that takes. */
  found(): Promise<void>
  /** A further command over the connection. */
  channel(command: string): LocalProcess
  /** As it is now; while the first attempt is under way, how that ends. */
  check(): Promise<Health>
  /** Ends this connection, to make another. */
  reconnect(reason: Error): void
  close(): Promise<void>
}

export interface LinkOptions {
  readonly ssh: Ssh
  readonly host: string
  /** Makes ready what needs the new connection. Rejects when it is of no use. */
  readonly prepare: (shell: Shell, channel: Link['channel']) => Promise<void>
  readonly onFound: () => void
  readonly onLost: (reason: string) => void
}

export function createLink({ ssh, host, prepare, onFound, onLost }: LinkOptions): Link {
  let shell: Shell | null = null
  let up: Deferred = deferred()
  /** Settles with the attempt that is under way, or the last one. */
  let attempt: Promise<void> = Promise.resolve()
  let reason = 'it has not been tried yet'
  let running: Promise<void> | null = null
  let closing = false
  let hurry = () => {}

  /** Resolves when it is lost again. */
  async function connect(): Promise<Error> {
    await prepareSocket(ssh.socket)
    const next = new Shell(ssh.master, host, (said) => sshReason(said, ssh.destination))
    const tooLong = setTimeout(() => next.kill(new Error('its login does not come to an end')), loginTimeoutMs)
    try {
      await next.ask('exec 2>&1')
      await prepare(next, ssh.channel)
    } catch (error) {
      next.kill(error instanceof InstarError ? new Error(String(error.data['reason'])) : (error as Error))
      throw await next.closed
    } finally {
      clearTimeout(tooLong)
    }
    if (closing) {
      next.kill(new Error('it is closed'))
      return next.closed
    }
    shell = next
    onFound()
    up.resolve()
    return next.closed
  }

  async function keep(): Promise<void> {
    for (let failures = 0; !closing; failures++) {
      const began = deferred()
      attempt = began.promise
      up.promise.then(began.resolve, began.resolve)
      const wasFound = () => shell !== null
      const lost = await connect().catch((error: Error) => error)
      if (wasFound()) {
        failures = 0
        shell = null
        up = deferred()
      }
      const isNews = failures === 0 || reason !== lost.message
      reason = lost.message
      began.resolve()
      if (closing) return
      if (isNews) onLost(reason)
      const wait = backoffMs[Math.min(failures, backoffMs.length - 1)]!
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, wait).unref()
        hurry = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  async function patiently<T>(promise: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout
    const patience = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(unreachable(host, reason)), patienceMs).unref()
    })
    return Promise.race([promise, patience]).finally(() => clearTimeout(timer))
  }

  const link: Link = {
    open: () => void (running ??= keep()),
    shellNow() {
      if (shell) return shell
      throw unreachable(host, closing ? 'the server is stopping' : reason)
    },
    async shell() {
      if (shell) return shell
      if (!closing) link.open()
      await patiently(attempt)
      return link.shellNow()
    },
    async found() {
      link.open()
      while (!shell) {
        if (closing) throw unreachable(host, 'the server is stopping')
        await up.promise
      }
    },
    channel: ssh.channel,
    async check() {
      if (!shell) {
        link.open()
        await attempt
      }
      return shell ? { ok: true, detail: host } : { ok: false, reason: `${host}: ${reason}` }
    },
    reconnect: (why) => shell?.kill(why),
    async close() {
      closing = true
      hurry()
      up.reject(unreachable(host, 'the server is stopping'))
      const leaving = shell
      if (leaving) {
        await Promise.race([leaving.close(), new Promise((resolve) => setTimeout(resolve, leaveMs).unref())])
        leaving.kill()
      }
      await running
      await rm(ssh.socket, { force: true })
      // Where it has a directory to itself, that goes too.
      await rmdir(dirname(ssh.socket)).catch(() => {})
    },
  }
  return link
}

/** A socket that a killed server left behind would be taken for a connection. Nobody else may make one here. */
async function prepareSocket(socket: string): Promise<void> {
  const directory = dirname(socket)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const { uid, mode } = await lstat(directory)
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) throw new Error(`others may write into ${directory}, where its socket has to be`)
  await rm(socket, { force: true })
}
