import type { Box, Boxed } from '../box.ts'
import { onRequest } from '../processes.ts'

/** As `endAll`, with what is in a box. Resolves when `ended` does, or after the last signal. */
export async function endBox(box: Box, session: Boxed, graceMs: number, ended: Promise<void>): Promise<void> {
  let isOver = false
  void ended.then(() => (isOver = true))
  let last = 0
  for (const { signal, at } of onRequest(graceMs)) {
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, at - last).unref())])
    if (isOver) return
    await box.signal(session, signal)
    last = at
  }
}
