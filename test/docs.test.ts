import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { afterAll, expect, it } from 'vitest'
import { cli } from './support/cli.ts'
import { socketName, stateDirectory } from '../src/entry/settings.ts'
import { shellBlocks, startProject } from './support/project.ts'
import { makeRepository } from './support/repository.ts'
import { endServer } from './support/tmux.ts'
import { until } from './support/wait.ts'

const instar = `instar() { node ${cli} "$@"; }`

const cleanups: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup()
})

it('every command of the README works in a clone', async () => {
  const clone = await cloneHere()
  // The one that runs these tests is left out of them.
  const blocks = shellBlocks(await readFile('README.md', 'utf8')).filter((block) => block !== 'script/test\n')
  expect(blocks.length).toBeGreaterThanOrEqual(3)
  expect(blocks[0]).toBe('script/start\n')
  const run = (script: string) =>
    execa('sh', ['-ec', script], {
      cwd: clone,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], INSTAR_PORT: '0' },
      extendEnv: false,
      all: true,
    })
  const { all } = await run(blocks[0]!)
  expect(all).toMatch(/listening on http:\/\/127\.0\.0\.1:\d+/)
  expect(all).toContain('Hello from Instar! Send me a line.')
  expect(all).toMatch(/^hello +running +shell/m)
  const { url } = JSON.parse(await readFile(join(clone, '.instar/server.json'), 'utf8')) as { url: string }
  const rest = await run(`INSTAR_URL=${url}\n${blocks.slice(1).join('\n')}`)
  await until(async () => (await run('script/instar output hello')).all.includes('You said: Good morning'), { what: 'the answer of hello' })
  expect(rest.all).toContain('12 passed, 1 failed')
  // Once more, as somebody who comes back to it.
  expect((await run(blocks[0]!)).all).toContain('Hello from Instar!')
}, 180_000)

it('every command of docs/api.md works', async () => {
  const project = await startProject()
  cleanups.push(() => project.close())
  const { stdout } = await execa('sh', ['-ec', shellBlocks(await readFile('docs/api.md', 'utf8')).join('\n')], {
    cwd: project.directory,
    env: { PATH: process.env['PATH'], INSTAR_URL: project.server.url },
    extendEnv: false,
  })
  expect(stdout).toContain('"stage":"typed"')
})

it('every command of docs/worktrees.md works', async () => {
  const project = await startProject()
  cleanups.push(() => project.close())
  await makeRepository(project.directory, { 'README.md': 'A project.\n' })
  const { stdout } = await execa('sh', ['-ec', [instar, ...shellBlocks(await readFile('docs/worktrees.md', 'utf8'))].join('\n')], {
    cwd: project.directory,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
    extendEnv: false,
  })
  for (const told of ['fix.txt  added  +1', '+fixed', 'instar/fix is merged', 'PORT=3000\ntry/look', 'try/look is kept, in '])
    expect(stdout).toContain(told)
})

it('every command of docs/remote.md works', async () => {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'instar-remote-')))
  cleanups.push(async () => {
    const state = stateDirectory(join(directory, 'there'))
    for (const owner of await readdir(join(state, 'owners')).catch(() => [])) await endServer(socketName(join(state, 'owners', owner)))
    await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  })
  // In the background a shell's function is a shell: the program itself is what gets the signal.
  const blocks = shellBlocks(await readFile('docs/remote.md', 'utf8')).map((block) =>
    block.replace(/^instar (executor .*&)$/m, 'INSTAR $1'),
  )
  const script = [instar, ...blocks].join('\n').replace('INSTAR', `node ${cli}`)
  const { stdout } = await execa('sh', ['-ec', script], { cwd: directory, env: { PATH: process.env['PATH'] }, extendEnv: false })
  expect(stdout).toMatch(/^Hello from \/ of \S+$/m)
  expect(stdout).toContain('the program exited with 3')
})

it('every command of docs/hooks.md works', async () => {
  const project = await startProject()
  cleanups.push(() => project.close())
  const { stdout } = await execa('sh', ['-ec', [instar, ...shellBlocks(await readFile('docs/hooks.md', 'utf8'))].join('\n')], {
    cwd: project.directory,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
    extendEnv: false,
  })
  expect(stdout).toContain('# Who you are (AGENT.md)\n\nI am Anna. I keep the build green.')
})

it('every link in the documents leads somewhere', async () => {
  const pages = ['README.md', 'AGENTS.md', ...(await readdir('docs')).map((name) => `docs/${name}`)]
  for (const page of pages) {
    const text = await readFile(page, 'utf8')
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
      await expect(realpath(join(dirname(page), target)), `${page} → ${target}`).resolves.toBeTruthy()
    }
  }
})

/** What a clone of this tree would hold, with the packages that are installed here. */
async function cloneHere(): Promise<string> {
  const clone = await realpath(await mkdtemp(join(tmpdir(), 'instar-clone-')))
  cleanups.push(async () => {
    const stop = ['server', 'stop', '--dir', clone]
    await execa(process.execPath, [join(clone, 'dist/cli/main.js'), ...stop], { reject: false })
    await endServer(socketName(stateDirectory(clone)))
    await rm(clone, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  })
  const { stdout } = await execa('git', ['ls-files', '--cached', '--others', '--exclude-standard'])
  for (const file of stdout.split('\n')) {
    await mkdir(dirname(join(clone, file)), { recursive: true })
    await cp(file, join(clone, file), { preserveTimestamps: true }).catch(ifGone)
  }
  await symlink(join(process.cwd(), 'node_modules'), join(clone, 'node_modules'))
  return clone
}

/** Deleted but still in git's index. */
function ifGone(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}
