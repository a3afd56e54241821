import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { opencode, type OpencodeOptions } from '../../src/plugins/agents/opencode.ts'
import { shell } from '../../src/plugins/agents/shell.ts'
import type { AgentHarness } from '../agents/suite.ts'
import { agentApp, type AgentApp } from './agent.ts'
import { testApp, type TestAppOptions } from './app.ts'
import { lastToolResult, lastUserText, startChat, type Chat, type ChatRequest } from './chat.ts'

export interface OpencodeApp extends AgentApp<Chat> {
  /** Makes a directory of settings one that was used before; otherwise opencode fetches packages for it. */
  usedBefore(directory: string): Promise<void>
}

/** The app with the real opencode, a fresh home, and a stand-in for the model on loopback. */
export async function opencodeApp(
  options: OpencodeOptions = {},
  more: Pick<TestAppOptions, 'onLimit' | 'hooks'> = {},
): Promise<OpencodeApp> {
  const home = await mkdtemp(join(tmpdir(), 'instar-opencode-'))
  const model = await startChat()
  await usedBefore(join(home, '.config/opencode'))
  // The user's own settings, with which ours must merge. No other provider: one of opencode's own needs no login.
  await writeFile(
    join(home, '.config/opencode/opencode.json'),
    JSON.stringify({
      enabled_providers: ['stand-in'],
      provider: {
        'stand-in': {
          npm: '@ai-sdk/openai-compatible',
          options: { baseURL: model.url, apiKey: 'stand-in' },
          models: { one: { limit: { context: 200_000, output: 8000 }, cost: { input: 3, output: 15 } } },
        },
      },
    }),
  )
  const app = await testApp({
    ...more,
    agents: {
      // It unpacks libraries into what is temporary, and leaves them there.
      opencode: opencode({ program: program(), model: 'stand-in/one', ...options, env: { TMPDIR: home, ...options.env } }),
      shell: shell(),
    },
    limits: { graceMs: 3000 },
    environment: {
      PATH: process.env['PATH'] ?? '',
      HOME: home,
      OPENCODE_DISABLE_MODELS_FETCH: '1',
      OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
      SERVER_SECRET: 'must-not-leak',
    },
  })
  // Assigned, because a copy would keep the runtime of before a restart.
  return Object.assign(agentApp(app, { model, home, timeout: 60_000 }), { usedBefore })
}

/** At its first start opencode fetches the types for plugins; where they seem to be it fetches nothing. */
async function usedBefore(directory: string): Promise<void> {
  const dependencies = { '@opencode-ai/plugin': '*' }
  await mkdir(join(directory, 'node_modules'), { recursive: true })
  await writeFile(join(directory, 'package.json'), JSON.stringify({ dependencies }))
  await writeFile(join(directory, 'package-lock.json'), JSON.stringify({ packages: { '': { dependencies } } }))
}

/** The program itself, in the package for this platform; see test/programs. */
function program(): string {
  return join(dirname(createRequire(import.meta.url).resolve(`opencode-${process.platform}-${process.arch}/package.json`)), 'bin/opencode')
}

/** What the suite of all agents needs to know of it. */
export const opencodeHarness = (): AgentHarness => ({
  name: 'opencode',
  async open({ careful, hooks = [] }) {
    const app = await opencodeApp(careful ? { permission: { bash: 'ask' } } : {}, { hooks })
    const { requests } = app.model
    const last = (read: (request: ChatRequest) => string) => () => (requests.length === 0 ? '' : read(requests.at(-1)!))
    return { app, requests, heard: last(lastUserText), result: last(lastToolResult) }
  },
  permission: {
    ask: (command) => `[bash ${command}]`,
    shows: 'Permission required',
    allow: ['Enter'],
    deny: ['Right', 'Right', 'Enter'],
    goesOnAfterDeny: false,
    atOnce: 2,
    interrupt: 'deny',
    denyMessage: true,
    dismiss: ['Escape'],
  },
  question: {
    ask: (questions) => {
      const asked = questions.map(({ question, options }, place) => ({
        question,
        header: `Header ${place}`,
        options: options.map((label) => ({ label, description: 'as asked' })),
      }))
      return `[tool question ${JSON.stringify({ questions: asked })}]`
    },
    shows: 'esc dismiss',
    choose: ['Enter'],
    other: 'other',
  },
  limit: { cannot: 'it tries again by itself' },
  background: { cannot: 'its tools end with the turn' },
  subAgent: (prompt) => `[tool task ${JSON.stringify({ description: 'as asked', prompt, subagent_type: 'general' })}]`,
  compact: '/compact',
  clear: '/new',
  exit: '/exit',
  empty: ['C-u'],
})
