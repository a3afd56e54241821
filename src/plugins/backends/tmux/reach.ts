import type { Health } from '../../../runtime/backend.ts'
import { InstarError } from '../../../runtime/error.ts'
import type { Box } from '../box.ts'

/** How soon boxes that cannot be asked for are asked for again, ever less often. */
const againMs = [500, 1000, 2000, 5000, 10_000]
/** How often they are looked at while there are sessions: one that only hangs closes no connection, so nobody else notices. */
const lookMs = 10_000

/**
 * What can be lost: the place, its terminal server, its boxes. They stand on one another, so of several the lowest is told.
 * The first two tell by themselves. That boxes are lost is noticed by their clients, or by a look now and then; from then on
 * they are asked for until they answer.
 */
export interface Reach {
  place(health: Health): void
  terminals(health: Health): void
  /** Somebody has noticed that boxes cannot be asked for, or could not be. */
  lookForBoxes(): void
  /** Rejects what needs boxes while they are lost, after another look. `what` is a verb and its thing. */
  needBoxes(what: string): Promise<void>
  close(): void
}

export function createReach(box: Pick<Box, 'reached'> | null, hasSessions: () => boolean, reach: (health: Health) => void): Reach {
  let isPlaceLost = false
  let loss: (Health & { readonly ok: false }) | null = null
  let isLooking = false
  let isNoticed = false
  let isClosed = false
  const tell = (health: Health) => reach(health.ok ? (loss ?? health) : health)

  /** False when nobody can tell now. */
  async function look({ reached }: Pick<Box, 'reached'>): Promise<boolean> {
    const health = await reached()
    if (isClosed || isPlaceLost) return false
    const isNews = health.ok ? loss !== null : health.reason !== loss?.reason
    loss = health.ok ? null : health
    if (isNews) tell(health)
    return true
  }

  async function lookUntilFound(boxes: Pick<Box, 'reached'>): Promise<void> {
    isLooking = true
    for (let failures = 0; isNoticed || loss; failures = loss ? failures + 1 : 0) {
      isNoticed = false
      if (!(await look(boxes))) {
        // Once the place is found there is another look.
        isNoticed = true
        break
      }
      if (loss || isNoticed) await new Promise((resolve) => setTimeout(resolve, againMs[Math.min(failures, againMs.length - 1)]).unref())
    }
    isLooking = false
  }

  function lookForBoxes(): void {
    isNoticed = true
    if (box && !isLooking && !isPlaceLost) void lookUntilFound(box)
  }
  const looks = box && setInterval(() => hasSessions() && lookForBoxes(), lookMs).unref()

  return {
    place(health) {
      isPlaceLost = !health.ok
      if (isPlaceLost && loss) [loss, isNoticed] = [null, true]
      tell(health)
      if (health.ok && isNoticed) lookForBoxes()
    },
    terminals(health) {
      if (health.ok || !isPlaceLost) tell(health)
    },
    lookForBoxes,
    async needBoxes(what) {
      if (box && loss) await look(box)
      if (loss) throw new InstarError('backend_unavailable', `Cannot ${what}: ${loss.reason}`)
    },
    close() {
      isClosed = true
      clearInterval(looks ?? undefined)
    },
  }
}
