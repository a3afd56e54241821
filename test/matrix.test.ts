import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hostedProject, type Hosted, type HostedProject } from './support/hosted.ts'
import { absent, hosts, installRuntimes, type HostName } from './support/runtimes.ts'
import { until } from './support/wait.ts'

const planes = [...hosts, 'workerd'] as const

describe.skipIf(absent !== null)(
  `a control plane here and an executor there, on any two runtimes${absent === null ? '' : `: ${absent}`}`,
  () => {
    const projects: HostedProject[] = []
    const executors = new Map<HostName, { readonly project: HostedProject; readonly executor: Hosted }>()

    beforeAll(async () => {
      await installRuntimes()
      for (const host of hosts) {
        const project = await hostedProject()
        projects.push(project)
        executors.set(host, { project, executor: await project.executor(host) })
      }
    }, 200_000)
    afterAll(async () => {
      for (const project of projects) await project.close()
    })

    describe.each(planes)('control plane on %s', (plane) => {
      let control: Hosted

      beforeAll(async () => {
        const project = await hostedProject()
        projects.push(project)
        const backends = [...executors].map(
          ([host, { executor }]) => `${host}: remote({ url: '${executor.url}', token: '${executor.token}' })`,
        )
        const config = `defineConfig({ backends: { ${backends.join(', ')} }, agents: { shell: shell() } })`
        if (plane === 'workerd') {
          const source = `import { defineConfig, remote, shell } from 'instar'
          import { createWorker } from 'instar/workerd'
          const { Instar, handler } = createWorker(() => ${config})
          export { Instar }
          export default handler`
          control = await project.worker({ EXECUTOR_URL: '', EXECUTOR_TOKEN: '' }, source)
        } else {
          await writeFile(
            join(project.directory, 'instar.config.ts'),
            `import { defineConfig, remote, shell } from 'instar'\nexport default ${config}\n`,
          )
          const addresses = [...executors.values()].map(({ executor }) => new URL(executor.url).host)
          control = await project.start(plane, { allow: [`--allow-net=${addresses.join()}`] })
        }
      })
      afterAll(() => control?.stop())

      test.each(hosts)('executor on %s: spawn, read while it prints, send, end', async (host) => {
        const { client } = control
        const name = `${plane}-${host}`
        const { project } = executors.get(host)!
        const prompt = 'for i in 1 2 3; do echo "line $i"; read -r line; echo "got $line"; done; sleep 100'
        const session = await client.spawn({ name, agent: 'shell', backend: host, prompt, cwd: project.directory })
        expect(session).toMatchObject({ status: 'running', backend: host, cwd: project.directory })
        for (const i of [1, 2, 3]) {
          await until(async () => (await client.output(name)).output.includes(`line ${i}`), { what: `line ${i}` })
          expect(await client.input(name, `it's $HOME ${i}`)).toMatchObject({ stage: 'typed' })
          await until(async () => (await client.output(name)).output.includes(`got it's $HOME ${i}`), { what: `what was sent, ${i}` })
        }
        expect(await client.end(name)).toMatchObject({ status: 'killed', reason: 'ended on request' })
        expect((await client.output(name)).output).toContain("got it's $HOME 3")
        expect(await client.list({ status: ['killed'] })).toContainEqual(expect.objectContaining({ id: session.id }))
      })
    })
  },
)
