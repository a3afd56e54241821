import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from './support/wait.ts'
import { pack, unpack } from './support/package.ts'

/**
 * What docs/plugins.md shows, as somebody else has it: beside the package that `npm pack` makes, in a project that has
 * nothing else but the package's dependencies and vitest.
 */

let root: string
let project: string
beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'instar-plugins-')))
  project = join(root, 'project')
  await unpack(await pack(root), join(project, 'node_modules/instar'))
  await writeFile(join(project, 'package.json'), '{"name":"theirs","type":"module","private":true}')
  for (const [name, text] of codeBlocks(await readFile('docs/plugins.md', 'utf8'))) await writeFile(join(project, name), text)
}, 120_000)
afterAll(() => rm(root, { recursive: true, force: true }))

describe('the package', () => {
  it('has the suite, and nothing of our own tests', async () => {
    const { stdout } = await execa('find', ['.', '-type', 'f'], { cwd: join(project, 'node_modules/instar') })
    const files = stdout.split('\n')
    expect(files).toEqual(expect.arrayContaining(['./dist/conformance.js', './dist/conformance.d.ts', './dist/index.js']))
    expect(files.filter((name) => /\.test\.|^\.\/(?:test|src|node_modules)\//.test(name))).toEqual([])
  })

  it("has types with which somebody else's plugins compile", async () => {
    const options = [
      '--noEmit',
      '--strict',
      '--exactOptionalPropertyTypes',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--types',
      'node',
    ]
    const { stdout, exitCode } = await execa(
      join(process.cwd(), 'node_modules/.bin/tsc'),
      [
        ...options,
        '--allowImportingTsExtensions',
        '--skipLibCheck',
        'drained.test.ts',
        'instar.config.ts',
        'scratch.ts',
        'ticket.ts',
        'hello.ts',
      ],
      { cwd: project, reject: false },
    )
    expect([exitCode, stdout]).toEqual([0, ''])
  })
})

describe("somebody else's backend", () => {
  it('passes the suite, which skips what it says that it cannot', async () => {
    const { exitCode, tests } = await suite('drained.test.ts', 'starts a program|tells how a program ended|answers a hook|after a restart')
    expect(tests.filter(({ status }) => status === 'failed')).toEqual([])
    expect(exitCode).toBe(0)
    expect(tests.filter(({ status }) => status === 'passed').length).toBeGreaterThan(30)
    expect(tests.filter(({ status }) => status === 'skipped').map(({ title }) => title)).toContain(
      'in a terminal of the size that was asked for',
    )
  }, 120_000)

  it('fails it where it does not do as it should', async () => {
    const text = await readFile(join(project, 'drained.test.ts'), 'utf8')
    // It forgets to hand on what a session is to see.
    const broken = `const forgetful = (state) => {
      const backend = processes()(state)
      return { ...backend, start: (id, name, command, ready) => backend.start(id, name, { ...command, env: { PATH: command.env.PATH }, files: {} }, ready) }
    }`
    await writeFile(
      join(project, 'broken.test.ts'),
      text.replace('backendConformance(', `${broken}\nbackendConformance(`).replace('drained(processes()', 'drained(forgetful'),
    )
    const { exitCode, tests } = await suite('broken.test.ts', 'exact values of its environment|its files in a directory|exit 0')
    expect(exitCode).toBe(1)
    const failed = tests.filter(({ status }) => status === 'failed').map(({ title }) => title)
    expect(failed).toEqual(
      expect.arrayContaining(['with the exact values of its environment', 'with its files in a directory that nobody else can read']),
    )
    expect(tests).toContainEqual(expect.objectContaining({ title: 'exit 0', status: 'passed' }))
  }, 120_000)
})

describe("somebody else's hooks", () => {
  it('wrap a launch: they tell the agent, make what it needs, and refuse', async () => {
    const directory = join(project, 'hooked')
    await mkdir(directory)
    await writeFile(
      join(directory, 'instar.config.ts'),
      `import { defineConfig, process as processes, shell } from 'instar'
       import { scratch } from '../scratch.ts'
       import { ticket } from '../ticket.ts'
       export default defineConfig({
         backends: { local: processes() },
         agents: { shell: shell() },
         hooks: [scratch(), ticket({ tracker: 'https://tracker' })],
       })`,
    )
    const { PATH, HOME } = process.env
    const main = join(project, 'node_modules/instar/dist/cli/main.js')
    const server = execa(process.execPath, [main, 'server', 'start', '--foreground', '--port', '0', '--dir', directory], {
      env: { PATH, HOME },
      extendEnv: false,
      reject: false,
    })
    try {
      const state = join(directory, '.instar')
      const read = async (name: string) => JSON.parse(await readFile(join(state, name), 'utf8')) as { url: string; auth: { token: string } }
      const url = await until(async () => (await read('server.json')).url, { what: 'the server' })
      const { auth } = await read('config.json')
      const call = (path: string, body?: object) =>
        fetch(`${url}${path}`, {
          headers: { authorization: `Bearer ${auth.token}` },
          ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
        })
      const prompt = 'cat "$INSTAR_INSTRUCTIONS"; ls -ld "$SCRATCH"'
      expect((await call('/sessions/spawn', { name: 'a', prompt, hooks: { ticket: { id: 'ABC-1' } } })).status).toBe(201)
      await call('/sessions/a/wait?for=completed')
      const output = await (await call('/sessions/a/output')).text()
      expect(output).toMatch(
        /# Your ticket\n+You work on https:\/\/tracker\/ABC-1\. Name it in every commit\.\n+drwx------.* \/tmp\/scratch-/,
      )
      const refused = await call('/sessions/spawn', { name: 'b', prompt, hooks: { ticket: { id: 'nine' } } })
      expect(await refused.json()).toMatchObject({ error: { message: expect.stringContaining('it must be the id of a ticket') as string } })
      await rm(output.trim().split(' ').at(-1)!, { recursive: true })
    } finally {
      server.kill('SIGTERM')
      await server
    }
  }, 60_000)
})

interface Outcome {
  readonly title: string
  readonly status: 'passed' | 'failed' | 'skipped'
}

/** Some parts of the suite, by their own vitest. */
async function suite(file: string, parts: string): Promise<{ exitCode: number | undefined; tests: readonly Outcome[] }> {
  const { exitCode } = await execa(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', file, '-t', parts, '--reporter=json', '--outputFile=outcome.json'],
    { cwd: project, reject: false, env: { VITEST: undefined, VITEST_WORKER_ID: undefined, VITEST_POOL_ID: undefined } },
  )
  const { testResults } = JSON.parse(await readFile(join(project, 'outcome.json'), 'utf8')) as {
    testResults: { assertionResults: Outcome[] }[]
  }
  return { exitCode, tests: testResults.flatMap(({ assertionResults }) => assertionResults) }
}

/** The blocks of a document that begin with a comment that names a file. */
const codeBlocks = (markdown: string): [name: string, text: string][] =>
  [...markdown.matchAll(/^```ts\n\/\/ (\S+)\n([\s\S]*?)^```$/gm)].map(([, name, text]) => [name!, text!])
