import { command, dir } from './command.ts'
import { connect } from './project.ts'

export default command({
  name: 'answer',
  description: 'Answer what a session asks',
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    prompt: { type: 'positional', description: 'The id that instar prompts shows' },
    choice: { type: 'positional', description: 'The id of an option; several with commas for several questions' },
    'message...': { type: 'positional', description: 'What to tell the agent', required: false },
    dir,
  },
  async run(typed) {
    const [name = '', prompt = '', choice = '', ...words] = typed.words
    const message = words.length > 0 ? words.join(' ') : undefined
    const client = await connect(typed.option('dir'))
    const [open] = (await client.prompts(name)).filter(({ id }) => id === prompt)
    // The id of an option may hold a comma of its own.
    const isOne = open?.options.some(({ id }) => id === choice) === true || !choice.includes(',')
    const session = await client.answer(name, prompt, { choice: isOne ? choice : choice.split(','), message })
    console.log(`${session.name} took the answer and is ${session.status}`)
  },
})
