import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import * as v from 'valibot'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cli as cliFile } from './support/cli.ts'
import { stateDirectory } from '../src/entry/settings.ts'
import { remote } from '../src/plugins/backends/remote/remote.ts'
import { tmux } from '../src/plugins/backends/tmux/tmux.ts'
import type { Message } from '../src/runtime/agent.ts'
import { defineHook, type HookPlace } from '../src/runtime/hook.ts'
import type { Prompt, Session } from '../src/runtime/types.ts'
import { claudeApp, type ClaudeApp } from './support/claude.ts'
import { openRemotePlace, type RemotePlace } from './support/executor.ts'
import { hostedProject, type Hosted, type HostedProject } from './support/hosted.ts'
import { lastToolResult } from './support/model.ts'
import { absent, installRuntimes } from './support/runtimes.ts'
import { scriptedApp, type ScriptedApp } from './support/scripted-app.ts'
import { until } from './support/wait.ts'

describe('a server whose sessions run on an executor', () => {
  let host: HostedProject
  let executor: Hosted
  let app: ScriptedApp
  const environment = { EXECUTOR_SECRET: 'not-for-sessions', HOME: '/home-of-the-executor' }
  const start = async () => void (executor = await host.executor('node', { port: Number(new URL(executor.url).port), environment }))
  let onMade = async () => {}
  const run = async (place: HookPlace, ...argv: [string, ...string[]]) => expect(await place.run(argv)).toMatchObject({ code: 0 })
  /** Makes a directory over there, and fails. */
  const fails = defineHook<{ directory: string }, string>({
    name: 'fails',
    options: v.object({ directory: v.string() }),
    async launch(launch, next, { options, place, keep }) {
      if (!options) return next(launch)
      await keep(options.directory)
      await run(place, 'mkdir', options.directory)
      await onMade()
      throw new Error('as it was told to')
    },
    undo: (directory, place) => run(place, 'rm', '-rf', directory),
  })

  beforeAll(async () => {
    host = await hostedProject()
    executor = await host.executor('node', { environment })
    app = await scriptedApp({
      backends: { there: remote({ url: executor.url, token: executor.token, patienceMs: 20_000 }), local: tmux() },
      limits: { maxSessions: 500 },
      hooks: [fails],
    })
  })
  afterAll(async () => {
    await app?.close()
    await host?.close()
  })

  const spawn = (name: string, prompt: string, more: object = {}) => app.spawn(name, prompt, { agent: 'shell', ...more })
  const output = async (name: string) => (await app.request(`/sessions/${name}/output`)).text()
  const end = (name: string) => app.call<Session>('DELETE', `/sessions/${name}`)
  /** The programs that run for a session on the executor. */
  async function programs(marker: string): Promise<string[]> {
    const { stdout } = await execa('ps', ['-A', '-ww', '-o', 'pid=,args='])
    return stdout.split('\n').filter((row) => row.includes(marker) && !row.includes(' -C '))
  }

  it('spawns, answers prompts, sends, waits and ends as with one of its own', async () => {
    const session = await app.spawn('whole', '[ask write] hello')
    expect(session).toMatchObject({ backend: 'there', attach: expect.stringMatching(/^tmux -S \S+ attach -t =whole$/) })
    await app.reaches('whole', 'waiting')
    const [prompt] = await app.prompts('whole')
    expect((await app.call('POST', `/sessions/whole/prompts/${prompt!.id}`, { choice: 'allow' })).status).toBe(200)
    await app.reaches('whole', 'idle')
    const sent = await app.call('POST', '/sessions/whole/input?wait=idle', { text: 'more' })
    expect(sent.body).toMatchObject({ stage: 'started', session: { status: 'idle' } })
    expect(await app.submitted('whole')).toEqual(expect.arrayContaining(['more']))
    expect((await end('whole')).body).toMatchObject({ status: 'killed' })
    expect(await output('whole')).toContain('ready')
  })

  it('gives them what a session may see of the executor’s environment, and nothing else of it', async () => {
    await spawn('environment', 'env')
    await app.reaches('environment', 'completed')
    const seen = await output('environment')
    expect(seen).toContain('HOME=/home-of-the-executor')
    expect(seen).not.toMatch(/not-for-sessions|INSTAR_TOKEN|INSTAR_EXECUTOR/)
    expect(seen).not.toContain(executor.token)
  })

  it('answers as it would about its own', async () => {
    const both = async (ask: (backend: string) => Promise<unknown>) => {
      const [there, here] = [await ask('there'), await ask('local')]
      expect(there).toEqual(here)
      return there
    }
    const plain = (body: object, backend: string) =>
      JSON.parse(
        JSON.stringify(body)
          .replaceAll(backend, 'x')
          .replace(/"at":"[^"]+"/g, ''),
      ) as object
    await both(async (backend) => {
      const name = `same-${backend}`
      await spawn(name, 'exit 4', { backend })
      const { status, exitCode, reason } = await app.reaches(name, 'error')
      const answers = [
        await app.call('POST', `/sessions/${name}/input`, { text: 'late' }),
        await app.call('POST', `/sessions/${name}/interrupt`),
        await app.call('POST', `/sessions/${name}/prompts/x`, { choice: 'allow' }),
        await app.call('DELETE', `/sessions/${name}?purge=true`),
        await app.call('GET', `/sessions/${name}/output`, undefined, { accept: 'application/json' }),
      ]
      return { status, exitCode, reason, answers: answers.map(({ status, body }) => [status, plain(body.error ?? {}, backend)]) }
    })
    await both(async (backend) => {
      await spawn(`gone-${backend}`, 'true', { backend, cwd: '/no/such/directory' })
      const { exitCode, reason } = await app.reaches(`gone-${backend}`, 'error')
      return { exitCode, reason }
    })
    const strange = await spawn('strange', 'exec cat')
    const socket = /-S (\S+)/.exec(strange.attach!)![1]!
    await execa('tmux', ['-S', socket, 'new-session', '-d', '-s', 'taken', 'sleep 60'])
    await app.tmux('new-session', '-d', '-s', 'taken', 'sleep 60').catch(() => {})
    const there = await app.call('POST', '/sessions/spawn', { name: 'taken', prompt: 'true', agent: 'shell' })
    expect([there.status, there.body.error?.code]).toEqual([409, 'name_in_use'])
    await execa('tmux', ['-S', socket, 'kill-session', '-t', '=taken'])
    await end('strange')
  })

  it('ends none of them because the executor was killed, and says that it cannot be reached', async () => {
    await spawn('outlives', 'read -r line; echo "$line"; until [ -e go-outlives ]; do sleep 0.02; done; exit 5')
    await executor.stop('SIGKILL')
    await until(async () => (await app.session('outlives')).evidence.rule.startsWith('unreachable: '), { what: 'the evidence' })
    expect(await app.session('outlives')).toMatchObject({
      status: 'running',
      evidence: { source: 'backend', rule: expect.stringContaining(executor.url) },
    })
    for (const answer of [
      await app.call('POST', '/sessions/outlives/input', { text: 'x' }),
      await app.call('POST', '/sessions/spawn', { name: 'not-now', prompt: 'true', agent: 'shell' }),
    ])
      expect([answer.status, answer.body.error]).toEqual([
        503,
        {
          code: 'backend_unavailable',
          message: expect.stringMatching(
            /^Cannot [^:]+: (?:its backend is unreachable: )?the executor at http:\S+ (?:(?:does not answer|was lost) \([a-z ]+\)|has closed the connection|did not take an acknowledgement)$/,
          ),
          data: {},
        },
      ])
    expect(await app.session('outlives')).toMatchObject({ endedAt: null })
    await app.restart()
    expect(await app.session('outlives')).toMatchObject({ status: 'running', endedAt: null })
    await start()
    await until(async () => (await app.send('outlives', { text: 'hello' })).status === 200, { what: 'the executor', timeout: 20_000 })
    await executor.stop('SIGKILL')
    await writeFile(join(app.project, 'go-outlives'), '')
    await start()
    expect(await app.reaches('outlives', 'error')).toMatchObject({ exitCode: 5 })
    expect(await output('outlives')).toBe('hello\nhello')
  })

  it.each(['goes on', 'is another then'])(
    'undoes what a hook made there, when the executor died before it could, and the server %s',
    async (what) => {
      const directory = join(host.directory, `made-${what === 'goes on'}`)
      const isThere = async () => (await stat(directory).catch(() => null)) !== null
      onMade = async () => {
        expect(await isThere()).toBe(true)
        await executor.stop('SIGKILL')
      }
      const name = 'made-in-vain'
      const request = { name, prompt: 'true', agent: 'shell', hooks: { fails: { directory } } }
      expect(await app.call('POST', '/sessions/spawn', request)).toMatchObject({ status: 422, body: { error: { code: 'hook_failed' } } })
      expect(await app.session(name)).toMatchObject({ status: 'error', reason: expect.stringContaining('as it was told to') })
      if (what === 'is another then') await app.restart()
      expect(await isThere()).toBe(true)
      await start()
      await until(async () => !(await isThere()), { what: 'the undoing' })
      expect(await app.session(name)).toMatchObject({ status: 'error' })
    },
  )

  it.each(['is asked', 'makes its files', 'has started it'])(
    'starts it once, or not at all, when the executor is killed as it %s',
    async (moment) => {
      const name = `killed-as-it-${moment.replaceAll(' ', '-')}`
      const owners = join(stateDirectory(host.directory), 'owners')
      const sessions = join(owners, (await readdir(owners))[0]!, 'sessions')
      const before = new Set(await readdir(sessions))
      const spawning = app.call<Session>('POST', '/sessions/spawn', { name, prompt: `sleep 1234; : ${name}`, agent: 'shell' })
      const isThere = async () => {
        const made = (await readdir(sessions)).find((id) => !before.has(id))
        if (moment === 'is asked' || (made && moment === 'makes its files')) return true
        return made && (await readFile(join(sessions, made, 'signals.jsonl'), 'utf8').catch(() => '')) !== ''
      }
      // `until` looks less often than a start takes.
      for (const began = Date.now(); !(await isThere());) if (Date.now() - began > 10_000) throw new Error('it does not start')
      await executor.stop('SIGKILL')
      await start()
      const { status, body } = await spawning
      if (status === 201) {
        expect(await app.session(name)).toMatchObject({ endedAt: null })
        expect((await programs(name)).length).toBeGreaterThan(0)
        expect((await end(name)).body).toMatchObject({ status: 'killed' })
      } else {
        expect([status, body.error?.code]).toEqual([503, 'backend_unavailable'])
        expect((await app.call('GET', `/sessions/${name}`)).status).toBe(404)
      }
      if (moment === 'has started it') expect(status).toBe(201)
      await until(async () => (await programs(name)).length === 0, { what: `no ${name} to be left` })
      const left = async () => (await readdir(sessions)).filter((id) => !before.has(id) && id !== body.id)
      await until(async () => (await left()).length === 0, { what: 'no files to be left' })
    },
  )
})

describe('Claude Code on an executor', () => {
  let home: string
  let place: RemotePlace
  let app: ClaudeApp
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'instar-executor-home-'))
    // Somebody who has used claude there before.
    await writeFile(join(home, '.claude.json'), JSON.stringify({ hasCompletedOnboarding: true }))
    place = await openRemotePlace(() => tmux(), { PATH: process.env['PATH'] ?? '', HOME: home })
    const there = remote({ url: place.executor.url, token: place.executor.token })
    app = await claudeApp('2.1.330', { permissionMode: 'manual', sandbox: false }, { backends: { there } })
  })
  afterAll(async () => {
    await app?.close()
    await place?.cleanup()
    await rm(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  })

  it('asks, is answered after the executor was restarted, and its conversation and its cost are read there', async () => {
    const ask = async <T>(method: string, path: string, body?: object): Promise<T> => {
      const response = await app.request(path, { method, ...(body ? { body: JSON.stringify(body) } : {}) })
      return (await response.json()) as T
    }
    await ask('POST', '/sessions/spawn', { name: 'far', prompt: '[bash echo $HOME; echo made >made.txt]' })
    await app.reaches('far', 'waiting')
    await place.executor.restart()
    await until(async () => (await ask<Session>('GET', '/sessions/far')).evidence.source === 'hook', { what: 'the executor' })
    const [open] = await ask<Prompt[]>('GET', '/sessions/far/prompts')
    expect(open).toMatchObject({ kind: 'permission', tool: 'Bash', input: { command: expect.stringContaining('made.txt') } })
    // While the new executor is not connected to it is 503, and may be tried again.
    const answered = async () => (await ask<Session>('POST', `/sessions/far/prompts/${open!.id}`, { choice: 'allow' })).name === 'far'
    await until(answered, { what: 'the answer' })
    await app.reaches('far', 'idle')
    expect(await readFile(join(app.project, 'made.txt'), 'utf8')).toBe('made\n')
    expect(lastToolResult(app.model.requests.at(-1)!)).toContain(home)
    // The agent writes down its conversation a little later than its hooks tell of it.
    const roles = async () => (await ask<Message[]>('GET', '/sessions/far/messages')).map(({ role }) => role)
    await until(async () => (await roles()).join() === 'user,assistant,tool,assistant', { what: 'the conversation' })
    await until(async () => (await ask<Session>('GET', '/sessions/far')).usage, { what: 'what it cost' })
    await ask('DELETE', '/sessions/far')
  })
})

describe('instar executor', () => {
  let host: HostedProject
  beforeAll(async () => {
    host = await hostedProject()
  })
  afterAll(async () => {
    await host?.close()
  })
  const cli = (...args: readonly string[]) =>
    execa('node', [cliFile, 'executor', ...args], {
      env: { PATH: process.env['PATH'] },
      extendEnv: false,
      reject: false,
      timeout: 20_000,
    })

  it('makes a token of its own, which only its user can read and nothing prints, and has its project for itself', async () => {
    const executor = await host.executor('node', { environment: { INSTAR_EXECUTOR_TOKEN: '' } })
    const file = join(stateDirectory(host.directory), 'config.json')
    const { executor: own, auth } = JSON.parse(await readFile(file, 'utf8')) as { executor: { token: string }; auth?: unknown }
    expect(own.token).toMatch(/^[\w-]{43}$/)
    expect(auth).toBeUndefined()
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(executor.printed()).not.toContain(own.token)
    expect(executor.printed()).toContain('Its token is in .instar/config.json, under executor.token\n')
    const second = await cli('--port=0', '--dir', host.directory)
    expect([second.exitCode, second.stderr]).toEqual([1, expect.stringMatching(/^Cannot start: a server already runs for this project/)])
    expect(await executor.stop()).toBe(0)
    expect(await readdir(stateDirectory(host.directory))).not.toContain('server.json')
  })

  it.each([
    [['--backend=other'], 'Cannot serve backend "other": the config has local'],
    [
      ['--dial=localhost:4040'],
      'Cannot dial "localhost:4040": it must be <the control plane\'s address>/dial/<the name of the backend in its config>',
    ],
    [['--dial=http://localhost:4040/'], 'Cannot dial "http://localhost:4040/": it must be'],
    [['--port=x'], 'Cannot use the port "x"'],
  ])('refuses %j', async (args, message) => {
    const { exitCode, stderr } = await cli('--dir', host.directory, ...args)
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(message)])
  })

  const pairs = [
    ['node', 'node'],
    ['bun', 'deno'],
    ['deno', 'bun'],
  ] as const
  it.each(pairs.filter((_, i) => i === 0 || absent === null))(
    'on %s dials a server on %s, which has its sessions then',
    async (there, here) => {
      if (here !== 'node') await installRuntimes()
      const [plane, behind] = [await hostedProject(), await hostedProject()]
      try {
        await writeFile(
          join(plane.directory, 'instar.config.js'),
          `import { defineConfig, remote, shell } from 'instar'
        export default defineConfig({ backends: { behind: remote({ dial: true, token: process.env.BEHIND_TOKEN }) }, agents: { shell: shell() } })`,
        )
        const token = 'a-token-of-the-executor'
        const server = await plane.start(here, { environment: { BEHIND_TOKEN: token } })
        const port = Number(new URL(server.url).port)
        const environment = { INSTAR_EXECUTOR_TOKEN: token }
        const dials = await behind.executor(there, { port, dial: `${server.url}/dial/behind`, environment })
        expect(dials.printed()).toContain('Its token is that of INSTAR_EXECUTOR_TOKEN\n')
        await until(async () => (await server.client.health()).backends?.['behind']?.ok, { what: 'the executor' })
        await server.client.spawn({ name: 'behind', agent: 'shell', prompt: 'read -r line; exit 3', cwd: '/' })
        await server.client.input('behind', 'go')
        expect(await server.client.wait('behind', { for: ['error'] })).toMatchObject({ exitCode: 3 })
      } finally {
        await behind.close()
        await plane.close()
      }
    },
    200_000,
  )
})
