import { mkdir, mkdtemp, stat, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gemini, geminiHooks, type GeminiOptions } from '../../src/plugins/agents/gemini.ts'
import { shell } from '../../src/plugins/agents/shell.ts'
import type { AgentHarness } from '../agents/suite.ts'
import { agentApp, type AgentApp } from './agent.ts'
import { testApp, type TestAppOptions } from './app.ts'
import { lastToolResult, lastUserText, startGenerative, type GenerateRequest, type Generative } from './google.ts'

export type GeminiApp = AgentApp<Generative>

export interface GeminiSetting extends Pick<TestAppOptions, 'onLimit' | 'hooks'> {
  /** Whether the user has put our hooks into his settings. Default true. */
  readonly ours?: boolean
  /** More of the user's settings, by their sections. */
  readonly settings?: Readonly<Record<string, object>>
  /** Where everything is put. Default: the system's directory for that. */
  readonly directory?: string
  readonly environment?: Readonly<Record<string, string>>
}

/** The app with the real Gemini CLI, a fresh home, and a stand-in for the API on loopback. */
export async function geminiApp(options: GeminiOptions = {}, setting: GeminiSetting = {}): Promise<GeminiApp> {
  const { ours = true, settings = {}, directory = tmpdir(), environment = {}, ...more } = setting
  const home = await mkdtemp(join(directory, 'instar-gemini-'))
  await mkdir(join(home, '.gemini'))
  // Somebody who has used gemini before: its first-run dialogs are the user's, never ours to answer.
  await writeFile(
    join(home, '.gemini/settings.json'),
    JSON.stringify({
      general: { enableAutoUpdate: false, enableAutoUpdateNotification: false, maxAttempts: 2 },
      privacy: { usageStatisticsEnabled: false },
      security: { auth: { selectedType: 'gemini-api-key' } },
      ...(ours ? { hooks: geminiHooks } : {}),
      ...settings,
    }),
  )
  const model = await startGenerative()
  const app = await within(directory, () =>
    testApp({
      ...more,
      agents: {
        gemini: gemini({ program: program(), model: 'gemini-2.5-flash', approvalMode: 'yolo', trust: true, defaults: false, ...options }),
        shell: shell(),
      },
      limits: { graceMs: 3000 },
      environment: {
        PATH: process.env['PATH'] ?? '',
        HOME: home,
        GEMINI_API_KEY: 'stand-in',
        GOOGLE_GEMINI_BASE_URL: model.url,
        SERVER_SECRET: 'must-not-leak',
        ...environment,
      },
    }),
  )
  return agentApp(app, { model, home })
}

/** A directory where gemini takes a file of system defaults; null where there is none, such as for anybody but root. */
export async function rootsDirectory(): Promise<string | null> {
  const directory = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), '../.instar')
  for (let each = dirname(directory); ; each = dirname(each)) {
    const { uid, mode } = await stat(each)
    if (uid !== 0 || (mode & 0o022) !== 0 || process.getuid?.() !== 0) return null
    if (each === dirname(each)) break
  }
  await mkdir(directory, { recursive: true })
  return directory
}

/** Runs with another directory for what is temporary. */
async function within<T>(directory: string, task: () => Promise<T>): Promise<T> {
  const before = process.env['TMPDIR']
  process.env['TMPDIR'] = directory
  try {
    return await task()
  } finally {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
  }
}

/** The program itself, as npm puts it there. */
function program(): string {
  return join(dirname(createRequire(import.meta.url).resolve('@google/gemini-cli/package.json')), 'bundle/gemini.js')
}

/** What the suite of all agents needs to know of it. */
export const geminiHarness = (): AgentHarness => ({
  name: 'Gemini CLI',
  async open({ careful, hooks = [] }) {
    const app = await geminiApp(careful ? { approvalMode: 'default' } : {}, { hooks })
    const { requests } = app.model
    const last =
      <T>(read: (request: GenerateRequest) => T) =>
      () =>
        requests.length === 0 ? '' : read(requests.at(-1)!)
    return { app, requests, heard: last(lastUserText) as () => string, result: last(lastToolResult) as () => string }
  },
  permission: {
    ask: (command) => `[bash ${command}]`,
    shows: 'Allow execution of',
    allow: ['1'],
    deny: ['3'],
    goesOnAfterDeny: false,
    interrupt: { cannot: 'no ends the turn' },
    denyMessage: 'next turn',
    windsDown: true,
    dismiss: ['Escape'],
  },
  question: {
    ask: (questions) =>
      `[tool ask_user ${JSON.stringify({ questions: questions.map(({ question, options }, i) => ({ question, header: `H${i}`, type: 'choice', options: options.map((label) => ({ label, description: 'as asked' })) })) })}]`,
    shows: 'Enter to select',
    choose: ['1'],
    other: { cannot: 'keys only' },
  },
  limit: { cannot: 'dialog' },
  background: { cannot: 'it does not go on by itself' },
  subAgent: { cannot: 'not now' },
  compact: '/compress',
  clear: '/clear',
  exit: '/quit',
  empty: ['C-u'],
})
