import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa, type Subprocess } from 'execa'
import { pass } from '../../src/conformance/wait.ts'
import type { StorageHarness } from '../../src/conformance/storage.ts'
import { drivers, type DriverName } from './drivers.ts'

export const temporary = async (): Promise<string> => realpath(await mkdtemp(join(tmpdir(), 'instar-storage-')))

/** A harness in a directory of its own; `where` is what the driver is told. */
export async function harnessOf(name: DriverName, where: (directory: string) => string): Promise<StorageHarness> {
  const directory = await temporary()
  return {
    driver: () => drivers[name](where(directory)),
    crash: (ms) => crashWriter(name, where(directory), ms),
    cleanup: () => rm(directory, { recursive: true, force: true, maxRetries: 5 }),
  }
}

/** Lets a process of its own write for so long, and kills it. */
export async function crashWriter(name: DriverName, where: string, ms: number): Promise<void> {
  const words = ['--import', import.meta.resolve('tsx'), fileURLToPath(new URL('drivers.ts', import.meta.url)), 'hammer', name, where]
  const child = execa(process.execPath, words, { reject: false, all: true, env: { NODE_OPTIONS: undefined } })
  await said(child, 'hammering')
  await pass(ms)
  child.kill('SIGKILL')
  await child
}

/** Resolves when a program has printed something; rejects when it ends before. */
export async function said(child: Subprocess, word: string): Promise<void> {
  let printed = ''
  for await (const chunk of child.all ?? []) {
    printed += String(chunk)
    if (printed.includes(word)) return
  }
  throw new Error(`it ended without saying ${word}: ${printed}`)
}
