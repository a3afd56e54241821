import type { Launch } from '../../runtime/types.ts'
import { document } from './text.ts'

/**
 * How instructions reach codex: its SessionStart hook, which runs at a start, after a compaction and after /clear, gives them
 * to the model. In an argument (`developer_instructions`) everybody on the machine could read them, and 128 KiB is the limit.
 * A conversation that is resumed has those it began with, and is told what holds instead.
 */
export const start = `\
payload=$(cat)
printf '%s' "$payload" | sh "$INSTAR_HOOK" SessionStart
case $payload in
  *'"source":"resume"'*) name=resumed.json ;;
  *) name=instructions.json ;;
esac
cat "\${INSTAR_HOOK%/*}/$name" 2>/dev/null || :
`

/** More than any instructions have: otherwise codex shows the model the beginning only. */
export const contextLimit = 10_000_000

export function instructionFiles({ instructions, resume, areInstructionsKnown }: Launch): Record<string, string> {
  const told = document(instructions)
  const anew =
    told === ''
      ? 'What you were told of yourself when this conversation began holds no longer.'
      : `From now on this holds, in place of what you were told of yourself when this conversation began:\n\n${told}`
  const give = (additionalContext: string) => JSON.stringify({ hookSpecificOutput: { hookEventName: 'SessionStart', additionalContext } })
  return {
    'start.sh': start,
    ...(told === '' ? {} : { 'instructions.json': give(told) }),
    ...(resume === null || areInstructionsKnown ? {} : { 'resumed.json': give(anew) }),
  }
}
