import { InstarError } from '../../runtime/error.ts'
import type { Launch } from '../../runtime/types.ts'
import { document } from './text.ts'

/** How instructions reach claude: as a file that is appended to its system prompt. */

const inline = '--append-system-prompt'

/** 2.1.197 takes either a text or a file, and no version takes two of one kind: a text in the arguments joins ours. */
export function instructions({ instructions, args }: Launch): { told: string; args: readonly string[] } {
  const told = document(instructions)
  if (told === '') return { told, args }
  if (args.some((arg) => arg.startsWith(`${inline}-file`)))
    throw new InstarError(
      'invalid_request',
      `Cannot spawn a session: its args have ${inline}-file, and claude takes one; leave out the hooks that give instructions, such as with hooks: {"identity": false}`,
      { field: 'args' },
    )
  const at = args.findIndex((arg) => arg === inline || arg.startsWith(`${inline}=`))
  if (at < 0) return { told, args }
  const given = args[at] === inline ? args[at + 1] : args[at]!.slice(inline.length + 1)
  return { told: `${told}\n${given ?? ''}\n`, args: args.toSpliced(at, args[at] === inline ? 2 : 1) }
}

/**
 * Newer versions send a resumed conversation the instructions that it began with, whatever they are now, unless told not
 * to in words that make older ones refuse to start.
 */
export const anew = (program: string): readonly [string, ...string[]] => [
  'sh',
  '-c',
  '"$0" --help </dev/null 2>/dev/null | grep -q -e --system-prompt-snapshot && set -- --system-prompt-snapshot off "$@"; exec "$0" "$@"',
  program,
]
