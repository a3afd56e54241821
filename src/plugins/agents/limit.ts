const shown =
  /resets?\s+(?:at\s+)?(?:(?<month>[A-Z][a-z]{2})[a-z]*\s+(?<day>\d{1,2}),?\s+(?:at\s+)?)?(?<hour>\d{1,2})(?::(?<minute>\d{2}))?\s*(?<half>[ap]m)(?:\s+\((?<zone>[^)]+)\))?/i
const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs

/**
 * When a usage limit ends, from words such as "resets 4:03pm (UTC)" or "resets Nov 25 at 4pm (Europe/Berlin)" that were
 * said at `at`: the end of that minute, ISO 8601 UTC. Null when the words tell no time. Without a zone it is UTC.
 */
export function limitEnd(words: string, at: string): string | null {
  const found = shown.exec(words)?.groups
  if (!found) return null
  const now = Date.parse(at)
  const offset = zoneOffset(found['zone'] ?? 'UTC', now)
  const local = new Date(now + offset)
  const hour = (Number(found['hour']) % 12) + (found['half']?.toLowerCase() === 'pm' ? 12 : 0)
  const month = found['month'] === undefined ? local.getUTCMonth() : months.indexOf(found['month'].toLowerCase())
  const day = found['day'] === undefined ? local.getUTCDate() : Number(found['day'])
  let end = Date.UTC(local.getUTCFullYear(), month, day, hour, Number(found['minute'] ?? 0)) - offset + minuteMs
  // Said in the evening of a time in the morning; or in December of one in January.
  if (end < now)
    end =
      found['day'] === undefined
        ? end + dayMs
        : Date.UTC(local.getUTCFullYear() + 1, month, day, hour, Number(found['minute'] ?? 0)) - offset + minuteMs
  return Number.isNaN(end) ? null : new Date(end).toISOString()
}

/** How far a zone's clocks are ahead of UTC, in milliseconds; 0 for a zone that is not known. */
function zoneOffset(zone: string, at: number): number {
  try {
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
    })
    const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]))
    const there = Date.UTC(part['year']!, part['month']! - 1, part['day'], part['hour'], part['minute'])
    return there - Math.floor(at / minuteMs) * minuteMs
  } catch {
    return 0
  }
}
