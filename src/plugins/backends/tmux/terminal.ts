import { randomBytes } from 'node:crypto'
import { InstarError } from '../../../runtime/error.ts'
import type { Keystroke } from '../../../runtime/types.ts'
import type { Control } from './control.ts'
import { line, unvis } from './protocol.ts'

const visibleTimeoutMs = 2000
const lookAgainMs = 15

/** A connected client and the version of its server, such as 303. */
export interface Client {
  readonly control: Control
  readonly version: number
}

/**
 * The last `lines` lines of a pane's history and its whole screen, without trailing blank lines; with `styles` as SGR
 * sequences.
 *
 * `capture-pane -p` on a control connection leaks its whole text in tmux 3.2-3.5, so the text goes through a buffer.
 */
export async function screenOf({ control, version }: Client, pane: string, lines: number, styles = false): Promise<string[]> {
  const buffer = `instar-${randomBytes(6).toString('hex')}`
  const [, text] = await Promise.all([
    control.run(['capture-pane', ...(styles ? ['-e'] : []), '-b', buffer, '-S', lines === 0 ? '0' : `-${lines}`, '-t', pane]),
    control.read(['show-buffer', '-b', buffer]),
    control.run(['delete-buffer', '-b', buffer]),
  ])
  const screen = trimEnd(version < 304 ? text.map(unvis) : text)
  if (version >= 303 || !screen.at(-1)?.startsWith('Pane is dead')) return screen
  // tmux 3.2 adds a line of its own to the screen of a dead pane.
  const [answer] = await control.run(['display-message', '-p', '-t', pane, '#{pane_dead}'])
  return answer?.[0] === '0' ? screen : trimEnd(screen.slice(0, -1))
}

export function trimEnd(lines: readonly string[]): string[] {
  return lines.slice(0, lines.findLastIndex((text) => text.trim() !== '') + 1)
}

/**
 * Types into a pane. Resolves to false when its program is gone. What needs no look at the screen in between goes on one
 * line, so that a server that dies in the middle has typed all of it or nothing.
 */
export async function press(client: Client, pane: string, keystrokes: readonly Keystroke[]): Promise<boolean> {
  const commands: string[][] = []
  const buffers: string[] = []
  const type = async (): Promise<boolean> => {
    if (commands.length === 0) return true
    try {
      const answers = await client.control.run(...commands.splice(0))
      return !answers.some((lines) => lines[0] === dead)
    } catch (error) {
      await Promise.allSettled(buffers.map((buffer) => client.control.run(['delete-buffer', '-b', buffer])))
      // What tmux 3.4 and newer say of a program that ends in between.
      if (error instanceof InstarError && /pane has exited|can't find pane/.test(error.message)) return false
      throw error
    }
  }
  for (const stroke of keystrokes) {
    if (stroke.type === 'visible') {
      if (!(await type())) return false
      await waitVisible(client, pane, stroke.text)
    } else if (stroke.type === 'pause') {
      if (!(await type())) return false
      await new Promise((resolve) => setTimeout(resolve, stroke.ms))
    } else if (stroke.type === 'key') commands.push(...key(pane, stroke.key))
    else if (typeable(stroke.text) !== '') {
      const buffer = `instar-${randomBytes(6).toString('hex')}`
      buffers.push(buffer)
      commands.push(...paste(pane, buffer, typeable(stroke.text)))
    }
  }
  return type()
}

const dead = 'the program in this pane is dead'

/** Pasting into a dead pane ends the whole tmux server (seen with 3.3a), so tmux itself looks first, in the same turn. */
const whileAlive = (pane: string, command: string[], otherwise: string[][] = []): string[] => [
  'if-shell',
  '-F',
  '-t',
  pane,
  '#{pane_dead}',
  line([...otherwise, ['display-message', '-p', dead]]),
  line([command]),
]

function paste(pane: string, buffer: string, text: string): string[][] {
  return [
    ['set-buffer', '-b', buffer, '--', text],
    whileAlive(pane, ['paste-buffer', '-d', '-p', '-b', buffer, '-t', pane], [['delete-buffer', '-b', buffer]]),
  ]
}

function key(pane: string, name: string): string[][] {
  // A person who has scrolled back is in copy mode, which would take the key.
  const leave = ['if-shell', '-F', '-t', pane, '#{pane_in_mode}', line([['send-keys', '-t', pane, '-X', 'cancel']])]
  return [leave, whileAlive(pane, ['send-keys', '-t', pane, '--', name])]
}

/** An Enter that a busy program reads together with a paste counts as part of it: wait until the end of the paste shows. */
async function waitVisible(client: Client, pane: string, text: string): Promise<void> {
  const tail = squeeze(typeable(text)).slice(-12)
  for (const began = Date.now(); Date.now() - began < visibleTimeoutMs;) {
    const screen = squeeze((await screenOf(client, pane, 0)).join(''))
    if (screen.includes(tail) || /\[Pasted/i.test(screen)) return
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
  }
}

const squeeze = (text: string): string => text.replace(/\s+/g, '')

/** A text without what a terminal would act on: it could leave the bracketed paste, or press a key. */
function typeable(text: string): string {
  return text.replace(/\r\n?/g, '\n').replace(/[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f]/g, '')
}
