import { join } from 'node:path'
import { execa } from 'execa'
import { describe, expect, it } from 'vitest'
import { createStorage } from 'unstorage'
import { storageConformance } from '../../src/conformance/storage.ts'
import { sqlite } from '../../src/plugins/storage/sqlite.ts'
import { absent, installRuntimes, programs } from '../support/runtimes.ts'
import { harnessOf, temporary } from './suites.ts'

const name = 'node:sqlite'
const isHere = await import(/* @vite-ignore */ name).then(
  () => true,
  () => false,
)

describe.runIf(isHere)('with the SQLite of this runtime', () => {
  storageConformance('SQLite', () => harnessOf('sqlite', (directory) => join(directory, 'made/records.db')))

  it('is for its owner only', async () => {
    const directory = await temporary()
    const storage = createStorage({ driver: sqlite({ path: join(directory, 'records.db') }) })
    await storage.setItem('a', 'x')
    const { stdout } = await execa('find', [directory, '-name', 'records.db*', '-perm', '/077'])
    expect(stdout).toBe('')
    await storage.dispose()
    await execa('rm', ['-r', directory])
  })
})

describe.skipIf(isHere)('without an SQLite in this runtime', () => {
  it('it is said what to do', async () => {
    const storage = createStorage({ driver: sqlite({ path: '/nowhere/records.db' }) })
    await expect(storage.getItem('a')).rejects.toThrow('this runtime has no SQLite: it takes Node 22.5 or newer, Deno or Bun')
  })

  it.skipIf(absent !== null)(
    'the suite passes on Node 24',
    async () => {
      await installRuntimes()
      const { exitCode, all } = await execa(programs.node24, ['node_modules/vitest/vitest.mjs', 'run', 'test/storage/sqlite.test.ts'], {
        all: true,
        reject: false,
        // Otherwise it would take itself for a worker of the one that runs this.
        env: {
          VITEST: undefined,
          VITEST_WORKER_ID: undefined,
          VITEST_POOL_ID: undefined,
          VITEST_MODE: undefined,
          NODE_ENV: undefined,
          NODE_OPTIONS: undefined,
        },
      })
      expect(exitCode, all).toBe(0)
      expect(all).toMatch(/Tests .*1[0-9] passed/)
    },
    200_000,
  )
})
