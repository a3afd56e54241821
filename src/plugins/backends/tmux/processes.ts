import { execa } from 'execa'

interface Process {
  readonly pid: number
  readonly parent: number
  readonly group: number
  readonly tty: string
}

const lookAgainMs = 20
/** When, and how often, a process that stays is looked at with ps: one that has ended and that nobody collects still answers to kill(2). */
const psAfterMs = 30
const psEveryMs = 250

/**
 * Every process that `root` started, as far as it can still be told: its descendants, and what shares their process
 * groups or its terminal. Without `root` itself, which may be gone already.
 */
export async function descendants(root: number): Promise<number[]> {
  const all = await list()
  const tty = all.find((each) => each.pid === root)?.tty ?? ''
  const found = new Set([root])
  const groups = new Set([root])
  for (let grew = true; grew;) {
    grew = false
    for (const each of all) {
      if (found.has(each.pid) || !(found.has(each.parent) || groups.has(each.group) || (each.tty === tty && /\d/.test(tty)))) continue
      found.add(each.pid)
      groups.add(each.group)
      grew = true
    }
  }
  found.delete(root)
  return [...found]
}

/** The variable by which a session's processes are known that have left its process tree; see `Command.env`. */
const mark = 'INSTAR_SESSION_ID'
const withEnvironment = process.platform === 'darwin' ? ['-AEww'] : ['axeww']
let environments: Promise<string> | null = null

/** Every process with a session's mark in its environment: also one that a parent which is gone had started. */
export async function marked(id: string): Promise<number[]> {
  // Many sessions that end together share one look at all processes.
  environments ??= execa('ps', [...withEnvironment, '-o', 'pid=,command='], { timeout: 10_000, maxBuffer: 500_000_000 })
    .then(({ stdout }) => stdout)
    .finally(() => (environments = null))
  const rows = (await environments).split('\n').filter((row) => `${row} `.includes(` ${mark}=${id} `))
  return rows.map((row) => Number.parseInt(row, 10)).filter((pid) => pid !== process.pid)
}

/** The process whose arguments end with `words`; null when there is none. */
export async function findProcess(words: string): Promise<number | null> {
  const { stdout } = await execa('ps', ['-A', '-ww', '-o', 'pid=,args='], { timeout: 10_000 })
  const row = stdout.split('\n').find((each) => each.trimEnd().endsWith(words))
  return row ? Number.parseInt(row, 10) : null
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
export async function terminate(pids: readonly number[], steps: Steps): Promise<void> {
  const began = Date.now()
  const last = steps.at(-1)!.at
  let lookAt = began + psAfterMs
  let left = pids.filter(isAlive)
  for (let step = 0; left.length > 0; left = left.filter(isAlive)) {
    while (step < steps.length && Date.now() - began >= steps[step]!.at) {
      for (const pid of left) signal(pid, steps[step]!.signal)
      step++
    }
    // A killed process can stay for as long as a device holds it; nothing more can be done about it.
    if (Date.now() - began > last + 5000) return
    await new Promise((resolve) => setTimeout(resolve, lookAgainMs))
    if (Date.now() < lookAt) continue
    lookAt = Date.now() + psEveryMs
    const present = new Set((await list()).map((each) => each.pid))
    left = left.filter((pid) => present.has(pid))
  }
}

export function isAlive(pid: number): boolean {
  return signal(pid, 0)
}

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  // 0 and negative numbers are groups, and 0 is our own.
  if (!Number.isInteger(pid) || pid <= 1) return false
  try {
    return process.kill(pid, name)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Zombies are left out: they have ended. */
async function list(): Promise<Process[]> {
  const { stdout } = await execa('ps', ['-A', '-o', 'pid=,ppid=,pgid=,tty=,stat='], { timeout: 10_000 })
  return stdout.split('\n').flatMap((row) => {
    const [pid, parent, group, tty = '?', state = ''] = row.trim().split(/\s+/)
    return state.startsWith('Z') ? [] : [{ pid: Number(pid), parent: Number(parent), group: Number(group), tty }]
  })
}
