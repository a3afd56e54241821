import { claude } from '../plugins/agents/claude.ts'
import { codex } from '../plugins/agents/codex.ts'
import { gemini } from '../plugins/agents/gemini.ts'
import { opencode } from '../plugins/agents/opencode.ts'
import { shell } from '../plugins/agents/shell.ts'
import type { Config } from '../runtime/config.ts'
import { withPlugins } from '../runtime/plugin.ts'
import { SettingsError } from './settings-error.ts'

export type CompleteConfig = Config & Required<Pick<Config, 'backends' | 'agents' | 'hooks'>>

/** A config with what it does not say, and with what its plugins bring. A `SettingsError` where two have one name. */
export function complete(config: Config, defaults: Required<Pick<Config, 'backends' | 'hooks'>>): CompleteConfig {
  const agents = () => ({ claude: claude(), codex: codex(), gemini: gemini(), opencode: opencode(), shell: shell() })
  try {
    return withPlugins({
      ...config,
      backends: config.backends ?? defaults.backends,
      agents: config.agents ?? agents(),
      hooks: config.hooks ?? defaults.hooks,
    })
  } catch (error) {
    throw new SettingsError(`Cannot use the config: ${(error as Error).message}`, { cause: error })
  }
}
