import { loadConfig } from '../entry/load-config.ts'
import { examine, type Finding } from '../plugins/backends/doctor.ts'
import { ssh } from '../plugins/backends/ssh/ssh.ts'
import { tmux } from '../plugins/backends/tmux/tmux.ts'
import type { Config } from '../runtime/config.ts'
import { command, dir, json, UsageError } from './command.ts'
import { table } from './print.ts'
import { findProject } from './project.ts'

type Backends = NonNullable<Config['backends']>

export default command({
  name: 'doctor',
  description: 'Look at what backends need, here and on other machines, and say what is missing',
  args: {
    'target...': {
      type: 'positional',
      description: 'Names of backends in the config, or ssh:HOST (default: all backends)',
      required: false,
    },
    'ssh-config': { type: 'string', description: 'In the place of ~/.ssh/config, for ssh:HOST', valueHint: 'FILE' },
    json,
    dir,
  },
  async run(typed) {
    const { backends: configured = { local: tmux() } } = await loadConfig(await findProject(typed.option('dir')))
    const names = typed.words.length > 0 ? typed.words : Object.keys(configured)
    const chosen = names.map((name) => [name, backendOf(name, configured, typed.option('ssh-config'))] as const)
    const examined = await Promise.all(chosen.map(async ([backend, each]) => ({ backend, findings: await examine(each) })))
    const isWell = examined.every(({ findings }) => findings.every(({ ok, needed }) => ok || !needed))
    console.log(
      typed.flag('json')
        ? JSON.stringify(examined, null, 2)
        : examined.map(({ backend, findings }) => shown(backend, findings)).join('\n\n'),
    )
    if (!isWell) process.exitCode = 1
  },
})

function backendOf(name: string, configured: Backends, config: string | undefined): Backends[string] {
  if (name.startsWith('ssh:')) {
    try {
      return ssh({ host: name.slice(4), ...(config === undefined ? {} : { config }) })
    } catch (error) {
      throw new UsageError((error as Error).message)
    }
  }
  if (Object.hasOwn(configured, name)) return configured[name]!
  throw new UsageError(`There is no backend "${name}"; there is ${Object.keys(configured).join(', ')}, or ssh:HOST`)
}

const shown = (backend: string, findings: readonly Finding[]): string => `${backend}\n${table(findings.map(row))}`

const row = ({ what, ok, needed, detail }: Finding): string[] => [ok ? 'ok' : needed ? 'MISSING' : 'no', what, detail]
