import { stripVTControlCharacters } from 'node:util'
import type { Session } from '../client.ts'

/** Columns aligned by spaces, each line at most `width` wide. What agents wrote into a cell cannot act on the terminal. */
export function table(rows: readonly (readonly string[])[], width = Number.POSITIVE_INFINITY): string {
  const clean = rows.map((row) => row.map(plain))
  const widths = clean.reduce<number[]>((widest, row) => row.map((cell, i) => Math.max(widest[i] ?? 0, cell.length)), [])
  return clean
    .map((row) =>
      cut(
        row
          .map((cell, i) => cell.padEnd(widths[i]!))
          .join('  ')
          .trimEnd(),
        width,
      ),
    )
    .join('\n')
}

/** How long ago, in the largest unit that fits: `12s`, `5m`, `3h`, `2d`. */
export function age(since: string, now: Date): string {
  const seconds = Math.max(0, Math.floor((now.getTime() - Date.parse(since)) / 1000))
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`
  return `${Math.floor(seconds / 86_400)}d`
}

/** On one line and without what a terminal would act on. */
export function plain(text: string): string {
  return stripVTControlCharacters(text)
    .replace(/[\s\x00-\x1f\x7f-\x9f]+/g, ' ')
    .trim()
}

const cut = (text: string, width: number): string => (text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`)

/** Why a session is as it is, or was when its place was seen last, in a few words; empty when nothing is to be said. */
export function whyOf({ waiting, reason, lastError, evidence: { source, rule } }: Session): string {
  if (source === 'backend' && rule.startsWith('unreachable: ')) return rule
  return waiting ? `${waiting.kind}: ${waiting.message}` : (reason ?? lastError ?? '')
}

const maxDetails = 20

/** The files, commits and lines of output that an error is about, each on a line. */
export function detailsOf({ files, commits, output }: Readonly<Record<string, unknown>>): string[] {
  const named = [...list(files).map(String), ...list(commits).map((each) => Object.values(each ?? {}).join(' '))]
  const shown = named.length > maxDetails ? [...named.slice(0, maxDetails), `and ${named.length - maxDetails} more`] : named
  const said = typeof output === 'string' ? output.trimEnd().split('\n').slice(-maxDetails) : []
  return [...shown, ...said].filter((line) => line !== '')
}

const list = (given: unknown): unknown[] => (Array.isArray(given) ? given : [])
