import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { codex, type CodexOptions } from '../../src/plugins/agents/codex.ts'
import { shell } from '../../src/plugins/agents/shell.ts'
import type { Session } from '../../src/runtime/types.ts'
import { testApp, type TestApp, type TestAppOptions } from './app.ts'
import { startResponses, type Responses } from './openai.ts'
import { until } from './wait.ts'

export interface CodexApp extends TestApp {
  readonly model: Responses
  readonly home: string
  /** Resolves when the session has one of the statuses. */
  reaches(name: string, ...statuses: Session['status'][]): Promise<Session>
}

/** The app with the real codex, a fresh home, and a stand-in for the model on loopback. */
export async function codexApp(options: CodexOptions = {}, more: Pick<TestAppOptions, 'onLimit'> = {}): Promise<CodexApp> {
  const home = await mkdtemp(join(tmpdir(), 'instar-codex-'))
  const model = await startResponses()
  // The user's own settings, with which ours must merge.
  await mkdir(join(home, '.codex'))
  await writeFile(join(home, '.codex/config.toml'), settings(model.url))
  const app = await testApp({
    ...more,
    agents: {
      // What it fetches from elsewhere, such as the tip of the day, is refused.
      codex: codex({ program: program(), trust: true, ...options, env: { HTTPS_PROXY: model.url, ...options.env } }),
      shell: shell(),
    },
    limits: { graceMs: 3000 },
    environment: {
      PATH: process.env['PATH'] ?? '',
      HOME: home,
      OPENAI_API_KEY: 'stand-in',
      SERVER_SECRET: 'must-not-leak',
    },
  })
  return {
    ...app,
    get runtime() {
      return app.runtime
    },
    model,
    home,
    reaches: (name, ...statuses) =>
      until(
        () => {
          const session = app.runtime.get(name)
          return statuses.includes(session.status) && session
        },
        { timeout: 30_000, what: `session ${name} is ${statuses.join(' or ')}` },
      ),
    async close() {
      await app.close()
      await model.close()
      await rm(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    },
  }
}

const settings = (url: string): string => `
model_provider = "stand-in"
[model_providers.stand-in]
name = "stand-in"
base_url = "${url}"
wire_api = "responses"
env_key = "OPENAI_API_KEY"
request_max_retries = 1
stream_max_retries = 1
[analytics]
enabled = false
[features]
apps = false
plugins = false
remote_plugin = false
`

/** The program itself, in the package for this platform: it is there also where npm runs no install scripts. */
function program(): string {
  const own = createRequire(import.meta.url).resolve('@openai/codex/package.json')
  const platform = createRequire(own).resolve(`@openai/codex-${process.platform}-${process.arch}/package.json`)
  const targets = { x64: 'x86_64', arm64: 'aarch64' } as Readonly<Record<string, string>>
  const system = process.platform === 'darwin' ? 'apple-darwin' : 'unknown-linux-musl'
  return join(dirname(platform), 'vendor', `${targets[process.arch]}-${system}`, 'bin/codex')
}
