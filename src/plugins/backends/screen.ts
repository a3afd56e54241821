import type { Screen } from '../../runtime/backend.ts'

/** Without the blank ones at the end. */
export function trimEnd(lines: readonly string[]): string[] {
  return lines.slice(0, lines.findLastIndex((text) => text.trim() !== '') + 1)
}

/** The last of some lines. */
export const lastLines = (all: readonly string[], lines: number): Screen => ({
  text: all.slice(-lines).join('\n'),
  truncated: all.length > lines,
})
