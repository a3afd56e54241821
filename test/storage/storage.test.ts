import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import memory from 'unstorage/drivers/memory'
import { createStorage, type Driver } from 'unstorage'
import { storageConformance } from '../../src/conformance/storage.ts'
import { redis } from '../../src/plugins/storage/redis.ts'
import { cli } from '../support/cli.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { crashWriter, harnessOf } from './suites.ts'

storageConformance('files', () => harnessOf('files', (directory) => join(directory, 'store')))

storageConformance('memory', async () => {
  // Two that open the same data are two users of one driver, which lives as long as the process.
  const driver: Driver = { ...memory(), dispose() {} }
  return { driver: () => driver, cleanup: async () => {} }
})

describe('Redis', () => {
  let server: TestRedis

  beforeAll(async () => void (server = await startRedis()))
  afterAll(() => server?.stop())

  storageConformance('Redis', async () => {
    await execa('redis-cli', ['-s', server.socket, 'flushall'])
    return {
      driver: () => redis({ url: server.socket, base: 'test' }),
      crash: (ms) => crashWriter('redis', server.socket, ms),
      cleanup: async () => {},
    }
  })

  it('servers with another base do not see each other', async () => {
    const [one, other] = ['one', 'other'].map((base) => createStorage({ driver: redis({ url: server.socket, base }) }))
    await one!.setItem('sessions:a', 'of one')
    expect([await other!.getItem('sessions:a'), await other!.getKeys()]).toEqual([null, []])
    for (const each of [one, other]) await each!.dispose()
  })

  it('a key that is something else ends a start with a line', async () => {
    const project = await mkdtemp(join(tmpdir(), 'instar-storage-'))
    try {
      const config = `import { redis } from 'instar'\nexport default { storage: redis({ url: '${server.socket}', base: 'odd' }) }`
      await writeFile(join(project, 'instar.config.js'), config)
      await execa('redis-cli', ['-s', server.socket, 'lpush', 'odd:sessions:x', '1'])
      const { exitCode, stderr } = await execa(
        process.execPath,
        [cli, 'server', 'start', '--foreground', '--port', '0', '--dir', project],
        { reject: false },
      )
      expect(exitCode).not.toBe(0)
      expect(stderr).toMatch(/^Cannot start: the storage does not tell the records of the sessions: WRONGTYPE [^\n]*$/)
    } finally {
      await rm(project, { recursive: true })
    }
  })

  it('a Redis that is not there is said at once', async () => {
    const storage = createStorage({ driver: redis({ url: `${server.socket}-nowhere` }) })
    await expect(storage.getItem('x')).rejects.toThrow('ENOENT')
    await storage.dispose()
  })
})
