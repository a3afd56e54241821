import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hostedProject, type Hosted, type HostedProject } from './support/hosted.ts'
import { hostedPlugins, usePlugins } from './support/hosted-plugins.ts'
import { absent, installRuntimes } from './support/runtimes.ts'
import { until } from './support/wait.ts'

/** Whether a program of the executor has ended with that code, as its own files say. */
async function endedThere(project: string, code: number): Promise<boolean> {
  const names = await readdir(join(project, '.instar/owners'), { recursive: true })
  const texts = await Promise.all(
    names.filter((name) => name.endsWith('/exit')).map((name) => readFile(join(project, '.instar/owners', name), 'utf8')),
  )
  return texts.some((text) => text === `${code}\n`)
}

describe.skipIf(absent !== null)(`the Worker of docs/runtimes.md, on workerd${absent === null ? '' : `: ${absent}`}`, () => {
  let project: HostedProject
  let executor: Hosted
  let server: Hosted
  const start = () => project.worker({ EXECUTOR_URL: executor.url, EXECUTOR_TOKEN: executor.token })

  beforeAll(async () => {
    await installRuntimes()
    project = await hostedProject()
    executor = await project.executor('node')
    server = await start()
  }, 200_000)
  afterAll(() => project?.close())

  test('is closed like any other server, and says what it can', async () => {
    const ask = (authorization?: string) => fetch(`${server.url}/sessions`, authorization ? { headers: { authorization } } : {})
    expect((await ask()).status).toBe(401)
    expect((await ask('Bearer of-another-server-entirely')).status).toBe(403)
    expect(await (await fetch(`${server.url}/health`)).json()).toEqual({ status: 'ok', version: expect.any(String) })
    expect((await server.client.health()).backends).toMatchObject({ build: { ok: true, detail: expect.stringContaining(executor.url) } })
    expect(await (await fetch(`${server.url}/nowhere`, { headers: { authorization: `Bearer ${server.token}` } })).json()).toMatchObject({
      error: { code: 'not_found' },
    })
  })

  test('knows after kill -9 what happened meanwhile, and goes on', async () => {
    const { client } = server
    await client.spawn({ name: 'ends', agent: 'shell', prompt: 'read -r line; echo "got $line"; exit 3' })
    await client.spawn({ name: 'stays', agent: 'shell', prompt: 'while read -r line; do echo "got $line"; done' })
    const gone = await client.spawn({ name: 'purged', agent: 'shell', prompt: 'true' })
    await client.wait('purged', { for: ['completed'] })
    await client.end('purged', { purge: true })
    await client.input('ends', 'before the crash')
    await server.stop('SIGKILL')
    await until(() => endedThere(project.directory, 3), { what: 'the program to end by itself' })
    server = await start()
    expect(await server.client.get('ends')).toMatchObject({ status: 'error', exitCode: 3 })
    expect((await server.client.output('ends')).output).toContain('got before the crash')
    expect(await server.client.get('stays')).toMatchObject({ status: 'running' })
    await server.client.input('stays', 'after the crash')
    await until(async () => (await server.client.output('stays')).output.includes('got after the crash'), { what: 'the answer' })
    expect((await server.client.list()).map(({ id }) => id)).not.toContain(gone.id)
  })

  test('plugins answer, and one that misbehaves hurts nobody', async () => {
    const own = await hostedProject()
    try {
      const source = `import { badge, chat, defineConfig, definePlugin, remote, shell } from 'instar'
        import { createWorker } from 'instar/workerd'
        const { Instar, handler } = createWorker(({ EXECUTOR_URL: url, EXECUTOR_TOKEN: token }) =>
          defineConfig({ backends: { build: remote({ url, token }) }, agents: { shell: shell() }, plugins: ${hostedPlugins} }))
        export { Instar }
        export default handler`
      await usePlugins(await own.worker({ EXECUTOR_URL: executor.url, EXECUTOR_TOKEN: executor.token }, source))
    } finally {
      await own.close()
    }
  })

  test('an executor may dial in', async () => {
    const [own, there] = [await hostedProject(), await hostedProject()]
    try {
      const source = `import { defineConfig, remote, shell } from 'instar'
        import { createWorker } from 'instar/workerd'
        const { Instar, handler } = createWorker(({ EXECUTOR_TOKEN: token }) =>
          defineConfig({ backends: { behind: remote({ dial: true, token }) }, agents: { shell: shell() } }))
        export { Instar }
        export default handler`
      const token = 'of-the-executor-that-dials-in'
      const control = await own.worker({ EXECUTOR_URL: '', EXECUTOR_TOKEN: token }, source)
      await there.executor('node', { dial: `${control.url}/dial/behind`, environment: { INSTAR_EXECUTOR_TOKEN: token } })
      await until(async () => (await control.client.health()).backends?.['behind']?.ok, { what: 'the executor to dial in' })
      await control.client.spawn({ name: 'behind', agent: 'shell', prompt: 'echo hello; exit 3' })
      expect(await control.client.wait('behind', { for: ['error'] })).toMatchObject({ exitCode: 3 })
      expect((await control.client.output('behind')).output).toContain('hello')
    } finally {
      await there.close()
      await own.close()
    }
  })

  test('knows what happened while nobody asked', async () => {
    await server.client.spawn({ name: 'sleeps', agent: 'shell', prompt: 'sleep 1; exit 5' })
    await until(() => endedThere(project.directory, 5), { what: 'the program to end' })
    // Its end may just be on its way.
    const ended = await until(async () => (await server.client.get('sleeps')).endedAt && server.client.get('sleeps'), { what: 'the end' })
    expect(ended).toMatchObject({ status: 'error', exitCode: 5 })
  })

  test('an executor that is gone ends nothing', async () => {
    await server.client.spawn({ name: 'unseen', agent: 'shell', prompt: 'sleep 100' })
    const { url } = executor
    await executor.stop('SIGKILL')
    await until(async () => (await server.client.get('unseen')).evidence.rule.includes('executor'), { what: 'that it is unreachable' })
    expect(await server.client.get('unseen')).toMatchObject({ status: 'running', endedAt: null })
    await expect(server.client.spawn({ name: 'nowhere', agent: 'shell', prompt: 'true' })).rejects.toMatchObject({
      code: 'backend_unavailable',
      message: expect.stringContaining(url),
    })
    expect((await server.client.list()).map(({ name }) => name)).not.toContain('nowhere')
  })

  test.each([
    ['without a token', {}, 'INSTAR_TOKEN', { INSTAR_TOKEN: '' }],
    [
      'with a config that names no backend',
      {},
      'no backend',
      {},
      "import { createWorker } from 'instar/workerd'\nconst { Instar, handler } = createWorker(() => ({}))\nexport { Instar }\nexport default handler",
    ],
  ] as const)('%s every request is answered with an error, and the log says why', async (_, __, words, environment, source?: string) => {
    const broken = await project.worker({ EXECUTOR_URL: executor.url, EXECUTOR_TOKEN: executor.token, ...environment }, source)
    const answer = await fetch(`${broken.url}/sessions`, { headers: { authorization: `Bearer ${broken.token}` } })
    expect(answer.status).toBe(500)
    expect(await answer.json()).toMatchObject({
      error: { code: 'internal', message: 'Cannot answer: the server does not start; its log says why' },
    })
    await until(() => broken.printed().includes(words), { what: words })
    await broken.stop()
  })
})
