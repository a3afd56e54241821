import type { Flags } from '../entry/settings.ts'
import { log } from '../entry/log.ts'
import { startInBackground } from './background.ts'
import { command, dir } from './command.ts'
import { findProject } from './project.ts'

export default command({
  name: 'start',
  description: 'Start the server, in the background',
  args: {
    foreground: { type: 'boolean', description: 'Run it here, until SIGTERM or Ctrl-C; sessions run on' },
    port: { type: 'string', description: 'Default: 4040; 0 takes any free one', valueHint: 'N' },
    host: { type: 'string', description: 'Default: 127.0.0.1', valueHint: 'HOST' },
    dir,
  },
  async run(typed) {
    const flags = { dir: await findProject(typed.option('dir')), port: typed.option('port'), host: typed.option('host') }
    if (typed.flag('foreground')) return runHere(flags)
    const { url, pid, already } = await startInBackground(flags)
    if (already) return console.log(`instar is already listening on ${url} (pid ${pid})`)
    console.log(`instar listening on ${url}`)
    console.log('Stop it with: instar server stop')
  },
})

/** Serves until it is asked to end. */
async function runHere(flags: Flags): Promise<void> {
  const asked = new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, resolve)
  })
  // What a plugin or a hook of somebody's forgot to wait for is no reason to leave all sessions alone.
  process.on('unhandledRejection', (error) => log('a promise was rejected that nobody waits for', { error: String(error) }))
  const { startServer } = await import('../node.ts')
  const server = await startServer(flags)
  console.log(`instar listening on ${server.url}`)
  await asked
  await server.close()
  process.exit(0)
}
