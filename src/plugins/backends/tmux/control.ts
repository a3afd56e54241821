import { randomBytes } from 'node:crypto'
import { StringDecoder } from 'node:string_decoder'
import { InstarError } from '../../../runtime/error.ts'
import { notStarted, startChild } from '../child.ts'
import type { LocalProcess } from '../place.ts'
import { line, parseAnswer, parseUntrusted, type Answer, type Block } from './protocol.ts'

/** An answer that takes longer means that the connection is broken; answers come in order, so none can be skipped. */
const answerTimeoutMs = 10_000

/** Of what tmux says of itself, in a reason. */
const maxComplaint = 500

interface Pending {
  readonly nonce: string
  readonly parse: (lines: readonly string[]) => Answer
  readonly resolve: (blocks: readonly Block[]) => void
  readonly reject: (error: Error) => void
  readonly sentAt: number
}

/**
 * One `tmux -C` client. Commands are pipelined and answered in order. When the client goes away every open command
 * fails with `backend_unavailable`: whether it ran is unknown.
 */
export class Control {
  #pending: Pending[] = []
  #lines: string[] = []
  #rest = ''
  #inBlock: string | null = null
  #closed: Error | null = null
  readonly #child
  readonly #decoder = new StringDecoder('utf8')
  readonly #notify: (notification: string) => void
  readonly #watchdog: NodeJS.Timeout
  #close: (cause: Error) => void = () => {}
  get isClosed(): boolean {
    return this.#closed !== null
  }
  /** Resolves, never rejects, when the client is gone or given up: tmux keeps the output of one that was killed open. */
  readonly closed: Promise<Error>

  constructor(process: LocalProcess, notify: (notification: string) => void) {
    this.#notify = notify
    const { child, complaint } = startChild(process)
    this.#child = child
    this.#child.stdout.on('data', (bytes: Buffer) => this.#feed(this.#decoder.write(bytes)))
    this.#watchdog = setInterval(() => this.#check(), 1000).unref()
    this.closed = new Promise((resolve) => (this.#close = resolve))
    void this.#child.then((cause) =>
      this.#fail(
        new Error(complaint().trim().slice(-maxComplaint) || notStarted(process.argv[0], cause) || 'it closed the connection', { cause }),
      ),
    )
  }

  /** Runs commands back to back on one line. Resolves to the output lines of each command that ran; rejects with tmux's words when one failed. */
  async run(...commands: readonly (readonly string[])[]): Promise<string[][]> {
    const blocks = await this.#send(line(commands), parseAnswer)
    const failed = blocks.find((block) => !block.ok)
    if (failed) throw refused(failed)
    return blocks.map((block) => [...block.lines])
  }

  /** Runs one command whose output a program in a pane may have written. */
  async read(command: readonly string[]): Promise<string[]> {
    const [block] = await this.#send(line([command]), parseUntrusted)
    if (!block?.ok) throw refused(block)
    return [...block.lines]
  }

  /** Ends the client, not the tmux server. Waits for it: a tmux server whose client vanishes in mid-air can hang at its own end (seen with 3.3a). */
  async close(): Promise<void> {
    this.#child.stdin.end()
    await this.closed
  }

  #send(text: string, parse: Pending['parse']): Promise<readonly Block[]> {
    if (this.#closed) return Promise.reject(unavailable(this.#closed))
    const nonce = `instar-${randomBytes(12).toString('hex')}`
    return new Promise((resolve, reject) => {
      this.#pending.push({ nonce, parse, resolve, reject, sentAt: Date.now() })
      this.#child.stdin.write(`${text}\ndisplay-message -p ${nonce}\n`)
    })
  }

  #feed(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!
    for (const each of lines) this.#take(each)
  }

  #take(text: string): void {
    const head = this.#pending[0]
    if (!head) return this.#between(text)
    const before = this.#lines.at(-1)
    if (text !== head.nonce || !before?.startsWith('%begin ')) {
      this.#lines.push(text)
      return
    }
    const { blocks, notifications } = head.parse(this.#lines.slice(0, -1))
    this.#lines = []
    this.#inBlock = before.slice(7)
    this.#pending.shift()
    head.resolve(blocks)
    for (const notification of notifications) this.#notify(notification)
  }

  /** While nothing is asked: notifications, and the blocks of hooks, which are skipped. */
  #between(text: string): void {
    if (this.#inBlock !== null) {
      if (text === `%end ${this.#inBlock}` || text === `%error ${this.#inBlock}`) this.#inBlock = null
    } else if (text.startsWith('%begin ')) this.#inBlock = text.slice(7)
    else if (text.startsWith('%')) this.#notify(text)
  }

  #check(): void {
    const head = this.#pending[0]
    if (!head || Date.now() - head.sentAt < answerTimeoutMs) return
    this.#fail(new Error(`tmux did not answer within ${answerTimeoutMs / 1000} s`))
    this.#child.kill('SIGKILL')
  }

  #fail(error: Error): void {
    if (this.#closed) return
    this.#closed = error
    clearInterval(this.#watchdog)
    for (const pending of this.#pending.splice(0)) pending.reject(unavailable(error))
    this.#close(error)
  }
}

const refused = (block: Block | undefined): InstarError =>
  new InstarError('backend_failed', `Cannot get tmux to do it: ${block?.lines.join(' ') || 'it does not say why'}`)

const unavailable = (cause: Error): InstarError =>
  new InstarError('backend_unavailable', `Cannot ask tmux: ${cause.message.split('\n')[0]}`, {}, cause)
