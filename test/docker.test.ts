import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { claude } from '../src/plugins/agents/claude.ts'
import { codex } from '../src/plugins/agents/codex.ts'
import { shell } from '../src/plugins/agents/shell.ts'
import { docker } from '../src/plugins/backends/docker/docker.ts'
import { examine } from '../src/plugins/backends/doctor.ts'
import type { Message } from '../src/runtime/agent.ts'
import type { Prompt } from '../src/runtime/types.ts'
import type { TestApp } from './support/app.ts'
import { testApp } from './support/app.ts'
import { claudeApp, programOf, type ClaudeApp } from './support/claude.ts'
import { openDockerd, type Dockerd } from './support/dockerd.ts'
import { lastToolResult } from './support/model.ts'
import { until } from './support/wait.ts'

let dockerd: Dockerd
beforeAll(async () => {
  dockerd = await openDockerd()
})
afterAll(() => dockerd?.close())

const containers = () => dockerd.docker('ps', '--all', '--quiet')

async function ask(app: TestApp, method: string, path: string, body?: object): Promise<{ status: number; body: any }> {
  const response = await app.request(path, { method, ...(body ? { body: JSON.stringify(body) } : {}) })
  return { status: response.status, body: await response.json() }
}

describe('Claude Code in a container', () => {
  let app: ClaudeApp
  beforeAll(async () => {
    const program = programOf('2.1.330')
    app = await claudeApp(
      '2.1.330',
      { permissionMode: 'manual', sandbox: false },
      {
        backends: {
          box: docker({
            image: dockerd.bare,
            host: dockerd.host,
            // The stand-in for the model listens on this machine's loopback.
            network: 'host',
            // The programs of this machine, as an image would bring them.
            mounts: [
              { source: '/usr', readOnly: true },
              { source: dirname(program), readOnly: true },
            ],
            memory: '2g',
            pids: 200,
          }),
        },
      },
    )
    const home = join(app.state, 'backends/box/home')
    await mkdir(home, { recursive: true })
    // Somebody who has used claude there before.
    await writeFile(join(home, '.claude.json'), JSON.stringify({ hasCompletedOnboarding: true }))
  })
  afterAll(() => app?.close())

  it('asks, is answered over HTTP, and does in the container what it was allowed', async () => {
    const prompt = '[bash cat /proc/1/comm; hostname; echo made >made.txt]'
    const spawned = await ask(app, 'POST', '/sessions/spawn', { name: 'boxed', prompt })
    expect(spawned).toMatchObject({ status: 201, body: { backend: 'box' } })
    await app.reaches('boxed', 'waiting')
    const [open] = (await ask(app, 'GET', '/sessions/boxed/prompts')).body as Prompt[]
    expect(open).toMatchObject({ kind: 'permission', tool: 'Bash', input: { command: expect.stringContaining('made.txt') } })
    expect(await readdir(app.project)).not.toContain('made.txt')
    const allow = open!.options.find(({ id }) => id === 'allow')!
    expect((await ask(app, 'POST', `/sessions/boxed/prompts/${open!.id}`, { choice: allow.id })).status).toBe(200)
    await app.reaches('boxed', 'idle')
    expect(await readFile(join(app.project, 'made.txt'), 'utf8')).toBe('made\n')
    // Its first process is docker's, and its name is that of the session.
    expect(lastToolResult(app.model.requests.at(-1)!)).toMatch(/(?:docker-init|tini).*boxed/s)
    // The agent writes down its conversation a little later than its hooks tell of it.
    const roles = async () => ((await ask(app, 'GET', '/sessions/boxed/messages')).body as Message[]).map(({ role }) => role)
    await until(async () => (await roles()).includes('tool'), { what: 'the conversation' })
    await until(async () => (await ask(app, 'GET', '/sessions/boxed')).body.usage, { what: 'what it cost' })
  })

  it('hears what is sent, and in another container goes on with its conversation', async () => {
    await ask(app, 'POST', '/sessions/boxed/input', { text: '[say the word is heron]' })
    await until(() => app.model.requests.some((request) => JSON.stringify(request.messages).includes('the word is heron')), {
      what: 'the text',
    })
    await app.reaches('boxed', 'idle')
    expect((await ask(app, 'DELETE', '/sessions/boxed')).body).toMatchObject({ status: 'killed' })
    expect(await containers()).toBe('')
    expect((await ask(app, 'POST', '/sessions/boxed/resume', { prompt: 'which word?' })).status).toBe(201)
    await app.reaches('boxed', 'idle')
    expect(JSON.stringify(app.model.requests.at(-1)!.messages)).toContain('the word is heron')
    await ask(app, 'DELETE', '/sessions/boxed')
    expect(await containers()).toBe('')
  })
})

describe('a container over HTTP', () => {
  let app: TestApp | null = null
  afterEach(async () => {
    await app?.close()
    app = null
  })
  const open = async (options: Partial<Parameters<typeof docker>[0]> = {}) =>
    (app = await testApp({ backends: { box: docker({ image: dockerd.image, host: dockerd.host, network: 'host', ...options }) } }))
  const spawn = (more: object = {}) => ask(app!, 'POST', '/sessions/spawn', { name: 'x', agent: 'shell', prompt: 'exec cat', ...more })

  const shows = (name: string, text: string) =>
    until(
      async () => {
        const output = await (await app!.request(`/sessions/${name}/output`)).text()
        return output.includes(text) && output
      },
      { what: `the output to show ${text}` },
    )

  it('has the environment of its image, and none of the server', async () => {
    await open()
    const { body } = await spawn({ prompt: 'env | sort; echo "in $PWD"; exec cat', env: { GIVEN: 'yes' } })
    const output = await shows(body.id, 'in /')
    const names = output.split('\n').flatMap((line) => /^([A-Z_]+)=/.exec(line)?.[1] ?? [])
    expect(names).toEqual(expect.arrayContaining(['GIVEN', 'HOME', 'INSTAR_SESSION', 'INSTAR_SESSION_ID', 'PATH', 'TERM']))
    expect(names.filter((name) => !/^(?:GIVEN|HOME|INSTAR_SESSION(?:_ID)?|PATH|TERM|(?:OLD)?PWD|SHLVL|_)$/.test(name))).toEqual([])
    expect(output).toContain(`HOME=${app!.state}/backends/box/home`)
    expect(output).toContain('PATH=/usr/local/sbin:')
    expect(output).toContain(`in ${app!.project}`)
  })

  it.each([
    ['a directory outside of the project', {}, { cwd: '/etc' }, 400, 'invalid_request', { field: 'cwd' }],
    ['an image that there is not', { image: 'nowhere:1' }, {}, 502, 'backend_failed', {}],
    ['no daemon', { host: 'unix:///no/such/socket' }, {}, 503, 'backend_unavailable', {}],
    ['no docker', { program: 'no-such-docker' }, {}, 503, 'backend_unavailable', {}],
  ] as const)('%s is an error, and leaves nothing', async (_, options, request, status, code, data) => {
    await open(options)
    expect(await spawn(request)).toMatchObject({ status, body: { error: { code, data } } })
    expect(await containers()).toBe('')
    expect((await ask(app!, 'GET', '/sessions')).body).toEqual([])
    expect(await readdir(join(app!.state, 'backends/box/sessions')).catch(() => [])).toEqual([])
  })

  it('goes on while its server is killed and another one begins', async () => {
    await open()
    const { body } = await spawn({ prompt: 'echo before; while read -r line; do echo "heard $line"; done' })
    await app!.restart()
    await ask(app!, 'POST', '/sessions/x/input', { text: 'you' })
    await shows('x', 'heard you')
    expect((await ask(app!, 'GET', '/sessions/x')).body).toMatchObject({ id: body.id, status: 'running' })
    expect((await ask(app!, 'DELETE', '/sessions/x')).body).toMatchObject({ status: 'killed' })
    expect(await containers()).toBe('')
  })
})

describe('what is in an image', () => {
  const image = 'instar-test:agents'
  const box = (more: object = {}) => docker({ image, host: dockerd.host, network: 'host', ...more })

  beforeAll(async () => {
    await dockerd.docker('run', '--name=made', '--network=host', dockerd.image, 'ln', '-s', 'busybox', '/bin/claude')
    await dockerd.docker('commit', 'made', image)
    await dockerd.docker('rm', 'made')
  })

  it('is told of each agent, and looked for in one container an image', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'instar-image-'))
    const program = join(directory, 'docker')
    await writeFile(program, `#!/bin/sh\necho "$2" >>"${directory}/asked"\nexec docker "$@"\n`, { mode: 0o755 })
    const app = await testApp({ backends: { box: box({ program }) }, agents: { shell: shell(), claude: claude(), codex: codex() } })
    try {
      const agents = async () =>
        Object.fromEntries((await ask(app, 'GET', '/agents')).body.map((each: any) => [each.name, each.backends.box]))
      const all = {
        shell: { ok: true, detail: '/usr/bin/sh' },
        claude: { ok: true, detail: '/usr/bin/claude' },
        codex: { ok: false, reason: 'there is no program "codex" on the PATH of its sessions' },
      }
      expect(await agents()).toEqual(all)
      expect(await agents()).toEqual(all)
      const asked = await readFile(join(directory, 'asked'), 'utf8')
      expect(asked.split('\n').filter((verb) => verb === 'run')).toHaveLength(1)
      expect(await containers()).toBe('')
      await dockerd.docker('tag', dockerd.image, image)
      await until(async () => !(await agents())['claude'].ok, { timeout: 15_000, what: 'the other image' })
    } finally {
      await app.close()
      await rm(directory, { recursive: true, force: true })
    }
  })

  it('is told by the doctor', async () => {
    const seen = async (more: object) => Object.fromEntries((await examine(box(more))).map(({ what, ok, detail }) => [what, [ok, detail]]))
    expect(await seen({})).toMatchObject({
      sessions: [true, expect.stringContaining(image)],
      sh: [true, '/usr/bin/sh in the image'],
      codex: [false, 'it is not on the PATH of the image: RUN npm install -g @openai/codex'],
      git: [true, expect.stringMatching(/^\//)],
    })
    expect(await seen({ image: dockerd.bare })).toMatchObject({
      sessions: [true, expect.stringContaining(dockerd.bare)],
      sh: [false, `the image ${dockerd.bare} has no sh`],
    })
    expect(await seen({ image: 'nowhere:1' })).toMatchObject({
      sessions: [false, `there is no image nowhere:1: build it, or type docker --host=${dockerd.host} pull nowhere:1`],
    })
  })
})

// No registry is asked: what comes from one is left out, and the rest is built.
describe('the image of the agents', () => {
  const instructions = async () => {
    const text = await readFile('images/Dockerfile', 'utf8')
    return text
      .replace(/^#.*\n/gm, '')
      .replaceAll('\\\n', '')
      .split('\n')
      .filter((line) => line.trim() !== '')
  }

  it('has the agents in the versions that are tested', async () => {
    const text = (await instructions()).join('\n')
    const { devDependencies } = JSON.parse(await readFile('package.json', 'utf8')) as { devDependencies: Record<string, string> }
    expect(text).toContain(`ARG CLAUDE_CODE=${devDependencies['@anthropic-ai/claude-code']}\n`)
    expect(text).toContain(`ARG CODEX=${devDependencies['@openai/codex']}\n`)
    for (const tool of ['git', 'ripgrep', 'ca-certificates']) expect(text).toMatch(new RegExp(`apt-get install .*\\b${tool}\\b`))
  })

  it('is built by the line that the documents give', async () => {
    const context = await mkdtemp(join(tmpdir(), 'instar-image-'))
    try {
      const lines = (await instructions()).map((line) => {
        if (line.startsWith('FROM ')) return `FROM ${dockerd.image}`
        return /^RUN (?:apt-get|npm|git) /.test(line) ? 'RUN true' : line
      })
      await writeFile(join(context, 'Dockerfile'), `${lines.join('\n')}\n`)
      const build = /^docker build .*$/m.exec(await readFile('docs/docker.md', 'utf8'))![0].split(' ')
      expect(build).toEqual(['docker', 'build', '-t', 'instar-agents', 'images'])
      // The daemon of the tests has no network to build with.
      await execa('docker', ['--host', dockerd.host, ...build.slice(1, -1), '--network=host', context], { env: { DOCKER_BUILDKIT: '0' } })
      const { Env, Cmd, User } = JSON.parse(await dockerd.docker('inspect', '--format={{json .Config}}', 'instar-agents')) as Record<
        string,
        unknown
      >
      expect({ Env, Cmd, User: User ?? '' }).toMatchObject({
        Env: expect.arrayContaining(['LANG=C.UTF-8', 'DISABLE_AUTOUPDATER=1']),
        Cmd: ['bash'],
        User: '',
      })
    } finally {
      await rm(context, { recursive: true, force: true })
    }
  })
})
