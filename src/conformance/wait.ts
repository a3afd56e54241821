export interface Patience {
  /** In milliseconds. Default 20 seconds: a machine under load is slow, and what is there is seen at once. */
  readonly timeout?: number
  /** What is waited for, in words: the failure says it. */
  readonly what: string
}

const lookAgainMs = 15

/**
 * Looks again and again until `check` answers with something, and gives that back. A check that throws has not seen it
 * yet; what it threw last is the cause of the failure. The only way to wait in these tests: there are no fixed sleeps.
 */
export async function until<T>(
  check: () => T | Promise<T>,
  { timeout = 20_000, what }: Patience,
): Promise<Exclude<T, false | null | undefined>> {
  let cause: unknown
  for (const began = Date.now(); Date.now() - began < timeout;) {
    try {
      const seen = await check()
      if (seen !== false && seen !== null && seen !== undefined) return seen as Exclude<T, false | null | undefined>
    } catch (error) {
      cause = error
    }
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
  }
  throw new Error(`waited ${timeout} ms in vain for ${what}`, { cause })
}

/** Waits until the clock shows `ms` more. For a claim that is about time itself, such as a time that was kept across a pause. */
export async function pass(ms: number): Promise<void> {
  const end = Date.now() + ms
  await until(() => Date.now() >= end, { timeout: ms + 5000, what: `${ms} ms to pass` })
}
