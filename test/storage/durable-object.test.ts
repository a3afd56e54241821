import { afterAll, beforeAll, describe } from 'vitest'
import { hammer, storageConformance } from '../../src/conformance/storage.ts'
import { pass } from '../../src/conformance/wait.ts'
import { objectStorage, type ObjectStorage } from '../../src/plugins/storage/durable-object.ts'
import { hostedProject, type Hosted, type HostedProject } from '../support/hosted.ts'
import { absent, installRuntimes } from '../support/runtimes.ts'

/** Lets the test have the storage of an object in workerd, call by call. */
const worker = `
  export class Instar {
    constructor({ storage }) { this.storage = storage }
    async fetch(request) {
      const [verb, ...given] = await request.json()
      const value = await this.storage[verb](...given)
      return Response.json({ value: value instanceof Map ? [...value] : value })
    }
  }
  export default { fetch: (request, { INSTAR }) => INSTAR.get(INSTAR.idFromName(new URL(request.url).pathname)).fetch(request) }`

describe.skipIf(absent !== null)(`a Durable Object of workerd${absent === null ? '' : `: ${absent}`}`, () => {
  let project: HostedProject
  let server: Hosted
  const start = () => project.worker({ EXECUTOR_URL: '', EXECUTOR_TOKEN: '' }, worker)
  let objects = 0

  beforeAll(async () => {
    await installRuntimes()
    project = await hostedProject()
    server = await start()
  }, 200_000)
  afterAll(() => project?.close())

  const storageOf = (object: string): ObjectStorage => {
    const ask = async (...words: unknown[]): Promise<unknown> => {
      const answer = await fetch(`${server.url}/${object}`, { method: 'POST', body: JSON.stringify(words) })
      return ((await answer.json()) as { value?: unknown }).value
    }
    return {
      get: (key) => ask('get', key),
      put: async (key, value) => void (await ask('put', key, value)),
      delete: async (key) => (await ask('delete', key)) as boolean,
      list: async (options) => new Map((await ask('list', options)) as [string, unknown][]),
    }
  }

  storageConformance('Durable Object', async () => {
    const object = `object-${objects++}`
    return {
      driver: () => objectStorage({ storage: storageOf(object) }),
      async crash(ms) {
        let writing!: Promise<unknown>
        await new Promise<void>((begun) => (writing = hammer(objectStorage({ storage: storageOf(object) }), begun).catch(() => {})))
        await pass(ms)
        await server.stop('SIGKILL')
        await writing
        server = await start()
      },
      cleanup: async () => {},
    }
  })
})
