import { rm } from 'node:fs/promises'
import type { Session } from '../../src/runtime/types.ts'
import type { TestApp } from './app.ts'
import { until } from './wait.ts'

/** An app with a real agent program, a home of its own, and a stand-in for its model. */
export interface AgentApp<Model> extends TestApp {
  readonly model: Model
  readonly home: string
  /** Resolves when the session has one of the statuses. */
  reaches(name: string, ...statuses: Session['status'][]): Promise<Session>
}

export interface AgentAppOptions<Model> {
  readonly model: Model
  readonly home: string
  /** How long a status may take to come, in milliseconds. Default 60 seconds. */
  readonly timeout?: number
}

/** What is known of a session, and its screen. */
async function told({ runtime }: TestApp, name: string): Promise<string> {
  const { session, trail } = runtime.explain(name)
  const steps = trail.map(({ at, source, rule, event, status }) => `${at} ${source} ${rule}: ${event} → ${status}`)
  return [...steps, JSON.stringify(session.evidence), (await runtime.output(name, 60)).text].join('\n')
}

/** Closing it closes the model, and removes the home. */
export function agentApp<Model extends { close(): Promise<void> }>(
  app: TestApp,
  { model, home, timeout = 60_000 }: AgentAppOptions<Model>,
): AgentApp<Model> {
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
        { timeout, what: `session ${name} is ${statuses.join(' or ')}` },
      ).catch(async (error: unknown) => {
        throw new Error(`${String(error)}\n${await told(app, name)}`, { cause: error })
      }),
    async close() {
      await app.close()
      await model.close()
      await rm(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    },
  }
}
