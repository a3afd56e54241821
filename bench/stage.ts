import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { execa } from 'execa'
import { Hono } from 'hono'

/** What the bench measures: a real server process in a project of its own, and beside it a bare tmux server. */
export interface Stage {
  readonly url: string
  readonly pid: number
  readonly bareSocket: string
  request(method: string, path: string, body?: unknown): Promise<Response>
  bareTmux(...args: string[]): Promise<string>
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
  await writeFile(join(project, 'instar.config.json'), JSON.stringify({ limits: { maxSessions: 1000 } }))
  let server: ReturnType<typeof launch> | null = null
  let url = ''
  let socket = ''

  const launch = () =>
    execa(process.execPath, [main, 'server', 'start', '--foreground', '--dir', project, '--port', '0'], {
      env: { INSTAR_TOKEN: token },
      stdin: 'ignore',
      stderr: 'inherit',
      reject: false,
      buffer: false,
    })

  async function start(): Promise<void> {
    const child = (server = launch())
    url = await new Promise((resolve) => {
      child.stdout.on('data', (bytes: Buffer) => {
        const found = /http:\S+/.exec(bytes.toString())
        if (found) resolve(found[0])
      })
    })
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
      if (socket) await execa('tmux', ['-S', socket, 'kill-server'], { reject: false })
      await execa('tmux', ['-L', bareSocket, 'kill-server'], { reject: false })
      // The launchers of sessions that have just ended may still write their record.
      await rm(project, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    },
  }
}

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
