import type { Session, SessionRecord } from '../../src/runtime/types.ts'

/** A session of some shell command that was accepted long ago, but for what is given. */
export function sampleSession(given: Partial<Session> = {}): Session {
  const at = given.createdAt ?? '2026-01-01T00:00:00.000Z'
  return {
    id: '018f0000-0000-7000-8000-000000000000',
    name: 'a',
    status: 'running',
    agent: 'shell',
    model: null,
    backend: 'local',
    prompt: 'true',
    cwd: '/',
    jobSlug: null,
    parent: null,
    labels: {},
    createdAt: at,
    startedAt: null,
    endedAt: null,
    exitCode: null,
    signal: null,
    reason: null,
    waiting: null,
    lastError: null,
    evidence: { source: 'backend', rule: 'it was accepted', at },
    usage: null,
    attach: null,
    ...given,
  }
}

/** The record of such a session, of which nothing was heard yet. */
export function sampleRecord(session: Partial<Session> = {}, given: Partial<SessionRecord> = {}): SessionRecord {
  return {
    session: sampleSession(session),
    handle: null,
    cursor: 0,
    registry: null,
    stopping: null,
    prompts: [],
    conversation: null,
    pending: 0,
    trail: [],
    deliveries: [],
    launch: { args: [], size: { cols: 160, rows: 48 } },
    told: '',
    options: {},
    hooks: [],
    limits: { depth: 0, children: 0 },
    ...given,
  }
}
