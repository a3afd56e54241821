import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { execa } from 'execa'
import { Hono } from 'hono'
import { socketName } from '../src/entry/settings.ts'
import { openDockerd, type Dockerd } from '../test/support/dockerd.ts'

/** What the bench measures: a real server process in a project of its own, with an executor as its backend `there`; and beside them a bare tmux server. */
export interface Stage {
  readonly url: string
  readonly pid: number
  readonly bareSocket: string
  request(method: string, path: string, body?: unknown): Promise<Response>
  bareTmux(...args: string[]): Promise<string>
  /** Behind the backend `box`; null where no daemon can be started, which takes root. */
  readonly dockerd: Dockerd | null
  /** Ends the server with SIGKILL and starts it again; resolves when it answers. */
  restart(): Promise<void>
  /** The pid of the tmux server that holds our sessions. */
  tmuxPid(): Promise<number>
  close(): Promise<void>
}

const main = new URL('../dist/cli/main.js', import.meta.url).pathname
const token = 'bench-token-bench-token'

export async function openStage(): Promise<Stage> {
  const project = await mkdtemp(join(tmpdir(), 'instar-bench-'))
  const bareSocket = `instar-bench-${process.pid}`
  const host = await mkdtemp(join(tmpdir(), 'instar-bench-'))
  const dockerd = process.getuid?.() === 0 ? await openDockerd().catch(() => null) : null
  const executor = launch('executor', '--dir', host)
  const there = await addressIn(executor)
  await writeFile(
    join(project, 'instar.config.js'),
    `import { defineConfig, docker, remote, tmux } from 'instar'
    const box = ${dockerd ? `docker({ image: '${dockerd.image}', host: '${dockerd.host}', network: 'host' })` : 'tmux()'}
    const there = remote({ url: '${there}', token: process.env.INSTAR_EXECUTOR_TOKEN })
    export default defineConfig({ backends: { local: tmux(), there, box }, limits: { maxSessions: 1000 } })`,
  )
  let server: ReturnType<typeof launch> | null = null
  let url = ''
  let socket = ''

  async function start(): Promise<void> {
    server = launch('server', 'start', '--foreground', '--dir', project)
    url = await addressIn(server)
  }

  const request = (method: string, path: string, body?: unknown): Promise<Response> =>
    fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })

  await start()
  return {
    get url() {
      return url
    },
    get pid() {
      return server!.pid!
    },
    bareSocket,
    dockerd,
    request,
    async bareTmux(...args) {
      const { stdout } = await execa('tmux', ['-L', bareSocket, '-f', '/dev/null', ...args])
      return stdout
    },
    async restart() {
      server!.kill('SIGKILL')
      await server
      await start()
    },
    async tmuxPid() {
      if (socket === '') {
        const [session] = (await (await request('GET', '/sessions?status=running')).json()) as { attach: string }[]
        socket = /-S (\S+)/.exec(session!.attach)![1]!
      }
      return Number((await execa('tmux', ['-S', socket, 'display-message', '-p', '#{pid}'])).stdout)
    },
    async close() {
      server?.kill('SIGTERM')
      await server
      await execa('tmux', ['-L', socketName(join(project, '.instar/backends/box')), 'kill-server'], { reject: false })
      await dockerd?.close()
      await execa('tmux', ['-L', socketName(join(project, '.instar')), 'kill-server'], { reject: false })
      await execa('tmux', ['-L', bareSocket, 'kill-server'], { reject: false })
      executor.kill('SIGTERM')
      await executor
      for (const owner of await readdir(join(host, '.instar/owners')).catch(() => []))
        await execa('tmux', ['-L', socketName(join(host, '.instar/owners', owner)), 'kill-server'], { reject: false })
      // The launchers of sessions that have just ended may still write their record.
      for (const each of [project, host]) await rm(each, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    },
  }
}

const launch = (...args: readonly string[]) =>
  execa(process.execPath, [main, ...args, '--port', '0'], {
    env: { INSTAR_TOKEN: token, INSTAR_EXECUTOR_TOKEN: token },
    stdin: 'ignore',
    stderr: 'inherit',
    reject: false,
    buffer: false,
  })

/** Where a server listens, as it says. */
const addressIn = (child: ReturnType<typeof launch>): Promise<string> =>
  new Promise((resolve) => {
    child.stdout.on('data', (bytes: Buffer) => {
      const [found] = /http:[^\s,]+/.exec(bytes.toString()) ?? []
      if (found) resolve(found)
    })
  })

/** A bare Hono route that returns the given bytes, in a process like ours. */
export async function openBareRoute(body: string): Promise<{ url: string; close(): void }> {
  const app = new Hono().get('/sessions', (c) => c.body(body, 200, { 'content-type': 'application/json' }))
  return new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
      resolve({ url: `http://127.0.0.1:${port}/sessions`, close: () => server.close() }),
    )
  })
}

export interface Usage {
  readonly cpuMs: number
  readonly rssMb: number
}

/** What a process has used, from /proc: the bench is for Linux. */
export async function usage(pid: number): Promise<Usage> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ')
  const rss = /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1]!
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * 10, rssMb: Number(rss) / 1024 }
}

/** Processes that the machine has started since it booted. */
export async function processesStarted(): Promise<number> {
  return Number(/^processes (\d+)/m.exec(await readFile('/proc/stat', 'utf8'))![1])
}
