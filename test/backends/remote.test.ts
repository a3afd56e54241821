import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { backendConformance } from '../../src/conformance.ts'
import { ssh } from '../../src/plugins/backends/ssh/ssh.ts'
import { openRemotePlace } from '../support/executor.ts'
import { openSshd, type Sshd } from '../support/sshd.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await openSshd()
})
afterAll(async () => {
  await sshd?.close()
})

backendConformance('remote to tmux', () => openRemotePlace())
backendConformance('remote to ssh', () =>
  openRemotePlace((place) => ssh({ host: 'far', config: sshd.config, directory: join(place.directory, '..', 'far') })),
)
