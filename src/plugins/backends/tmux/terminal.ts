import { randomBytes } from 'node:crypto'
import { InstarError } from '../../../runtime/error.ts'
import type { Sighting, Terminal } from '../../../runtime/backend.ts'
import type { Command, Handle, Keystroke } from '../../../runtime/types.ts'
import { shellQuote } from '../quote.ts'
import { trimEnd } from '../screen.ts'
import { isVisible, typeable, visibleTimeoutMs } from '../typeable.ts'
import type { Control } from './control.ts'
import { keeperName } from './connection.ts'
import { line, literalTime, unvis } from './protocol.ts'

const lookAgainMs = 15

/** A connected client and the version of its server, such as 303. */
export interface Client {
  readonly control: Control
  readonly version: number
}

/** The pane of a session of ours. */
export interface Row {
  readonly id: string
  readonly pane: string
  readonly pid: number
  readonly dead: boolean
  readonly status: string
  readonly signal: string
  readonly title: string
}

export async function rowsOf({ control }: Client): Promise<Row[]> {
  const fields = ['@instar_id', 'pane_id', 'pane_pid', 'pane_dead', 'pane_dead_status', 'pane_dead_signal', 'pane_title']
  const format = fields.map((field) => `#{${field}}`).join('\t')
  const [lines] = await control.run(['list-panes', '-a', '-f', '#{@instar_id}', '-F', format])
  return lines!.map((text) => {
    const [id = '', pane = '', pid, dead, status = '', signal = '', ...title] = text.split('\t')
    return { id, pane, pid: Number(pid), dead: dead === '1', status, signal, title: title.join('\t') }
  })
}

/** What a new terminal runs, and what it is called. */
export interface NewTerminal extends Pick<Command, 'size' | 'titles'> {
  readonly id: string
  readonly name: string
  readonly launcher: string
  readonly directory: string
}

/** Makes a tmux session, with its log: one line, so that tmux reads nothing from the pane before the log is there. */
export async function newTerminal(
  { control, version }: Client,
  { id, name, launcher, directory, size, titles }: NewTerminal,
): Promise<Pick<Row, 'pane' | 'pid'>> {
  const target = `=${name}:`
  const log = literalTime(`exec cat >>${shellQuote(`${directory}/output.log`)}`)
  const wanted = ['-x', String(size.cols), '-y', String(size.rows)]
  // tmux 3.2 makes it 80x24 whatever is asked for.
  const resize = version < 303 ? [['resize-window', '-t', target, ...wanted]] : []
  const listen = titles
    ? [
        ['set-option', '-t', target, '@instar_titles', '1'],
        ['set-hook', '-p', '-t', target, 'pane-title-changed', line([['send-keys', '-t', `=${keeperName}:`, '-l', 'x']])],
      ]
    : []
  const named = ['-s', name, '-n', 'agent', ...wanted, '-c', '/']
  const [made] = await control.run(
    ['new-session', '-d', '-P', '-F', '#{pane_id} #{pane_pid}', ...named, '--', '/bin/sh', launcher, directory],
    ['set-option', '-t', target, '@instar_id', id],
    ['pipe-pane', '-t', target, log],
    ...resize,
    ...listen,
  )
  const [pane = '', pid] = made![0]!.split(' ')
  return { pane, pid: Number(pid) }
}

/** The sessions of ours, as `Backend.list` tells them. */
export async function sightingsOf({ control }: Client): Promise<Sighting[]> {
  const format = '#{@instar_id}\t#{@instar_titles}\t#{session_name}'
  const [lines] = await control.run(['list-sessions', '-f', '#{@instar_id}', '-F', format])
  return lines!.map((text) => {
    const [id = '', titles, ...name] = text.split('\t')
    return { id, handle: handleOf(id, name.join('\t'), titles === '1') }
  })
}

export const handleOf = (id: string, name: string, titles = false): Handle => ({ id, name, ...(titles ? { titles: 1 } : {}) })

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
  for (const began = Date.now(); Date.now() - began < visibleTimeoutMs;) {
    if (isVisible((await screenOf(client, pane, 0)).join(''), text)) return
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
  }
}

/** What the server lists, whoever made it. */
export async function terminalsOf({ control }: Client): Promise<Terminal[]> {
  const [lines] = await control.run(['list-sessions', '-F', '#{@instar_id}\t#{session_created}\t#{session_attached}\t#{session_name}'])
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
