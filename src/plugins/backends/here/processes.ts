import { execa } from 'execa'
import type { PlaceProcesses } from '../place.ts'
import { mark, parseProcesses, processColumns } from '../ps.ts'

const withEnvironment = process.platform === 'darwin' ? ['-AEww'] : ['axeww']
let environments: Promise<string> | null = null

/** The processes of this machine, as ps(1) tells them. */
export const processes: PlaceProcesses = {
  async list() {
    const { stdout } = await execa('ps', ['-A', '-o', processColumns[process.platform === 'darwin' ? 1 : 0]], { timeout: 10_000 })
    return parseProcesses(stdout)
  },
  async marked(id) {
    // Many sessions that end together share one look at all processes.
    environments ??= execa('ps', [...withEnvironment, '-o', 'pid=,command='], { timeout: 10_000, maxBuffer: 500_000_000 })
      .then(({ stdout }) => stdout)
      .finally(() => (environments = null))
    const rows = (await environments).split('\n').filter((row) => `${row} `.includes(` ${mark}=${id} `))
    return rows.map((row) => Number.parseInt(row, 10)).filter((pid) => pid !== process.pid)
  },
  async find(words) {
    const { stdout } = await execa('ps', ['-A', '-ww', '-o', 'pid=,args='], { timeout: 10_000 })
    const row = stdout.split('\n').find((each) => each.trimEnd().endsWith(words))
    return row ? Number.parseInt(row, 10) : null
  },
  async signal(pids, name) {
    const wanted = pids.filter((pid) => Number.isInteger(pid) && pid > 1)
    try {
      return wanted.filter((pid) => signal(pid, name ?? 0))
    } catch (error) {
      if ((error as Error).name !== 'NotCapable' || wanted.length === 0) throw error
      // Deno keeps kill(2) from whoever may not run every program there is.
      if (name) await execa('kill', ['-s', name.replace('SIG', ''), ...wanted.map(String)], { reject: false, timeout: 10_000 })
      const { stdout } = await execa('ps', ['-o', 'pid=', '-p', wanted.join()], { reject: false, timeout: 10_000 })
      return stdout.split('\n').flatMap((row) => (row.trim() === '' ? [] : Number(row)))
    }
  },
}

/** Whether it is there. 0 and negative numbers, which are groups, are not for this. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name)
  } catch (error) {
    if ((error as Error).name === 'NotCapable') throw error
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
