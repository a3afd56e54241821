/** Bytes that come in pieces, as one piece. To add some takes as long as they are, however many are there. */
export interface Pieces {
  /** Stay as they are, whatever is added or dropped later. */
  bytes(): Uint8Array
  /** Keeps the piece itself where it can: nobody may change it. */
  add(piece: Uint8Array): void
  /** So many from the beginning. */
  drop(count: number): void
}

const nothing: Uint8Array = new Uint8Array(0)

export function pieces(): Pieces {
  let room = nothing
  let [begin, end] = [0, 0]
  return {
    bytes: () => room.subarray(begin, end),
    add(piece) {
      if (begin === end) {
        ;[room, begin, end] = [piece, 0, piece.length]
        return
      }
      const size = end - begin
      if (end + piece.length > room.length) {
        const larger = new Uint8Array(2 * (size + piece.length))
        larger.set(room.subarray(begin, end))
        ;[room, begin, end] = [larger, 0, size]
      }
      room.set(piece, end)
      end += piece.length
    },
    drop(count) {
      begin = Math.min(end, begin + count)
      if (begin === end) [room, begin, end] = [nothing, 0, 0]
    },
  }
}
