import { join } from 'node:path'
import { loadConfig } from '../entry/load-config.ts'
import { projectDirectory, readConfigFile, readSettings, stateDirectory } from '../entry/settings.ts'
import { command } from './command.ts'
import { findProject } from './project.ts'

export default command({
  name: 'init',
  description: 'Make a project: its settings and the token of its server',
  args: { dir: { type: 'string', description: 'Where (default: the working directory)', valueHint: 'PROJECT' } },
  async run(typed) {
    const project = await findProject(projectDirectory({ dir: typed.option('dir') }, process.env))
    const { path, made } = await initialise(project)
    if (!made) return console.log(`${path} is there already; its token stays as it is`)
    console.log(`Made ${path}. It holds the token of the server; only you can read it`)
    console.log('Next: instar server start')
  },
})

/** Makes `.instar/config.json` where it is missing. */
export async function initialise(project: string): Promise<{ path: string; made: boolean }> {
  const state = stateDirectory(project)
  const before = await readConfigFile(state)
  await readSettings({ dir: project }, process.env, await loadConfig(project))
  return { path: join(state, 'config.json'), made: before?.auth?.token === undefined }
}
