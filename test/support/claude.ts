import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { claude, type ClaudeOptions } from '../../src/plugins/agents/claude.ts'
import { shell } from '../../src/plugins/agents/shell.ts'
import type { Session } from '../../src/runtime/types.ts'
import { testApp, type TestApp, type TestAppOptions } from './app.ts'
import { startModel, type Model } from './model.ts'
import { until } from './wait.ts'

/** The versions of Claude Code that matter: the newest that npm installs by itself on Node 20, and the newest. */
export const claudePackages = { '2.1.197': 'claude-code-2.1.197', '2.1.330': '@anthropic-ai/claude-code' } as const
export type ClaudeVersion = keyof typeof claudePackages

export interface ClaudeApp extends TestApp {
  readonly model: Model
  readonly home: string
  /** Resolves when the session has one of the statuses. */
  reaches(name: string, ...statuses: Session['status'][]): Promise<Session>
}

/** The app with the real Claude Code, a fresh home, and a stand-in for the model on loopback. Only a subscription has usage limits. */
export async function claudeApp(
  version: ClaudeVersion,
  options: ClaudeOptions = {},
  { subscription = false, ...more }: { subscription?: boolean } & Pick<TestAppOptions, 'onLimit'> = {},
): Promise<ClaudeApp> {
  const program = programOf(version)
  const home = await mkdtemp(join(tmpdir(), 'instar-claude-'))
  // Somebody who has used claude before: its first-run dialogs are the user's, never ours to answer.
  await writeFile(join(home, '.claude.json'), JSON.stringify({ hasCompletedOnboarding: true }))
  const model = await startModel()
  const app = await testApp({
    ...more,
    agents: {
      claude: claude({
        program,
        trust: true,
        sandbox: true,
        permissionMode: 'bypassPermissions',
        ...options,
        env: { CLAUDE_CODE_MAX_RETRIES: '1', ...options.env },
      }),
      shell: shell(),
    },
    limits: { graceMs: 3000 },
    environment: {
      PATH: process.env['PATH'] ?? '',
      HOME: home,
      ANTHROPIC_BASE_URL: model.url,
      ...(subscription ? { CLAUDE_CODE_OAUTH_TOKEN: 'stand-in' } : { ANTHROPIC_AUTH_TOKEN: 'stand-in' }),
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      DISABLE_TELEMETRY: '1',
      DISABLE_ERROR_REPORTING: '1',
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

/** The program itself, in the package for this platform: it is there also where npm runs no install scripts. */
function programOf(version: ClaudeVersion): string {
  const own = createRequire(import.meta.url).resolve(`${claudePackages[version]}/package.json`)
  const platform = createRequire(own).resolve(`@anthropic-ai/claude-code-${process.platform}-${process.arch}/package.json`)
  return join(dirname(platform), 'claude')
}
