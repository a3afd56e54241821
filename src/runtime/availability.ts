import type { Agent } from './agent.ts'
import type { Backend, Health } from './backend.ts'
import { InstarError, stateOf } from './error.ts'
import { launchOf } from './launch.ts'
import type { UsageLimits } from './limits.ts'
import type { Reach } from './reach.ts'

/** An agent by its name in the config: whether a session of it can be started now, somewhere and in each backend. */
export type ListedAgent = Health & {
  readonly name: string
  /** When a request names none; null when the agent's own settings say. */
  readonly model: string | null
  readonly backends: Readonly<Record<string, Health>>
}

export interface AvailabilityOptions {
  readonly backends: Readonly<Record<string, Backend>>
  readonly agents: Readonly<Record<string, Agent>>
  readonly reach: Reach
  readonly usageLimits: UsageLimits
  readonly cwd: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly allowedEnvironment: readonly string[]
}

const timeoutMs = 5000
/** What could be the id of a session, and is none. */
const noId = '00000000-0000-7000-8000-000000000000'

/** Looks for what each agent would run, where it would run: once for a backend, however many agents and however many ask meanwhile. */
export function createAvailability(options: AvailabilityOptions): () => Promise<ListedAgent[]> {
  const { backends, agents, reach, usageLimits } = options
  let asked: Promise<ListedAgent[]> | null = null

  /** What an agent would run, and the PATH it is looked for on. */
  function programOf(name: string, backend: string, elsewhere: Readonly<Record<string, string>> | null): { program: string; path: string } {
    const agent = agents[name]!
    const chosen = { id: noId, agent: name, backend, model: agent.model ?? null, cwd: options.cwd, createdAt: '' }
    const surroundings = { ...options, elsewhere, resume: null, access: {} }
    const { argv, env } = agent.plan(launchOf({ name, prompt: 'x' }, chosen, agent, surroundings), '/')
    return { program: argv[0], path: env['PATH'] ?? '' }
  }

  /** What keeps an agent from being started wherever its program is; null when nothing does. */
  function obstacle(name: string, { cannot }: Backend): string | null {
    if (cannot?.terminal !== undefined && agents[name]!.draft) return `it needs a terminal: ${cannot.terminal}`
    try {
      usageLimits.refuse(name, name)
      return null
    } catch (error) {
      if (!(error instanceof InstarError)) throw error
      return stateOf(error)
    }
  }

  /** Every agent in one backend. */
  async function inBackend(name: string): Promise<Readonly<Record<string, Health>>> {
    const backend = backends[name]!
    const health = await reach.check(name)
    const all = (told: (agent: string) => Health) => Object.fromEntries(Object.keys(agents).map((agent) => [agent, told(agent)]))
    if (!health.ok) return all(() => health)
    const elsewhere = (await backend.environment?.()) ?? null
    const wanted = Object.keys(agents).map((agent) => ({ agent, ...programOf(agent, name, elsewhere) }))
    const places = new Map<string, string | null>()
    for (const path of new Set(wanted.map((each) => each.path))) {
      const there = wanted.filter((each) => each.path === path)
      const found =
        (await backend.find?.(
          there.map(({ program }) => program),
          path,
        )) ?? []
      for (const [i, at] of found.entries()) places.set(there[i]!.agent, at)
    }
    return all((agent) => {
      const { program } = wanted.find((each) => each.agent === agent)!
      const reason = obstacle(agent, backend)
      if (reason !== null) return { ok: false, reason }
      const at = places.get(agent)
      if (at === undefined) return { ok: true, detail: `${health.detail}; whether "${program}" is there it does not tell` }
      return at === null ? { ok: false, reason: `there is no program "${program}" on the PATH of its sessions` } : { ok: true, detail: at }
    })
  }

  async function ask(): Promise<ListedAgent[]> {
    const names = Object.keys(backends)
    const found = await Promise.all(names.map((name) => bounded(inBackend(name), Object.keys(agents))))
    return Object.entries(agents).map(([name, { model = null }]) => {
      const each = Object.fromEntries(names.map((backend, i) => [backend, found[i]![name]!]))
      const health = Object.values(each).find(({ ok }) => ok) ?? Object.values(each)[0]!
      return { name, model, ...health, backends: each }
    })
  }

  return () => (asked ??= ask().finally(() => (asked = null)))
}

/** What is known in time. */
async function bounded(
  asking: Promise<Readonly<Record<string, Health>>>,
  agents: readonly string[],
): Promise<Readonly<Record<string, Health>>> {
  const all = (reason: string) => Object.fromEntries(agents.map((agent) => [agent, { ok: false, reason } as const]))
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<Readonly<Record<string, Health>>>((resolve) => {
    timer = setTimeout(() => resolve(all(`its backend did not answer within ${timeoutMs / 1000} s`)), timeoutMs)
  })
  const failed = (error: unknown) => all(error instanceof InstarError ? error.message : 'its backend could not be asked')
  return Promise.race([asking.catch(failed), late]).finally(() => clearTimeout(timer))
}
