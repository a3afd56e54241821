import { spawn } from 'node:child_process'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { kill } from 'node:process'
import { InstarError } from '../../../runtime/error.ts'
import type { Keystroke } from '../../../runtime/types.ts'
import { typeable } from '../typeable.ts'

/** A program that runs as a child of the server, in a process group of its own. */
export interface Program {
  readonly pid: number
  /** Resolves when it has ended. */
  readonly ended: Promise<Ended>
  /** Does what a person's line-wise terminal would: a text reaches its standard input, C-c its process group. */
  type(stroke: Exclude<Keystroke, { type: 'visible' | 'pause' }>): Promise<void>
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly at: string
}

/** How long a program may take to read what is typed; it is not waited for for ever. */
const readTimeoutMs = 5000
/** That a program is gone may be known to its pipe before it is known to us. */
const endTimeoutMs = 1000

const texts: Readonly<Record<string, string>> = { Enter: '\n', Tab: '\t', Space: ' ' }
const signals: Readonly<Record<string, NodeJS.Signals>> = { 'C-c': 'SIGINT', 'C-\\': 'SIGQUIT' }
const endOfInput = 'C-d'

/** Whether a key means something where there is no terminal. */
export const isKey = (key: string): boolean => key in texts || key in signals || key === endOfInput || /^[!-~]$/.test(key)

/**
 * Runs what DIRECTORY/command says (see `commandFile`): with what the program prints in output.log, what its shell has
 * to say in launcher.err, and that it begins in signals.jsonl.
 */
export async function run(directory: string, name: string): Promise<Program> {
  const opened = await Promise.all(['output.log', 'signals.jsonl', 'launcher.err'].map((file) => open(join(directory, file), 'a', 0o600)))
  const [output, said, words] = opened.map(({ fd }) => fd) as [number, number, number]
  try {
    // The shell becomes the program.
    const child = spawn('/bin/sh', ['-c', '. "$1/command"', 'sh', directory], {
      env: {},
      cwd: '/',
      detached: true,
      stdio: ['pipe', output, output, 'ignore', said, words],
    })
    const input = child.stdin!
    input.on('error', () => {})
    const ended = new Promise<Ended>((resolve) =>
      child.once('exit', (code, signal) => resolve({ code, signal, at: new Date().toISOString() })),
    )
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
    const isOver = () => child.exitCode !== null || child.signalCode !== null

    async function write(text: string): Promise<void> {
      const refused = () => new InstarError('session_ended', `Cannot send to session "${name}": its program has ended`)
      if (isOver()) throw refused()
      if (text === '') return
      if (input.writableEnded)
        throw new InstarError('backend_failed', `Cannot send to session "${name}": its input was closed with ${endOfInput}`)
      const outcome = await Promise.race([
        new Promise<'read' | 'refused'>((resolve) => input.write(text, (error) => resolve(error ? 'refused' : 'read'))),
        after(readTimeoutMs),
      ])
      if (outcome === 'read') return
      if (outcome === 'refused') await Promise.race([ended, after(endTimeoutMs)])
      if (isOver()) throw refused()
      throw new InstarError('backend_failed', `Cannot send to session "${name}": its program does not read its input`)
    }

    return {
      pid: child.pid!,
      ended,
      async type(stroke) {
        if (stroke.type === 'paste') return write(typeable(stroke.text))
        const signal = signals[stroke.key]
        if (signal === undefined && stroke.key !== endOfInput) return write(texts[stroke.key] ?? stroke.key)
        await write('')
        if (signal) kill(-child.pid!, signal)
        else input.end()
      },
    }
  } catch (cause) {
    throw new InstarError('backend_failed', `Cannot start session "${name}": no process can be made now`, {}, cause)
  } finally {
    await Promise.all(opened.map((file) => file.close()))
  }
}

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref())
