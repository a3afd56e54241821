import { resolve } from 'node:path'
import type { Session, SpawnRequest } from '../client.ts'
import { command, dir, json, UsageError, type Typed } from './command.ts'
import { connect } from './project.ts'
import { textOf } from './text.ts'

export default command({
  name: 'spawn',
  description: 'Start a session',
  args: {
    name: { type: 'positional', description: '1 to 63 lower-case letters, digits and hyphens' },
    'prompt...': { type: 'positional', description: 'What it should do; - reads standard input' },
    agent: { type: 'string', description: 'claude (default), codex, gemini, opencode, shell, or one of the config', valueHint: 'AGENT' },
    model: { type: 'string', description: 'opus, sonnet, haiku or a full id', valueHint: 'MODEL' },
    backend: { type: 'string', description: 'Where it runs', valueHint: 'BACKEND' },
    cwd: { type: 'string', description: 'Its working directory (default: the project)', valueHint: 'DIRECTORY' },
    env: { type: 'string', description: 'A variable of its environment; may be repeated', valueHint: 'K=V' },
    label: { type: 'string', description: 'A label to find it by; may be repeated', valueHint: 'K=V' },
    worktree: { type: 'string', description: 'In a git worktree and on a branch of its own', valueHint: '[BRANCH]' },
    json,
    dir,
  },
  async run(typed) {
    const request = requestOf(typed)
    const client = await connect(typed.option('dir'))
    const session = await client.spawn({ ...request, prompt: await textOf(typed.words.slice(1)) })
    console.log(typed.flag('json') ? JSON.stringify(session, null, 2) : outcome(session))
  },
})

/** Pure. Throws `UsageError`. */
export function requestOf(typed: Typed): Omit<SpawnRequest, 'prompt'> {
  const cwd = typed.option('cwd')
  const branch = typed.option('worktree')
  return {
    name: typed.words[0] ?? '',
    agent: typed.option('agent'),
    model: typed.option('model'),
    backend: typed.option('backend'),
    cwd: cwd === undefined ? undefined : resolve(cwd),
    env: pairs('env', typed.options('env')),
    labels: pairs('label', typed.options('label')),
    hooks: branch === undefined ? undefined : { worktree: branch === '' ? {} : { branch } },
  }
}

function pairs(option: string, given: readonly string[]): Record<string, string> | undefined {
  if (given.length === 0) return undefined
  return Object.fromEntries(
    given.map((pair) => {
      const [key, ...value] = pair.split('=')
      if (key && value.length > 0) return [key, value.join('=')]
      throw new UsageError(`Option --${option} takes KEY=VALUE, not "${pair}"`)
    }),
  )
}

function outcome({ name, status, reason, endedAt, attach }: Session): string {
  if (endedAt !== null) return `${name} is ${status}${reason ? `: ${reason}` : ''}. Read it with: instar output ${name}`
  return `${name} is ${status}. Read it with: instar output ${name}${attach === null ? '' : `. Sit down at it with: instar attach ${name}`}`
}
