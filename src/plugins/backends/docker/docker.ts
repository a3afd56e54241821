import type { Health, Ran } from '../../../runtime/backend.ts'
import type { BackendState } from '../../../runtime/config.ts'
import { InstarError, stateOf } from '../../../runtime/error.ts'
import type { Box } from '../box.ts'
import { findIn } from '../find.ts'
import type { Argv, Place, PlacedFactory } from '../place.ts'
import { placed, tmux } from '../tmux/tmux.ts'
import { containerName, labels, lookArguments, runArguments } from './arguments.ts'
import { clientScript, type ContainerClient } from './client.ts'
import { endedContainer, neverRan, saidIn } from './ended.ts'
import { checked, clientOf, isWithin, type DockerOptions } from './options.ts'
import { failed, isGone, isUnreachable, notInstalled, outside, problemOf, silent } from './problems.ts'

export type { DockerMount, DockerOptions } from './options.ts'

/** How long docker may take to do something; an image that is pulled takes longer. */
const timeoutMs = 60_000
const pullTimeoutMs = 1_200_000
/** How long it may take to say that it is there, and what an image is. */
const [reachTimeoutMs, imageTimeoutMs] = [5000, 15_000]
/** How long what docker says is taken for true: of its health, and of an image's environment, which takes another image to change. */
const [freshMs, imageFreshMs] = [5000, 60_000]
/** How long the programs of an image are. Others are seen at once, but what a session has put into HOME is not. */
const programsFreshMs = 600_000

/**
 * Sessions in containers, each with a terminal of tmux for a client. A container goes on when its terminal is gone, and gets
 * another one; it is removed when its program has ended.
 */
export function docker(options: DockerOptions): PlacedFactory {
  const { on = tmux(), maxSessions } = checked(options)
  return placed(on.place, { ...on.terminals, maxSessions }, (place, state) => dockerBox(place, state, options))
}

function dockerBox(place: Place, state: BackendState, options: DockerOptions): Box {
  const { image, program = 'docker', mount = 'read-write', mounts = [] } = options
  const roots = options.roots ?? (state.project === undefined ? [] : [state.project])
  const client = clientOf(options)
  const env = place.isHere ? clientEnvironment() : {}

  async function ask(args: readonly string[], limitMs = timeoutMs): Promise<Ran> {
    try {
      return await place.run([...client, ...args], { env, timeoutMs: limitMs })
    } catch (error) {
      const { missing, late } = error instanceof InstarError ? error.data : {}
      throw missing ? notInstalled(program) : late ? silent(program, limitMs) : error
    }
  }

  async function told(args: readonly string[], limitMs?: number): Promise<string> {
    const { code, stdout, stderr } = await ask(args, limitMs)
    if (code === 0) return stdout
    throw problemOf(stderr, options)
  }

  async function readImage(): Promise<{ readonly id: string; readonly env: Readonly<Record<string, string>> }> {
    const inspect = ['image', 'inspect', '--format={{.Id}} {{json .Config.Env}}', image]
    const first = await ask(inspect, imageTimeoutMs)
    if (first.code !== 0 && options.pull) await told(['pull', image], pullTimeoutMs)
    const text = first.code === 0 ? first.stdout : await told(inspect, imageTimeoutMs)
    const [id = ''] = text.split(' ')
    const given = (JSON.parse(text.slice(id.length)) ?? []) as string[]
    return { id, env: Object.fromEntries(given.map(variable)) }
  }
  const imageNow = fresh(freshMs, readImage)
  const imageLately = fresh(imageFreshMs, imageNow)
  const version = fresh(freshMs, async () => {
    const [text] = await Promise.all([told(askVersion), imageNow()])
    return text.trim()
  })
  /** Who runs the terminals, when HOME is there too. */
  const user = fresh(Number.POSITIVE_INFINITY, async () => {
    const [{ stdout }] = await Promise.all([place.run(['sh', '-c', 'echo "$(id -u):$(id -g)"']), place.files.create('home', {})])
    return stdout.trim()
  })

  /** A program of the image, as a session would run it. */
  async function runInImage(argv: Argv): Promise<Ran> {
    const ran = await ask(['run', ...lookArguments(argv, options, { user: await user(), home: place.path('home') })])
    if (ran.code === 127) throw failed(`the image ${image} has no ${argv[0]}`)
    if (ran.code !== 0) throw problemOf(ran.stderr, options)
    return ran
  }
  const looks = new Map<string, ReturnType<typeof fresh<readonly (string | null)[]>>>()

  const check = () => healthOf(async () => `${image} by ${program} ${await version()}`)

  /** Root's files are for root; what the program needs is to be its user's. */
  function ownerOf(directory: string, owner: string): ContainerClient['owner'] {
    if (options.user === undefined || !isRoot(owner) || isRoot(options.user)) return null
    const seen = ['inside', 'signals.jsonl', 'answers', ...(mount === false ? ['project'] : [])]
    return { user: options.user, paths: [place.path('home'), ...seen.map((name) => `${directory}/${name}`)] }
  }

  function projectOf(directory: string, cwd: string): { source: string; target: string } {
    if (mount === false) return { source: carried(directory), target: cwd }
    // The longest is what a person means who names a directory and another one in it.
    const [root] = roots.filter((each) => isWithin(each, cwd)).toSorted((a, b) => b.length - a.length)
    if (root === undefined) throw outside(cwd, roots)
    return { source: root, target: root }
  }

  return {
    check,
    reached: () => healthOf(async () => `${program} ${await told(askVersion, reachTimeoutMs)}`),
    environment: async () => ({ PATH: defaultPath, ...(await imageLately()).env, HOME: place.path('home') }),
    async find(programs, path) {
      const { id } = await imageNow()
      const key = JSON.stringify([id, path, programs])
      const look = looks.get(key) ?? fresh(programsFreshMs, () => findIn({ run: runInImage })(programs, path))
      looks.set(key, look)
      return look()
    },
    ...(mount === false ? { project: carried } : {}),
    async admit(path) {
      const shared = [...(mount === false ? [] : roots), ...mounts.map(({ source }) => source)]
      const { code, stdout } = await place.run(['sh', '-c', realPath, 'sh', path])
      const real = stdout.slice(0, -1)
      if (code !== 0 || ![place.path('home'), place.path('sessions'), ...shared].some((each) => isWithin(each, real)))
        throw new InstarError('backend_failed', `Cannot read ${path}: no container of this backend can have written it`)
    },
    async client(session, { cwd }) {
      const project = projectOf(session.directory, cwd)
      const owner = await user()
      if (mount === false) await place.files.create(project.source, {})
      const hidden = [place.path('sessions').replace(/\/sessions$/, ''), ...(state.kept && place.isHere ? [state.kept] : [])]
      const bell = place.isHere ? null : place.path('bell')
      const around = { server: place.socket, user: owner, hidden, home: place.path('home'), bell, project }
      const run = runArguments(session, options, around)
      return clientScript({ argv: client, env, name: containerName(session.id), run, owner: ownerOf(session.directory, owner) })
    },
    ended: endedContainer,
    refusal(left) {
      const never = neverRan(left)
      if (never !== null) return failed(never)
      return left.hasBegun || left.text.trimStart().startsWith('{') ? null : problemOf(saidIn(left.text), options)
    },
    async signal({ id }, signal) {
      // To all processes but the first, which the kernel shields from signals that it does not handle.
      const everybody = ['exec', containerName(id), 'sh', '-c', `kill -s ${signal.slice(3)} -1`]
      const { code, stderr } = await ask(signal === 'SIGKILL' ? ['kill', containerName(id)] : everybody)
      if (code !== 0 && isUnreachable(stderr)) throw problemOf(stderr, options)
    },
    async remove({ id }) {
      const { code, stderr } = await ask(['rm', '--force', '--volumes', containerName(id)])
      if (code !== 0 && !isGone(stderr)) throw problemOf(stderr, options)
    },
    async list() {
      // In the words of ps podman has no labels.
      const ids = lines(await told(['ps', '--all', '--quiet', `--filter=label=${labels.server}=${place.socket}`]))
      if (ids.length === 0) return []
      const { code, stdout, stderr } = await ask([
        'inspect',
        '--type=container',
        '--format={{.State.Status}} {{json .Config.Labels}}',
        ...ids,
      ])
      // Some may be gone since.
      if (code !== 0 && !isGone(stderr)) throw problemOf(stderr, options)
      return lines(stdout).map((row) => {
        const [status = ''] = row.split(' ')
        const { [labels.id]: id = '', [labels.name]: name = '' } = JSON.parse(row.slice(status.length)) as Record<string, string>
        return { id, name, hasBegun: status !== 'created' }
      })
    },
  }
}

const askVersion = ['version', '--format={{.Server.Version}}']

async function healthOf(detail: () => Promise<string>): Promise<Health> {
  try {
    return { ok: true, detail: (await detail()).trim() }
  } catch (error) {
    return { ok: false, reason: stateOf(error) }
  }
}

const isRoot = (user: string): boolean => /^0+(?::|$)/.test(user)

/** Where a project is carried to. */
const carried = (directory: string): string => `${directory}/project`

/** Docker's own, for an image that says nothing. */
const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Prints the directory of a path, or the path of a directory, with all links followed; fails for a file that is a link. */
const realPath = '[ -d "$1" ] && { cd -P -- "$1" && pwd -P; } || { [ ! -L "$1" ] && [ -f "$1" ] && cd -P -- "${1%/*}/" && pwd -P; }'

/** What docker's client is told by the environment of this server. */
function clientEnvironment(): Record<string, string> {
  const names = [
    'DOCKER_HOST',
    'DOCKER_CONTEXT',
    'DOCKER_CONFIG',
    'DOCKER_CERT_PATH',
    'DOCKER_TLS_VERIFY',
    'XDG_RUNTIME_DIR',
    'SSH_AUTH_SOCK',
  ]
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])))
}

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')

/** `NAME=value`. */
function variable(text: string): [string, string] {
  const at = text.indexOf('=')
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

/** Asks at most once in a time, however many want to know; what failed is asked again. */
function fresh<T>(ms: number, ask: () => Promise<T>): () => Promise<T> {
  let last: { readonly at: number; readonly answer: Promise<T> } | null = null
  return () => {
    if (last && Date.now() - last.at < ms) return last.answer
    const asked = { at: Date.now(), answer: ask() }
    last = asked
    asked.answer.catch(() => {
      if (last === asked) last = null
    })
    return asked.answer
  }
}
