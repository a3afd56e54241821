import { dirname } from 'node:path'
import { execa } from 'execa'
import { cli } from './cli.ts'
import { program } from './tmux.ts'
import { until } from './wait.ts'

/** The server finds its tmux as everybody does. */
const PATH = program.includes('/') ? `${dirname(program)}:${process.env['PATH']}` : process.env['PATH']

/** A server of the built command in a process of its own, to be killed. */
export const foreground = (project: string, env: Readonly<Record<string, string>> = {}) =>
  execa(process.execPath, [cli, 'server', 'start', '--foreground', '--port=0', '--dir', project], {
    env: { PATH, ...env },
    extendEnv: false,
    reject: false,
  })

/** Its address, once it answers. Rejects with what it said when it does not. */
export async function listening(child: ReturnType<typeof foreground>): Promise<string> {
  let said = ''
  child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()))
  await until(() => said.endsWith('\n') || child.exitCode !== null, { what: 'the server', timeout: 30_000 })
  const [, url] = /^instar listening on (.*)\n/.exec(said) ?? []
  if (url === undefined) throw new Error(`the server did not start: ${(await child).stderr}`)
  return url
}
