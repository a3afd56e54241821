import { command, dir, json, UsageError } from './command.ts'
import { connect } from './project.ts'

export default command({
  name: 'output',
  description: "Print the last lines of a session's terminal, also after its end",
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    lines: { type: 'string', description: 'How many lines at most (default: 100)', valueHint: 'N' },
    json,
    dir,
  },
  async run(typed) {
    const lines = typed.option('lines')
    if (lines !== undefined && !/^\d+$/.test(lines)) throw new UsageError(`Option --lines takes a number, not "${lines}"`)
    const client = await connect(typed.option('dir'))
    const result = await client.output(typed.words[0]!, { lines: lines === undefined ? undefined : Number(lines) })
    if (typed.flag('json')) console.log(JSON.stringify(result, null, 2))
    else if (result.output !== '') console.log(result.output)
  },
})
