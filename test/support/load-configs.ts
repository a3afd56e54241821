import { loadConfig } from '../../src/entry/load-config.ts'
import { SettingsError } from '../../src/entry/settings.ts'
import { InstarError } from '../../src/index.ts'

// Loads the configs of the projects that it is given, in a process of its own on any runtime, and prints what came of them.
const found: unknown[] = []
for (const directory of process.argv.slice(2)) {
  try {
    const config = (await loadConfig(directory)) as { agents?: { marker?: unknown } }
    found.push({ config, same: config.agents?.marker === InstarError })
  } catch (error) {
    const { message, name } = error as Error
    found.push({ error: message, type: error instanceof SettingsError ? 'SettingsError' : name })
  }
}
console.log(JSON.stringify(found))
