import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Backend } from '../../src/runtime/backend.ts'
import type { Exit, Handle } from '../../src/runtime/types.ts'
import { openDockerPlace, type DockerPlace } from '../support/docker.ts'
import { openPodman, type Podman } from '../support/podman.ts'
import { kill } from '../support/tmux.ts'
import { until } from '../support/wait.ts'

// The whole contract, which podman passes too, takes three minutes with it: docker.test.ts has that, this is where the two differ.
let podman: Podman
let place: DockerPlace
let backend: Backend
const exits = new Map<string, Exit>()

beforeAll(async () => {
  podman = await openPodman()
  const { program, image } = podman
  place = await openDockerPlace({ host: '', image, docker: podman.podman }, () => ({ program }))
  await open()
})
afterAll(async () => {
  await backend?.close()
  await place?.cleanup()
  await podman?.close()
})

async function open(): Promise<void> {
  await backend?.close()
  backend = place.backend()
  await backend.open(async ({ id, sights }) => {
    for (const sight of sights) if (sight.type === 'exited') exits.set(id, sight.exit)
  })
}

async function start(script: string): Promise<Handle & { id: string }> {
  const [id, size] = [randomUUID(), { cols: 80, rows: 24 }]
  const command = { argv: ['sh', '-c', script] as const, env: { PATH: '/bin' }, cwd: place.directory, files: {}, size }
  return { ...(await backend.start(id, 'agent', command)), id }
}
const exitOf = ({ id }: { id: string }) => until(() => exits.get(id) ?? null, { what: 'the end' })
const type = (handle: Handle, text: string) =>
  backend.send(handle, [
    { type: 'paste', text },
    { type: 'key', key: 'Enter' },
  ])
const shows = (handle: Handle, text: string, timeout = 20_000) =>
  until(async () => (await backend.capture(handle, 50)).text.includes(text), { timeout, what: `the screen to show ${text}` })

it('runs a session, and leaves no container', async () => {
  expect(await backend.check()).toEqual({ ok: true, detail: expect.stringMatching(/^instar-test:small by \S+\/podman \d+\..*, tmux /) })
  expect(await backend.find!(['sh', 'claude'], '/bin')).toEqual(['/bin/sh', null])
  const session = await start('read -r line; echo "heard $line"; exit 7')
  await type(session, 'you')
  expect(await exitOf(session)).toMatchObject({ code: 7, signal: null, reason: null })
  expect((await backend.capture(session, 50)).text).toContain('heard you')
  expect(await podman.podman('ps', '--all', '--quiet')).toBe('')
})

it('goes on when its terminal is gone, and is found by another server, which ends it', async () => {
  const session = await start('echo before; while read -r line; do echo "heard $line"; done')
  await shows(session, 'before')
  await backend.close()
  kill(Number(await place.tmux('display-message', '-p', '#{pid}')))
  await open()
  const [seen] = await backend.list()
  expect(seen).toMatchObject({ id: session.id, handle: { name: 'agent' } })
  await backend.follow(seen!, 0)
  // What is typed while nobody is in front of the container is lost.
  const answers = async () => {
    await type(session, 'you')
    return shows(session, 'heard you', 500)
  }
  await until(answers, { what: 'the terminal' })
  await shows(session, 'before')
  await backend.stop(session, 300)
  expect(await exitOf(session)).toMatchObject({ code: null, signal: expect.stringMatching(/^SIG/) })
  expect(await podman.podman('ps', '--all', '--quiet')).toBe('')
})

it.each([
  ['an image that there is not', { image: 'nowhere:1' }, /there is no image nowhere:1: build it, or type \S+\/podman pull nowhere:1$/],
  ['a mount that there is not', { mounts: [{ source: '/no/such/place' }] }, /\/no\/such\/place: no such file or directory$/],
  ['no podman', { program: '/nonexistent/podman' }, /\/nonexistent\/podman is not installed: apt-get install podman/],
])('says what is wrong: %s', async (_, options, message) => {
  await backend.close()
  backend = place.with(options)
  await backend.open(async () => {})
  await expect(start('true')).rejects.toMatchObject({ name: 'InstarError', message: expect.stringMatching(message) })
  expect(await podman.podman('ps', '--all', '--quiet')).toBe('')
})
