import type { Keystroke } from '../../runtime/types.ts'
import { submitted } from './text.ts'

/** Not a command, an option's quotes, a word that quits, or the beginning of a name that Enter would complete. */
export function harmless(text: string): string {
  const quits = /^\s*(exit|quit|:q)\s*$/.test(text)
  return `${/^["'/]/.test(text) ? ' ' : ''}${text}${quits ? '.' : /@\S*$/.test(text) ? ' ' : ''}`
}

/** In two pastes: of a long one leading blanks are cut off, and one that is an image's path would attach the image. */
export function keystrokes(text: string): Keystroke[] {
  const [, first = '', rest = ''] = /^(\s*\S?)([^]*)$/.exec(harmless(text)) ?? []
  return submitted([first, rest])
}

// eslint-disable-next-line no-control-regex
const style = /\x1b\[[\d;:]*m/g
/** A dialog, which would take what is typed. Its title is bold. */
// eslint-disable-next-line no-control-regex
const dialog = /\x1b\[1m.+? {3,}esc {2,}/

/** The composer is a bar with a foot, as wide as its foot; its last line tells the mode, such as that for shell lines. */
export function draft(screen: string): string | null {
  if (dialog.test(screen.replace(style, (each) => (each === '\x1b[1m' ? each : '')))) return null
  const lines = screen.replace(style, '').split('\n')
  const end = lines.findLastIndex((line) => /^ *╹▀+/.test(line))
  const [, left, foot] = /^( *)╹(▀+)/.exec(lines[end] ?? '') ?? []
  if (left === undefined || foot === undefined) return null
  const begin = lines.findLastIndex((line, place) => place < end && line[left.length] !== '┃') + 1
  const rows = lines.slice(begin, end).map((line) => columns(line.slice(left.length + 1), foot.length))
  const isShell = /^ *Shell/.test(rows.pop() ?? '')
  // Above it is the list of what could be completed.
  const text = rows.filter((row) => !row.endsWith('┃')).map((row) => row.slice(2).trimEnd())
  const said = text.join('\n').trim()
  return `${isShell ? '!' : ''}${/^(Ask anything|Run a command)… "/.test(said) ? '' : said}`
}

const wide = /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\u3000-\u303f\uff01-\uff60]/u

/** The part of a line that is so many columns wide. */
function columns(line: string, width: number): string {
  let left = width
  return [...line].filter((character) => (left -= wide.test(character) ? 2 : 1) >= 0).join('')
}
