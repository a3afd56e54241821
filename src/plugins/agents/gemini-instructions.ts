import type { Launch } from '../../runtime/types.ts'
import { document } from './text.ts'

/**
 * How instructions reach gemini: its BeforeModel hook puts them in front of the first text of each request. So they
 * stand in no record that a compaction would sum up, and change with a resume. A context file, the alternative, has its
 * `@words` taken for imports; what SessionStart adds is lost with a compaction.
 *
 * The first string of `messages` is what the program itself says of the directory. Messages that are not given back stay.
 */
const instruct = `\
exec awk 'BEGIN { RS = "\\001"; ORS = "" }
{
  mark = "\\"messages\\":[{\\"role\\":\\"user\\",\\"content\\":\\""
  at = index($0, mark)
  if (at == 0) exit
  rest = substr($0, at + length(mark))
  if (!match(rest, /^([^"\\\\]|\\\\.)*/)) exit
  if ((getline told < (ENVIRON["INSTAR_HOOKS"] "/instructions.json")) <= 0) exit
  print "{\\"hookSpecificOutput\\":{\\"hookEventName\\":\\"BeforeModel\\",\\"llm_request\\":{"
  print mark
  print told
  print substr(rest, 1, RLENGTH)
  print "\\"}]}}}"
  exit
}'
`

export function instructionFiles({ instructions }: Launch): Record<string, string> {
  const told = document(instructions)
  if (told === '') return {}
  // The inside of a JSON string.
  return { 'instruct.sh': instruct, 'instructions.json': JSON.stringify(`${told}\n`).slice(1, -1) }
}

/** A gemini that runs in a session's tools is told apart by GEMINI_CLI. */
export const instructionHook = {
  name: 'instar',
  type: 'command',
  command: '[ -n "$GEMINI_CLI" ] || [ ! -f "$INSTAR_HOOKS/instructions.json" ] || sh "$INSTAR_HOOKS/instruct.sh"',
  timeout: 10_000,
}
