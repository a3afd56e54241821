import type { Session, Status } from '../client.ts'
import { command, dir, json } from './command.ts'
import { age, table, whyOf } from './print.ts'
import { connect } from './project.ts'

export default command({
  name: 'ls',
  description: 'List sessions, newest first',
  args: {
    status: { type: 'string', description: 'Only these, such as running,waiting', valueHint: 'STATUS,…' },
    json,
    dir,
  },
  async run(typed) {
    const status = typed.option('status')
    const sessions = await (await connect(typed.option('dir'))).list({ status: status?.split(',') as Status[] | undefined })
    if (typed.flag('json')) console.log(JSON.stringify(sessions, null, 2))
    else if (sessions.length > 0)
      console.log(table([header, ...sessions.map((session) => row(session, new Date()))], process.stdout.columns))
    else console.log(status ? `No session is ${status.split(',').join(' or ')}` : 'No sessions. Start one with: instar spawn NAME PROMPT')
  },
})

const header = ['NAME', 'STATUS', 'AGENT', 'AGE', 'REASON']

function row(session: Session, now: Date): string[] {
  const { name, status, agent, createdAt } = session
  return [name, status, agent, age(createdAt, now), whyOf(session)]
}
