import type { Health } from '../client.ts'
import { stateDirectory } from '../entry/settings.ts'
import { ownerOf } from '../entry/state-lock.ts'
import { command, dir } from './command.ts'
import { table } from './print.ts'
import { connect, findProject } from './project.ts'

export default command({
  name: 'status',
  description: 'Tell whether the server runs; exit code 1 when not',
  args: { dir },
  async run(typed) {
    const project = await findProject(typed.option('dir'))
    const owner = await ownerOf(stateDirectory(project))
    if (!owner) {
      console.log(`No server runs for ${project}`)
      process.exitCode = 1
      return
    }
    const { version, sessions, backends = {} } = await (await connect(project)).health()
    const facts = [
      ['url', owner.url ?? 'starting'],
      ['pid', String(owner.pid)],
      ['version', version],
      ['sessions', sessions ? `${sessions.live} live, ${sessions.total} in all` : 'unknown: the token is not the server’s'],
      ...Object.entries(backends).map(([name, health]) => [`backend ${name}`, healthOf(health)]),
    ]
    console.log(table(facts))
  },
})

const healthOf = (health: Health): string => (health.ok ? `ok: ${health.detail}` : `cannot start sessions: ${health.reason}`)
