import { readFile } from 'node:fs/promises'
import { execa } from 'execa'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { shellBlocks, startProject, type Project } from './support/project.ts'
import { until } from './support/wait.ts'

let project: Project
beforeAll(async () => {
  project = await startProject()
})
afterAll(() => project?.close())

it('every command of the skill works against a live server', async () => {
  const blocks = shellBlocks(await readFile('skills/instar-session/SKILL.md', 'utf8'))
  const end = blocks.length - 1
  expect(end).toBeGreaterThanOrEqual(5)
  const [setUp = ''] = blocks
  // Each block in a shell of its own after the set-up, as an agent would run it; -e: any command that fails is a failure.
  const run = async (block: string) => {
    const { stdout } = await execa('sh', ['-ec', `${setUp}\n${block}`], {
      cwd: project.directory,
      env: { PATH: process.env['PATH'], INSTAR_URL: project.server.url },
      extendEnv: false,
    })
    return stdout
  }
  for (const block of blocks.slice(1, end)) expect(await run(block)).not.toBe('')
  await until(() => project.server.runtime.get('greeter').status === 'completed', { what: 'the session has read its input and ended' })
  expect((await project.server.runtime.output('greeter', 10)).text).toBe('world\nhello, world')
  expect(await run(blocks[end]!)).toContain('"completed"')
  expect(project.server.runtime.list()).toEqual([])
})

it('has the head that agents find it by', async () => {
  expect(await readFile('skills/instar-session/SKILL.md', 'utf8')).toMatch(/^---\nname: instar-session\ndescription: .{50,}\n---\n/)
})
