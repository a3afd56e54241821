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
  /** How long a status may take to come, in milliseconds. Default 30 seconds. */
  readonly timeout?: number
}

/** Closing it closes the model, and removes the home. */
export function agentApp<Model extends { close(): Promise<void> }>(
  app: TestApp,
  { model, home, timeout = 30_000 }: AgentAppOptions<Model>,
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
      ),
    async close() {
      await app.close()
      await model.close()
      await rm(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    },
  }
}
