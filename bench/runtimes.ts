/**
 * One runtime beside another, in one run: how long a server takes from its start to its first answer, what it holds in memory, and how many
 * lists of sessions it gives. Rounds are interleaved, and every figure is a median; the client takes its share of the same cores.
 */
import { Agent, get } from 'node:http'
import { hostedProject, type Hosted, type HostedProject } from '../test/support/hosted.ts'
import { absent, installRuntimes } from '../test/support/runtimes.ts'
import { usage } from './stage.ts'

const rounds = Number(process.env['BENCH_ROUNDS'] ?? 5)
const loadMs = 1500
const connections = 16
const sessions = 20
const names = ['node', 'node24', 'deno', 'bun', 'workerd'] as const
type Name = (typeof names)[number]

interface Figures {
  readonly startMs: number[]
  readonly idleMb: number[]
  readonly loadedMb: number[]
  readonly perSecond: number[]
}

if (absent !== null) {
  console.log(`Runtimes: not measured, ${absent}`)
  process.exit(0)
}
await installRuntimes()
const projects = new Map<Name, HostedProject>()
const figures = new Map<Name, Figures>(names.map((name) => [name, { startMs: [], idleMb: [], loadedMb: [], perSecond: [] }]))
const far = await hostedProject('dist/cli/main.js')
try {
  const executor = await far.executor('node')
  const start = (name: Name, project: HostedProject): Promise<Hosted> =>
    name === 'workerd'
      ? project.worker({ EXECUTOR_URL: executor.url, EXECUTOR_TOKEN: executor.token, INSTAR_DIR: '/' })
      : project.start(name)
  for (const name of names) {
    const project = await hostedProject('dist/cli/main.js')
    projects.set(name, project)
    const server = await start(name, project)
    for (let i = 0; i < sessions; i++) await server.client.spawn({ name: `bench-${i}`, agent: 'shell', prompt: 'true' })
    for (let i = 0; i < sessions; i++) await server.client.wait(`bench-${i}`, { for: ['completed'] })
    await server.stop()
  }
  for (let round = 0; round < rounds; round++) for (const [name, project] of projects) await measure(name, () => start(name, project))
} finally {
  for (const project of [...projects.values(), far]) await project.close()
}

console.log(
  `\n${['runtime', 'start → first answer', 'memory, idle', 'after load', `GET /sessions, ${sessions} sessions`].map((each) => each.padEnd(24)).join('')}`,
)
for (const [name, { startMs, idleMb, loadedMb, perSecond }] of figures)
  console.log(
    [
      name === 'node' ? `node ${process.versions.node}` : name,
      `${median(startMs)} ms`,
      `${median(idleMb)} MB`,
      `${median(loadedMb)} MB`,
      `${median(perSecond)} a second`,
    ]
      .map((each) => each.padEnd(24))
      .join(''),
  )

async function measure(name: Name, start: () => Promise<Hosted>): Promise<void> {
  const began = performance.now()
  const server = await start()
  if (((await server.client.list()) as readonly unknown[]).length !== sessions) throw new Error(`${name} has lost sessions`)
  const { startMs, idleMb, loadedMb, perSecond } = figures.get(name)!
  startMs.push(performance.now() - began)
  idleMb.push((await usage(server.pid)).rssMb)
  perSecond.push(await load(server))
  loadedMb.push((await usage(server.pid)).rssMb)
  await server.stop()
}

/** Lists of sessions that a server gives in a second, to clients that ask again as soon as they have one. */
async function load({ url, token }: Hosted): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const ask = () =>
    new Promise<void>((resolve, reject) => {
      const request = get(`${url}/sessions`, { agent, headers: { authorization: `Bearer ${token}` } }, (answer) => {
        if (answer.statusCode !== 200) reject(new Error(`status ${answer.statusCode}`))
        answer.resume().on('end', resolve)
      })
      request.on('error', reject)
    })
  const during = async (ms: number): Promise<number> => {
    let count = 0
    const end = performance.now() + ms
    const client = async () => {
      for (; performance.now() < end; count++) await ask()
    }
    await Promise.all(Array.from({ length: connections }, client))
    return (count / ms) * 1000
  }
  await during(loadMs / 3)
  const perSecond = await during(loadMs)
  agent.destroy()
  return perSecond
}

function median(values: readonly number[]): string {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!.toFixed(0)
}
