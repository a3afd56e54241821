import { maxPushBytes, type Push } from '../runtime/executor.ts'

/**
 * What of a connection's pushes its control plane has not read is held, up to here; what is read on in waits then. At twice
 * as much, of what cannot wait, the connection is over: the next one goes on from what is stored.
 */
export const maxUnreadBytes = 64 * 1024 * 1024

export interface Pushes {
  /** Lines of JSON. */
  readonly stream: ReadableStream<Uint8Array>
  /** How many there were. */
  count(): number
  push(push: Push): void
  /** The same once there is room, and after what waits for it already. Resolves when it is done, or will never be. */
  pushLater(push: Push): Promise<void>
  end(last?: Push): void
  /** Ends it without what was not read. */
  cut(): void
}

export interface PushesOptions {
  /** Nobody reads it any more. */
  readonly onOver: () => void
  readonly log: (message: string, data?: Record<string, unknown>) => void
}

export function createPushes({ onOver, log }: PushesOptions): Pushes {
  let count = 0
  let isOver = false
  let makeRoom = () => {}
  let turn: Promise<void> = Promise.resolve()
  let controller!: ReadableStreamDefaultController<Uint8Array>
  const stream = new ReadableStream<Uint8Array>(
    {
      start: (given) => void (controller = given),
      pull: () => makeRoom(),
      cancel() {
        over()
        onOver()
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: maxUnreadBytes }),
  )
  const unread = () => maxUnreadBytes - (controller.desiredSize ?? 0)

  function over(): void {
    isOver = true
    makeRoom()
  }

  function cut(): void {
    if (isOver) return
    over()
    // Bun would print a reason.
    controller.error()
  }

  function push(push: Push): void {
    const bytes = isOver ? null : encoded(push)
    if (!bytes) return
    count++
    controller.enqueue(bytes)
    if (unread() <= 2 * maxUnreadBytes) return
    log('a control plane does not read what it is told', { unread: unread() })
    cut()
    onOver()
  }

  /** Null when there is nothing to be said of it. */
  function encoded(push: Push): Uint8Array | null {
    const bytes = lineOf(push)
    if (bytes) return bytes
    log('a push is left out: it is too long', { type: push.type, limit: maxPushBytes })
    const rest = withoutTexts(push)
    return rest && lineOf(rest)
  }

  return {
    stream,
    count: () => count,
    push,
    pushLater(given) {
      turn = turn.then(async () => {
        while (!isOver && unread() > maxUnreadBytes) await new Promise<void>((resolve) => (makeRoom = resolve))
        push(given)
      })
      return turn
    },
    end(last) {
      if (isOver) return
      if (last) push(last)
      if (isOver) return
      over()
      controller.close()
    },
    cut,
  }
}

const encoder = new TextEncoder()

/** Null when it is too long. */
function lineOf(push: Push): Uint8Array | null {
  try {
    const bytes = encoder.encode(`${JSON.stringify(push)}\n`)
    return bytes.length > maxPushBytes ? null : bytes
  } catch (error) {
    // A string can only be so long.
    if (error instanceof RangeError) return null
    throw error
  }
}

/** The same without what a session has written: where it has come to, and how it ended. */
function withoutTexts(push: Push): Push | null {
  if (push.type === 'tail') return { ...push, lines: [] }
  if (push.type !== 'report') return null
  const { report } = push
  return { ...push, report: { ...report, sights: report.sights.filter(({ type }) => type !== 'signal') } }
}
