import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createClient } from '../src/client.ts'
import { socketName, stateDirectory } from '../src/entry/settings.ts'
import { noNode } from './support/bundle.ts'
import { pack, unpack } from './support/package.ts'
import { absent, denoFlags, hostEnvironment, installRuntimes, programs } from './support/runtimes.ts'
import { endServer } from './support/tmux.ts'
import { until } from './support/wait.ts'

/** The package as `npm pack` makes it, installed in a project of somebody's. */
let root: string
let project: string
const token = 'a-token-of-the-package-test'

beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'instar-package-')))
  project = join(root, 'project')
  await unpack(await pack(root), join(project, 'node_modules/instar'))
  await mkdir(join(project, 'home'))
  await writeFile(join(project, 'package.json'), '{"name":"theirs","type":"module","private":true,"dependencies":{"instar":"*"}}')
  await writeFile(
    join(project, 'instar.config.ts'),
    `import { defineConfig, shell, tmux } from 'instar'
     const maxSessions: number = 5
     export default defineConfig({ backends: { local: tmux() }, agents: { shell: shell() }, limits: { maxSessions } })\n`,
  )
  await writeFile(
    join(project, 'imports.mjs'),
    `import * as instar from 'instar'
     import * as node from 'instar/node'
     import * as client from 'instar/client'
     import * as workerd from 'instar/workerd'
     const names = ['claude', 'tmux', 'files', 'redis', 'sqlite', 'memory', 'remote', 'defineConfig', 'definePlugin', 'createApp']
     console.log(JSON.stringify({
       missing: names.filter((name) => typeof instar[name] !== 'function'),
       starts: typeof node.startServer + typeof node.startExecutor + typeof workerd.createWorker,
       same: instar.InstarError === client.InstarError,
     }))\n`,
  )
  if (absent === null) await installRuntimes()
}, 240_000)
afterAll(async () => {
  await endServer(socketName(stateDirectory(project)))
  await rm(root, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
})

const runtimes = [
  { name: `Node ${process.versions.node}`, command: (words: string[]) => [programs.node, ...words] },
  { name: 'Node 22', command: (words: string[]) => [programs.node22, ...words] },
  { name: 'Node 24', command: (words: string[]) => [programs.node24, ...words] },
  { name: 'Bun', command: (words: string[]) => [programs.bun, '--no-install', ...words] },
  { name: 'Deno', command: (words: string[], flags: string[]) => [programs.deno, 'run', '--no-remote', ...flags, ...words] },
] as const

describe.each(runtimes.filter((_, i) => i === 0 || absent === null))(`installed, on $name`, ({ name, command }) => {
  const run = (words: string[], flags: string[] = []) => {
    const [program = '', ...rest] = command(words, flags)
    const env = { ...hostEnvironment(join(project, 'home')), INSTAR_TOKEN: token }
    return execa(program, rest, { cwd: project, env, extendEnv: false, all: true, reject: false, stdin: 'ignore' })
  }

  test('has what it exports, each once', async () => {
    const { stdout, all } = await run(['imports.mjs'], ['--allow-env'])
    expect(JSON.parse(stdout || JSON.stringify({ all }))).toEqual({ missing: [], starts: 'functionfunctionfunction', same: true })
  })

  test('serves the project, config and all', async () => {
    const flags = await denoFlags(project, 0)
    const child = run(['node_modules/instar/dist/cli/main.js', 'server', 'start', '--foreground', '--port', '0'], flags)
    let printed = ''
    child.all.on('data', (bytes: Buffer) => (printed += bytes.toString()))
    const isGone = () => child.exitCode !== null
    const seen = await until(() => /listening on (http:\S+)/.exec(printed) ?? isGone(), { what: `a server on ${name}`, timeout: 20_000 })
    if (seen === true) throw new Error(`the server ended: ${printed}`)
    const client = createClient({ url: seen[1]!, token })
    const session = `of-${name.toLowerCase().replaceAll(/\W/g, '-')}`
    await client.spawn({ name: session, agent: 'shell', prompt: 'exit 6' })
    expect(await client.wait(session, { for: ['error'] })).toMatchObject({ exitCode: 6 })
    expect((await client.health()).version).toMatch(/^\d+\.\d+\.\d+$/)
    child.kill('SIGTERM')
    expect((await child).exitCode).toBe(0)
  })
})

describe('a bundler for the edge', () => {
  const bundle = (contents: string) =>
    build({
      stdin: { contents, resolveDir: project, loader: 'ts' },
      bundle: true,
      write: false,
      format: 'esm',
      conditions: ['workerd', 'worker'],
      plugins: [noNode],
      logLevel: 'silent',
    })

  test('takes the part of the package that runs there', async () => {
    const { outputFiles } = await bundle("export { claude, remote } from 'instar'\nexport { createWorker } from 'instar/workerd'")
    expect(outputFiles[0]!.text).toContain('createWorker')
  })

  test.each([
    ["import { tmux } from 'instar'\nexport default tmux()", 'No matching export'],
    ["export { startServer } from 'instar/node'", 'instar/node'],
  ])('refuses %s', async (contents, words) => {
    await expect(bundle(contents)).rejects.toThrow(words)
  })
})
