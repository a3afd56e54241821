import type { Finished } from '../client.ts'
import { command, dir, json, UsageError } from './command.ts'
import { connect } from './project.ts'

export default command({
  name: 'finish',
  description: 'Merge what an ended session committed into the branch it came from, or keep it on its own',
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    how: { type: 'positional', description: 'merge (removes worktree and branch) or keep' },
    json,
    dir,
  },
  async run(typed) {
    const [name = '', how] = typed.words
    if (how !== 'merge' && how !== 'keep') throw new UsageError('Say merge or keep')
    const finished = await (await connect(typed.option('dir'))).finish(name, how)
    console.log(typed.flag('json') ? JSON.stringify(finished, null, 2) : outcome(finished))
  },
})

function outcome({ how, branch, commit, directory }: Finished): string {
  if (how === 'merge') return `${branch} is merged, at ${commit?.slice(0, 12)}, and removed`
  return `${branch} is kept${directory === null ? '' : `, in ${directory}`}`
}
