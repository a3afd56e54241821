import { text } from 'node:stream/consumers'

/** Words that a person typed as one text. A single `-` reads standard input, without the newline at its end. */
export async function textOf(words: readonly string[]): Promise<string> {
  const typed = words.join(' ')
  return typed === '-' ? (await text(process.stdin)).replace(/\r?\n$/, '') : typed
}
