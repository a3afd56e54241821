import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { worktree } from '../../src/plugins/hooks/worktree/worktree.ts'
import type { Backend } from '../../src/runtime/backend.ts'
import type { BackendFactory } from '../../src/runtime/config.ts'
import type { Diff } from '../../src/runtime/hook.ts'
import type { Session } from '../../src/runtime/types.ts'
import { testApp, type TestApp, type TestAppOptions } from './app.ts'
import { git, makeRepository, write } from './repository.ts'

export interface Answer<T = any> {
  readonly status: number
  readonly body: T
  readonly headers: Headers
}

/** An app, repositories for its sessions, and its verbs for them. Whoever opens it closes it. */
export interface Worktrees {
  readonly app: TestApp
  ask<T = any>(path: string, json?: unknown, init?: RequestInit): Promise<Answer<T>>
  repository(files?: Readonly<Record<string, string | Uint8Array>>): Promise<string>
  /** Spawns a shell session in a worktree of its own, and waits for its end. */
  spawn(cwd: string, prompt: string, options?: unknown, given?: Record<string, unknown>): Promise<Answer>
  /** The same, and it completes. */
  session(cwd: string, prompt: string, options?: unknown, given?: Record<string, unknown>): Promise<Session>
  diffOf(session: Pick<Session, 'id'>): Promise<Diff>
  finish(session: Pick<Session, 'id'>, how: string): Promise<Answer>
  purge(session: Pick<Session, 'id'>): Promise<Answer>
}

export async function openWorktrees(options: TestAppOptions): Promise<Worktrees> {
  const app = await testApp(options)
  let count = 0

  async function ask<T = any>(path: string, json?: unknown, init: RequestInit = {}): Promise<Answer<T>> {
    const response = await app.request(path, json === undefined ? init : { method: 'POST', body: JSON.stringify(json), ...init })
    const text = await response.text()
    const isJson = response.headers.get('content-type')?.includes('json')
    return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers }
  }
  const spawn: Worktrees['spawn'] = (cwd, prompt, options = {}, given = {}) =>
    ask('/sessions/spawn?wait=completed,error&timeout=30', {
      name: freshName(),
      agent: 'shell',
      prompt,
      cwd,
      ...given,
      hooks: { worktree: options, ...(given['hooks'] as object) },
    })
  return {
    app,
    ask,
    spawn,
    repository: async (files = { 'a.txt': 'one\n' }) => makeRepository(join(await realpath(app.project), `repo-${++count}`), files),
    async session(...args) {
      const { status, body } = await spawn(...args)
      expect([status, body.status], JSON.stringify(body)).toEqual([201, 'completed'])
      return body
    },
    async diffOf({ id }) {
      const { status, body } = await ask<Diff>(`/sessions/${id}/diff`)
      expect(status, JSON.stringify(body)).toBe(200)
      return body
    },
    finish: ({ id }, how) => ask(`/sessions/${id}/finish`, { how }),
    purge: ({ id }) => ask(`/sessions/${id}?purge=true`, undefined, { method: 'DELETE' }),
  }
}

/** A worktree's whole way on a backend, also below a directory of the repository. What the session does there takes no git. */
export async function expectWorktrees(backend: Backend | BackendFactory): Promise<void> {
  const all = await openWorktrees({ backends: { local: backend }, hooks: [worktree({ setup: 'echo "$(pwd)" > setup' })] })
  try {
    const repo = await all.repository({ '.gitignore': '.env\nsetup\n', '.worktreeinclude': '.env\n', 'below/a.txt': 'one\n' })
    await write(repo, { '.env': 'A=1\n' })
    const one = await all.session(join(repo, 'below'), 'cat ../.env ../setup; pwd; echo two > b.txt')
    const worktree = join(repo, '.worktrees', one.name)
    expect((await all.ask(`/sessions/${one.id}/output`)).body).toBe(`A=1\n${worktree}\n${worktree}/below`)
    expect((await all.diffOf(one)).files).toEqual([{ path: 'below/b.txt', status: 'untracked', additions: 1, deletions: 0 }])
    expect(await all.finish(one, 'merge')).toMatchObject(refused(409, 'work_unsaved', { files: ['below/b.txt'] }))
    await git(worktree, 'add', '-A')
    await git(worktree, 'commit', '-qm', 'two')
    expect((await all.finish(one, 'merge')).status).toBe(200)
    expect(await git(repo, 'show', 'main:below/b.txt')).toBe('two')
    expect([await branches(repo), (await all.purge(one)).status]).toEqual(['main', 200])
    const failed = await all.spawn(repo, 'true', { setup: 'exit 3' })
    expect(failed).toMatchObject(refused(422, 'hook_failed'))
    expect([await branches(repo), await git(repo, 'status', '--porcelain')]).toEqual(['main', ''])
  } finally {
    await all.app.close()
  }
}

let sessions = 0
export const freshName = (): string => `s${++sessions}`

/** What the answer to a refused request looks like. */
export const refused = (status: number, code: string, data: unknown = {}) => ({ status, body: { error: { code, data } } })

export const branches = (directory: string) => git(directory, 'branch', '--format=%(refname:short)')

/** Everything that could change by a mistake: branches with their commits, worktrees, and what is not committed. */
export const stateOf = async (directory: string) =>
  (await git(directory, 'for-each-ref')) + (await git(directory, 'worktree', 'list')) + (await git(directory, 'status', '--porcelain'))

/** A shell command that commits a file. */
export const commit = (file: string, text: string) => `printf '${text}\\n' > ${file}; git add -A; git commit -qm '${file} is ${text}'`
