import { command, dir, json } from './command.ts'
import { connect } from './project.ts'
import { textOf } from './text.ts'

export default command({
  name: 'resume',
  description: 'Go on with the conversation of a session that has ended, in a new run',
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    'prompt...': { type: 'positional', description: 'What it should do now; - reads standard input', required: false },
    json,
    dir,
  },
  async run(typed) {
    const [name = '', ...words] = typed.words
    const prompt = words.length > 0 ? await textOf(words) : undefined
    const session = await (await connect(typed.option('dir'))).resume(name, prompt === undefined ? {} : { prompt })
    console.log(typed.flag('json') ? JSON.stringify(session, null, 2) : `${session.name} goes on, and is ${session.status}`)
  },
})
