import type { Status } from '../client.ts'
import { command, dir, json, UsageError } from './command.ts'
import { plain, whyOf } from './print.ts'
import { connect } from './project.ts'

export default command({
  name: 'wait',
  description: 'Wait until a session needs somebody, has nothing to do, or has ended',
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    for: { type: 'string', description: 'Statuses to wait for, such as idle,waiting', valueHint: 'STATUS,…' },
    timeout: { type: 'string', description: 'How long at most, in seconds (default: 3600)', valueHint: 'SECONDS' },
    json,
    dir,
  },
  async run(typed) {
    const timeout = typed.option('timeout') ?? '3600'
    if (!/^\d+(\.\d+)?$/.test(timeout)) throw new UsageError(`Option --timeout takes a number of seconds, not "${timeout}"`)
    const client = await connect(typed.option('dir'))
    const statuses = typed.option('for')?.split(',') as Status[] | undefined
    const session = await client.wait(typed.words[0]!, { for: statuses, timeout: Number(timeout) })
    console.log(
      typed.flag('json')
        ? JSON.stringify(session, null, 2)
        : [`${session.name} is ${session.status}`, plain(whyOf(session))].filter((text) => text !== '').join(': '),
    )
    if (session.timedOut) process.exitCode = 124
  },
})
