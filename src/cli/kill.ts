import { command, dir } from './command.ts'
import { connect } from './project.ts'

export default command({
  name: 'kill',
  description: 'End a session and everything it started',
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    purge: { type: 'boolean', description: 'Also delete its record and its output' },
    dir,
  },
  async run(typed) {
    const purge = typed.flag('purge')
    const { name, status } = await (await connect(typed.option('dir'))).end(typed.words[0]!, { purge })
    console.log(`${name} is ${status}${purge ? ', and its record is deleted' : ''}`)
  },
})
