import { randomUUID } from 'node:crypto'
import { mkdtemp, readdir, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { backendConformance } from '../../src/conformance.ts'
import { docker } from '../../src/plugins/backends/docker/docker.ts'
import { ssh } from '../../src/plugins/backends/ssh/ssh.ts'
import type { Backend } from '../../src/runtime/backend.ts'
import { openDockerPlace, type DockerPlace } from '../support/docker.ts'
import { openDockerd, type Dockerd } from '../support/dockerd.ts'
import { openSshd, type Sshd } from '../support/sshd.ts'
import { endServer } from '../support/tmux.ts'
import { until } from '../support/wait.ts'

let sshd: Sshd
let dockerd: Dockerd
beforeAll(async () => {
  ;[sshd, dockerd] = await Promise.all([openSshd(), openDockerd()])
})
afterAll(async () => {
  await Promise.all([sshd?.close(), dockerd?.close()])
})

backendConformance('docker on ssh', () =>
  openDockerPlace(dockerd, ({ directory }) => ({
    on: ssh({ host: 'far', config: sshd.config, directory: join(directory, '..', 'far') }),
    // The project of a server is on its own machine.
    roots: [directory],
  })),
)

describe('docker on ssh, beside the contract,', () => {
  let place: DockerPlace
  let far: string
  beforeAll(async () => {
    place = await openDockerPlace(dockerd, ({ directory }) => ({
      on: ssh({ host: 'far', config: sshd.config, directory: (far = join(directory, '..', 'far')) }),
      roots: [directory],
    }))
  })
  afterAll(() => place?.cleanup())
  const command = () => ({ env: { PATH: '/bin' }, cwd: place.directory, files: {}, size: { cols: 80, rows: 24 } })

  it('rings the bell of the other machine from within a container', async () => {
    const backend = place.backend()
    await backend.open(async () => {})
    const id = randomUUID()
    const script = `echo '{}' | sh "$0/hook.sh" Said; exec cat`
    const handle = await backend.start(id, 'ringer', { ...command(), argv: ['sh', '-c', script, backend.directory(id)] })
    const rings = async () => (await readFile(join(far, 'bell'), 'utf8')).split('\n').filter((line) => line === id).length
    // Of its start, and of its hook.
    await until(async () => (await rings()) >= 2, { what: 'the bell' })
    await backend.stop(handle, 300)
    await backend.remove(id)
    await backend.close()
  })

  it('leaves the containers of another machine alone that has a project in the same place', async () => {
    const home = await realpath(await mkdtemp(join(tmpdir(), 'instar-home-')))
    const shared = await openSshd({ server: [`SetEnv XDG_STATE_HOME=${home}`] })
    const on = ssh({ host: 'far', config: shared.config })
    const factory = docker({ image: dockerd.image, host: dockerd.host, network: 'host', on, roots: [place.directory] })
    const states = ['one', 'other'].map((name) => join(place.state, name))
    const [one, other] = states.map((directory) => factory({ directory, socket: place.socket })) as [Backend, Backend]
    try {
      for (const each of [one, other]) await each.open(async () => {})
      await Promise.all([one, other].map((each) => each.environment!()))
      const id = randomUUID()
      const handle = await one.start(id, 'mine', { ...command(), argv: ['cat'] })
      expect(await other.list()).toEqual([])
      expect(await one.list()).toEqual([{ id, handle }])
      expect(await place.container(id)).toMatchObject({ State: { Running: true } })
      await one.stop(handle, 300)
    } finally {
      for (const each of [one, other]) await each.close()
      for (const state of states) await endServer(`${place.socket}-${await readFile(join(state, 'id'), 'utf8')}`)
      await shared.close()
      await rm(home, { recursive: true, force: true })
    }
  })

  it.each([
    ['an image that there is not', { image: 'nowhere:1' }, 'backend_failed', /there is no image nowhere:1/],
    ['no docker', { program: 'no-such-docker' }, 'backend_unavailable', /no-such-docker is not installed/],
    ['no daemon', { host: 'unix:///no/such/socket' }, 'backend_unavailable', /does not run, or cannot be reached/],
  ] as const)('says that there is %s, and leaves nothing', async (_, options, code, reason) => {
    const backend = place.with(options)
    let found = false
    await backend.open(
      async () => {},
      ({ ok }) => (found ||= ok),
    )
    await until(() => found, { timeout: 30_000, what: 'the machine' })
    await expect(backend.start(randomUUID(), 'never', { ...command(), argv: ['true'] })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(reason),
    })
    expect(await backend.check()).toMatchObject({ ok: false, reason: expect.stringMatching(reason) })
    expect(await readdir(join(far, 'sessions'))).toEqual([])
    expect(await dockerd.docker('ps', '--all', '--quiet')).toBe('')
    await backend.close()
  })
})
