import type { Answer, Reply } from '../../runtime/agent.ts'
import type { OpenPrompt } from '../../runtime/types.ts'

const marker = /^(\s*)[❯›●>] (\s*)\S/

/**
 * The menu that a screen shows last: the lines around the one with a marker whose text begins in the same column. Null
 * when it shows none.
 */
function menuOf(screen: string): { options: string[]; selected: number } | null {
  const lines = screen.split('\n').map((line) =>
    line
      .replace(/^(\s*)[│┃]/, '$1 ')
      .replace(/[│┃]\s*$/, '')
      .trimEnd(),
  )
  const at = lines.findLastIndex((line) => marker.test(line))
  if (at < 0) return null
  const [, before = '', after = ''] = marker.exec(lines[at]!)!
  const column = before.length + 2 + after.length
  const isOption = (line: string | undefined) => line !== undefined && line.length > column && line.search(/\S/) === column
  let [first, last] = [at, at]
  while (isOption(lines[first - 1])) first--
  while (isOption(lines[last + 1])) last++
  if (first === last) return null
  const options = lines.slice(first, last + 1).map((line) => line.slice(column).replace(/^\d+\.\s+|\s*[✔✓]$/g, ''))
  return { options, selected: at - first }
}

/** The dialog that a screen shows, to be answered with keys; null when it offers nothing to choose from. */
export function dialogOf(screen: string, kind: OpenPrompt['kind'], message: string, at: string): OpenPrompt | null {
  const menu = menuOf(screen)
  if (!menu) return null
  const options = menu.options.map((label, place) => ({ id: String(place + 1), label }))
  return { id: `screen-${Date.parse(at)}`, mailbox: null, kind, message, options, openedAt: at, details: { selected: menu.selected } }
}

/** The keys that choose an option of a dialog as it is now. */
export function answerDialog({ details }: OpenPrompt, { choice }: Reply): Answer {
  const { selected } = details as { selected: number }
  const steps = Number(choice) - 1 - selected
  const key = steps < 0 ? 'Up' : 'Down'
  const moves = Array.from({ length: Math.abs(steps) }, () => ({ type: 'key', key }) as const)
  return { type: 'keys', keystrokes: [...moves, { type: 'key', key: 'Enter' }] }
}
