/** A UUIDv7 (RFC 9562): ids of later sessions sort after those of earlier ones, also within a millisecond of one process. */
export function createIds(now: () => number = Date.now): () => string {
  let last = 0
  let sequence = 0
  return () => {
    const time = Math.max(now(), last)
    sequence = time === last ? sequence + 1 : 0
    if (sequence > 0xfff) {
      last = time + 1
      sequence = 0
    } else last = time
    const stamp = last.toString(16).padStart(12, '0')
    const random = crypto.randomUUID()
    return `${stamp.slice(0, 8)}-${stamp.slice(8)}-7${sequence.toString(16).padStart(3, '0')}-${random.slice(19)}`
  }
}
