import type { Keystroke } from '../../runtime/types.ts'

/** What stands in the composer while nothing is typed. */
export const placeholder = 'Type your message or @path/to/file'

/** Keeps a text from being a command, or naming a file outside of the workspace, which it would ask about; invisible. */
const wordJoiner = '\u2060'
export const harmless = (text: string): string =>
  text.replace(/^(?=\s*\/(?![/*])[^\s/]*(?:\s|$))/, wordJoiner).replaceAll(/@(?=[/~."']|\S*\.\.)/g, `@${wordJoiner}`)

/** An Enter that comes with a paste, or within 50 ms, is a part of it. */
const afterPaste: Keystroke = { type: 'pause', ms: 150 }

export function keystrokes(text: string): Keystroke[] {
  // An Enter after a backslash is a new line, and after the name of a file it takes what is suggested.
  const safe = harmless(text).replace(/(?:\\|@\S*)$/, '$& ')
  return [
    { type: 'paste', text: safe },
    { type: 'visible', text: safe.replaceAll(wordJoiner, '') },
    afterPaste,
    { type: 'key', key: 'Enter' },
  ]
}

// eslint-disable-next-line no-control-regex
const style = /\x1b\[[0-9;]*m/g
const inverse = '\x1b[7m'

/** From its mark, which is another for a shell command, to its last indented line. It has the cursor in it; on an empty cell right after the mark, what follows is a placeholder. */
export function draft(screen: string): string | null {
  const lines = screen.split('\n')
  const plain = lines.map((line) => line.replaceAll(style, '').trimEnd())
  const first = plain.findLastIndex((line) => /^ [>*](?: |$)/.test(line))
  if (first < 0) return null
  const length = plain.slice(first + 1).findIndex((line) => line !== '' && !line.startsWith('   '))
  const last = length < 0 ? lines.length : first + 1 + length
  if (!lines.slice(first, last).some((line) => line.includes(inverse))) return null
  // eslint-disable-next-line no-control-regex
  if (/^\s*[>*] *\x1b\[7m(?:\x1b\[[0-9;]*m)* /.test(lines[first]!.replaceAll(/\x1b\[(?!7m)[0-9;]*m/g, ''))) return ''
  return plain
    .slice(first, last)
    .map((line) => line.slice(3))
    .join('\n')
    .trim()
}
