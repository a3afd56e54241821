/**
 * The same operations on another machine and on this one, in one run: a real sshd on loopback, so what is seen is what ssh
 * and the far shell cost, without a network. Then how soon ends are told of with many sessions on one host.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ssh } from '../src/plugins/backends/ssh/ssh.ts'
import { tmux } from '../src/plugins/backends/tmux/tmux.ts'
import type { Backend } from '../src/runtime/backend.ts'
import type { BackendFactory } from '../src/runtime/config.ts'
import type { Handle, Report } from '../src/runtime/types.ts'
import { openSshd } from '../test/support/sshd.ts'
import { endServer } from '../test/support/tmux.ts'
import { compare, print, rounds, show } from './measure.ts'

const many = Number(process.env['BENCH_SSH_SESSIONS'] ?? 200)

interface Side {
  readonly backend: Backend
  start(name: string, script: string): Promise<{ id: string; handle: Handle }>
  send(handle: Handle, text: string): Promise<void>
  shows(handle: Handle, text: string): Promise<void>
  /** Resolves when the end of a session was told. */
  ended(id: string): Promise<number>
}

const sshd = await openSshd()
const root = await mkdtemp(join(tmpdir(), 'instar-bench-'))
const socket = `instar-bench-${randomBytes(4).toString('hex')}`
const sides: Side[] = []
try {
  const far = await side(ssh({ host: 'far', config: sshd.config, directory: join(root, 'there') }), 'far')
  const here = await side(tmux(), 'here')
  await operations(far, here)
  await ends('ssh', far)
  await ends('local', here)
} finally {
  await Promise.all(sides.map(({ backend }) => backend.close()))
  for (const name of ['far', 'here']) await endServer(`${socket}-${name}`)
  await sshd.close()
  await rm(root, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
}

async function operations(far: Side, here: Side): Promise<void> {
  const probes = { far: await far.start('probe', 'exec cat'), here: await here.start('probe', 'exec cat') }
  const begun = await commands()
  print('what', 'ssh', 'local', 'ratio')
  await compare(
    'start, program running',
    (i) => far.start(`start-${i}`, 'exec cat'),
    (i) => here.start(`start-${i}`, 'exec cat'),
  )
  await compare(
    'send → visible',
    async (i) => (await far.send(probes.far.handle, `line-${i}-`), far.shows(probes.far.handle, `line-${i}-`)),
    async (i) => (await here.send(probes.here.handle, `line-${i}-`), here.shows(probes.here.handle, `line-${i}-`)),
  )
  await compare(
    'capture, 100 lines',
    () => far.backend.capture(probes.far.handle, 100),
    () => here.backend.capture(probes.here.handle, 100),
  )
  await compare(
    'list',
    () => far.backend.list(),
    () => here.backend.list(),
  )
  const stopping = (on: Side) => async (i: number) => {
    const found = (await on.backend.list()).find(({ handle }) => handle['name'] === `start-${i}`)!
    await on.backend.stop(found.handle, 1000)
  }
  await compare('stop', stopping(far), stopping(here))
  print('commands that sshd began, for all of these', String((await commands()) - begun), '', '')
  print('connections', String(await sshd.logins()), '', '')
}

async function ends(where: string, far: Side): Promise<void> {
  const names = Array.from({ length: many }, (_, i) => `end-${i}`)
  const begun = await commands()
  const sessions: { id: string; handle: Handle }[] = []
  // As many at a time as a busy client would.
  for (let i = 0; i < many; i += 20)
    sessions.push(...(await Promise.all(names.slice(i, i + 20).map((name) => far.start(name, 'read -r line; exit 3')))))
  const alone = sessions.splice(0, rounds)
  const times: number[] = []
  for (const { id, handle } of alone) {
    const pressed = performance.now()
    await far.backend.send(handle, [{ type: 'key', key: 'Enter' }])
    times.push((await far.ended(id)) - pressed)
  }
  print(`${where}: Enter → end told, one after the other of ${many}`, `${show(times)}, slowest ${Math.max(...times).toFixed(0)} ms`, '', '')
  const began = performance.now()
  const told = Promise.all(sessions.map(({ id }) => far.ended(id)))
  await Promise.all(sessions.map(({ handle }) => far.backend.send(handle, [{ type: 'key', key: 'Enter' }])))
  const burst = (await told).map((at) => at - began)
  print(`${where}: the same, ${sessions.length} at once`, `${show(burst)}, slowest ${Math.max(...burst).toFixed(0)} ms`, '', '')
  print('commands that sshd began, for all of these', String((await commands()) - begun), '', '')
  print('connections', String(await sshd.logins()), '', '')
}

async function side(factory: BackendFactory, name: string): Promise<Side> {
  const backend = factory({ directory: join(root, name), socket: `${socket}-${name}` })
  const ends = new Map<string, number>()
  const waiting = new Map<string, (at: number) => void>()
  await backend.open(async ({ id, sights }: Report) => {
    if (!sights.some(({ type }) => type === 'exited')) return
    ends.set(id, performance.now())
    waiting.get(id)?.(ends.get(id)!)
  })
  const made: Side = {
    backend,
    async start(session, script) {
      const id = randomUUID()
      const size = { cols: 120, rows: 40 }
      const env = { PATH: process.env['PATH']!, INSTAR_SESSION_ID: id }
      return { id, handle: await backend.start(id, session, { argv: ['sh', '-c', script], env, cwd: '/', files: {}, size }) }
    },
    send: (handle, text) =>
      backend.send(handle, [
        { type: 'paste', text },
        { type: 'key', key: 'Enter' },
      ]),
    async shows(handle, text) {
      while (!(await backend.capture(handle, 100)).text.includes(text)) continue
    },
    ended: async (id) => ends.get(id) ?? new Promise((resolve) => waiting.set(id, resolve)),
  }
  sides.push(made)
  return made
}

async function commands(): Promise<number> {
  return (await sshd.log()).split('Starting session: command').length - 1
}
