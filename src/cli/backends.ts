import type { ListedBackend } from '../client.ts'
import { command, dir, json } from './command.ts'
import { table } from './print.ts'
import { connect } from './project.ts'

export default command({
  name: 'backends',
  description: 'List where sessions can run, the default first',
  args: { json, dir },
  async run(typed) {
    const backends = await (await connect(typed.option('dir'))).backends()
    console.log(typed.flag('json') ? JSON.stringify(backends, null, 2) : table([header, ...backends.map(row)], process.stdout.columns))
  },
})

const header = ['NAME', 'HEALTH', 'SESSIONS', 'DETAIL']

const row = (backend: ListedBackend): string[] => [
  backend.name,
  backend.ok ? 'ok' : 'not ok',
  `${backend.sessions} of ${backend.maxSessions}`,
  backend.ok ? backend.detail : backend.reason,
]
