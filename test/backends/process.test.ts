import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { cli } from '../support/cli.ts'
import { backendConformance, type Harness } from '../../src/conformance.ts'
import { claude } from '../../src/plugins/agents/claude.ts'
import { shell } from '../../src/plugins/agents/shell.ts'
import { process as processes } from '../../src/plugins/backends/process/process.ts'
import { testApp, type TestApp } from '../support/app.ts'
import { killable } from '../support/scripted-app.ts'
import { until } from '../support/wait.ts'

backendConformance('process', openPlace)

// What the command is built of, as a server that is killed is.
const plain = pathToFileURL('dist/plugins/backends/process/process.js').href

describe('process, beside the contract,', () => {
  let app: TestApp
  beforeEach(async () => {
    app = await testApp({ backends: { plain: processes() }, agents: { shell: shell(), claude: claude() } })
  })
  afterEach(() => app?.close())

  const call = async (method: string, path: string, body?: unknown) => {
    const answer = await app.request(path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    return { status: answer.status, json: (await answer.json()) as any }
  }
  const spawn = (name: string, prompt: string, more: object = {}) => call('POST', '/sessions/spawn', { name, prompt, ...more })
  const output = async (name: string) => (await app.request(`/sessions/${name}/output`)).text()
  const shows = (name: string, text: string) => until(async () => (await output(name)) === text, { what: `${name} to show ${text}` })

  it('says what it cannot', async () => {
    expect((await call('GET', '/backends')).json).toMatchObject([
      { name: 'plain', ok: true, cannot: { terminal: expect.any(String), survive: expect.stringContaining('server') } },
    ])
    expect(await spawn('a', 'hello', { agent: 'claude' })).toMatchObject({
      status: 400,
      json: { error: { code: 'invalid_request', message: expect.stringContaining('terminal'), data: { field: 'backend' } } },
    })
    expect((await call('GET', '/sessions')).json).toEqual([])
    const { json } = await spawn('b', 'exec cat')
    expect(json).toMatchObject({ status: 'running', backend: 'plain', attach: null })
    const env = { INSTAR_URL: await app.listen(), INSTAR_TOKEN: app.token }
    const attach = execa('node', [cli, 'attach', 'b'], { env, reject: false })
    expect(await attach).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('backend "plain" gives it no terminal') })
  })

  it('types lines, and the keys that mean something to a program without a terminal', async () => {
    await spawn('a', `echo ready; while read -r line; do echo "got $line"; done; echo over`)
    await shows('a', 'ready')
    await call('POST', '/sessions/a/input', { text: 'two\nlines' })
    await shows('a', 'ready\ngot two\ngot lines')
    await call('POST', '/sessions/a/input', { keys: ['x', 'Tab', 'y', 'Enter'] })
    await shows('a', 'ready\ngot two\ngot lines\ngot x\ty')
    expect(await call('POST', '/sessions/a/input', { keys: ['z', 'Up'] })).toMatchObject({
      status: 400,
      json: { error: { code: 'invalid_request', message: expect.stringContaining('Up'), data: { field: 'keys' } } },
    })
    await spawn('b', `trap 'exit 7' INT; echo ready; while :; do sleep 0.05; done`)
    await shows('b', 'ready')
    await call('POST', '/sessions/b/interrupt')
    expect((await call('GET', '/sessions/b/wait?for=error')).json).toMatchObject({ status: 'error', exitCode: 7 })
    await call('POST', '/sessions/a/input', { keys: ['C-d'] })
    expect((await call('GET', '/sessions/a/wait?for=completed')).json).toMatchObject({ status: 'completed', exitCode: 0 })
    expect(await output('a')).toBe('ready\ngot two\ngot lines\ngot x\ty\nover')
  })

  it('does not wait for ever for a program that does not read, or will not', async () => {
    await spawn('deaf', 'exec sleep 60')
    await spawn('closed', 'cat >/dev/null; exec sleep 60')
    await call('POST', '/sessions/closed/input', { keys: ['C-d'] })
    expect(await call('POST', '/sessions/closed/input', { text: 'x' })).toMatchObject({
      status: 502,
      json: { error: { code: 'backend_failed', message: expect.stringContaining('C-d') } },
    })
    expect(await call('POST', '/sessions/deaf/input', { text: 'x'.repeat(900_000) })).toMatchObject({
      status: 502,
      json: { error: { code: 'backend_failed', message: expect.stringContaining('does not read') } },
    })
    expect((await call('DELETE', '/sessions/deaf')).json).toMatchObject({ status: 'killed' })
  })

  it('keeps what it has from everybody else, and secrets out of argument lists', async () => {
    const secret = `secret-${crypto.randomUUID()}`
    const { json } = await spawn('a', 'echo "$TOKEN" | wc -c; exec sleep 60', { env: { TOKEN: secret } })
    await shows('a', String(secret.length + 1))
    const { stdout } = await execa('ps', ['-A', '-ww', '-o', 'args='])
    expect(stdout).not.toContain(secret)
    const directory = join(app.state, 'backends/plain/sessions', json.id)
    expect((await stat(directory)).mode & 0o777).toBe(0o700)
    for (const name of await readdir(directory)) expect((await stat(join(directory, name))).mode & 0o077, name).toBe(0)
  })

  it('ends its sessions with the server, and says so after a restart', async () => {
    const [kept, ended] = [await spawn('a', 'echo some; echo output; exec sleep 60'), await spawn('b', 'exit 3')]
    await shows('a', 'some\noutput')
    await call('GET', '/sessions/b/wait?for=error')
    await app.restart()
    const { json } = await call('GET', '/sessions/a/wait?for=error')
    expect(json).toMatchObject({
      id: kept.json.id,
      status: 'error',
      signal: 'SIGTERM',
      reason: expect.stringContaining('its server stopped'),
    })
    expect(json.evidence.rule).toContain('its server stopped')
    expect(await output('a')).toBe('some\noutput')
    expect((await call('GET', '/sessions/b')).json).toMatchObject({ id: ended.json.id, status: 'error', exitCode: 3 })
    expect((await spawn('a', 'true')).status).toBe(201)
  })

  it('whose server was killed: the next one ends what it left, and tells', async () => {
    const server = await killable(`backends: { plain: (await import('${plain}')).process() }`)
    try {
      const script = 'echo $$ >tree; (setsid sh -c "echo \\$\\$ >stray; exec sleep 59" &); exec sleep 60'
      await server.spawn('a', script, { agent: 'shell' })
      const pidIn = (name: string) => until(async () => Number(await readFile(join(server.project, name), 'utf8')) || null, { what: name })
      const pids = [await pidIn('tree'), await pidIn('stray')]
      await server.kill()
      expect(pids.map(isThere)).toEqual([true, true])
      await server.start()
      await until(async () => (await server.session('a')).endedAt !== null, { what: 'the end' })
      expect(await server.session('a')).toMatchObject({
        status: 'error',
        exitCode: null,
        reason: expect.stringContaining('its server is gone'),
      })
      await until(() => !pids.some(isThere), { what: 'the end of its processes' })
    } finally {
      await server.close()
    }
  })
})

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function openPlace(): Promise<Harness> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'instar-process-')))
  const directory = join(root, 'programs')
  await mkdir(directory)
  return {
    directory,
    backend: () => processes()({ directory: join(root, 'state'), socket: 'none' }),
    read: (path) =>
      readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return null
        throw error
      }),
    write: (path, text) => writeFile(path, text),
    cleanup: () => rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }),
  }
}
