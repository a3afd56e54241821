import type { Message } from '../client.ts'
import { command, dir, json } from './command.ts'
import { plain } from './print.ts'
import { connect } from './project.ts'

export default command({
  name: 'messages',
  description: 'Print the conversation of a session, also after its end',
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    json,
    dir,
  },
  async run(typed) {
    const [name = ''] = typed.words
    const messages = await (await connect(typed.option('dir'))).messages(name)
    if (typed.flag('json')) console.log(JSON.stringify(messages, null, 2))
    else if (messages.length === 0) console.log(`${name} has no conversation that can be read`)
    else console.log(messages.map(shown).join('\n\n'))
  },
})

/** What agents wrote cannot act on the terminal. */
function shown({ role, text, tools }: Message): string {
  const calls = tools.map(({ name, input }) => `→ ${name} ${JSON.stringify(input)}`)
  return [`${role}:`, ...text.split('\n'), ...calls].map((line) => (line === '' ? '' : plain(line))).join('\n')
}
