import { stripVTControlCharacters } from 'node:util'
import type { Diff } from '../client.ts'
import { command, dir, json } from './command.ts'
import { table } from './print.ts'
import { connect } from './project.ts'

export default command({
  name: 'diff',
  description: 'Print what a session changed in its own worktree, committed or not',
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    stat: { type: 'boolean', description: 'Only which files, and how many lines of each' },
    json,
    dir,
  },
  async run(typed) {
    const [name = ''] = typed.words
    const diff = await (await connect(typed.option('dir'))).diff(name)
    if (typed.flag('json')) return console.log(JSON.stringify(diff, null, 2))
    if (diff.files.length === 0) return console.log(`${name} has changed nothing on ${diff.branch}`)
    if (typed.flag('stat')) return console.log(statOf(diff))
    process.stdout.write(patchOf(diff))
    if (diff.truncated) console.error(`It is cut off: ${summaryOf(diff)} in all`)
  },
})

function statOf(diff: Diff): string {
  const rows = diff.files.map(({ path, from, status, additions, deletions }) => [
    from === undefined ? path : `${from} → ${path}`,
    status,
    additions === null ? 'binary' : `+${additions}`,
    deletions === null ? '' : `-${deletions}`,
  ])
  return `${table(rows)}\n${summaryOf(diff)}`
}

const summaryOf = ({ stat: { files, additions, deletions } }: Diff): string =>
  `${files} file${files === 1 ? '' : 's'}, +${additions} -${deletions}`

/** For a file or a pipe as it is; what agents wrote cannot act on a terminal. */
const patchOf = ({ patch }: Diff): string =>
  process.stdout.isTTY ? stripVTControlCharacters(patch).replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '') : patch
