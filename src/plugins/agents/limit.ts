const shown =
  /resets?\s+(?:at\s+)?(?:(?<month>[A-Z][a-z]{2})[a-z]*\s+(?<day>\d{1,2}),?\s+(?:at\s+)?)?(?<hour>\d{1,2})(?::(?<minute>\d{2}))?\s*(?<half>[ap]m)(?:\s+\((?<zone>[^)]+)\))?/i
const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
const minuteMs = 60_000

/**
 * When a usage limit ends, from words such as "resets 4:03pm (UTC)" or "resets Nov 25 at 4pm (Europe/Berlin)" that were
 * said at `at`: the end of that minute, ISO 8601 UTC. Null when the words tell no time that there is. Without a zone it
 * is UTC. A date without a year is the nearest one, which may have passed.
 */
export function limitEnd(words: string, at: string): string | null {
  const found = shown.exec(words)?.groups
  const now = Date.parse(at)
  const hour = Number(found?.['hour'])
  const minute = Number(found?.['minute'] ?? 0)
  if (!found || Number.isNaN(now) || hour < 1 || hour > 12 || minute > 59) return null
  const zone = found['zone'] ?? 'UTC'
  const clock = (hour % 12) + (found['half']?.toLowerCase() === 'pm' ? 12 : 0)
  const endOn = (year: number, month: number, day: number): number => {
    const there = Date.UTC(year, month, day, clock, minute)
    // The clocks may be changed before then.
    return there - zoneOffset(zone, there - zoneOffset(zone, there)) + minuteMs
  }
  const local = new Date(now + zoneOffset(zone, now))
  const [year, today] = [local.getUTCFullYear(), local.getUTCDate()]
  if (found['month'] === undefined) {
    const end = endOn(year, local.getUTCMonth(), today)
    // Said in the evening of a time in the morning.
    return new Date(end < now ? endOn(year, local.getUTCMonth(), today + 1) : end).toISOString()
  }
  const month = months.indexOf(found['month'].toLowerCase())
  const day = Number(found['day'])
  const ends = [year - 1, year, year + 1]
    .filter((each) => new Date(Date.UTC(each, month, day)).getUTCMonth() === month && day > 0)
    .map((each) => endOn(each, month, day))
    .sort((a, b) => Math.abs(a - now) - Math.abs(b - now))
  return ends[0] === undefined ? null : new Date(ends[0]).toISOString()
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
