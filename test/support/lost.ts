import type { Backend, Health } from '../../src/runtime/backend.ts'
import { InstarError } from '../../src/runtime/error.ts'
import type { Handle, Report, Sight } from '../../src/runtime/types.ts'

/** A backend whose place can be lost and found, in memory: what is said of a session is told at once, or when the place is found. */
export interface Losable extends Backend {
  lose(reason: string): void
  regain(): void
  say(id: string, ...sights: readonly Sight[]): void
  /** What was typed, in order. */
  readonly typed: readonly string[]
}

export function losable(options: Pick<Backend, 'maxSessions'> = {}): Losable {
  const sessions = new Map<string, { handle: Handle; cursor: number }>()
  const kept: Report[] = []
  const typed: string[] = []
  let lost: string | null = null
  let tell: (report: Report) => Promise<void> = async () => {}
  let reach: (health: Health) => void = () => {}

  function say(id: string, ...sights: readonly Sight[]): void {
    const session = sessions.get(id)!
    session.cursor++
    const report = { id, cursor: session.cursor, sights }
    if (sights.some(({ type }) => type === 'exited')) sessions.delete(id)
    if (lost === null) void tell(report)
    else kept.push(report)
  }
  const ask = () => {
    if (lost !== null) throw new InstarError('backend_unavailable', `Cannot ask the place: ${lost}`)
  }

  return {
    ...options,
    typed,
    lose(reason) {
      lost = reason
      reach({ ok: false, reason })
    },
    regain() {
      lost = null
      reach({ ok: true, detail: 'there again' })
      for (const report of kept.splice(0)) void tell(report)
    },
    say,
    directory: (id) => `/${id}`,
    attach: (handle) => `sit-down ${handle['name']}`,
    check: async () => ({ ok: true, detail: 'a place in memory' }),
    async open(report, reached = () => {}) {
      tell = report
      reach = reached
      if (lost !== null) reach({ ok: false, reason: lost })
    },
    async start(id, name, _command, ready) {
      ask()
      await ready
      const handle = { id, name }
      sessions.set(id, { handle, cursor: 0 })
      say(id, { type: 'launched', at: new Date().toISOString() })
      return handle
    },
    async follow({ id, handle }, cursor) {
      ask()
      sessions.set(id, { handle, cursor })
    },
    async list() {
      ask()
      return [...sessions].map(([id, { handle }]) => ({ id, handle }))
    },
    async capture() {
      ask()
      return { text: '', truncated: false }
    },
    async send(_handle, keystrokes) {
      ask()
      for (const stroke of keystrokes) if (stroke.type === 'paste') typed.push(stroke.text)
    },
    async stop(handle) {
      ask()
      const id = String(handle['id'])
      const exit = { code: null, signal: 'SIGTERM', reason: null, at: new Date().toISOString() }
      if (sessions.has(id)) say(id, { type: 'exited', exit })
    },
    async remove() {
      ask()
    },
    async close() {},
  }
}
