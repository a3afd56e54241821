import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { codex, type CodexOptions } from '../../src/plugins/agents/codex.ts'
import { shell } from '../../src/plugins/agents/shell.ts'
import type { AgentPlace } from '../agents/seat.ts'
import type { AgentHarness } from '../agents/suite.ts'
import { agentApp, type AgentApp } from './agent.ts'
import { testApp, type TestAppOptions } from './app.ts'
import { lastToolResult, lastUserText, startResponses, type Responses, type ResponsesRequest } from './openai.ts'

export type CodexApp = AgentApp<Responses>

/** The app with the real codex, a fresh home, and a stand-in for the model on loopback. */
export async function codexApp(options: CodexOptions = {}, more: Pick<TestAppOptions, 'onLimit' | 'hooks'> = {}): Promise<CodexApp> {
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
  return agentApp(app, { model, home })
}

/** What the suite of all agents needs to know of it. */
export const codexHarness = (): AgentHarness => ({
  name: 'Codex 0.169.0',
  open: async ({ careful, hooks = [] }) =>
    place(await codexApp(careful ? { approval: 'on-request', sandbox: 'workspace-write' } : { bypass: true }, { hooks })),
  permission: {
    ask: (command) => `[bash ${command}] [outside]`,
    shows: 'esc to cancel',
    allow: ['y'],
    deny: ['n'],
    goesOnAfterDeny: false,
    interrupt: 'deny',
    denyMessage: 'next turn',
    // What asks together is left to the terminal; test/codex.test.ts has that, and the questions of plan mode.
    oneByOne: { cannot: 'its dialogs come in an order that it does not tell' },
    dismiss: ['Escape'],
    // Its title says that it works before its hook says that it was interrupted.
    windsDown: true,
  },
  question: { cannot: 'it asks in plan mode only' },
  background: { cannot: 'it does not go on by itself when a command ends' },
  left: (command) => `[js text(await tools.exec_command(${JSON.stringify({ cmd: command, yield_time_ms: 250 })}))]`,
  subAgent: (text) =>
    `[tool collaboration.spawn_agent ${JSON.stringify({ task_name: 'sub', fork_turns: 'none', message: text })}] [then collaboration.wait_agent {}]`,
  limit: async ({ resumes }) => place(await codexApp({ bypass: true }, { onLimit: resumes ? 'resume' : 'wait' })),
  rewrites: false,
  compact: '/compact',
  clear: '/clear',
  exit: '/quit',
  empty: ['C-c'],
})

function place(app: CodexApp): AgentPlace {
  const { requests } = app.model
  const last = (read: (request: ResponsesRequest) => string) => () => (requests.length === 0 ? '' : read(requests.at(-1)!))
  // The third Esc opens a view of the conversation, without a composer.
  return { app, keyMs: 5000, requests, heard: last(lastUserText), result: last(lastToolResult) }
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
