import type { Prompt } from '../client.ts'
import { command, dir, json } from './command.ts'
import { plain } from './print.ts'
import { connect } from './project.ts'

export default command({
  name: 'prompts',
  description: 'Show what a session asks, and what may be answered',
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    json,
    dir,
  },
  async run(typed) {
    const [name = ''] = typed.words
    const prompts = await (await connect(typed.option('dir'))).prompts(name)
    if (typed.flag('json')) console.log(JSON.stringify(prompts, null, 2))
    else if (prompts.length === 0) console.log(`${name} asks nothing`)
    else console.log(prompts.map((prompt) => shown(name, prompt)).join('\n'))
  },
})

function shown(name: string, { id, kind, message, options }: Prompt): string {
  const choices = options.map((option) => `  ${option.id}: ${plain(option.label)}`)
  const how = options.length > 0 ? `Answer it with: instar answer ${name} ${id} CHOICE` : `Answer it at its terminal: instar attach ${name}`
  return [`${kind}: ${plain(message)}`, ...choices, how].join('\n')
}
