import type { Status } from '../runtime/types.ts'
import type { Wait, Waited } from '../runtime/wait.ts'

/** What a query asks to wait for; null when it does not. A client that goes away waits no more. */
export function waitOf({ wait, timeout }: { wait?: Status[] | undefined; timeout: number }, signal: AbortSignal): Wait | null {
  return wait ? { for: wait, timeoutMs: timeout * 1000, signal } : null
}

export const flat = ({ session, timedOut }: Waited) => ({ ...session, timedOut })
