import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { execa } from 'execa'
import { createClient, type Client } from '../../src/client.ts'
import { socketName, stateDirectory } from '../../src/entry/settings.ts'
import { commandOf, denoFlags, hostEnvironment, programs, repository, type HostName } from './runtimes.ts'
import { endServer } from './tmux.ts'
import { until } from './wait.ts'

/** A server or an executor in a process of its own. */
export interface Hosted {
  readonly url: string
  readonly token: string
  readonly client: Client
  readonly pid: number
  /** What it has printed so far. */
  printed(): string
  /** Resolves to its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | undefined>
}

export interface HostedOptions {
  readonly environment?: Readonly<Record<string, string>>
  readonly port?: number
  /** What else Deno is to allow, such as `--allow-net=127.0.0.1:4041`. */
  readonly allow?: readonly string[]
}

export interface ExecutorOptions extends Pick<HostedOptions, 'environment' | 'port'> {
  readonly dial?: string
}

export interface HostedProject {
  readonly directory: string
  start(host: HostName | 'node24', options?: HostedOptions): Promise<Hosted>
  executor(host: HostName, options?: ExecutorOptions): Promise<Hosted>
  /** The Worker of docs/runtimes.md, or another, on workerd; its records are the project's. */
  worker(environment: Readonly<Record<string, string>>, source?: string): Promise<Hosted>
  close(): Promise<void>
}

/** A project whose servers run as processes of their own, on any runtime. */
export async function hostedProject(main = 'src/cli/main.ts'): Promise<HostedProject> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'instar-host-')))
  const state = stateDirectory(directory)
  const token = randomBytes(32).toString('base64url')
  const home = join(directory, 'home')
  await mkdir(home)
  const running = new Set<Hosted>()

  async function launch(
    what: string,
    [program, words]: [string, readonly string[]],
    environment: Readonly<Record<string, string>>,
  ): Promise<Hosted> {
    const child = execa(program, words, {
      cwd: directory,
      env: { ...hostEnvironment(home), INSTAR_TOKEN: token, INSTAR_EXECUTOR_TOKEN: token, ...environment },
      extendEnv: false,
      all: true,
      reject: false,
      stdin: 'ignore',
    })
    let printed = ''
    child.all.on('data', (bytes: Buffer) => (printed += bytes.toString()))
    const isGone = () => child.exitCode !== null || child.signalCode !== null
    const seen = await until(() => /(?:listening on|dials) (http:[^\s,]+)[\s,]|"socket":"http","port":(\d+)\D/.exec(printed) ?? isGone(), {
      what,
      timeout: 50_000,
    })
    if (seen === true) throw new Error(`the server ended: ${(await child).all}`)
    const url = seen[1] ?? `http://127.0.0.1:${seen[2]}`
    const hosted: Hosted = {
      url,
      token,
      client: createClient({ url, token }),
      pid: child.pid!,
      printed: () => printed,
      async stop(signal = 'SIGTERM') {
        running.delete(hosted)
        child.kill(signal)
        return (await child).exitCode
      },
    }
    running.add(hosted)
    return hosted
  }

  return {
    directory,
    async start(host, { environment = {}, port = 0, allow = [] } = {}) {
      const flags = [...(await denoFlags(directory, port)), ...allow]
      const [program, words] = await commandOf(host, main, flags)
      const server = ['server', 'start', '--foreground', `--port=${port}`, '--dir', directory]
      return launch(`a server on ${host}`, [program, [...words, ...server]], environment)
    },
    async executor(host, { environment = {}, port = 0, dial } = {}) {
      const [program, words] = await commandOf(host, main, await denoFlags(directory, port))
      const executor = ['executor', '--dir', directory, dial === undefined ? `--port=${port}` : `--dial=${dial}`]
      return launch(`an executor on ${host}`, [program, [...words, ...executor]], environment)
    },
    async worker(environment, source) {
      const records = join(directory, 'records')
      await mkdir(records, { recursive: true })
      const config = join(directory, 'worker.capnp')
      await writeFile(config, await block('capnp'))
      await writeFile(join(directory, 'worker.js'), await bundleWorker(source ?? (await block('ts'))))
      const words = ['serve', config, '--socket-addr=http=127.0.0.1:0', '--control-fd=1']
      return launch('a server on workerd', [programs.workerd, words], { INSTAR_DIR: directory, ...environment })
    },
    async close() {
      for (const hosted of running) await hosted.stop('SIGKILL')
      const owners = await readdir(join(state, 'owners')).catch(() => [])
      for (const directory of [state, ...owners.map((owner) => join(state, 'owners', owner))]) await endServer(socketName(directory))
      await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    },
  }
}

/** The first block of a language in docs/runtimes.md: what is tested is what a person copies. */
async function block(language: string): Promise<string> {
  const page = await readFile(join(repository, 'docs/runtimes.md'), 'utf8')
  return new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(page)![1]!
}

/** As docs/runtimes.md says, but for `instar` being these sources. */
async function bundleWorker(source: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: repository, loader: 'ts' },
    bundle: true,
    write: false,
    format: 'esm',
    conditions: ['workerd', 'worker'],
    alias: { instar: join(repository, 'src/portable.ts'), 'instar/workerd': join(repository, 'src/workerd.ts') },
    logLevel: 'silent',
  })
  return outputFiles[0]!.text
}
