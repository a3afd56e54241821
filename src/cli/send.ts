import type { Receipt } from '../client.ts'
import { command, dir, json } from './command.ts'
import { connect } from './project.ts'
import { textOf } from './text.ts'

export default command({
  name: 'send',
  description: 'Type a text into a session, followed by Enter',
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    'text...': { type: 'positional', description: 'The text; - reads standard input' },
    json,
    dir,
  },
  async run(typed) {
    const [name = '', ...words] = typed.words
    const client = await connect(typed.option('dir'))
    const receipt = await client.input(name, await textOf(words))
    console.log(typed.flag('json') ? JSON.stringify(receipt, null, 2) : proven[receipt.stage](name))
  },
})

/** No more than the receipt proves. */
const proven: Record<Receipt['stage'], (name: string) => string> = {
  queued: (name) => `${name} gets it when it has nothing to do`,
  typing: (name) => `It is being typed into ${name}`,
  dropped: (name) => `Not typed into ${name}`,
  unknown: (name) => `Perhaps typed into ${name}; look at: instar output ${name}`,
  typed: (name) => `Typed into ${name}`,
  submitted: (name) => `${name} took it`,
  started: (name) => `${name} took it and works on it`,
}
