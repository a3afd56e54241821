import { command, dir } from './command.ts'
import { connect } from './project.ts'

export default command({
  name: 'interrupt',
  description: 'Stop what a session does now, not the session',
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    dir,
  },
  async run(typed) {
    const { name } = await (await connect(typed.option('dir'))).interrupt(typed.words[0]!)
    console.log(`Interrupted ${name}`)
  },
})
