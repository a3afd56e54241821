/**
 * tmux control mode, as text. Pure.
 *
 * A line sent is answered with one block per command that ran: `%begin T N F`, its output, `%end T N F` or
 * `%error T N F`. How many blocks there will be cannot be known beforehand: an error drops the rest of the line, and
 * `if-shell -F` adds the blocks of what it ran. And the output of a pane can look like a guard line. So each line we
 * send is followed by a second one that prints a nonce, and everything up to the block with that nonce is the answer.
 */

/** One tmux argument as one token on one line. Inside single quotes nothing is special; NUL cannot be said at all. */
export function quote(argument: string): string {
  if (argument.includes('\0')) throw new RangeError('a tmux argument cannot hold NUL')
  if (!/['\n\r]/.test(argument)) return `'${argument}'`
  // eslint-disable-next-line no-control-regex
  return `"${argument.replace(/[\\"$~\x01-\x1f\x7f]/g, (c) => '\\' + c.charCodeAt(0).toString(8).padStart(3, '0'))}"`
}

/** Commands as one line: they run back to back, and an error stops the rest. */
export const line = (commands: readonly (readonly string[])[]): string => commands.map((words) => words.map(quote).join(' ')).join(' ; ')

/** Makes a text mean itself where tmux expands formats: the command of pipe-pane. `#(…)` there would be run. Before `[`, which begins a style, tmux keeps every `#` as it is. */
export const literal = (text: string): string => text.replace(/#+(\[?)/g, (run, style) => (style ? run : run + run))

/** The same where tmux expands strftime as well: the command of pipe-pane. */
export const literalTime = (text: string): string => literal(text).replaceAll('%', '%%')

export interface Block {
  readonly ok: boolean
  readonly lines: readonly string[]
}

export interface Answer {
  /** The blocks of our commands, in order; those of hooks are left out. */
  readonly blocks: readonly Block[]
  /** The notifications that came in between. */
  readonly notifications: readonly string[]
}

/** Reads the answer of commands whose output tmux itself wrote, up to the block of the nonce. */
export function parseAnswer(lines: readonly string[]): Answer {
  const blocks: Block[] = []
  const notifications: string[] = []
  for (let i = 0; i < lines.length; i++) {
    const guard = beginOf(lines[i]!)
    if (guard === null) {
      if (lines[i]!.startsWith('%')) notifications.push(lines[i]!)
      continue
    }
    const end = lines.findIndex((text, j) => j > i && (text === `%end ${guard}` || text === `%error ${guard}`))
    if (end < 0) break
    if (isOurs(guard)) blocks.push({ ok: lines[end]!.startsWith('%end'), lines: lines.slice(i + 1, end) })
    i = end
  }
  return { blocks, notifications }
}

/** Reads the answer of one command whose output a program in a pane wrote: its block ends at the last line that could end it. */
export function parseUntrusted(lines: readonly string[]): Answer {
  const begin = lines.findIndex((text) => isOurs(beginOf(text) ?? ''))
  const guard = beginOf(lines[begin] ?? '')
  const end = lines.findLastIndex((text) => text === `%end ${guard}` || text === `%error ${guard}`)
  const outside = [...lines.slice(0, Math.max(begin, 0)), ...lines.slice(end + 1)]
  const notifications = parseAnswer(outside).notifications
  if (guard === null || end < begin) return { blocks: [], notifications }
  return { blocks: [{ ok: lines[end]!.startsWith('%end'), lines: lines.slice(begin + 1, end) }], notifications }
}

const beginOf = (text: string): string | null => (text.startsWith('%begin ') ? text.slice(7) : null)

/** The last field of a guard: 1 for commands of this client's own lines, 0 for those of hooks. */
const isOurs = (guard: string): boolean => (Number(guard.split(' ')[2]) & 1) === 1

/** `show-buffer` before tmux 3.4 writes control characters, `\` and some `$` in the style of vis(3). */
export function unvis(text: string): string {
  const named: Record<string, string> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', s: ' ', t: '\t', v: '\v', '0': '\0' }
  return text.replace(/\\([0-3][0-7]{2}|[\\$abfnrstv0])/g, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : (named[code] ?? code),
  )
}

/** `3.3a`, `next-3.8`, `openbsd-7.4` → a number to compare, such as 303; an unknown form counts as new. */
export function versionNumber(version: string): number {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(version.startsWith('openbsd') ? '' : version) ?? []
  return major === undefined ? 999 : Number(major) * 100 + Number(minor)
}
