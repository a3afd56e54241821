import type { Instruction, Keystroke } from '../../runtime/types.ts'

/** What the plugins of agents share: how texts get into a composer, and what stands in one. */

/** Whether a text is too long to be an argument: the kernel takes at most 128 KiB for one. */
export const isTooLong = (text: string): boolean => new TextEncoder().encode(text).length > 100_000

/** A prompt as an argument; one that is too long as a file in the session's directory, and the request to read it. */
export function asArgument(prompt: string, directory: string): { prompt: string; files: Record<string, string> } {
  if (!isTooLong(prompt)) return { prompt, files: {} }
  const file = `${directory}/prompt.md`
  return { prompt: `Read the file ${file}: it is the user's full request for this session. Carry it out.`, files: { 'prompt.md': prompt } }
}

/** Instructions as one text, each under its title. */
export const document = (instructions: readonly Instruction[]): string =>
  instructions.map(({ title, text }) => `# ${title}\n\n${text.trim()}\n`).join('\n')

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

/** Whether a program tells of a text that was typed into it, whatever it makes of its white space. */
export const isSame = (told: unknown, typed: string): boolean => typeof told === 'string' && printed(told) === printed(typed)

// eslint-disable-next-line no-control-regex
const printed = (text: string): string => text.replace(/[\s\x00-\x1f\x7f-\x9f]+/g, '')

// As tmux writes them: the attributes, each one digit, in a sequence of their own, and colours in others (38;5;2 is a green).
// eslint-disable-next-line no-control-regex
const style = /\x1b\[[0-9;:]*m/g
const dim =
  // eslint-disable-next-line no-control-regex
  /(?:\x1b\[(?:\d;)*7m(?:\x1b\[[0-9;:]*m)*[^\x1b])?\x1b\[(?:\d;)*2(?:;\d)*m(?:\x1b\[(?!0?[;m]|22m)[0-9;:]*m|[^\x1b])*/g

/** A screen with styles, without what is dim, and without the character under a cursor that is part of it. */
export const withoutSuggestion = (screen: string): string => screen.replace(dim, (text) => text.replace(/[^\n]/g, '')).replace(style, '')

/**
 * The text between the last two lines that match `rule`, each line without what matches `margin`. Null without such lines,
 * and for a dialog: a composer begins with a margin, or with another mark than usual, such as the `!` before a command.
 */
export function boxed(screen: string, rule: RegExp, margin: RegExp): string | null {
  const lines = screen.split('\n').map((line) => line.trimEnd())
  const end = lines.findLastIndex((line) => rule.test(line))
  const begin = lines.slice(0, Math.max(end, 0)).findLastIndex((line) => rule.test(line))
  if (begin < 0 || !(margin.test(lines[begin + 1]!) || /^[!-~](?:\s|$)/.test(lines[begin + 1]!))) return null
  return lines
    .slice(begin + 1, end)
    .map((line) => line.replace(margin, ''))
    .join('\n')
    .trim()
}
