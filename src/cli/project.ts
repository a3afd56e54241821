import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createClient, type Client } from '../client.ts'
import { projectDirectory, readConfigFile, SettingsError, stateDirectory } from '../entry/settings.ts'

/** The project that a person means: `--dir`, INSTAR_DIR, the nearest directory upwards that is one, or else the working directory. Absolute. */
export async function findProject(dir: string | undefined): Promise<string> {
  const given = projectDirectory({ dir }, process.env)
  if (dir === undefined && !process.env['INSTAR_DIR']) return (await nearestProject(given)) ?? given
  if ((await stat(given).catch(() => null))?.isDirectory()) return given
  throw new SettingsError(`Cannot use ${given}: there is no such directory`)
}

/** A client of the server that a person means: `--dir`, or INSTAR_URL with INSTAR_TOKEN, or that of the project. */
export async function connect(dir: string | undefined): Promise<Client> {
  const { INSTAR_URL: url, INSTAR_TOKEN: token } = process.env
  if (url && dir === undefined) {
    if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) throw new SettingsError(`Cannot use INSTAR_URL: "${url}" is not an http URL`)
    if (!token) throw new SettingsError('Cannot use INSTAR_URL: INSTAR_TOKEN is not set')
    return createClient({ url, token })
  }
  const project = await findProject(dir)
  const state = stateDirectory(project)
  const config = await readConfigFile(state)
  if (!config?.auth?.token) {
    throw new SettingsError(
      `Cannot find a server: ${project} is not an Instar project. Run "instar init" or "instar server start" in yours`,
    )
  }
  const { host = '127.0.0.1', port = 4040 } = config
  const configured = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  return createClient({ url: (await announcedUrl(state)) ?? configured, token: token || config.auth.token })
}

async function nearestProject(from: string): Promise<string | null> {
  for (let directory = from; ; directory = dirname(directory)) {
    if (await stat(join(stateDirectory(directory), 'config.json')).catch(() => null)) return directory
    if (dirname(directory) === directory) return null
  }
}

/** What the lock file says. Whether its server still runs is found out by asking it, which is quicker than ps. */
async function announcedUrl(state: string): Promise<string | null> {
  try {
    const { url } = JSON.parse(await readFile(join(state, 'server.json'), 'utf8')) as { url?: unknown }
    return typeof url === 'string' ? url : null
  } catch {
    return null
  }
}
