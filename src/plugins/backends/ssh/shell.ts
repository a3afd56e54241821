import { randomBytes } from 'node:crypto'
import { InstarError } from '../../../runtime/error.ts'
import { pieces } from '../../../runtime/pieces.ts'
import { complaintLength, notStarted, startChild } from '../child.ts'
import { maxTextBytes, type LocalProcess } from '../place.ts'

/** A shell that says nothing for so long while it is asked something is lost; answers come in order, so none can be skipped. */
const silenceMs = 10_000
/** A longer answer is read to its end, and is a failure: a text, and what is said with it. */
const maxAnswerBytes = maxTextBytes + 4096
/** One that is longer than this has no end. */
const endlessBytes = 1024 * 1024 * 1024

/** What a snippet exits with when what it is about is not there. */
export const goneStatus = 44

interface Asked {
  readonly marker: Buffer
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
}

export interface Answer {
  readonly status: number
  readonly output: Buffer
}

/**
 * A `sh` of another machine that reads snippets from its standard input and answers each with its output, a random word and
 * its exit status. They run one after the other in the same shell: none may wait for anything, read standard input, or
 * exit. When the shell goes away all that is open fails with `backend_unavailable`: whether it ran is unknown.
 */
export class Shell {
  #asked: Asked[] = []
  readonly #output = pieces()
  /** Up to here no marker begins. */
  #searched = 0
  /** Of an answer that is too long. */
  #dropped = 0
  #count = 0
  #closed: Error | null = null
  #heardAt = Date.now()
  readonly #nonce = randomBytes(12).toString('hex')
  readonly #child
  readonly #host: string
  readonly #watchdog: NodeJS.Timeout
  /** Resolves, never rejects, when it is gone. */
  readonly closed: Promise<Error>

  constructor(process: LocalProcess, host: string, explain: (complaint: string) => string) {
    this.#host = host
    const { child, complaint } = startChild(process)
    this.#child = child
    this.#child.stdout.on('data', (bytes: Buffer) => this.#feed(bytes))
    this.#watchdog = setInterval(() => this.#check(), 1000).unref()
    this.closed = this.#child.then((result) => {
      const said = [complaint(), this.#said().toString('utf8').slice(-complaintLength)].join('\n')
      return this.#fail(new Error(notStarted(process.argv[0], result) ?? explain(said), { cause: result }))
    })
  }

  /** Resolves when the snippet has run, however that went. */
  run(snippet: string): Promise<Answer> {
    if (this.#closed) return Promise.reject(this.#unavailable(this.#closed))
    if (snippet.includes('\0')) return Promise.reject(new RangeError('a shell cannot be given NUL'))
    const word = `${this.#nonce}-${this.#count++}`
    if (this.#asked.length === 0) this.#heardAt = Date.now()
    return new Promise((resolve, reject) => {
      this.#asked.push({ marker: Buffer.from(`\n${word} `), resolve, reject })
      this.#child.stdin.write(`{ ${snippet}\n} </dev/null\nprintf '\\n${word} %d\\n' $?\n`)
    })
  }

  /** Resolves to the output of a snippet; null when it says that what it is about is gone. Rejects with its words when it failed. */
  async ask(snippet: string): Promise<Buffer | null> {
    const { status, output } = await this.run(snippet)
    if (status === 0) return output
    if (status === goneStatus) return null
    const words = output.toString('utf8').trim().split('\n').at(-1)
    throw failed(this.#host, words || `its shell says ${status}`)
  }

  /** Ends it, and what runs over its connection, as if the network were gone. */
  kill(reason?: Error): void {
    if (reason) this.#fail(reason)
    this.#child.kill('SIGKILL')
  }

  /** Ends it as a person would; waits for it. */
  async close(): Promise<void> {
    this.#child.stdin.end()
    await this.closed
  }

  #said(): Buffer {
    const { buffer, byteOffset, byteLength } = this.#output.bytes()
    return Buffer.from(buffer, byteOffset, byteLength)
  }

  #feed(bytes: Buffer): void {
    this.#heardAt = Date.now()
    this.#output.add(bytes)
    for (let head; (head = this.#asked[0]);) {
      const output = this.#said()
      const begin = output.indexOf(head.marker, this.#searched)
      const end = begin < 0 ? -1 : output.indexOf(10, begin + head.marker.length)
      if (end < 0) {
        this.#searched = begin < 0 ? Math.max(0, output.length - head.marker.length) : begin
        break
      }
      const status = Number(output.toString('utf8', begin + head.marker.length, end))
      this.#asked.shift()
      if (this.#dropped + begin > maxAnswerBytes) head.reject(tooMuch(this.#host))
      else head.resolve({ status, output: output.subarray(0, begin) })
      this.#output.drop(end + 1)
      this.#searched = this.#dropped = 0
    }
    if (this.#output.bytes().length > maxAnswerBytes) this.#drop()
  }

  /** Holds no more of an answer that is too long than where its marker may begin. */
  #drop(): void {
    const count = this.#output.bytes().length - complaintLength
    this.#output.drop(count)
    this.#searched = Math.max(0, this.#searched - count)
    if (this.#asked.length === 0) return
    this.#dropped += count
    if (this.#dropped > endlessBytes) this.kill(new Error('what it answers has no end'))
  }

  #check(): void {
    if (this.#asked.length > 0 && Date.now() - this.#heardAt > silenceMs)
      this.kill(new Error(`it has not answered for ${silenceMs / 1000} s`))
  }

  #fail(error: Error): Error {
    if (this.#closed) return this.#closed
    this.#closed = error
    clearInterval(this.#watchdog)
    for (const { reject } of this.#asked.splice(0)) reject(this.#unavailable(error))
    return error
  }

  #unavailable(cause: Error): InstarError {
    return unreachable(this.#host, cause.message)
  }
}

export const unreachable = (host: string, reason: string): InstarError =>
  new InstarError('backend_unavailable', `Cannot reach ${host}: ${reason}`, { reason })

export const failed = (host: string, reason: string): InstarError =>
  new InstarError('backend_failed', `Cannot work on ${host}: ${reason}`, { reason })

const tooMuch = (host: string): InstarError =>
  new InstarError('backend_failed', `Cannot work on ${host}: it answers with more than ${maxTextBytes / 1024 / 1024} MiB`, {
    limit: maxTextBytes,
  })

/** Whether that is why a snippet failed. */
export const isTooMuch = (error: unknown): boolean => error instanceof InstarError && error.data['limit'] === maxTextBytes
