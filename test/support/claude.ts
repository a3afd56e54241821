import { mkdtemp, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { claude, type ClaudeOptions } from '../../src/plugins/agents/claude.ts'
import { shell } from '../../src/plugins/agents/shell.ts'
import type { Agent } from '../../src/runtime/agent.ts'
import type { AgentPlace } from '../agents/seat.ts'
import type { AgentHarness } from '../agents/suite.ts'
import { agentApp, type AgentApp } from './agent.ts'
import { testApp, type TestAppOptions } from './app.ts'
import { lastToolResult, lastUserText, startModel, type MessagesRequest, type Model } from './model.ts'

/** The versions of Claude Code that matter: the newest that npm installs by itself on Node 20, and the newest. */
export const claudePackages = { '2.1.197': 'claude-code-2.1.197', '2.1.330': '@anthropic-ai/claude-code' } as const
export type ClaudeVersion = keyof typeof claudePackages

export type ClaudeApp = AgentApp<Model>

export interface ClaudeAppOptions extends Pick<TestAppOptions, 'onLimit' | 'hooks' | 'backends'> {
  /** Only a subscription has usage limits. Default false: a gateway. */
  readonly subscription?: boolean
  /** A limit ends a second after it is told of; claude tells the minute of its end only. Default false. */
  readonly endsLimits?: boolean
}

/** The app with the real Claude Code, a fresh home, and a stand-in for the model on loopback. */
export async function claudeApp(
  version: ClaudeVersion,
  options: ClaudeOptions = {},
  { subscription = false, endsLimits = false, ...more }: ClaudeAppOptions = {},
): Promise<ClaudeApp> {
  const program = programOf(version)
  const home = await mkdtemp(join(tmpdir(), 'instar-claude-'))
  // Somebody who has used claude before: its first-run dialogs are the user's, never ours to answer.
  await writeFile(join(home, '.claude.json'), JSON.stringify({ hasCompletedOnboarding: true }))
  const model = await startModel()
  const agent = claude({
    program,
    trust: true,
    sandbox: true,
    permissionMode: 'bypassPermissions',
    ...options,
    env: { CLAUDE_CODE_MAX_RETRIES: '1', ...options.env },
  })
  const app = await testApp({
    ...more,
    agents: { claude: endsLimits ? ending(agent) : agent, shell: shell() },
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
  return agentApp(app, { model, home })
}

/** What the suite of all agents needs to know of it. */
export const claudeHarness = (version: ClaudeVersion): AgentHarness => ({
  name: `Claude Code ${version}`,
  async open({ careful, hooks = [] }) {
    const mode = version === '2.1.197' ? 'default' : 'manual'
    const app = await claudeApp(version, careful ? { permissionMode: mode, sandbox: false } : {}, { hooks })
    const { requests } = app.model
    const last =
      <T>(read: (request: MessagesRequest) => T) =>
      () =>
        requests.length === 0 ? '' : read(requests.at(-1)!)
    return { app, requests, heard: last(lastUserText), result: last(lastToolResult) }
  },
  permission: {
    ask: (command) => `[bash ${command}]`,
    shows: 'Esc to cancel',
    allow: ['1'],
    deny: [version === '2.1.197' ? '3' : '4'],
    goesOnAfterDeny: false,
    interrupt: 'interrupt',
    denyMessage: true,
    dismiss: ['Escape'],
  },
  question: {
    ask: (questions) => {
      const asked = questions.map(({ question, options }, place) => ({
        question,
        header: `Header ${place}`,
        options: options.map((label) => ({ label, description: 'as asked' })),
        multiSelect: false,
      }))
      return `[tool AskUserQuestion ${JSON.stringify({ questions: asked })}]`
    },
    shows: 'Esc to cancel',
    choose: ['1'],
    other: 'other',
  },
  background: (command) => `[tool Bash ${JSON.stringify({ command, description: 'as asked', run_in_background: true })}]`,
  subAgent: (prompt) => `[tool Agent ${JSON.stringify({ description: 'as asked', prompt, subagent_type: 'general-purpose' })}]`,
  limit: async ({ resumes }) =>
    place(await claudeApp(version, {}, { subscription: true, endsLimits: resumes, onLimit: resumes ? 'resume' : 'wait' })),
  compact: '/compact',
  clear: '/clear',
  exit: '/exit',
  empty: ['C-u'],
})

function place(app: ClaudeApp): AgentPlace {
  const { requests } = app.model
  const last = (read: (request: MessagesRequest) => string) => () => (requests.length === 0 ? '' : read(requests.at(-1)!))
  return { app, requests, heard: last(lastUserText), result: last(lastToolResult) }
}

/** The agent, whose limits end soon. */
const ending = (agent: Agent): Agent => ({
  ...agent,
  read(sight, record) {
    const event = agent.read(sight, record)
    if (event?.type !== 'turn_failed' || event.waiting?.kind !== 'limit') return event
    return { ...event, waiting: { ...event.waiting, until: new Date(Date.parse(event.evidence.at) + 1000).toISOString() } }
  },
})

/** The program itself, in the package for this platform: it is there also where npm runs no install scripts. */
export function programOf(version: ClaudeVersion): string {
  const own = createRequire(import.meta.url).resolve(`${claudePackages[version]}/package.json`)
  const platform = createRequire(own).resolve(`@anthropic-ai/claude-code-${process.platform}-${process.arch}/package.json`)
  return join(dirname(platform), 'claude')
}
