import type { Agent } from './agent.ts'
import type { Backend } from './backend.ts'
import type { Limits } from './config.ts'
import { InstarError, stateOf } from './error.ts'
import type { Hooks } from './hooks.ts'
import { acceptedSession, choose, conversationOf, digestOf, firstRecord, inheritance, launchOf } from './launch.ts'
import type { UsageLimits } from './limits.ts'
import { redactor } from './redact.ts'
import { isEnded } from './session.ts'
import type { RuntimeOptions } from './runtime.ts'
import type { Store } from './store.ts'
import type { Supervisor } from './supervise.ts'
import type { Handle, HookRecord, Launch, Session, SessionRecord, SpawnRequest } from './types.ts'

export interface SpawnerOptions {
  readonly backends: Readonly<Record<string, Backend>>
  readonly agents: Readonly<Record<string, Agent>>
  readonly hooks: Hooks
  readonly store: Store
  readonly supervisor: Supervisor
  readonly usageLimits: UsageLimits
  readonly limits: Limits
  readonly cwd: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly allowedEnvironment: readonly string[]
  readonly access?: RuntimeOptions['access']
  readonly find: (ref: string, verb: string) => SessionRecord
  readonly now: () => Date
}

/** Carries out a spawn: request ▸ Launch ▸ hooks ▸ agent.plan ▸ backend.start. Only one at a time for a name. */
export function createSpawner(options: SpawnerOptions): (request: SpawnRequest, id: string) => Promise<Session> {
  const { backends, agents, hooks, store, supervisor, limits, now } = options

  function refuse(request: SpawnRequest, agent: string, backend: string): void {
    const { name } = request
    const known = store.newest(name)
    if (known && !isEnded(known.session.status)) {
      throw new InstarError('name_in_use', `Cannot spawn session "${name}": a session of that name is ${known.session.status}`, {
        id: known.session.id,
      })
    }
    const noTerminal = backends[backend]!.cannot?.terminal
    if (noTerminal !== undefined && agents[agent]!.draft)
      throw new InstarError(
        'invalid_request',
        `Cannot spawn session "${name}": agent "${agent}" needs a terminal, and backend "${backend}" has none: ${noTerminal}`,
        { field: 'backend' },
      )
    options.usageLimits.refuse(agent, name)
    const live = store.liveCount()
    if (live >= limits.maxSessions)
      throw new InstarError(
        'too_many_sessions',
        `Cannot spawn session "${name}": ${live} sessions are live, and ${limits.maxSessions} is the limit`,
        {
          limit: limits.maxSessions,
          retryAfter: 30,
        },
      )
    const { maxSessions = Infinity } = backends[backend]!
    const there = store.liveCount(backend)
    if (there >= maxSessions)
      throw new InstarError(
        'too_many_sessions',
        `Cannot spawn session "${name}": ${there} sessions are live on "${backend}", and ${maxSessions} is its limit`,
        {
          limit: maxSessions,
          backend,
          retryAfter: 30,
        },
      )
  }

  return async function spawn(request, id) {
    const { name } = request
    const [agentName, agent] = choose('agent', agents, request.agent)
    const parent = request.parent === undefined ? null : (store.get(request.parent) ?? store.newest(request.parent) ?? null)
    const [backendName, backend] = choose('backend', backends, request.backend ?? parent?.session.backend)
    const said = { ...hooks.passOn(parent?.options ?? {}), ...request.hooks }
    const around = await hooks.check(said)
    const elsewhere = (await backend.environment?.()) ?? null
    const access = (await options.access?.(id, elsewhere === null)) ?? {}
    // From here to its record nothing is waited for: of many at a time, those that are one too many see the others.
    const before = request.resume === undefined ? null : options.find(request.resume, 'resume')
    const resume = before && conversationOf(before, store.all())
    refuse(request, agentName, backendName)
    const inherited = inheritance(request, parent, store.all(), limits)
    const chosen = {
      id,
      agent: agentName,
      backend: backendName,
      model: request.model ?? agent.model ?? null,
      cwd: request.cwd ?? (parent?.session.backend === backendName ? parent.session.cwd : options.cwd),
      createdAt: now().toISOString(),
    }
    const session = acceptedSession({ ...request, labels: inherited.labels, parent: parent?.session.id ?? request.parent }, chosen)
    const { environment, allowedEnvironment } = options
    const launch = launchOf(request, chosen, agent, { environment, allowedEnvironment, elsewhere, resume, access })
    // Until a hook keeps something, or the program is about to start, nothing would be left to remember.
    store.hold(firstRecord(session, launch, { ...inherited, options: said }))
    const redact = redactor(environment, access, launch.env)
    let made: Handle | null = null

    async function start(given: Launch): Promise<Handle> {
      const told = await digestOf(given.instructions)
      const launch = { ...given, areInstructionsKnown: before?.told === told }
      const command = agent.plan(launch, backend.directory(id))
      // Stored before the program starts: whatever happens then, a restart knows of it.
      const stored = store.put(begun(store.get(id)!, launch, told, agent.registry?.directory(command.env) ?? null))
      stored.catch(() => {}) // A backend that refuses at once never looks at it.
      made = await backend.start(id, name, { ...command, files: { ...launch.files, ...command.files } }, stored)
      return made
    }

    async function unstart(): Promise<void> {
      if (!made) return
      await backend.stop(made, limits.graceMs).catch(() => {})
      await backend.remove(id).catch(() => {})
    }

    try {
      const handle = await hooks.launch(around, {
        launch,
        session,
        before: before?.hooks ?? [],
        reads: agent.context ?? { files: [], imports: false },
        runsGuards: agent.runsGuards === true,
        redact,
        start,
        note: (record) => store.put(noted(store.get(id)!, record, now())),
      })
      const record = store.get(id)!
      const attach = isEnded(record.session.status) ? null : backend.attach(handle)
      supervisor.save({ ...record, handle, session: { ...record.session, attach } })
      supervisor.dialogs.expect(id)
      return store.get(id)!.session
    } catch (error) {
      await unstart()
      const record = store.get(id)!
      const left = await hooks.undo(record, redact)
      // Of what cannot be undone its place is lost: the supervisor has that undone when it is found.
      if (left.length > 0) supervisor.fail({ ...record, hooks: left }, `it was not started: ${stateOf(error)}`)
      else await store.remove(id).catch(() => {})
      throw error
    }
  }
}

/** The record once its launch is what the program is started with. */
const begun = (record: SessionRecord, { args, size, cwd }: Launch, told: string, registry: string | null): SessionRecord => ({
  ...record,
  session: { ...record.session, cwd },
  launch: { args, size },
  told,
  registry,
})

/** The record after a hook kept something, or was done. */
function noted(record: SessionRecord, hook: HookRecord, at: Date): SessionRecord {
  const others = record.hooks.filter(({ name }) => name !== hook.name)
  const step = {
    at: at.toISOString(),
    source: 'backend',
    rule: `hook ${hook.name} took ${hook.ms} ms`,
    event: null,
    status: record.session.status,
  } as const
  return { ...record, hooks: [...others, hook], trail: hook.ms === null ? record.trail : [...record.trail, step] }
}
