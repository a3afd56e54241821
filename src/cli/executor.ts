import { log } from '../entry/log.ts'
import { command, dir } from './command.ts'
import { findProject } from './project.ts'

export default command({
  name: 'executor',
  description: 'Serve the backends of this host to control planes elsewhere, until SIGTERM or Ctrl-C; sessions run on',
  args: {
    port: { type: 'string', description: 'Default: 4041; 0 takes any free one', valueHint: 'N' },
    host: { type: 'string', description: 'Default: 127.0.0.1', valueHint: 'HOST' },
    backend: { type: 'string', description: 'Serve only this backend of the config; may be repeated', valueHint: 'NAME' },
    dial: {
      type: 'string',
      description: 'Do not listen, but dial a control plane that cannot reach this host: ADDRESS/dial/BACKEND',
      valueHint: 'URL',
    },
    dir,
  },
  async run(typed) {
    const asked = new Promise((resolve) => {
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, resolve)
    })
    process.on('unhandledRejection', (error) => log('a promise was rejected that nobody waits for', { error: String(error) }))
    const { startExecutor } = await import('../node.ts')
    const executor = await startExecutor({
      dir: await findProject(typed.option('dir')),
      port: typed.option('port'),
      host: typed.option('host'),
      backends: typed.options('backend'),
      dial: typed.option('dial'),
    })
    const doing = typed.option('dial') === undefined ? 'listening on' : 'dials'
    const from = process.env['INSTAR_EXECUTOR_TOKEN'] ? 'that of INSTAR_EXECUTOR_TOKEN' : 'in .instar/config.json, under executor.token'
    // One write: who waits for the address has the rest too.
    console.log(`instar executor ${doing} ${executor.url}, with ${executor.backends.join(', ')}\nIts token is ${from}`)
    await asked
    await executor.close()
    process.exit(0)
  },
})
