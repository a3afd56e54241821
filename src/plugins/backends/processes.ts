import type { PlaceProcesses } from './place.ts'

const lookAgainMs = 20
/** When, and how often, a process that stays is looked at with ps: one that has ended and that nobody collects still answers to kill(2). */
const psAfterMs = 30
const psEveryMs = 250

/**
 * Every process that `root`, the leader of its POSIX session, started, as far as it can still be told: its descendants, and
 * what shares their process groups or its terminal. Without `root` itself, which may be gone already.
 */
export async function descendants(processes: PlaceProcesses, root: number): Promise<number[]> {
  const all = await processes.list()
  const terminal = all.find((each) => each.pid === root)?.session ?? ''
  const sessions = new Set([String(root), ...(/^\D.*\d/.test(terminal) ? [terminal] : [])])
  const found = new Set([root])
  const groups = new Set([root])
  for (let grew = true; grew;) {
    grew = false
    for (const each of all) {
      if (found.has(each.pid) || !(found.has(each.parent) || groups.has(each.group) || sessions.has(each.session))) continue
      found.add(each.pid)
      groups.add(each.group)
      grew = true
    }
  }
  found.delete(root)
  return [...found]
}

/** Which signal is sent when, in milliseconds after the beginning. */
export type Steps = readonly { readonly signal: NodeJS.Signals; readonly at: number }[]

/** As a person asks a program to end. Interactive shells ignore SIGTERM and heed SIGHUP. */
export const onRequest = (graceMs: number): Steps => [
  { signal: 'SIGTERM', at: 0 },
  { signal: 'SIGHUP', at: Math.min(1000, graceMs) },
  { signal: 'SIGKILL', at: graceMs },
]

/** As a terminal that goes away. */
export const afterHangUp: Steps = [
  { signal: 'SIGHUP', at: 0 },
  { signal: 'SIGTERM', at: 2000 },
  { signal: 'SIGKILL', at: 3000 },
]

/** Ends processes. Resolves when all are gone. */
export async function terminate(processes: PlaceProcesses, pids: readonly number[], steps: Steps): Promise<void> {
  const began = Date.now()
  const last = steps.at(-1)!.at
  let lookAt = began + psAfterMs
  let left = await processes.signal(pids)
  for (let step = 0; left.length > 0; left = await processes.signal(left)) {
    for (; step < steps.length && Date.now() - began >= steps[step]!.at; step++) left = await processes.signal(left, steps[step]!.signal)
    // A killed process can stay for as long as a device holds it; nothing more can be done about it.
    if (Date.now() - began > last + 5000) return
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
    if (Date.now() < lookAt) continue
    lookAt = Date.now() + psEveryMs
    const present = new Set((await processes.list()).map(({ pid }) => pid))
    left = left.filter((pid) => present.has(pid))
  }
}

/** A program that goes on starting others while it is ended is not chased for ever. */
const endTries = 5

/**
 * Ends a session's processes: `root` unless it is spared, what that started, and what carries the session's mark; then what
 * those started on their way out.
 */
export async function endAll(processes: PlaceProcesses, id: string, root: number | null, steps: Steps, spared?: number): Promise<void> {
  for (let tries = 0; tries < endTries; tries++) {
    const tree = root === null ? [] : [...(await processes.signal([root])), ...(await descendants(processes, root))]
    const pids = [...new Set([...tree, ...(await processes.marked(id))])].filter((pid) => pid !== spared)
    if (pids.length === 0) return
    await terminate(processes, pids, steps)
  }
}
