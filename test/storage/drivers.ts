import { hammer } from '../../src/conformance/storage.ts'
import { files } from '../../src/plugins/storage/files.ts'
import { redis } from '../../src/plugins/storage/redis.ts'
import { sqlite } from '../../src/plugins/storage/sqlite.ts'

/** The drivers that a process of its own can be told to use. */
export const drivers = {
  files: (where: string) => files({ base: where }),
  redis: (where: string) => redis({ url: where, base: 'test' }),
  sqlite: (where: string) => sqlite({ path: where }),
} as const
export type DriverName = keyof typeof drivers

// As a process of its own: `drivers.ts hammer files /a/directory`.
const [, , command, name, where] = process.argv
if (command === 'hammer') await hammer(drivers[name as DriverName](where!), () => console.log('hammering'))
