import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { createStorage } from 'unstorage'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { shell } from '../src/plugins/agents/shell.ts'
import { parseSummary } from '../src/plugins/hooks/worktree/diff.ts'
import { seenFrom, worktree, type Kept } from '../src/plugins/hooks/worktree/worktree.ts'
import { files } from '../src/plugins/storage/files.ts'
import type { Session, SessionRecord } from '../src/runtime/types.ts'
import { placeAt } from './support/hook.ts'
import { git, write } from './support/repository.ts'
import { scripted } from './support/scripted.ts'
import { branches, commit, freshName, openWorktrees, refused, stateOf, type Worktrees } from './support/worktrees.ts'

let all: Worktrees
beforeAll(async () => {
  all = await openWorktrees({ agents: { shell: shell(), scripted: scripted() }, hooks: [worktree()], limits: { maxSessions: 500 } })
})
afterAll(() => all.app.close())

const repository: Worktrees['repository'] = (...args) => all.repository(...args)
const session: Worktrees['session'] = (...args) => all.session(...args)
const finish: Worktrees['finish'] = (...args) => all.finish(...args)
const exists = async (path: string) => (await stat(path).catch(() => null)) !== null
const log = (directory: string, ref = 'HEAD') => git(directory, 'log', '--format=%s', '--first-parent', ref)

describe('GET /sessions/:name/diff', () => {
  test('tells of everything: committed, staged, unstaged, untracked; renamed, binary, deleted; odd names', async () => {
    const lines = Array.from({ length: 20 }, (_, i) => `line ${i}\n`).join('')
    const repo = await repository({
      staged: 'a\n',
      unstaged: 'a\n',
      deleted: 'a\nb\n',
      old: lines,
      moved: `${lines}x\n`,
      '.gitignore': 'ignored\n',
      mode: '',
    })
    const odd = ['with blank', 'quote"d', "it's", 'new\nline', 'täb\tüñî', '-dash', 'back\\slash', ':(top)x', 'a => b']
    const one = await session(
      repo,
      [
        'echo b >> staged; git add staged; echo c >> unstaged; rm deleted; git mv old new; mv moved moved-away; chmod +x mode',
        "printf 'a\\000b' > binary; git add binary; echo i > ignored; mkdir dir; echo d > dir/untracked",
        'for name; do echo x > "./$name"; done',
        commit('committed', 'c'),
        'echo u > untracked',
      ].join('\n'),
      {},
      { args: odd },
    )
    // What the commit took in is put back to where it was, so that every kind is there.
    await git(one.cwd, 'reset', '-q', 'HEAD~1')
    await git(one.cwd, 'add', 'committed')
    await git(one.cwd, 'commit', '-qm', 'c')
    await git(one.cwd, 'add', 'staged', 'binary', 'new', 'old')
    const diff = await all.diffOf(one)
    const by = Object.fromEntries(diff.files.map(({ path, ...rest }) => [path, rest]))
    expect(by).toEqual({
      binary: { status: 'added', additions: null, deletions: null },
      committed: { status: 'added', additions: 1, deletions: 0 },
      deleted: { status: 'deleted', additions: 0, deletions: 2 },
      'dir/untracked': { status: 'untracked', additions: 1, deletions: 0 },
      mode: { status: 'modified', additions: 0, deletions: 0 },
      'moved-away': { status: 'renamed', from: 'moved', additions: 0, deletions: 0 },
      new: { status: 'renamed', from: 'old', additions: 0, deletions: 0 },
      staged: { status: 'modified', additions: 1, deletions: 0 },
      unstaged: { status: 'modified', additions: 1, deletions: 0 },
      untracked: { status: 'untracked', additions: 1, deletions: 0 },
      ...Object.fromEntries(odd.map((name) => [name, { status: 'untracked', additions: 1, deletions: 0 }])),
    })
    expect(diff.stat).toEqual({ files: 10 + odd.length, additions: 5 + odd.length, deletions: 2 })
    expect(diff.patch).toContain('Binary files')
    // To look has changed nothing.
    expect((await git(one.cwd, 'status', '--porcelain')).split('\n')).toContain('?? untracked')
    expect(await git(one.cwd, 'diff', '--cached', '--name-only')).toBe('binary\nnew\nstaged')
  })

  test('is the patch alone where that is asked for, and the patch holds', async () => {
    const repo = await repository()
    const one = await session(repo, `${commit('b', 'two')}; printf 'no newline' > c; echo more >> a.txt`)
    const path = `/sessions/${one.name}/diff`
    const { body, headers } = await all.ask(`${path}?format=patch`)
    expect([headers.get('content-type'), headers.get('x-truncated')]).toEqual(['text/plain; charset=utf-8', null])
    for (const accept of ['text/plain', 'text/plain, application/json'])
      expect((await all.ask(path, undefined, { headers: { accept } })).body).toBe(body)
    for (const accept of ['application/json', '*/*', 'application/json, text/plain'])
      expect((await all.ask(path, undefined, { headers: { accept } })).body.patch).toBe(body)
    expect((await all.ask(`${path}?format=json`, undefined, { headers: { accept: 'text/plain' } })).body.patch).toBe(body)
    await execa('git', ['-C', repo, 'apply', '-'], { input: body })
    expect(await readFile(join(repo, 'c'), 'utf8')).toBe('no newline')
    expect(await git(repo, 'status', '--porcelain')).toBe(' M a.txt\n?? b\n?? c')
    for (const wrong of ['format=html', 'stat=1'])
      expect(await all.ask(`${path}?${wrong}`)).toMatchObject(refused(400, 'invalid_request', { field: wrong.split('=')[0] }))
  })

  test('whatever a person has configured, its form is the same', async () => {
    const repo = await repository()
    const one = await session(repo, 'echo two > a.txt; mkdir d; cd d; echo x > y')
    const { patch } = await all.diffOf(one)
    for (const [name, value] of Object.entries({
      'diff.noprefix': 'true',
      'diff.mnemonicPrefix': 'true',
      'diff.external': 'false',
      'color.ui': 'always',
      'diff.renames': 'false',
      'core.quotePath': 'false',
      'core.fsmonitor': 'false',
      'status.showUntrackedFiles': 'no',
    }))
      await git(repo, 'config', name, value)
    expect((await all.diffOf(one)).patch).toBe(patch)
  })

  test('is bounded, and says so', async () => {
    const repo = await repository()
    const one = await session(repo, 'seq 300000 > big; echo ü > zzz')
    const diff = await all.diffOf(one)
    expect([diff.truncated, diff.stat]).toEqual([true, { files: 2, additions: 300_001, deletions: 0 }])
    expect(diff.patch.length).toBeLessThanOrEqual(1024 * 1024)
    expect(diff.patch.endsWith('\n')).toBe(true)
    expect((await all.ask(`/sessions/${one.name}/diff?format=patch`)).headers.get('x-truncated')).toBe('true')
  })

  test('is what the session did, not what happened to its base meanwhile', async () => {
    const repo = await repository()
    const one = await session(repo, commit('mine', '1'))
    await write(repo, { theirs: 'x\n' })
    await git(repo, 'add', '-A')
    await git(repo, 'commit', '-qm', 'theirs')
    const mine = [{ path: 'mine', status: 'added', additions: 1, deletions: 0 }]
    expect((await all.diffOf(one)).files).toEqual(mine)
    await git(one.cwd, 'merge', '-q', '--no-edit', 'main')
    expect((await all.diffOf(one)).files).toEqual(mine)
    await git(one.cwd, 'reset', '-q', '--hard', 'HEAD^')
    await git(one.cwd, 'rebase', '-q', 'main')
    expect(await all.diffOf(one)).toMatchObject({ files: mine, base: await git(repo, 'rev-parse', 'main') })
  })

  test('goes on to tell when the worktree is deleted by hand, and ends when the branch is too', async () => {
    const repo = await repository()
    const one = await session(repo, commit('x', '1'))
    await rm(one.cwd, { recursive: true })
    expect(await all.diffOf(one)).toMatchObject({ directory: null, files: [{ path: 'x' }] })
    await git(repo, 'worktree', 'remove', '--force', '--force', one.cwd)
    await git(repo, 'branch', '-D', `instar/${one.name}`)
    expect(await all.ask(`/sessions/${one.name}/diff`)).toMatchObject(refused(409, 'no_working_copy'))
    expect(await finish(one, 'merge')).toMatchObject(refused(409, 'no_working_copy'))
    expect((await all.purge(one)).status).toBe(200)
  })

  test('of many files at once', async () => {
    const repo = await repository()
    const one = await session(repo, 'mkdir m; seq 6000 | sed "s/^/m\\/f/" | xargs touch')
    const diff = await all.diffOf(one)
    expect([diff.files.length, diff.stat.files, diff.truncated]).toEqual([5000, 6000, true])
  })

  test.each([
    [[':100644 000000 1 2 D', 'gone', '0\t3\tgone'], [{ path: 'gone', status: 'deleted', additions: 0, deletions: 3 }]],
    [[':100644 100644 1 2 R087', 'a', 'b', '1\t0\t', 'a', 'b'], [{ path: 'b', from: 'a', status: 'renamed', additions: 1, deletions: 0 }]],
    [[':100644 100644 1 2 C100', 'a', 'c', '0\t0\t', 'a', 'c'], [{ path: 'c', status: 'added', additions: 0, deletions: 0 }]],
    [[':000000 120000 1 2 T', 'link', '-\t-\tlink'], [{ path: 'link', status: 'modified', additions: null, deletions: null }]],
    [[':000000 100644 1 2 A', ':100644 x', '1\t0\t:100644 x'], [{ path: ':100644 x', status: 'untracked', additions: 1, deletions: 0 }]],
    [[], []],
  ])('reads what git tells: %j', (told, files) => {
    expect(parseSummary(told.map((each) => `${each}\0`).join(''), new Set([':100644 x']))).toEqual(files)
  })
})

describe('POST /sessions/:name/finish', () => {
  test('is for a session that has ended, and says merge or keep', async () => {
    const repo = await repository()
    const name = freshName()
    const { body } = await all.ask('/sessions/spawn?wait=running', {
      name,
      agent: 'shell',
      prompt: 'exec cat',
      cwd: repo,
      hooks: { worktree: {} },
    })
    expect(await finish(body, 'merge')).toMatchObject(refused(409, 'session_live', { id: body.id }))
    expect(await finish(body, 'squash')).toMatchObject(refused(400, 'invalid_request', { field: 'how' }))
    expect(await all.ask(`/sessions/${name}/finish`, { how: 'keep', force: true })).toMatchObject(
      refused(400, 'invalid_request', { field: 'force' }),
    )
    expect((await all.diffOf(body)).files).toEqual([])
    await all.ask(`/sessions/${name}`, undefined, { method: 'DELETE' })
    expect((await finish(body, 'merge')).status).toBe(200)
  })

  test('merges beside what has come meanwhile, where the target is checked out', async () => {
    const repo = await repository()
    const one = await session(repo, commit('mine', '1'))
    await write(repo, { theirs: 'x\n', 'not-mine': 'untracked\n' })
    await git(repo, 'add', 'theirs')
    await git(repo, 'commit', '-qm', 'theirs')
    expect(await finish(one, 'merge')).toMatchObject({ status: 200, body: { commit: expect.stringMatching(/^[0-9a-f]{40}$/) } })
    expect(await log(repo)).toBe(`Merge branch 'instar/${one.name}' into main\ntheirs\nfirst`)
    expect(await readFile(join(repo, 'mine'), 'utf8')).toBe('1\n')
    expect(await git(repo, 'status', '--porcelain')).toBe('?? not-mine')
  })

  test('merges where the target is checked out nowhere, and where nobody has told git a name', async () => {
    const repo = await repository()
    const one = await session(repo, commit('mine', '1'))
    await git(repo, 'commit', '-q', '--allow-empty', '-m', 'theirs')
    await git(repo, 'checkout', '-q', '-b', 'elsewhere')
    await write(repo, { 'a.txt': 'not committed\n' })
    await git(repo, 'config', 'user.name', '')
    expect((await finish(one, 'merge')).status).toBe(200)
    expect(await log(repo, 'main')).toBe(`Merge branch 'instar/${one.name}' into main\ntheirs\nfirst`)
    expect(await git(repo, 'show', '-s', '--format=%an', 'main')).toBe('Instar')
    expect(await git(repo, 'show', 'main:mine')).toBe('1')
    expect(await git(repo, 'status', '--porcelain')).toBe(' M a.txt')
  })

  test('of nothing is a merge, too', async () => {
    const repo = await repository()
    const one = await session(repo, 'true')
    expect((await finish(one, 'merge')).body.commit).toBe(await git(repo, 'rev-parse', 'main'))
    expect(await branches(repo)).toBe('main')
  })

  /** Each makes it so that a merge must be refused. */
  const cases: [string, (repo: string, one: Session) => Promise<unknown>, string, string[]][] = [
    [
      'there is a conflict',
      async (repo) => {
        await write(repo, { 'a.txt': 'other\n' })
        await git(repo, 'commit', '-qam', 'other')
      },
      'merge_conflict',
      ['a.txt'],
    ],
    [
      'there is a conflict, and the target is checked out nowhere',
      async (repo) => {
        await write(repo, { 'a.txt': 'other\n', 'new.txt': 'other\n' })
        await git(repo, 'add', '-A')
        await git(repo, 'commit', '-qm', 'other')
        await git(repo, 'checkout', '-q', '--detach')
      },
      'merge_conflict',
      ['a.txt', 'new.txt'],
    ],
    ['something is changed where the target is checked out', (repo) => write(repo, { 'b.txt': 'changed\n' }), 'merge_conflict', ['b.txt']],
    [
      'something is staged there',
      async (repo) => {
        await write(repo, { staged: 'x\n' })
        await git(repo, 'add', 'staged')
      },
      'merge_conflict',
      ['staged'],
    ],
    ['an untracked file is in the way there', (repo) => write(repo, { 'new.txt': 'precious\n' }), 'merge_conflict', ['new.txt']],
    [
      'the target is gone',
      async (repo) => {
        await git(repo, 'checkout', '-q', '-b', 'trunk')
        await git(repo, 'branch', '-D', 'main')
      },
      'merge_conflict',
      [],
    ],
    [
      'the target is being rebased',
      async (repo) => {
        await git(repo, 'checkout', '-q', '-b', 'other')
        await write(repo, { 'b.txt': 'other\n' })
        await git(repo, 'commit', '-qam', 'other')
        await git(repo, 'checkout', '-q', 'main')
        await write(repo, { 'b.txt': 'main\n' })
        await git(repo, 'commit', '-qam', 'main')
        await git(repo, 'rebase', 'other').catch(() => {})
      },
      'merge_conflict',
      [],
    ],
    [
      'something is not committed',
      (_, { cwd }) => write(cwd, { 'left over': 'x\n', 'a.txt': 'y\n' }),
      'work_unsaved',
      ['a.txt', 'left over'],
    ],
    [
      'something is not committed of which git was told not to look at it',
      async (_, { cwd }) => {
        await git(cwd, 'update-index', '--skip-worktree', 'a.txt')
        await git(cwd, 'update-index', '--assume-unchanged', 'b.txt', 'new.txt')
        await write(cwd, { 'a.txt': 'local\n', 'b.txt': 'local\n' })
      },
      'work_unsaved',
      ['a.txt', 'b.txt'],
    ],
    [
      'its worktree is on another branch',
      async (_, { cwd }) => {
        await git(cwd, 'checkout', '-q', '-b', 'sidetrack')
        await git(cwd, 'commit', '-q', '--allow-empty', '-m', 'aside')
      },
      'work_unsaved',
      [],
    ],
    [
      'a rebase is under way',
      async (repo, { cwd }) => {
        await write(repo, { 'a.txt': 'other\n' })
        await git(repo, 'commit', '-qam', 'other')
        await git(cwd, 'rebase', 'main').catch(() => {})
      },
      'work_unsaved',
      ['a.txt', 'new.txt'],
    ],
  ]
  test.each(cases)('refuses when %s, and nothing has changed', async (_, change, code, files) => {
    const repo = await repository({ 'a.txt': 'one\n', 'b.txt': 'one\n' })
    const one = await session(repo, `echo mine > a.txt; ${commit('new.txt', 'mine')}`)
    await change(repo, one)
    const before = [await stateOf(repo), await git(one.cwd, 'status', '--porcelain')]
    const answer = await finish(one, 'merge')
    expect(answer).toMatchObject(refused(409, code))
    expect(answer.body.error.data.files.toSorted()).toEqual(files)
    expect([await stateOf(repo), await git(one.cwd, 'status', '--porcelain')]).toEqual(before)
    expect(await finish(one, 'keep')).toMatchObject({ status: 200, body: { branch: `instar/${one.name}`, directory: one.cwd } })
  })

  test('what came from a commit is kept, not merged', async () => {
    const repo = await repository()
    const one = await session(repo, commit('x', '1'), { base: await git(repo, 'rev-parse', 'HEAD') })
    expect(await finish(one, 'merge')).toMatchObject(refused(409, 'merge_conflict', { files: [] }))
  })

  test('keep leaves worktree and branch to the person, for good', async () => {
    const repo = await repository()
    const one = await session(repo, `${commit('x', '1')}; echo loose > y`)
    expect((await git(repo, 'worktree', 'list', '--porcelain')).includes(`locked session ${one.id} of Instar`)).toBe(true)
    const kept = { how: 'keep', branch: `instar/${one.name}`, commit: null, directory: one.cwd }
    expect((await finish(one, 'keep')).body).toEqual(kept)
    expect((await finish(one, 'keep')).body).toEqual(kept)
    expect(await git(repo, 'worktree', 'list', '--porcelain')).not.toContain('locked')
    expect(await finish(one, 'merge')).toMatchObject(refused(409, 'no_working_copy'))
    expect(await all.diffOf(one)).toMatchObject({ directory: null, files: [{ path: 'x' }] })
    expect((await all.purge(one)).status).toBe(200)
    expect(await readFile(join(one.cwd, 'y'), 'utf8')).toBe('loose\n')
    expect(await branches(repo)).toContain(`instar/${one.name}`)
  })

  test('goes on after a crash in the middle of a merge', async () => {
    const repo = await repository()
    const one = await session(repo, commit('x', '1'))
    const storage = createStorage({ driver: files({ base: join(all.app.state, 'store') }) })
    const stored = (await storage.getItem<SessionRecord>(`sessions:${one.id}`))!
    const { copy } = worktree()
    const place = placeAt(repo, true)
    let kept = stored.hooks[0]!.kept as Kept
    const crash = copy!.finish(kept, 'merge', {
      place,
      async keep(value: Kept) {
        kept = value
        throw new Error('killed')
      },
    })
    await expect(crash).rejects.toThrow('killed')
    expect([await log(repo), await exists(one.cwd)]).toEqual(['x is 1\nfirst', true])
    // The store has not got it: it is merged again, which changes nothing.
    const merged = await git(repo, 'rev-parse', 'main')
    expect((await finish(one, 'merge')).body).toMatchObject({ commit: merged, directory: null })
    expect([await branches(repo), await exists(one.cwd)]).toEqual(['main', false])
    // The store has got it, and by now the names are another session's.
    const two = await session(repo, commit('y', '2'), {}, { name: one.name })
    expect(two.cwd).toBe(one.cwd)
    await copy!.finish(kept, 'merge', { place, keep: async () => {} })
    await copy!.remove(kept, place)
    expect((await all.purge(one)).status).toBe(200)
    expect([await exists(join(two.cwd, 'y')), await branches(repo)]).toEqual([true, `instar/${two.name}\nmain`])
  })
})

describe('DELETE /sessions/:name?purge=true', () => {
  test('of what was deleted with the whole repository leaves nothing to mind', async () => {
    const repo = await repository()
    const one = await session(repo, commit('x', '1'))
    await rm(repo, { recursive: true })
    const nothing = refused(409, 'no_working_copy')
    expect(await all.ask(`/sessions/${one.name}/diff`)).toMatchObject(nothing)
    expect(await finish(one, 'merge')).toMatchObject(nothing)
    expect((await all.purge(one)).status).toBe(200)
  })

  // To give a file to somebody else takes root.
  test.skipIf(process.getuid?.() !== 0)('of what git does not look into is refused', async () => {
    const repo = await repository()
    const one = await session(repo, 'true')
    await execa('chown', ['-h', '12345', one.cwd, join(one.cwd, '.git')])
    for (const answer of [await all.ask(`/sessions/${one.name}/diff`), await all.purge(one)]) {
      expect(answer).toMatchObject(refused(502, 'backend_failed'))
      expect(answer.body.error.message).toContain('dubious ownership')
    }
    expect(await exists(one.cwd)).toBe(true)
  })

  test('never takes along what is nowhere else: the session stays', async () => {
    const repo = await repository()
    const remote = await mkdtemp(join(tmpdir(), 'instar-remote-'))
    try {
      await git(remote, 'init', '-q', '--bare')
      await git(repo, 'remote', 'add', 'origin', remote)
      const one = await session(repo, `${commit('x', '1')}; echo loose > y`)
      const before = await stateOf(repo)
      const id = (await git(one.cwd, 'rev-parse', '--short', 'HEAD')).trim()
      expect(await all.purge(one)).toMatchObject(
        refused(409, 'work_unsaved', { files: ['y'], commits: [{ commit: id, subject: 'x is 1' }] }),
      )
      await rm(join(one.cwd, 'y'))
      expect(await all.purge(one)).toMatchObject(refused(409, 'work_unsaved', { files: [], commits: [{ commit: id }] }))
      expect([(await all.ask(`/sessions/${one.name}`)).status, await stateOf(repo)]).toEqual([200, before])
      // On a branch of its own of which nobody knows, it is nowhere else either.
      await git(one.cwd, 'checkout', '-q', '--detach')
      await git(one.cwd, 'commit', '-q', '--allow-empty', '-m', 'adrift')
      const { body } = await all.purge(one)
      expect(body.error.data.commits.map(({ subject }: { subject: string }) => subject).toSorted()).toEqual(['adrift', 'x is 1'])
      await git(one.cwd, 'push', '-q', 'origin', 'HEAD:refs/heads/saved')
      expect((await all.purge(one)).status).toBe(200)
      expect([await branches(repo), await exists(one.cwd), (await all.ask(`/sessions/${one.name}`)).status]).toEqual(['main', false, 404])
    } finally {
      await rm(remote, { recursive: true })
    }
  })

  test('takes along what holds nothing, and what is merged by hand', async () => {
    const repo = await repository()
    const one = await session(repo, 'true')
    const two = await session(repo, commit('x', '1'))
    await git(repo, 'merge', '-q', `instar/${two.name}`)
    for (const each of [one, two]) expect((await all.purge(each)).status).toBe(200)
    expect([await branches(repo), (await git(repo, 'worktree', 'list')).split('\n').length]).toEqual(['main', 1])
  })

  test('minds the commits of submodules', async () => {
    const inner = await repository({ in: 'x\n' })
    const outer = await repository()
    await git(outer, 'submodule', 'add', '-q', inner, 'sub')
    await git(outer, 'commit', '-qm', 'sub')
    const one = await session(outer, 'ls sub | wc -l')
    await git(one.cwd, 'submodule', 'update', '-q', '--init')
    const sub = join(one.cwd, 'sub')
    await git(sub, '-c', 'user.name=a', '-c', 'user.email=b', 'commit', '-q', '--allow-empty', '-m', 'inside')
    expect(await all.purge(one)).toMatchObject(refused(409, 'work_unsaved', { files: ['sub'] }))
    await git(one.cwd, 'commit', '-qam', 'sub')
    await git(outer, 'branch', 'saved', `instar/${one.name}`)
    const inside = [{ subject: 'inside (in the submodule sub)' }]
    expect(await all.purge(one)).toMatchObject(refused(409, 'work_unsaved', { files: [], commits: inside }))
    expect(await finish(one, 'merge')).toMatchObject(refused(409, 'work_unsaved', { commits: inside }))
    await git(sub, 'push', '-q', 'origin', 'HEAD:refs/heads/saved')
    expect((await finish(one, 'merge')).status).toBe(200)
    expect([await exists(one.cwd), await branches(outer)]).toEqual([false, 'main\nsaved'])
  })
})

describe('a worktree and its sessions', () => {
  const start = (given: Record<string, unknown>) =>
    all.ask<Session>('/sessions/spawn?wait=idle', { name: freshName(), agent: 'scripted', prompt: 'go', ...given })
  const end = ({ id }: Session) => all.ask(`/sessions/${id}`, undefined, { method: 'DELETE' })

  test('a resumed session goes on in it, and it is no longer the earlier one’s', async () => {
    const repo = await repository({ '.gitignore': '*.jsonl\n' })
    const { body: one } = await start({ cwd: repo, hooks: { worktree: { branch: 'mine' } } })
    await end(one)
    await write(one.cwd, { loose: 'x\n' })
    const { status, body: two } = await all.ask<Session>(`/sessions/${one.id}/resume?wait=idle`, {})
    expect([status, two.cwd], JSON.stringify(two)).toEqual([201, one.cwd])
    expect((await git(repo, 'worktree', 'list')).split('\n').length).toBe(2)
    expect(await git(repo, 'worktree', 'list', '--porcelain')).toContain(two.id)
    expect(await finish(one, 'keep')).toMatchObject(refused(409, 'no_working_copy'))
    expect((await all.purge(one)).status).toBe(200)
    expect((await all.diffOf(two)).files).toMatchObject([{ path: 'loose' }])
    await end(two)
    await rm(join(two.cwd, 'loose'))
    expect((await finish(two, 'merge')).status).toBe(200)
    expect(await all.ask(`/sessions/${two.id}/resume`, {})).toMatchObject(refused(422, 'hook_failed', { hook: 'worktree' }))
  })

  test('a child gets one of its own, from its parent’s branch, beside its parent’s', async () => {
    const repo = await repository({ '.gitignore': '*.jsonl\n' })
    const { body: parent } = await start({ cwd: repo, hooks: { worktree: { branch: 'parent', base: 'main' } } })
    await write(parent.cwd, { p: 'x\n' })
    await git(parent.cwd, 'add', '-A')
    await git(parent.cwd, 'commit', '-qm', 'of the parent')
    const { body: child, status } = await all.ask<Session>('/sessions/spawn?wait=completed', {
      name: freshName(),
      agent: 'shell',
      prompt: `ls; ${commit('c', '1')}`,
      parent: parent.id,
    })
    expect([status, child.cwd], JSON.stringify(child)).toEqual([201, join(repo, '.worktrees', child.name)])
    expect(await all.diffOf(child)).toMatchObject({ branch: `instar/${child.name}`, files: [{ path: 'c' }] })
    expect((await finish(child, 'merge')).status).toBe(200)
    expect(await log(parent.cwd)).toBe('c is 1\nof the parent\nfirst')
    expect(await exists(join(parent.cwd, 'c'))).toBe(true)
    await end(parent)
  })

  test.each([
    ['/repo', '/repo', '/repo/.worktrees/a', '/repo/.worktrees/a'],
    ['/code', '/host/repo', '/host/repo/.worktrees/a', '/code/.worktrees/a'],
    ['/code/sub', '/host/repo/sub', '/host/repo/.worktrees/a/sub', '/code/.worktrees/a/sub'],
    ['/code/.worktrees/p', '/host/repo/.worktrees/p', '/host/repo/.worktrees/a', '/code/.worktrees/a'],
  ])('seen from %s, where git sees %s, %s is %s', (cwd, project, directory, seen) => {
    expect(seenFrom(cwd, project, directory)).toBe(seen)
  })

  test('one that the session would not see is refused', () => {
    expect(() => seenFrom('/code', '/host/repo/sub', '/host/repo/.worktrees/a/sub')).toThrow('the session does not see')
  })
})
