import { createInterface } from 'node:readline'
import { lockState, type StateLock } from '../../src/entry/state-lock.ts'

// One that wants a state directory: `node --import tsx fixture-lock.ts STATE`. Each line it reads makes it take the
// lock, or give it back when it has it.
let lock: StateLock | null = null
process.stdout.write('ready\n')
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'release') {
    await lock?.release()
    lock = null
    process.stdout.write('released\n')
    continue
  }
  lock = await lockState(process.argv[2]!).catch(() => null)
  process.stdout.write(lock ? 'mine\n' : 'refused\n')
}
