import * as v from 'valibot'
import type { Answer, Reply } from '../../runtime/agent.ts'
import { waitingFor } from '../../runtime/session.ts'
import type { Keystroke, OpenPrompt, Signal, Waiting } from '../../runtime/types.ts'
import { keystrokes, placeholder } from './gemini-composer.ts'
import { guardSeconds } from './guards.ts'
import { answerDialog } from './menu.ts'

type About = Pick<OpenPrompt, 'kind' | 'message' | 'options' | 'tool' | 'input'>
type Details = { readonly type: string; readonly title: string; readonly [more: string]: unknown }
type Tool = { readonly tool_name: string; readonly tool_input: Readonly<Record<string, unknown>> }

/** A prompt of its own, whose hook waits until it is over. */
export function ask(about: About, { at, mailbox }: Signal): { type: 'asked'; waiting: Waiting; prompt: OpenPrompt } {
  const prompt = { id: at.replaceAll(/\D/g, ''), mailbox: mailbox ?? null, openedAt: at, ...about, details: { shown: false } }
  return { type: 'asked', waiting: waitingFor(prompt), prompt }
}

/** Whether its dialog is known to be on the screen: then its title tells when it is over. */
export const isShown = ({ details }: OpenPrompt): boolean => (details as { shown?: boolean }).shown === true

/** The second option of each kind of dialog; none where it may be another. In a directory that is trusted, as hooks are only there. */
const forSession: Readonly<Record<string, string>> = {
  exec: 'Allow for this session',
  info: 'Allow for this session',
  mcp: 'Allow tool for this session',
}
const allow = { id: 'allow', label: 'Allow once' }
const deny = { id: 'deny', label: 'No, suggest changes (esc)' }

export function permissionOf({ type, title, ...input }: Details): About {
  // Such as ask_user, which its tool tells, and a plan.
  if (!['exec', 'info', 'mcp', 'edit', 'sandbox_expansion'].includes(type)) return { kind: 'question', message: title, options: [] }
  const { command, toolName } = input
  const tool = typeof toolName === 'string' ? toolName : type === 'exec' ? 'run_shell_command' : type
  const message = `${tool} ${typeof command === 'string' ? command : title}`.slice(0, 2000)
  const label = forSession[type]
  return { kind: 'permission', message, tool, input, options: [allow, ...(label ? [{ id: 'session', label }] : []), deny] }
}

const questions = v.array(
  v.looseObject({
    question: v.string(),
    type: v.optional(v.string(), 'choice'),
    options: v.optional(v.array(v.object({ label: v.string() })), []),
    multiSelect: v.optional(v.boolean(), false),
  }),
)

/** Only one that takes one of its options can be answered with a key. */
export function questionOf({ tool_name: tool, tool_input: input }: Tool): About {
  const parsed = v.safeParse(questions, input['questions'])
  const all = parsed.success ? parsed.output : []
  const [first] = all
  const isChoice = first && all.length === 1 && first.type === 'choice' && !first.multiSelect && first.options.length < 9
  const options = isChoice ? first.options.map(({ label }, place) => ({ id: String(place + 1), label })) : []
  return { kind: 'question', message: all.map(({ question }) => question).join('\n') || 'a question', tool, input, options }
}

/** Whether a tool that has run is the one that is asked about. */
export function isAbout({ tool_name, tool_input }: Tool, { tool, input }: OpenPrompt): boolean {
  const { command = null, filePath = '' } = (input ?? {}) as Record<string, unknown>
  if (tool === 'run_shell_command') return tool_name === tool && tool_input['command'] === command
  if (tool === 'edit') return String(filePath).endsWith(String(tool_input['file_path']))
  return tool !== undefined && tool_name.endsWith(tool)
}

/** By number, because the marker of a dialog may stay where it was in the one before. Escape denies, and ends the turn. */
export function answer(prompt: OpenPrompt, reply: Reply): Answer {
  if (prompt.id.startsWith('screen-')) return answerDialog(prompt, reply)
  const choice = [reply.choice].flat()[0]!
  const shows: Keystroke = { type: 'visible', text: prompt.options.find(({ id }) => id === choice)?.label ?? '' }
  if (choice !== 'deny') return { type: 'keys', keystrokes: [shows, { type: 'key', key: { allow: '1', session: '2' }[choice] ?? choice }] }
  const told: Keystroke[] = reply.message ? [{ type: 'visible', text: placeholder }, ...keystrokes(reply.message)] : []
  return { type: 'keys', keystrokes: [shows, { type: 'key', key: 'Escape' }, ...told] }
}

/**
 * What its hooks run.
 *
 * Tools that are called at the same time ask at the same time, and nothing tells which of them its dialog is about. But a
 * dialog shows only when the hook for it is over: so one waits here until the prompt before it is, or something happens
 * that only an answer brings about. That a prompt is over is told to what waits for it: see `Signal.mailbox`.
 *
 * What is typed before a resumed conversation is loaded is lost. Then all of it is written to its file again, which is
 * another than the hook is told of.
 */
export const tell = `\
asks=$INSTAR_HOOKS/asks
signals=$INSTAR_HOOKS/signals.jsonl
case $1 in
Notification)
  payload=$(cat)
  until mkdir "$asks" 2>/dev/null; do [ -d "$INSTAR_HOOKS" ] || exit 0; sleep 0.1; done
  mkdir "$asks/$$"
  before=$(wc -c <"$signals")
  {
    printf '%s' "$payload" | sh "$INSTAR_HOOKS/hook.sh" Notification wait
    rmdir "$asks/$$" "$asks"
  } </dev/null >/dev/null 2>&1 &
  until [ "$(wc -c <"$signals")" -gt "$before" ] || ! kill -0 $! 2>/dev/null; do sleep 0.02; done
  ;;
SessionStart)
  payload=$(cat)
  id=\${payload#*'"session_id":"'} id=\${id%%'"'*}
  path=\${payload#*'"transcript_path":"'} path=\${path%%'"'*}
  tries=0
  until [ "$tries" -eq 80 ]; do
    for file in "\${path%/*}"/session-*-"\${id%%-*}".jsonl; do
      [ "$file" -nt "$INSTAR_HOOKS/command" ] && tail -n 2 "$file" | grep -q '^{"$set":{"sessionId"' && break 2
    done
    tries=$((tries + 1))
    sleep 0.1
  done
  printf '{"session_id":"%s","transcript_path":"%s"}' "$id" "$file" | sh "$INSTAR_HOOKS/hook.sh" SessionStart
  ;;
*)
  [ "$1" = BeforeTool ] || rm -rf "$asks"
  exec sh "$INSTAR_HOOKS/hook.sh" "$1"
  ;;
esac
`

/** What runs the guards of a launch, where it has any. */
export const guardHook = {
  name: 'instar-guard',
  type: 'command',
  command: '[ -n "$GEMINI_CLI" ] || [ ! -f "$INSTAR_HOOKS/guards.sh" ] || sh "$INSTAR_HOOKS/guards.sh"',
  timeout: guardSeconds * 1000,
}
