import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { SettingsError, stateDirectory } from '../entry/settings.ts'
import { ownerOf } from '../entry/state-lock.ts'
import { command, dir } from './command.ts'
import { findProject } from './project.ts'

const stopTimeoutMs = 15_000
const lookAgainMs = 50

export default command({
  name: 'stop',
  description: 'Stop the server; sessions run on',
  args: { dir },
  async run(typed) {
    const project = await findProject(typed.option('dir'))
    const owner = await ownerOf(stateDirectory(project))
    if (!owner) return console.log(`No server runs for ${project}`)
    await end(owner.pid)
    console.log('The server has stopped; its sessions run on')
  },
})

async function end(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ESRCH') return
    throw new SettingsError(`Cannot stop the server: its process ${pid} belongs to another user`, { cause: error })
  }
  for (const deadline = Date.now() + stopTimeoutMs; Date.now() < deadline; await sleep(lookAgainMs)) {
    if (await isGone(pid)) return
  }
  throw new SettingsError(`Cannot stop the server: process ${pid} still runs after ${stopTimeoutMs / 1000} seconds`)
}

/** A zombie is gone: in a container whose first process does not reap, it stays for ever. */
async function isGone(pid: number): Promise<boolean> {
  const { stdout } = await execa('ps', ['-o', 'stat=', '-p', String(pid)], { reject: false })
  return /^Z|^$/.test(stdout.trim())
}
