import { spawn } from 'node:child_process'
import { SettingsError } from '../entry/settings.ts'
import { shellWords } from '../plugins/backends/quote.ts'
import { InstarError } from '../runtime/error.ts'
import { command, dir } from './command.ts'
import { connect } from './project.ts'

export default command({
  name: 'attach',
  description: "Sit down at a session's terminal; leave it with Ctrl-b d",
  args: {
    name: { type: 'positional', description: 'Its name or id' },
    dir,
  },
  async run(typed) {
    const { name, status, attach, backend, endedAt } = await (await connect(typed.option('dir'))).get(typed.words[0]!)
    if (attach === null && endedAt !== null) throw new InstarError('session_ended', `Cannot attach to session "${name}": it is ${status}`)
    if (attach === null)
      throw new SettingsError(`Cannot attach to session "${name}": backend "${backend}" gives it no terminal to sit down at`)
    if (!process.stdin.isTTY || !process.stdout.isTTY) {
      throw new SettingsError(`Cannot attach to session "${name}": this is not a terminal. Read it with: instar output ${name}`)
    }
    process.exitCode = await runHere(attach)
  },
})

async function runHere(line: string): Promise<number> {
  const [program = '', ...args] = shellWords(line)
  const child = spawn(program, args, { stdio: 'inherit' })
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new SettingsError(`Cannot attach: ${program} ${error.code === 'ENOENT' ? 'is not installed' : `does not start (${error.code})`}`),
      ),
    )
    child.once('exit', (code) => resolve(code ?? 1))
  })
}
