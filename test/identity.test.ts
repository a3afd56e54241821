import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { claude } from '../src/plugins/agents/claude.ts'
import { codex } from '../src/plugins/agents/codex.ts'
import { document } from '../src/plugins/agents/text.ts'
import { identity, type IdentityOptions, type IdentitySpawnOptions } from '../src/plugins/hooks/identity.ts'
import { importsOf } from '../src/plugins/hooks/imports.ts'
import { opencode } from '../src/plugins/agents/opencode.ts'
import { shell } from '../src/plugins/agents/shell.ts'
import { digestOf } from '../src/runtime/launch.ts'
import type { HookPlace } from '../src/runtime/hook.ts'
import type { Launch } from '../src/runtime/types.ts'
import { testApp } from './support/app.ts'
import { startProject } from './support/project.ts'
import { withoutRoot } from './support/user.ts'
import { until } from './support/wait.ts'
import { placeAt, sampleLaunch, throughHook, type HookSetting } from './support/hook.ts'

let directory: string
let project: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'instar identity-'))
  project = join(directory, 'project')
  await mkdir(project)
})
afterEach(() => rm(directory, { recursive: true, force: true }))

async function write(files: Readonly<Record<string, string | Uint8Array>>, base = project): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(base, name)), { recursive: true })
    await writeFile(join(base, name), text)
  }
}

describe.each(['here', 'there'])('the project is %s:', (where) => {
  const isHere = where === 'here'
  const told = async (options: IdentityOptions = {}, setting: Partial<HookSetting<IdentitySpawnOptions, never>> = {}) =>
    document((await throughHook(identity(options), { project, isHere, ...setting })).instructions)
  const claudes = { reads: claude().context! }

  it('composes the files under their titles, in their order, without those that are not there', async () => {
    await write({ 'MEMORY.md': '\n# Things\n\n- one\n\n', 'AGENT.md': 'I am Anna.\n', 'NOTES.md': 'no' })
    expect(await told()).toBe('# Who you are (AGENT.md)\n\nI am Anna.\n\n# What you remember (MEMORY.md)\n\n# Things\n\n- one\n')
    expect(await told({ files: ['docs/who.md'] })).toBe('')
  })

  it('takes the files that the config or the spawn names', async () => {
    await write({ 'AGENT.md': 'agent', 'docs/-who are you?.md': 'somebody', é: 'accent' })
    expect(await told({ files: ['é', 'docs/-who are you?.md'] })).toBe('# é\n\naccent\n\n# docs/-who are you?.md\n\nsomebody\n')
    expect(await told({ files: ['é'] }, { options: { files: ['AGENT.md'] } })).toContain('(AGENT.md)\n\nagent\n')
  })

  it('does not take an empty file for something to say', async () => {
    await write({ 'AGENT.md': ' \n\n', 'USER.md': '\ufeffOtto' })
    expect(await told()).toBe('# Whom you work for (USER.md)\n\nOtto\n')
  })

  it('leaves out what CLAUDE.md imports, also by way of others', async () => {
    await write({
      'AGENT.md': 'agent',
      'USER.md': 'user',
      'MEMORY.md': 'memory',
      'CLAUDE.md': 'See @AGENT.md and @docs/more.md too.',
      'docs/more.md': 'also @../USER.md',
      '.claude/CLAUDE.md': '`@MEMORY.md`\n\n```\n@MEMORY.md\n```\n',
    })
    expect(await told({}, claudes)).toBe('# What you remember (MEMORY.md)\n\nmemory\n')
    // It reads its AGENTS.md, and does not follow imports in it.
    await write({ 'AGENTS.md': '@AGENT.md' })
    expect(await told({}, { reads: codex().context! })).toContain('agent')
    expect(await told({ files: ['AGENTS.md'] }, { reads: codex().context! })).toBe('')
  })

  it('leaves out what is the very text of a file that the agent reads', async () => {
    await write({ 'AGENT.md': 'agent' })
    await symlink('AGENT.md', join(project, 'CLAUDE.md'))
    expect(await told({}, claudes)).toBe('')
    expect(await told()).toContain('agent')
  })

  it('takes what is missing there from the server’s own project', async () => {
    const own = join(directory, 'own')
    await write({ 'AGENT.md': 'agent of the server', 'USER.md': 'user of the server' }, own)
    await write({ 'AGENT.md': 'agent' })
    expect(await told({}, { directory: own })).toMatch(/\nagent\n[^]*\nuser of the server\n/)
    await rm(project, { recursive: true })
    expect(await told({}, { directory: own, ...claudes })).toMatch(/\nagent of the server\n[^]*\nuser of the server\n/)
  })

  it('names the file that cannot be taken, and says why', async () => {
    const limit = { maxBytes: 1000 }
    await mkdir(join(project, 'AGENT.md'))
    await expect(told(limit)).rejects.toThrow('AGENT.md is a directory, not a file')
    await rm(join(project, 'AGENT.md'), { recursive: true })
    await write({ 'AGENT.md': Uint8Array.of(0x68, 0xe9) })
    await expect(told(limit)).rejects.toThrow('AGENT.md is not UTF-8 text')
    await write({ 'AGENT.md': 'a\0b' })
    await expect(told(limit)).rejects.toThrow('AGENT.md is not UTF-8 text')
    await write({ 'AGENT.md': 'é'.repeat(501) })
    await expect(told(limit)).rejects.toThrow('AGENT.md has 1002 bytes, and 1000 is the limit')
    await write({ 'AGENT.md': 'a'.repeat(600), 'USER.md': 'b'.repeat(700) })
    await expect(told(limit)).rejects.toThrow(
      'AGENT.md, USER.md have 1300 bytes together, and 1000 is the limit; the biggest is USER.md with 700',
    )
    await rm(join(project, 'AGENT.md'))
    await execa('mkfifo', [join(project, 'AGENT.md')])
    await expect(told(limit)).rejects.toThrow('AGENT.md is not a regular file')
  })

  it('follows symbolic links within the project, and out of it only when that is said', async () => {
    await write({ 'real/agent.md': 'linked' })
    await write({ 'user.md': 'outside' }, directory)
    await symlink('real/agent.md', join(project, 'AGENT.md'))
    expect(await told()).toContain('linked')
    await symlink('../user.md', join(project, 'USER.md'))
    await expect(told()).rejects.toThrow(
      /USER\.md is a symbolic link to \/.*\/user\.md, outside of the project; identity\(\{ outside: true \}\) in the config allows that$/,
    )
    expect(await told({ outside: true })).toContain('outside')
    await rm(join(project, 'USER.md'))
    await symlink('nowhere.md', join(project, 'USER.md'))
    expect(await told()).toBe('# Who you are (AGENT.md)\n\nlinked\n')
  })

  it('names a file that may not be read', async () => {
    await write({ 'AGENT.md': 'secret' })
    await chmod(join(project, 'AGENT.md'), 0)
    await chmod(directory, 0o755)
    await withoutRoot(() => expect(told()).rejects.toThrow('AGENT.md cannot be read: EACCES'))
  })
})

it('asks the place once', async () => {
  await write({ 'AGENT.md': 'agent', 'CLAUDE.md': '@USER.md', 'USER.md': 'user' })
  let reads = 0
  const { read } = placeAt(project, false)
  const place: Partial<HookPlace> = { read: (...given) => (reads++, read(...given)) }
  await throughHook(identity(), { project, isHere: false, reads: claude().context!, place })
  expect(reads).toBe(1)
})

it('finds imports as claude does', () => {
  const imports = (text: string, from = 'CLAUDE.md') => importsOf(text, from, '/home/me/project')
  expect(imports('@AGENT.md')).toEqual(['AGENT.md'])
  expect(imports('see @./a/../USER.md, @b\\ c.md and\t@/home/me/project/x.md#part')).toEqual(['USER.md,', 'b c.md', 'x.md'])
  expect(imports('mail me@example.com, @~/own.md, @/etc/passwd, @../other.md')).toEqual([])
  expect(imports('@more.md', 'docs/a.md')).toEqual(['docs/more.md'])
  expect(imports('@. @./ @/home/me/project @a/ @./b/')).toEqual(['a', 'b'])
  expect(imports('`@a.md` and ``@b.md ` `` but @c.md')).toEqual(['c.md'])
  expect(imports('```sh\n@a.md\n```\n@b.md\n~~~~\n@c.md\n~~~\n@d.md\n~~~~\n@e.md\n```\n@f.md')).toEqual(['b.md', 'e.md'])
})

describe('how agents are given it', () => {
  const instructions = [
    { title: 'One', text: '"first"\n' },
    { title: 'Two', text: 'second' },
  ]
  const told = '# One\n\n"first"\n\n# Two\n\nsecond\n'
  const launch = { ...sampleLaunch, instructions }
  const resumed = { ...launch, resume: 'r' }

  it('claude: a file, which takes up a text that the request appends', () => {
    const { argv, files } = claude().plan(launch, '/d')
    expect(argv).toEqual(expect.arrayContaining(['--append-system-prompt-file', '/d/instructions.md']))
    expect(files['instructions.md']).toBe(told)
    for (const args of [
      ['--append-system-prompt', 'third', '--verbose'],
      ['--append-system-prompt=third', '--verbose'],
    ]) {
      const both = claude().plan({ ...launch, args }, '/d')
      expect(both.files['instructions.md']).toBe(`${told}\nthird\n`)
      expect(both.argv).toContain('--verbose')
      expect(both.argv).not.toContain('third')
    }
    expect(() => claude().plan({ ...launch, args: ['--append-system-prompt-file', '/f'] }, '/d')).toThrow(
      'its args have --append-system-prompt-file, and claude takes one',
    )
    const none = claude().plan({ ...sampleLaunch, args: ['--append-system-prompt-file', '/f'] }, '/d')
    expect(none.argv.filter((arg) => arg.startsWith('--append'))).toEqual(['--append-system-prompt-file'])
    expect(none.files).not.toHaveProperty('instructions.md')
  })

  it('codex: through its hook, and a resumed conversation when they are others', () => {
    const given = (files: Readonly<Record<string, string>>, name: string) =>
      (JSON.parse(files[name]!) as { hookSpecificOutput: { additionalContext: string } }).hookSpecificOutput.additionalContext
    const { files } = codex().plan(launch, '/d')
    expect(given(files, 'instructions.json')).toBe(told)
    expect(files).not.toHaveProperty('resumed.json')
    expect(given(codex().plan(resumed, '/d').files, 'resumed.json')).toBe(
      `From now on this holds, in place of what you were told of yourself when this conversation began:\n\n${told}`,
    )
    expect(codex().plan({ ...resumed, areInstructionsKnown: true }, '/d').files).not.toHaveProperty('resumed.json')
    const emptied = codex().plan({ ...resumed, instructions: [] }, '/d').files
    expect(given(emptied, 'resumed.json')).toBe('What you were told of yourself when this conversation began holds no longer.')
    expect(emptied).not.toHaveProperty('instructions.json')
  })

  it('opencode: after what the user names', () => {
    const env = { OPENCODE_CONFIG_CONTENT: '{"instructions":["own.md"],"theme":"x"}' }
    const settings = (launch: Launch) => JSON.parse(opencode().plan(launch, '/d').env['OPENCODE_CONFIG_CONTENT']!) as object
    expect(settings({ ...launch, env })).toMatchObject({ theme: 'x', instructions: ['own.md', '/d/instructions.md'] })
    expect(settings(sampleLaunch)).not.toHaveProperty('instructions')
  })

  it('any command: a file that a variable names', () => {
    const { env, files } = shell().plan(launch, '/d')
    expect(env['INSTAR_INSTRUCTIONS']).toBe('/d/instructions.md')
    expect(files['instructions.md']).toBe(told)
    expect(shell().plan(sampleLaunch, '/d')).toMatchObject({ env: {}, files: {} })
  })

  it('is told apart from what a run was given before', async () => {
    expect(await digestOf([])).toBe('')
    expect(await digestOf(instructions)).toBe(await digestOf([...instructions]))
    expect(await digestOf(instructions)).not.toBe(
      await digestOf([
        { title: 'One', text: '"first"\n' },
        { title: 'Two', text: 'other' },
      ]),
    )
  })
})

describe('options in a spawn', () => {
  it('are checked, and the error names what is wrong', async () => {
    const app = await testApp({ agents: { shell: shell() }, hooks: [identity()] })
    try {
      const spawn = async (options: unknown) => {
        const body = JSON.stringify({ name: 'a', prompt: 'true', hooks: { identity: options } })
        const answer = await app.request('/sessions/spawn', { method: 'POST', body })
        return { status: answer.status, body: (await answer.json()) as { error?: { message: string; data: { field: string } } } }
      }
      const wrong = async (options: unknown, field: string) => {
        const { status, body } = await spawn(options)
        expect({ status, field: body.error?.data.field }, body.error?.message).toEqual({ status: 400, field })
        expect(body.error?.message).toMatch(/it must/)
      }
      await wrong({ file: ['a'] }, 'hooks.identity.file')
      await wrong({ files: 'a' }, 'hooks.identity.files')
      await wrong({ files: ['a', '/etc/passwd'] }, 'hooks.identity.files.1')
      await wrong({ files: ['a/../../b'] }, 'hooks.identity.files.0')
      await wrong({ files: [''] }, 'hooks.identity.files.0')
      await wrong(true, 'hooks.identity')
      expect((await spawn({ files: [] })).status).toBe(201)
    } finally {
      await app.close()
    }
  })
})

it('is what a server does whose config says nothing of hooks', async () => {
  const { directory: project, server, close } = await startProject()
  try {
    await write({ 'AGENT.md': 'I am Anna.' }, project)
    const spawn = (name: string, more: object = {}) =>
      server.runtime.spawn({ name, agent: 'shell', prompt: 'cat "$INSTAR_INSTRUCTIONS"; echo "<$?>"', ...more })
    const shown = (name: string, text: string) =>
      until(async () => (await server.runtime.output(name, 20)).text.includes(text), { what: `the session to show ${text}` })
    await spawn('told')
    await shown('told', 'I am Anna.')
    await spawn('untold', { hooks: { identity: false } })
    await shown('untold', '<1>')
    const names = server.runtime.explain('told').trail.flatMap(({ rule }) => /^hook (\w+) took/.exec(rule)?.[1] ?? [])
    expect(names).toEqual(['worktree', 'guard', 'identity', 'inherit'])
  } finally {
    await close()
  }
})
