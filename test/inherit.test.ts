import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, readlink, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { claude } from '../src/plugins/agents/claude.ts'
import { identity } from '../src/plugins/hooks/identity.ts'
import { inherit, type InheritOptions, type InheritSpawnOptions } from '../src/plugins/hooks/inherit/inherit.ts'
import type { HookContext, HookPlace } from '../src/runtime/hook.ts'
import { placeAt, throughHook, type HookSetting } from './support/hook.ts'
import { sampleSession } from './support/session.ts'
import { withoutRoot } from './support/user.ts'

let directory: string
/** The project, and where it is to be; the directory above that may have a blank and a quote in its name. */
let project: string
let elsewhere: string
beforeEach(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "instar inherit's-")))
  project = join(directory, 'project')
  elsewhere = join(directory, 'else where', '-project')
  await mkdir(project)
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function write(files: Readonly<Record<string, string>>, base = project): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(base, name)), { recursive: true })
    await writeFile(join(base, name), text)
  }
}

type Setting = Partial<HookSetting<InheritSpawnOptions, unknown>> & { readonly place?: Partial<HookPlace> }

/** Goes through the hook for a session that is to run elsewhere. */
async function carried(options: InheritOptions = {}, { place, ...setting }: Setting = {}, inside = async () => {}): Promise<unknown> {
  let kept: unknown
  const hook = inherit(options)
  const there = { ...placeAt(elsewhere, false), ...place }
  const context = { session: sampleSession({ cwd: project }), keep: async (value: unknown) => void (kept = value), ...setting }
  const through = {
    ...hook,
    launch: ((launch, next, given) => hook.launch(launch, next, { ...given, place: there })) as typeof hook.launch,
  }
  try {
    await throughHook(through, { project: elsewhere, isHere: false, ...context } as HookSetting<InheritSpawnOptions, never>, inside)
  } catch (error) {
    if (kept !== undefined) await hook.undo!(kept as never, there)
    throw error
  }
  return kept
}

/** Everything that is there, with what it is. */
async function listed(base = elsewhere): Promise<Record<string, string>> {
  const names = (await readdir(base, { recursive: true })).toSorted()
  const found = await Promise.all(
    names.map(async (name) => {
      const path = join(base, name)
      const info = await lstat(path)
      if (info.isDirectory()) return []
      const mode = (info.mode & 0o111) === 0 ? '' : ' (runs)'
      return [[name, info.isSymbolicLink() ? `→ ${await readlink(path)}` : `${await readFile(path, 'utf8')}${mode}`] as const]
    }),
  )
  const { '.instar-carried': marker, ...rest } = Object.fromEntries(found.flat())
  expect(marker === undefined || /^[0-9a-f]{64}\n/.test(marker)).toBe(true)
  return rest
}
const beside = async () => (await readdir(dirname(elsewhere)).catch(() => [])).toSorted()

describe('a project', () => {
  it('that is here is not touched, and nothing is run', async () => {
    const run = () => Promise.reject(new Error('nothing is to be run'))
    await throughHook(inherit(), { project })
    expect(await carried({}, { place: { isHere: true, project, run } })).toBeUndefined()
    expect(await readdir(project)).toEqual([])
  })

  it('that is there is not touched, and nothing is run', async () => {
    await write({ 'CLAUDE.md': 'here' })
    await write({ 'CLAUDE.md': 'there' }, elsewhere)
    const run = () => Promise.reject(new Error('nothing is to be run'))
    expect(await carried({}, { place: { run } })).toBeUndefined()
    expect(await listed()).toEqual({ 'CLAUDE.md': 'there' })
  })

  it('that was there a moment ago is not looked for again', async () => {
    await write({ 'CLAUDE.md': 'there' }, elsewhere)
    let looks = 0
    const { read } = placeAt(elsewhere, false)
    const place = { ...placeAt(elsewhere, false), read: (...given: Parameters<typeof read>) => (looks++, read(...given)) }
    const hook = inherit()
    for (let i = 0; i < 3; i++) await throughHook(hook, { project: elsewhere, isHere: false, place })
    expect(looks).toBe(1)
  })

  it('that cannot be carried, because nothing can be run there, is left to the backend', async () => {
    expect(await carried({}, { place: { canRun: false, run: () => Promise.reject(new Error('no')) } })).toBeUndefined()
  })

  it('that is nowhere is an error', async () => {
    const nowhere = join(directory, 'nowhere')
    const setting = { session: sampleSession({ cwd: nowhere }), place: placeAt(nowhere, false) }
    await expect(carried({}, setting)).rejects.toThrow(`the directory ${nowhere} is neither there nor on the server’s machine`)
  })

  it('of the server is carried to a place that has directories of its own', async () => {
    await write({ 'CLAUDE.md': 'own' })
    await carried({}, { session: sampleSession({ cwd: '/workspace' }), directory: project })
    expect(await listed()).toEqual({ 'CLAUDE.md': 'own' })
  })

  it('whose place is a file is an error', async () => {
    await write({ '-project': '' }, dirname(elsewhere))
    await expect(carried()).rejects.toThrow('is no directory, where the session is to run')
  })
})

describe('what is carried', () => {
  it('is what makes the agent, with its permissions, without credentials and what is not asked for', async () => {
    await write({
      'CLAUDE.md': 'claude',
      'AGENTS.md': 'agents',
      'GEMINI.md': 'gemini',
      'AGENT.md': 'me',
      '.mcp.json': '{}',
      '.claude/settings.json': '{"hooks":{}}',
      '.claude/settings.local.json': 'mine',
      '.claude/hooks/guard.sh': '#!/bin/sh',
      '.claude/skills/one/SKILL.md': 'skill',
      '.claude/skills/one/node_modules/x.js': 'x',
      '.claude/commands/-rf é "q" $x.md': 'command',
      [`.claude/agents/${'long/'.repeat(40)}agent.md`]: 'deep',
      '.claude/.env': 'SECRET=1',
      'src/main.ts': 'code',
      '.git/config': 'git',
    })
    await chmod(join(project, '.claude/hooks/guard.sh'), 0o755)
    await carried()
    expect(await listed()).toEqual({
      'CLAUDE.md': 'claude',
      'AGENTS.md': 'agents',
      'GEMINI.md': 'gemini',
      'AGENT.md': 'me',
      '.mcp.json': '{}',
      '.claude/settings.json': '{"hooks":{}}',
      '.claude/hooks/guard.sh': '#!/bin/sh (runs)',
      '.claude/skills/one/SKILL.md': 'skill',
      '.claude/commands/-rf é "q" $x.md': 'command',
      [`.claude/agents/${'long/'.repeat(40)}agent.md`]: 'deep',
    })
    expect((await lstat(elsewhere)).mode & 0o777).toBe((await lstat(project)).mode & 0o777)
  })

  it('is what the config or the spawn names, and the whole project when that is said', async () => {
    await write({ 'a/b/c.txt': 'c', 'a/d.txt': 'd', '.env': 'x', 'build/out.js': 'y', 'node_modules/z': 'z' })
    await carried({ include: ['a/b', 'missing'] })
    expect(await listed()).toEqual({ 'a/b/c.txt': 'c' })
    await rm(elsewhere, { recursive: true })
    await carried({ include: ['missing'] }, { options: { include: ['.'], ignore: ['/build', '!.env'] } })
    expect(await listed()).toEqual({ 'a/b/c.txt': 'c', 'a/d.txt': 'd', '.env': 'x' })
  })

  it('may be nothing', async () => {
    await carried()
    expect(await listed()).toEqual({})
  })

  it('has what its CLAUDE.md imports, also by way of others', async () => {
    const memory = '@docs/rules.md @/etc/passwd @./ @docs @docs/ @node_modules/'
    await write({ 'CLAUDE.md': memory, 'docs/rules.md': '@more.md', 'docs/more.md': 'more', 'docs/other.md': 'no', 'node_modules/x': '' })
    await carried({}, { reads: claude().context! })
    expect(await listed()).toEqual({ 'CLAUDE.md': memory, 'docs/rules.md': '@more.md', 'docs/more.md': 'more' })
  })

  it('has symbolic links within the project, and what they lead to', async () => {
    await write({ 'AGENTS.md': 'agents', 'tools/skills/one/SKILL.md': 'skill', 'tools/real.json': '{}' })
    await symlink('AGENTS.md', join(project, 'CLAUDE.md'))
    await mkdir(join(project, '.claude'))
    await symlink('../tools/skills', join(project, '.claude/skills'))
    await symlink(join(project, 'tools/real.json'), join(project, '.mcp.json'))
    await symlink('not-there.md', join(project, 'USER.md'))
    await carried()
    expect(await listed()).toEqual({
      'AGENTS.md': 'agents',
      'CLAUDE.md': '→ AGENTS.md',
      'USER.md': '→ not-there.md',
      '.claude/skills': '→ ../tools/skills',
      '.claude/skills/one/SKILL.md': 'skill',
      '.mcp.json': '→ tools/real.json',
      'tools/real.json': '{}',
      'tools/skills/one/SKILL.md': 'skill',
    })
  })

  it.each([
    [
      'a link out of the project',
      'ln -s ../outside.md CLAUDE.md',
      /^CLAUDE\.md is a symbolic link that leads out of the project, to .*outside\.md; ignore it/,
    ],
    [
      'a link to somewhere else',
      'mkdir .claude; ln -s /etc/passwd .claude/x',
      /^\.claude\/x is a symbolic link that leads out of the project, to \/etc\/passwd/,
    ],
    ['a link to nowhere', 'ln -s ../../nowhere AGENTS.md', /^AGENTS\.md is a symbolic link that leads out of the project/],
    ['a directory that is one', 'ln -s ../others .claude', /^\.claude is a symbolic link that leads out of the project, to .*others/],
    ['a FIFO', 'mkdir .claude; mkfifo .claude/pipe', /^\.claude\/pipe is neither a file nor a directory/],
  ])('must not hold %s', async (_, make, problem) => {
    await write({ 'outside.md': 'x', 'others/y': 'y' }, directory)
    await execa('sh', ['-c', make], { cwd: project })
    const failure = await carried().catch((error: unknown) => error as Error)
    expect((failure as Error).message).toMatch(problem)
    expect(await beside()).toEqual([])
    // Whoever does not need it says so.
    await carried({ ignore: ['CLAUDE.md', 'AGENTS.md', '.claude'] })
  })

  it('must not be too much, and the error names what is big', async () => {
    await write({ 'CLAUDE.md': 'x'.repeat(700), '.claude/big.bin': 'y'.repeat(900), '.claude/small': 'z' })
    await expect(carried({ maxBytes: 1600 })).rejects.toThrow(
      'the project has 1601 bytes to carry, and 1600 is the limit; ignore some of it, or set maxBytes; the biggest are .claude/big.bin (900), CLAUDE.md (700), .claude/small (1)',
    )
    await carried({ maxBytes: 1601 })
  })

  it('must be readable', async () => {
    await write({ '.claude/a': 'a' })
    await chmod(join(project, '.claude/a'), 0)
    await chmod(directory, 0o755)
    await withoutRoot(() => expect(carried()).rejects.toThrow(/^\.claude\/a cannot be read: EACCES/))
  })

  it('may be one file of a directory', async () => {
    await write({ '.claude/a': 'a' })
    await carried({ include: ['.claude/a'] })
    expect(await listed()).toEqual({ '.claude/a': 'a' })
  })
})

describe('once it is there', () => {
  beforeEach(() => write({ 'CLAUDE.md': 'first', 'AGENT.md': 'me' }))

  it('it stays as it is', async () => {
    await carried()
    await write({ 'CLAUDE.md': 'second' })
    await write({ 'AGENT.md': 'changed there', 'made.txt': 'there' }, elsewhere)
    expect(await carried()).toBeUndefined()
    expect(await listed()).toEqual({ 'CLAUDE.md': 'first', 'AGENT.md': 'changed there', 'made.txt': 'there' })
  })

  it('it is carried again when that is asked for and it has changed here, over what is there', async () => {
    await carried()
    await write({ 'made.txt': 'there', 'AGENT.md': 'changed there' }, elsewhere)
    await carried({ refresh: true })
    expect(await listed()).toMatchObject({ 'AGENT.md': 'changed there' })
    await write({ 'CLAUDE.md': 'second' })
    expect(await carried({}, { options: { refresh: true } })).toBeUndefined()
    expect(await listed()).toEqual({ 'CLAUDE.md': 'second', 'AGENT.md': 'me', 'made.txt': 'there' })
    expect(await beside()).toEqual(['-project'])
  })

  it('identity is read there', async () => {
    await carried()
    await write({ 'AGENT.md': 'changed there' }, elsewhere)
    const { instructions } = await throughHook(identity(), { project: elsewhere, isHere: false, directory: project })
    expect(instructions).toEqual([{ title: 'Who you are (AGENT.md)', text: 'changed there' }])
  })
})

describe('a launch that fails', () => {
  beforeEach(() => write({ 'CLAUDE.md': 'claude' }))

  it('leaves nothing', async () => {
    const failing = carried({}, {}, async () => {
      expect(await listed()).toEqual({ 'CLAUDE.md': 'claude' })
      throw new Error('later')
    })
    await expect(failing).rejects.toThrow('later')
    expect(await readdir(directory)).toEqual(['project'])
  })

  it('leaves what another session has found meanwhile, and what was there before', async () => {
    const failing = carried({}, {}, async () => {
      await carried({}, { session: sampleSession({ id: '018f0000-0000-7000-8000-000000000001', cwd: project }) })
      throw new Error('later')
    })
    await expect(failing).rejects.toThrow('later')
    expect(await listed()).toEqual({ 'CLAUDE.md': 'claude' })
    await expect(carried({}, {}, () => Promise.reject(new Error('again')))).rejects.toThrow('again')
    expect(await listed()).toEqual({ 'CLAUDE.md': 'claude' })
  })

  it('leaves nothing when it is cut in the middle', async () => {
    await write({ '.claude/big': 'x'.repeat(100_000) })
    const { run } = placeAt(elsewhere, false)
    const cut: HookPlace['run'] = (argv, options) =>
      run(argv, options?.input ? { ...options, input: (options.input as Uint8Array).subarray(0, 50_000) } : options)
    await expect(carried({}, { place: { run: cut } })).rejects.toThrow(`the project cannot be carried to ${elsewhere}: tar:`)
    expect(await readdir(directory)).toEqual(['project'])
  })

  it('says why it cannot be carried', async () => {
    const { run } = placeAt(elsewhere, false)
    const without: HookPlace['run'] = (argv, options) =>
      run(['/bin/sh', '-c', options?.input ? `PATH=/nowhere; ${argv[2]}` : argv[2]!, ...argv.slice(3)], options)
    await expect(carried({}, { place: { run: without } })).rejects.toThrow(/the project cannot be carried to .*: .*not found/)
    const silent = { code: 255, stdout: '', stderr: 'Host key verification failed.\n' }
    await expect(carried({}, { place: { run: async () => silent } })).rejects.toThrow(
      'cannot be asked for the project: Host key verification failed.',
    )
  })
})

it('is carried once for sessions that begin at the same time, and for those of another server', async () => {
  await write({ 'CLAUDE.md': 'claude', '.claude/big': 'x'.repeat(1_000_000) })
  const id = (n: number) => `018f0000-0000-7000-8000-00000000000${n}`
  const session = (n: number) => sampleSession({ id: id(n), cwd: project })
  const hook = inherit()
  const kept: unknown[] = []
  const one = (n: number, hook_ = hook) =>
    throughHook(hook_, {
      project: elsewhere,
      isHere: false,
      session: session(n),
      keep: async (value) => void kept.push(value),
    } satisfies Partial<HookContext<InheritSpawnOptions, never>> & HookSetting<InheritSpawnOptions, never>)
  await Promise.all([one(1), one(2), one(3)])
  expect(kept).toHaveLength(1)
  await rm(elsewhere, { recursive: true })
  await Promise.all([one(4), one(5, inherit()), one(6, inherit())])
  expect(Object.keys(await listed())).toEqual(['.claude/big', 'CLAUDE.md'])
  expect(await beside()).toEqual(['-project'])
})
