import { execa } from 'execa'
import { stateDirectory } from '../entry/settings.ts'
import { ownerOf } from '../entry/state-lock.ts'
import { tmux } from '../plugins/backends/tmux/tmux.ts'
import type { Health } from '../runtime/backend.ts'
import { startInBackground } from './background.ts'
import { command } from './command.ts'
import { initialise } from './init.ts'
import { table } from './print.ts'
import { findProject } from './project.ts'

const versionTimeoutMs = 10_000

/** What `instar` alone does: says what is there and what is missing, makes the project, and leads to the first session. */
export default command({
  name: 'welcome',
  description: 'Look at what is there, and lead to the first session (also: instar alone)',
  args: {},
  async run() {
    const project = await findProject(undefined)
    const [terminal, claude] = await Promise.all([tmuxHealth(project), claudeHealth(), initialise(project)])
    const owner = await ownerOf(stateDirectory(project))
    const facts = [
      ['tmux', said(terminal)],
      ['claude', said(claude)],
      ['project', `${project} (settings and token: .instar/config.json)`],
      ['server', owner?.url ? `listening on ${owner.url}` : 'not running'],
    ]
    console.log(`${table(facts)}\n`)
    const running = owner !== null || (terminal.ok && (await offerStart(project)))
    console.log(next(running, claude.ok))
  },
})

const tmuxHealth = (project: string): Promise<Health> => tmux()({ directory: stateDirectory(project), socket: 'unused' }).check()

async function claudeHealth(): Promise<Health> {
  const { failed, stdout } = await execa('claude', ['--version'], { reject: false, timeout: versionTimeoutMs, stdin: 'ignore' })
  if (!failed) return { ok: true, detail: stdout.trim() }
  return { ok: false, reason: 'Claude Code is not installed: npm install -g @anthropic-ai/claude-code' }
}

/** Asks a person at a terminal; whether a server runs then. */
async function offerStart(project: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return false
  const { confirm, isCancel } = await import('@clack/prompts')
  const answer = await confirm({ message: 'Start the server now?' })
  if (isCancel(answer)) process.exit(130)
  if (!answer) return false
  const { url } = await startInBackground({ dir: project })
  console.log(`instar listening on ${url}\n`)
  return true
}

const said = (health: Health): string => (health.ok ? health.detail : health.reason)

function next(running: boolean, hasClaude: boolean): string {
  const spawn = hasClaude
    ? 'instar spawn hello "Say hello, and what is in this directory"'
    : 'instar spawn hello --agent shell "ls; sleep 60"'
  const start = running ? [] : ['Start the server:', '  instar server start', '']
  return [...start, 'Then try:', `  ${spawn}`, '  instar ls', '  instar output hello'].join('\n')
}
