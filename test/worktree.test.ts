import { chmod, mkdir, readdir, readFile, realpath, rm, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { setUp } from '../src/plugins/hooks/worktree/setup.ts'
import { worktree } from '../src/plugins/hooks/worktree/worktree.ts'
import { defineHook } from '../src/runtime/hook.ts'
import type { Launch } from '../src/runtime/types.ts'
import { InstarError } from '../src/runtime/error.ts'
import { placeAt, throughHook } from './support/hook.ts'
import { git, write } from './support/repository.ts'
import { until } from './support/wait.ts'
import { branches, commit, freshName, openWorktrees, refused, stateOf, type Worktrees } from './support/worktrees.ts'

/** Stands behind the worktree: sees what comes out of it, and fails or never gets on where it is told to. */
const launches = new Map<string, Launch>()
const behind = defineHook<{ does: 'fail' | 'hang' }>({
  name: 'behind',
  options: { '~standard': { validate: (value) => ({ value: value as { does: 'fail' | 'hang' } }) } },
  async launch(launch, next, { options }) {
    launches.set(launch.name, launch)
    if (options?.does === 'fail') throw new Error('it fails')
    if (options?.does === 'hang') await new Promise(() => {})
    return next(launch)
  },
})

let all: Worktrees
beforeAll(async () => {
  all = await openWorktrees({ hooks: [worktree({ setupTimeout: 5 }), behind], limits: { maxSessions: 500 } })
})
afterAll(() => all.app.close())

const repository: Worktrees['repository'] = (...args) => all.repository(...args)
const spawn: Worktrees['spawn'] = (...args) => all.spawn(...args)
const session: Worktrees['session'] = (...args) => all.session(...args)
const exists = async (path: string) => (await stat(path).catch(() => null)) !== null

describe('a session in a worktree of its own', () => {
  test('works on a branch of its own, is compared and merged', async () => {
    const repo = await repository()
    const one = await session(repo, `pwd; echo two >> a.txt; ${commit('b.txt', 'new')}; echo three >> a.txt`)
    const { name, cwd } = one
    expect(cwd).toBe(join(repo, '.worktrees', name))
    expect(await git(repo, 'status', '--porcelain')).toBe('')
    expect(await readFile(join(repo, 'a.txt'), 'utf8')).toBe('one\n')
    const diff = await all.diffOf(one)
    expect(diff).toMatchObject({
      branch: `instar/${name}`,
      directory: cwd,
      truncated: false,
      stat: { files: 2, additions: 3, deletions: 0 },
    })
    expect(diff.files).toEqual([
      { path: 'a.txt', status: 'modified', additions: 2, deletions: 0 },
      { path: 'b.txt', status: 'added', additions: 1, deletions: 0 },
    ])
    expect(await all.finish(one, 'merge')).toMatchObject(refused(409, 'work_unsaved', { files: ['a.txt'] }))
    await git(cwd, 'commit', '-qam', 'more')
    const finished = await all.finish(one, 'merge')
    expect(finished).toMatchObject({ status: 200, body: { how: 'merge', branch: `instar/${name}`, directory: null } })
    expect(finished.body.commit).toBe(await git(repo, 'rev-parse', 'main'))
    expect(await readFile(join(repo, 'a.txt'), 'utf8')).toBe('one\ntwo\nthree\n')
    expect([await branches(repo), await exists(cwd), (await git(repo, 'worktree', 'list')).split('\n').length]).toEqual(['main', false, 1])
    expect((await all.finish(one, 'merge')).body).toEqual(finished.body)
    expect(await all.diffOf(one)).toMatchObject({
      directory: null,
      stat: { files: 2, additions: 3 },
      patch: expect.stringContaining('+three'),
    })
  })

  test('begins in the same subdirectory, also in one that is not committed', async () => {
    const repo = await repository({ 'packages/a/x': '' })
    await mkdir(join(repo, 'packages/b'))
    for (const below of ['packages/a', 'packages/b']) {
      const { id, name, cwd } = await session(join(repo, below), 'pwd')
      expect(cwd).toBe(join(repo, '.worktrees', name, below))
      expect((await all.ask(`/sessions/${id}/output`)).body.replaceAll('\n', '')).toBe(cwd)
    }
  })

  test('is told of its branch, and of what is not in it', async () => {
    const repo = await repository({ 'a.txt': 'one\n', 'b.txt': 'one\n' })
    await write(repo, { 'a.txt': 'changed\n', 'new.txt': 'new\n' })
    const one = await session(repo, 'cat a.txt; ls')
    expect(launches.get(one.name)?.instructions).toEqual([
      { title: 'Worktree', text: expect.stringContaining(`on the branch instar/${one.name}, which began at main`) },
    ])
    expect(launches.get(one.name)?.instructions[0]?.text).toContain('a.txt, new.txt')
    expect((await all.diffOf(one)).leftOut).toEqual(['a.txt', 'new.txt'])
    expect((await all.diffOf(await session(repo, 'true', { base: 'main' }))).leftOut).toEqual([])
  })

  test('takes what the spawn says: branch, base, setup', async () => {
    const repo = await repository()
    await git(repo, 'tag', 'v1')
    await git(repo, 'commit', '-q', '--allow-empty', '-m', 'second')
    const one = await session(repo, 'cat made', { branch: 'feature/x', base: 'v1', setup: 'echo "$SAID" > made' }, { env: { SAID: 'so' } })
    expect((await all.ask(`/sessions/${one.name}/output`)).body).toBe('so')
    expect(await git(one.cwd, 'rev-parse', '--abbrev-ref', 'HEAD')).toBe('feature/x')
    expect(await git(one.cwd, 'rev-parse', 'HEAD')).toBe(await git(repo, 'rev-parse', 'v1'))
    expect(await git(one.cwd, 'ls-files', '--others')).toBe('made')
  })

  test('a name that is taken gets a number; a branch "instar" leaves room for none below it', async () => {
    const repo = await repository()
    const name = freshName()
    const first = await session(repo, commit('x', '1'), {}, { name })
    const second = await session(repo, 'true', {}, { name })
    expect([second.cwd, (await all.diffOf(second)).branch]).toEqual([`${first.cwd}-2`, `instar/${name}-2`])
    await rm(first.cwd, { recursive: true })
    expect((await session(repo, 'true', {}, { name })).cwd).toBe(`${first.cwd}-3`)
    const other = await repository()
    await git(other, 'branch', 'instar')
    const third = await session(other, 'true')
    expect((await all.diffOf(third)).branch).toBe(`instar-${third.name}`)
  })

  test('git clean leaves it alone, and it is hidden again afterwards', async () => {
    const repo = await repository()
    const { cwd } = await session(repo, 'echo precious > x')
    await git(repo, 'clean', '-qfdx')
    expect(await readFile(join(cwd, 'x'), 'utf8')).toBe('precious\n')
    await session(repo, 'true')
    expect(await git(repo, 'status', '--porcelain')).toBe('')
  })

  test('gets what git ignores and .worktreeinclude lists, and never more', async () => {
    const repo = await repository({
      '.gitignore': '.env*\nnode_modules/\nbuild/\n*.local\nkept-back\n.claude/settings.local.json\n',
      '.worktreeinclude': '# secrets\n.env*\n!.env.not\nnode_modules/\ntracked\nuntracked\n',
      tracked: 'committed\n',
    })
    await write(repo, {
      '.env': 'A=1\n',
      '.env.not': 'B=2\n',
      'deep/er/.env.local': 'C=3\n',
      'node_modules/x/index.js': 'x\n',
      "odd/.env 'quoted'\n": 'odd\n',
      'build/out': 'no\n',
      'kept-back': 'no\n',
      untracked: 'no\n',
      tracked: 'changed\n',
      '.claude/settings.local.json': '{}\n',
    })
    const { cwd } = await session(repo, 'true')
    const copied = (await git(cwd, 'ls-files', '-z', '--others', '--ignored', '--exclude-standard')).split('\0').filter(Boolean)
    expect(copied.toSorted()).toEqual(
      ['.claude/settings.local.json', '.env', 'deep/er/.env.local', 'node_modules/x/index.js', "odd/.env 'quoted'\n"].toSorted(),
    )
    expect(await git(cwd, 'status', '--porcelain')).toBe('')
    expect(await readFile(join(cwd, 'tracked'), 'utf8')).toBe('committed\n')
  })

  test('copies nothing through a symbolic link that leads out of it', async () => {
    const outside = join(await realpath(all.app.project), 'outside')
    await mkdir(outside)
    const repo = await repository({ '.gitignore': 'secret\n', '.worktreeinclude': 'secret\n' })
    await git(repo, 'checkout', '-q', '-b', 'evil')
    await symlink(outside, join(repo, 'link'))
    await git(repo, 'add', 'link')
    await git(repo, 'commit', '-qm', 'link')
    await git(repo, 'checkout', '-q', 'main')
    await write(repo, { 'link/secret': 'x', 'link/deep/secret': 'x', 'fine/deep/secret': 'x' })
    const { cwd } = await session(repo, 'true', { base: 'evil' })
    expect([await exists(join(cwd, 'fine/deep/secret')), await readdir(outside)]).toEqual([true, []])
  })

  test('of a submodule it is one of the submodule', async () => {
    const inner = await repository({ in: 'x\n' })
    const outer = await repository()
    await git(outer, 'submodule', 'add', '-q', inner, 'sub')
    await git(outer, 'commit', '-qm', 'sub')
    const one = await session(join(outer, 'sub'), `git config user.email a@b; git config user.name n; ${commit('y', '1')}`)
    expect(one.cwd).toBe(join(outer, 'sub/.worktrees', one.name))
    expect(await git(outer, 'status', '--porcelain')).toBe('')
    expect((await all.diffOf(one)).files).toMatchObject([{ path: 'y', status: 'added' }])
  })

  test('of a bare repository it stands beside that', async () => {
    const project = await realpath(all.app.project)
    const bare = join(project, 'shared/repo.git')
    await git(project, 'clone', '-q', '--bare', await repository(), bare)
    await git(bare, 'worktree', 'add', '-q', join(project, 'shared/main'), 'main')
    const one = await session(join(project, 'shared/main'), `git config user.email a@b; git config user.name n; ${commit('x', '1')}`)
    expect(one.cwd).toBe(join(project, 'shared/.worktrees', one.name))
    expect((await all.finish(one, 'merge')).status).toBe(200)
    expect([await exists(join(project, 'shared/main/x')), await exists(one.cwd)]).toEqual([true, false])
  })

  test('needs git where it is to be', async () => {
    const missing = new InstarError('backend_failed', 'Cannot run git: it is not installed', { missing: true })
    const place = { run: () => Promise.reject(missing) }
    await expect(throughHook(worktree(), { project: '/', options: {}, place })).rejects.toThrow('git is not installed there')
  })

  test('those that do not ask get none, unless all do', async () => {
    const repo = await repository()
    expect((await session(repo, 'true', false)).cwd).toBe(repo)
    const { status, body } = await all.ask('/sessions/spawn?wait=completed', {
      name: freshName(),
      agent: 'shell',
      prompt: 'true',
      cwd: repo,
    })
    expect([status, body.cwd]).toEqual([201, repo])
    const nothing = refused(409, 'no_working_copy')
    expect(await all.ask(`/sessions/${body.name}/diff`)).toMatchObject(nothing)
    expect(await all.finish(body, 'keep')).toMatchObject(nothing)
    expect((await session(repo, 'true', true)).cwd).not.toBe(repo)
  })

  test('ten at once in one repository', async () => {
    const repo = await repository()
    const ten = await Promise.all(Array.from({ length: 10 }, (_, i) => session(repo, commit(`f${i}`, String(i)))))
    expect(new Set(ten.map(({ cwd }) => cwd)).size).toBe(10)
    expect((await branches(repo)).split('\n').length).toBe(11)
    const finished = await Promise.all(ten.map((each) => all.finish(each, 'merge')))
    expect(finished.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200))
    expect((await git(repo, 'ls-files')).split('\n').length).toBe(11)
    expect([await branches(repo), await git(repo, 'status', '--porcelain')]).toEqual(['main', ''])
  })
})

describe('a spawn is refused, and nothing is left', () => {
  const cases: [string, (repo: string) => Promise<[cwd: string, options: unknown]>, number, string, string, string?][] = [
    ['not a repository', async () => [all.app.project, {}], 422, 'hook_failed', 'is in no git repository: give a directory of one as cwd'],
    ['no such directory', async (repo) => [join(repo, 'nowhere'), {}], 422, 'hook_failed', 'No such file or directory'],
    ['the inside of a repository', async (repo) => [join(repo, '.git'), {}], 422, 'hook_failed', 'inside of a repository'],
    ['no such base', async (repo) => [repo, { base: 'v2' }], 400, 'invalid_request', '"v2" is no branch, tag or commit', 'base'],
    ['a range', async (repo) => [repo, { base: 'main..main' }], 400, 'invalid_request', 'is no branch, tag or commit', 'base'],
    ['a base like an option', async (repo) => [repo, { base: '--all' }], 400, 'invalid_request', 'begin with a hyphen', 'base'],
    ['a branch like an option', async (repo) => [repo, { branch: '-D' }], 400, 'invalid_request', 'begin with a hyphen', 'branch'],
    ['no name for a branch', async (repo) => [repo, { branch: 'a..b' }], 400, 'invalid_request', 'cannot be the name', 'branch'],
    ['HEAD as a branch', async (repo) => [repo, { branch: 'HEAD' }], 400, 'invalid_request', 'cannot be the name', 'branch'],
    ['a blank in a branch', async (repo) => [repo, { branch: 'a b' }], 400, 'invalid_request', 'blanks', 'branch'],
    ['an option that is not known', async (repo) => [repo, { brunch: 'x' }], 400, 'invalid_request', 'branch, base and setup', 'brunch'],
    ['a setup that is no text', async (repo) => [repo, { setup: 7 }], 400, 'invalid_request', 'must be a string', 'setup'],
    ['no options', async (repo) => [repo, 'yes'], 400, 'invalid_request', 'true or an object'],
    ['a branch that is checked out', async (repo) => [repo, { branch: 'main' }], 400, 'invalid_request', 'is checked out in', 'branch'],
    ['a setup that fails', async (repo) => [repo, { setup: 'echo rubbish > new; exit 7' }], 422, 'hook_failed', 'exit code 7'],
  ]
  test.each(cases)('%s', async (_, given, status, code, message, field) => {
    const repo = await repository()
    const before = await stateOf(repo)
    const [cwd, options] = await given(repo)
    const answer = await spawn(cwd, 'true', options)
    expect(answer).toMatchObject(refused(status, code, field === undefined ? {} : { field: `hooks.worktree.${field}` }))
    expect(answer.body.error.message).toContain(message)
    expect(await stateOf(repo)).toBe(before)
  })

  test('a repository without commits, a bare one', async () => {
    const empty = join(await realpath(all.app.project), 'empty')
    await mkdir(empty)
    await git(empty, 'init', '-q')
    expect((await spawn(empty, 'true')).body.error.message).toContain('has no commits: make the first one')
    expect((await spawn(empty, 'true', { base: 'main' })).body.error.message).toContain('has no commits')
    const bare = join(await realpath(all.app.project), 'bare.git')
    await git(all.app.project, 'init', '-q', '--bare', bare)
    expect((await spawn(bare, 'true')).body.error).toMatchObject({
      code: 'hook_failed',
      message: expect.stringContaining('is a bare repository'),
    })
  })

  test('a branch that is there already', async () => {
    const repo = await repository()
    await git(repo, 'branch', 'taken')
    const answer = await spawn(repo, 'true', { branch: 'taken' })
    expect(answer).toMatchObject(refused(400, 'invalid_request', { field: 'hooks.worktree.branch' }))
    expect(await branches(repo)).toBe('main\ntaken')
  })

  test('a setup that fails shows what it wrote, without secrets', async () => {
    const repo = await repository()
    const setup = 'i=0; while [ $i -lt 500 ]; do i=$((i + 1)); echo "$i: $API_KEY"; done; echo the end; exit 1'
    const answer = await spawn(repo, 'true', { setup }, { env: { API_KEY: 'sk-very-secret-1' } })
    expect(answer).toMatchObject(refused(422, 'hook_failed', { hook: 'worktree' }))
    const { output } = answer.body.error.data
    expect(output).toMatch(/^500: \[redacted\]\nthe end\n$/m)
    expect(output).not.toMatch(/secret/)
  })

  test('a setup whose clock is stopped before the time has its own exit code', async () => {
    const own = join(await realpath(all.app.project), 'clock')
    await write(own, { 'bin/sleep': '#!/bin/sh\n: >"$STOPPED"\nexit 1\n' })
    await chmod(join(own, 'bin/sleep'), 0o755)
    const env = { PATH: `${join(own, 'bin')}:${process.env['PATH']}`, STOPPED: join(own, 'stopped') }
    const command = 'until [ -e "$STOPPED" ]; do /bin/sleep 0.1; done; /bin/sleep 0.3; exit 3'
    const setup = { directory: own, command, timeoutMs: 60_000, env, own, signal: AbortSignal.timeout(60_000) }
    expect((await setUp(placeAt(own, true), setup))?.problem).toBe('failed with exit code 3')
  })

  test('a setup that takes too long is ended, with everything that it started', async () => {
    const repo = await repository()
    const pids = join(all.app.project, 'pids')
    const answer = await spawn(repo, 'true', { setup: `sh -c 'echo $$ >> ${pids}; sleep 60' & echo $$ >> ${pids}; sleep 60; true` })
    expect(answer).toMatchObject(refused(422, 'hook_failed'))
    expect(answer.body.error.message).toContain('took longer than 5 s')
    const started = (await readFile(pids, 'utf8')).trim().split('\n').map(Number)
    expect(started.length).toBe(2)
    await until(() => started.every((pid) => !isAlive(pid)), { what: 'the setup to end' })
    expect((await git(repo, 'worktree', 'list')).split('\n').length).toBe(1)
  })

  test('when a later hook fails, worktree and branch go, with what the setup made', async () => {
    const repo = await repository()
    const before = await stateOf(repo)
    const answer = await spawn(repo, 'true', { setup: 'echo x > new; echo y >> a.txt' }, { hooks: { behind: { does: 'fail' } } })
    expect(answer).toMatchObject(refused(422, 'hook_failed', { hook: 'behind' }))
    expect(await stateOf(repo)).toBe(before)
  })

  test('when the server goes before the session begins, the next one takes it back', async () => {
    const repo = await repository()
    const before = await stateOf(repo)
    const name = freshName()
    void spawn(repo, 'true', { setup: 'echo x > new' }, { name, hooks: { behind: { does: 'hang' } } })
    await until(() => launches.has(name), { what: 'the worktree' })
    expect(await stateOf(repo)).not.toBe(before)
    await all.app.restart()
    await until(async () => (await stateOf(repo)) === before, { what: 'the worktree to be taken back' })
    expect((await all.ask(`/sessions/${name}`)).status).toBe(200)
  })
})

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
