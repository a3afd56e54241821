import type { Keystroke } from '../../runtime/types.ts'

/** What the plugins of agents share: how texts get into a composer, and what stands in one. */

/** Whether a text is too long to be an argument: the kernel takes at most 128 KiB for one. */
export const isTooLong = (text: string): boolean => new TextEncoder().encode(text).length > 100_000

/** A text in pieces of at most so many lines and characters, which together are the text. */
export function chunks(text: string, { lines, characters }: { lines: number; characters: number }): string[] {
  const found: string[] = []
  let chunk = ''
  for (const piece of text.match(/[^\n]{1,200}|\n/gu) ?? []) {
    if (chunk.length + piece.length > characters || (chunk + piece).split('\n').length > lines) {
      found.push(chunk)
      chunk = ''
    }
    chunk += piece
  }
  return [...found, chunk]
}

/** Pastes, and Enter when the end of them shows. */
export const submitted = (pastes: readonly string[]): Keystroke[] => [
  ...pastes.map((text): Keystroke => ({ type: 'paste', text })),
  { type: 'visible', text: pastes.join('') },
  { type: 'key', key: 'Enter' },
]

// eslint-disable-next-line no-control-regex
const style = /\x1b\[[0-9;]*m/g

/** A screen with styles, without what is dim, and without the character under a cursor that is part of it. */
export function withoutSuggestion(screen: string): string {
  // eslint-disable-next-line no-control-regex
  return screen
    .replace(/(?:\x1b\[7m(?:\x1b\[[0-9;]*m)*[^\x1b])?\x1b\[(?:\d+;)*2m(?:\x1b\[(?!0?m|22m)[0-9;]*m|[^\x1b])*/g, '')
    .replace(style, '')
}

/** The text between the last two lines that match `rule`, each line without what matches `margin`; null without such lines. */
export function boxed(screen: string, rule: RegExp, margin: RegExp): string | null {
  const lines = screen.split('\n').map((line) => line.trimEnd())
  const end = lines.findLastIndex((line) => rule.test(line))
  const begin = lines.slice(0, Math.max(end, 0)).findLastIndex((line) => rule.test(line))
  if (begin < 0) return null
  return lines
    .slice(begin + 1, end)
    .map((line) => line.replace(margin, ''))
    .join('\n')
    .trim()
}
