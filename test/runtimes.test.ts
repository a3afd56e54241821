import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { protocol, wire } from '../src/runtime/executor.ts'
import { hostedProject, type HostedProject } from './support/hosted.ts'
import { hostedPlugins, usePlugins } from './support/hosted-plugins.ts'
import { startRedis } from './support/redis.ts'
import { absent, hosts, installRuntimes } from './support/runtimes.ts'
import { until } from './support/wait.ts'

describe.skipIf(absent !== null)(`the server on every runtime${absent === null ? '' : `: ${absent}`}`, () => {
  let project: HostedProject

  beforeAll(async () => {
    await installRuntimes()
    project = await hostedProject()
    await writeFile(join(project.directory, 'limits.ts'), 'export const limits: { graceMs: number } = { graceMs: 300 }\n')
    await writeFile(
      join(project.directory, 'instar.config.ts'),
      `import { defineConfig, shell, tmux } from 'instar'
       import { limits } from './limits.ts'
       export default defineConfig({ backends: { local: tmux() }, agents: { shell: shell() }, limits })\n`,
    )
  }, 200_000)
  afterAll(() => project?.close())

  test.each(hosts)('%s: a session in tmux, from spawn to its exit code, and nothing on standard error', async (host) => {
    const server = await project.start(host)
    const { client } = server
    const name = `on-${host}`
    const session = await client.spawn({ name, agent: 'shell', prompt: 'echo ready; read -r line; echo "got $line"; exit 3' })
    expect(session).toMatchObject({ status: 'running', backend: 'local', cwd: project.directory })
    const shows = (text: string) => until(async () => (await client.output(name)).output.includes(text), { what: text })
    await shows('ready')
    expect(await client.input(name, `it's $HOME; ü`)).toMatchObject({ stage: 'typed' })
    await shows(`got it's $HOME; ü`)
    expect(await client.wait(name, { for: ['error'] })).toMatchObject({ status: 'error', exitCode: 3, timedOut: false })
    await client.spawn({ name, agent: 'shell', prompt: 'trap "" TERM; (trap "" HUP; sleep 1000) & cat' })
    expect(await client.end(name)).toMatchObject({ status: 'killed', reason: 'ended on request' })
    await client.spawn({ name, agent: 'shell', prompt: 'cat' })
    const waiting = client.wait(name, { for: ['error'], timeout: 60 }).catch((error: unknown) => error)
    const began = Date.now()
    // Somebody who waits for an answer holds nothing up.
    expect(await server.stop()).toBe(0)
    expect(Date.now() - began).toBeLessThan(10_000)
    expect(await waiting).toMatchObject({ code: 'backend_unavailable' })
    expect(server.printed()).toBe(`instar listening on ${server.url}\n`)
  })

  test('deno: a tmux that it may not run is told as that', async () => {
    const own = await hostedProject()
    try {
      const program = join(own.directory, 'tmux')
      await writeFile(program, '#!/bin/sh\n', { mode: 0o755 })
      await writeFile(
        join(own.directory, 'instar.config.ts'),
        `import { shell, tmux } from 'instar'
         export default { backends: { local: tmux({ program: '${program}' }) }, agents: { shell: shell() } }\n`,
      )
      const { client } = await own.start('deno')
      await expect(client.spawn({ name: 'never', agent: 'shell', prompt: 'true' })).rejects.toMatchObject({
        code: 'backend_unavailable',
        message: `Cannot start a session: ${program} on this machine cannot be run: Deno lacks the permission --allow-run=${program}`,
      })
    } finally {
      await own.close()
    }
  })

  test('a session goes on while its server ends on one runtime and comes back on another', async () => {
    const answers: string[] = []
    for (const [i, host] of hosts.entries()) {
      const server = await project.start(host)
      if (i === 0) await server.client.spawn({ name: 'goes-on', agent: 'shell', prompt: 'while read -r line; do echo "got $line"; done' })
      expect(await server.client.get('goes-on')).toMatchObject({ status: 'running', exitCode: null })
      await server.client.input('goes-on', `line of ${host}`)
      answers.push(`got line of ${host}`)
      const isThere = async () => {
        const { output } = await server.client.output('goes-on')
        return answers.every((each) => output.includes(each))
      }
      await until(isThere, { what: `the answers until ${host}` })
      if (i === hosts.length - 1) expect(await server.client.end('goes-on')).toMatchObject({ status: 'killed', reason: 'ended on request' })
      // What ends it the hard way must not matter either.
      await server.stop(i % 2 ? 'SIGKILL' : 'SIGTERM')
    }
  })

  test.each(hosts)('%s: plugins answer, and one that misbehaves hurts nobody', async (host) => {
    const own = await hostedProject()
    try {
      await writeFile(
        join(own.directory, 'instar.config.ts'),
        `import { badge, chat, defineConfig, definePlugin, shell } from 'instar'
         export default defineConfig({ agents: { shell: shell() }, limits: { graceMs: 300 }, plugins: ${hostedPlugins} })\n`,
      )
      await usePlugins(await own.start(host))
    } finally {
      await own.close()
    }
  })

  test.each(hosts)('%s: an executor that cuts a control plane off says nothing on standard error', async (host) => {
    const own = await hostedProject()
    try {
      const { url, token, printed } = await own.executor(host)
      const silent = await fetch(`${url}/executor/-/connect`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, [wire.protocol]: String(protocol), [wire.owner]: randomUUID() },
        body: JSON.stringify({ silenceMs: 200 }),
      })
      expect(silent.status).toBe(200)
      await expect(silent.text()).rejects.toThrow()
      expect((await fetch(`${url}/health`)).status).toBe(200)
      expect(printed()).toBe(`instar executor listening on ${url}, with local\nIts token is that of INSTAR_EXECUTOR_TOKEN\n`)
    } finally {
      await own.close()
    }
  })

  test('two servers on one Redis: the second is refused while the first lives, and takes over when it was killed', async () => {
    const redis = await startRedis()
    const both = [await hostedProject(), await hostedProject()]
    try {
      for (const { directory } of both)
        await writeFile(
          join(directory, 'instar.config.ts'),
          `import { defineConfig, redis, shell } from 'instar'
           export default defineConfig({ agents: { shell: shell() }, storage: redis({ url: '${redis.socket}' }) })\n`,
        )
      const [one, other] = both as [HostedProject, HostedProject]
      const server = await one.start('bun')
      await server.client.spawn({ name: 'kept', agent: 'shell', prompt: 'read -r line' })
      await expect(other.start('node')).rejects.toThrow(`Cannot start: the storage is in use by another server`)
      // Its own lease does not hold it up.
      await server.stop('SIGKILL')
      const again = await one.start('node')
      expect(await again.client.get('kept')).toMatchObject({ status: 'running' })
      await again.client.end('kept')
      // As a machine that sleeps. The other one waits until it is sure, and then has what was left.
      process.kill(again.pid, 'SIGSTOP')
      const began = Date.now()
      const second = await other.start('node')
      expect(Date.now() - began).toBeGreaterThan(5000)
      expect((await second.client.list()).map(({ name }) => name)).toEqual(['kept'])
      process.kill(again.pid, 'SIGCONT')
      await expect(again.client.spawn({ name: 'late', agent: 'shell', prompt: 'true' })).rejects.toMatchObject({ code: 'storage_failed' })
      expect((await second.client.list()).map(({ name }) => name)).toEqual(['kept'])
      await second.client.spawn({ name: 'on-time', agent: 'shell', prompt: 'true' })
    } finally {
      for (const each of both) await each.close()
      await redis.stop()
    }
  }, 120_000)

  test.each(['deno', 'bun'] as const)('%s: records in SQLite', async (host) => {
    const own = await hostedProject()
    try {
      const path = join(own.directory, '.instar/records.db')
      await writeFile(
        join(own.directory, 'instar.config.ts'),
        `import { defineConfig, shell, sqlite } from 'instar'
         export default defineConfig({ agents: { shell: shell() }, storage: sqlite({ path: '${path}' }) })\n`,
      )
      const server = await own.start(host)
      const session = await server.client.spawn({ name: 'kept', agent: 'shell', prompt: 'exit 3' })
      await server.client.wait('kept', { for: ['error'] })
      await server.stop('SIGKILL')
      const again = await own.start(host)
      expect(await again.client.list()).toMatchObject([{ id: session.id, exitCode: 3 }])
    } finally {
      await own.close()
    }
  })

  test('an answer that takes longer than ten seconds is not cut off', async () => {
    await Promise.all(
      hosts.map(async (host) => {
        const own = await hostedProject()
        try {
          const { client } = await own.start(host)
          await client.spawn({ name: 'slow', agent: 'shell', prompt: 'sleep 13; exit 4' })
          expect(await client.wait('slow', { for: ['error'], timeout: 40 })).toMatchObject({ exitCode: 4, timedOut: false })
        } finally {
          await own.close()
        }
      }),
    )
  })

  test.each(hosts)('%s: what stands in the way of a start is one line', async (host) => {
    const server = await project.start(host)
    await expect(project.start(host)).rejects.toThrow(
      `Cannot start: a server already runs for this project (pid ${server.pid}, ${server.url})`,
    )
    const other = await hostedProject()
    try {
      const port = Number(new URL(server.url).port)
      await expect(other.start(host, { port })).rejects.toThrow(`the server ended: Cannot listen on 127.0.0.1:${port}: the port is in use`)
    } finally {
      await other.close()
      await server.stop()
    }
  })
})
