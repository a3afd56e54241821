import type { ListedAgent } from '../client.ts'
import { command, dir, json } from './command.ts'
import { table } from './print.ts'
import { connect } from './project.ts'

export default command({
  name: 'agents',
  description: 'List what can run in sessions, the default first',
  args: { json, dir },
  async run(typed) {
    const agents = await (await connect(typed.option('dir'))).agents()
    console.log(typed.flag('json') ? JSON.stringify(agents, null, 2) : table([header, ...agents.map(row)], process.stdout.columns))
  },
})

const header = ['NAME', 'HEALTH', 'MODEL', 'DETAIL']

const row = (agent: ListedAgent): string[] => [
  agent.name,
  agent.ok ? 'ok' : 'not ok',
  agent.model ?? '',
  agent.ok ? agent.detail : agent.reason,
]
