import { mkdir, mkdtemp, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execa, type Options } from 'execa'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { cli } from './support/cli.ts'
import { makeRepository } from './support/repository.ts'
import { parse, UsageError } from '../src/cli/command.ts'
import { createClient } from '../src/client.ts'
import { socketName } from '../src/entry/settings.ts'
import { ownerOf } from '../src/entry/state-lock.ts'
import { InstarError } from '../src/runtime/error.ts'
import type { Session } from '../src/runtime/types.ts'
import { pass, until } from './support/wait.ts'

describe('what a person types', () => {
  const args = {
    name: { type: 'positional' },
    'text...': { type: 'positional' },
    env: { type: 'string' },
    json: { type: 'boolean' },
  } as const

  it('has words and options in any order, and an option keeps all its values', () => {
    const typed = parse(['a', '--env', 'X=1', 'b', '--json', 'c', '--env=Y=2'], args)
    expect(typed.words).toEqual(['a', 'b', 'c'])
    expect([typed.options('env'), typed.option('env'), typed.flag('json')]).toEqual([['X=1', 'Y=2'], 'Y=2', true])
    expect(parse(['a', 'b', '--', '--json', '-x'], args)).toMatchObject({ words: ['a', 'b', '--json', '-x'] })
    expect(parse([], args).flag('json')).toBe(false)
  })

  it.each([
    [['--bogus'], "Unknown option '--bogus'; put -- before words that begin with a hyphen"],
    [['-x'], "Unknown option '-x'; put -- before words that begin with a hyphen"],
    [['--env'], "Option '--env <value>' argument missing"],
    [['--json=yes'], "Option '--json' does not take an argument"],
  ])('is refused when it has no meaning: %j', (words, message) => {
    expect(() => parse(words, args)).toThrow(new UsageError(message))
  })

  it('may leave out the value of an option whose hint is in brackets', () => {
    const optional = { ...args, worktree: { type: 'string', valueHint: '[BRANCH]' } } as const
    const worktreeOf = (...words: string[]) => parse(words, optional).option('worktree')
    expect([worktreeOf('a'), worktreeOf('--worktree', 'a'), worktreeOf('a', '--worktree=b')]).toEqual([undefined, '', 'b'])
    expect(parse(['a', '--', '--worktree'], optional).words).toEqual(['a', '--worktree'])
  })

  it('has no more words than the command takes', () => {
    expect(() => parse(['a', 'b'], { name: args.name })).toThrow(new UsageError('Unexpected argument "b"'))
  })
})

describe('the client', () => {
  const answering = (body: string, status = 200) =>
    createClient({ url: 'http://server:1', token: 't', fetch: () => Promise.resolve(new Response(body, { status })) })

  it('throws the error of the server', async () => {
    const error = new InstarError('session_waiting', 'Cannot send: it waits', { waiting: { kind: 'trust' } })
    await expect(answering(JSON.stringify(error), 409).input('x', 'y')).rejects.toMatchObject({
      ...error,
      message: error.message,
      status: 409,
    })
  })

  it.each([
    ['an error that it does not know', '{"error":{"code":"new_in_2030","message":"Cannot: new"}}', 418, 'Cannot: new'],
    ['a page of another server', '<html>', 502, "Cannot use the answer of http://server:1: it is not Instar's (HTTP 502)"],
    ['a page of another server that is content', '<html>', 200, "Cannot use the answer of http://server:1: it is not Instar's (HTTP 200)"],
    ['JSON of another server', '{"error":"no"}', 400, "Cannot use the answer of http://server:1: it is not Instar's (HTTP 400)"],
  ])('throws an InstarError for %s', async (_, body, status, message) => {
    await expect(answering(body, status).list()).rejects.toMatchObject({ name: 'InstarError', code: 'internal', message })
  })

  it.each(['', '..', 'a/b', 'a?purge=true', 'a b'])('never lets the name %j lead to another route', async (ref) => {
    const client = answering('[]')
    for (const verb of [client.get(ref), client.output(ref), client.input(ref, 'x'), client.end(ref)]) {
      await expect(verb).rejects.toMatchObject({ code: 'session_not_found' })
    }
  })

  it('tells a server that is not there from a request that was given up', async () => {
    const url = 'http://127.0.0.1:1'
    await expect(createClient({ url }).health()).rejects.toMatchObject({
      code: 'backend_unavailable',
      message: expect.stringContaining(url),
    })
    await expect(createClient({ url, signal: AbortSignal.abort() }).health()).rejects.toMatchObject({ name: 'AbortError' })
  })
})

describe('without a server', () => {
  let project: Project
  beforeEach(async () => void (project = await makeProject()))
  afterEach(() => project.close())

  it('init makes a private settings file and never prints the token', async () => {
    const first = await project.instar('init')
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(first.stdout).toContain(join(project.state, 'config.json'))
    expect((await stat(join(project.state, 'config.json'))).mode & 0o777).toBe(0o600)
    const token = await project.token()
    expect(token).toMatch(/^[\w-]{43}$/)

    expect((await project.instar('init')).stdout).toContain('its token stays')
    expect(await project.token()).toBe(token)
  })

  it('leads a newcomer, and does not wait for an answer where there is no terminal', async () => {
    const { code, stdout } = await project.instar()
    expect(code).toBe(0)
    expect(stdout).toMatch(/^tmux +tmux \d/m)
    expect(stdout).toMatch(/^claude +(?:\d|Claude Code is not installed: npm install -g \S)/m)
    for (const next of ['server start', 'spawn hello', 'ls', 'output hello']) expect(stdout).toContain(`\n  instar ${next}`)
    expect((await stat(join(project.state, 'config.json'))).mode & 0o777).toBe(0o600)
  })

  it('says what to type when there is no project, and when its server does not run', async () => {
    expect(await project.fails('ls')).toMatch(/"instar init" or "instar server start"/)
    await project.instar('init')
    expect(await project.fails('ls')).toMatch(/^Cannot reach the server at http:\/\/127\.0\.0\.1:4040: .*instar server start$/)
    expect(await project.instar('server', 'status')).toMatchObject({ code: 1, stdout: `No server runs for ${project.directory}` })
    expect(await project.instar('server', 'stop')).toMatchObject({ code: 0, stdout: `No server runs for ${project.directory}` })
  })

  it('finds the project around the working directory, unless another one is named', async () => {
    await project.instar('init')
    const below = join(project.directory, 'a/b')
    await mkdir(below, { recursive: true })
    const found = async (options: { cwd: string; env?: Record<string, string> }, ...words: string[]) =>
      /^No server runs for (.*)$/.exec((await project.instarWith(options, 'server', 'status', ...words)).stdout)?.[1]
    expect(await found({ cwd: below })).toBe(project.directory)
    expect(await found({ cwd: '/' }, '--dir', below)).toBe(below)
    expect(await found({ cwd: '/', env: { INSTAR_DIR: below } })).toBe(below)
    expect(await project.fails('ls', '--dir', join(below, 'nowhere'))).toMatch(/there is no such directory$/)
  })

  it('takes a server from the environment, but never sends it the token of a project', async () => {
    await project.instar('init')
    const env = { INSTAR_URL: 'http://127.0.0.1:9' }
    expect((await project.instarWith({ env }, 'ls')).stderr).toBe('Cannot use INSTAR_URL: INSTAR_TOKEN is not set')
    expect((await project.instarWith({ env: { ...env, INSTAR_TOKEN: 'another-token-of-one' } }, 'ls')).stderr).toContain(env.INSTAR_URL)
    expect((await project.instarWith({ env: { INSTAR_URL: 'here' } }, 'ls')).stderr).toMatch(/is not an http URL$/)
  })

  it.each([[['ls']], [['init']], [[]], [['server', 'start']], [['server', 'start', '--foreground']]])(
    'says in one line that the settings are damaged: instar %j',
    async (words: string[]) => {
      await mkdir(project.state)
      await writeFile(join(project.state, 'config.json'), '{"auth":')
      expect(await project.fails(...words)).toBe(`Cannot use ${project.state}/config.json: it is not valid JSON`)
      expect(await readFile(join(project.state, 'config.json'), 'utf8')).toBe('{"auth":')
    },
  )

  it.each([
    [['nosuch'], /^Unknown command nosuch \(see: instar --help\)$/],
    [['toString'], /^Unknown command/],
    [['server'], /^No command specified/],
    [['spawn', 'x'], /PROMPT.*\(see: instar spawn --help\)$/],
    [['finish', 'x', 'squash'], /^Say merge or keep \(see: instar finish --help\)$/],
    [['spawn', 'x', 'y', '--modle', 'opus'], /^Unknown option '--modle'; put -- before.*\(see: instar spawn --help\)$/],
  ])('a usage error is one line and exit code 2: instar %j', async (words, line) => {
    expect(await project.failsWith(2, ...words)).toMatch(line)
  })

  it('prints help and version', async () => {
    const { version } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8')) as { version: string }
    expect(await project.instar('--version')).toEqual({ code: 0, stdout: version, stderr: '' })
    expect((await project.instar('--help')).stdout).toContain('spawn')
    expect((await project.instar('server', 'start', '--help')).stdout).toContain('USAGE instar server start')
  })
})

describe('the server', () => {
  let project: Project
  beforeEach(async () => void (project = await makeProject()))
  afterEach(() => project.close())

  it('starts in the background once, tells its status, and stops', async () => {
    const started = await project.instar('server', 'start', '--port', '0')
    expect(started).toMatchObject({ code: 0, stderr: '' })
    const [line = '', ...hints] = started.stdout.split('\n')
    const url = /^instar listening on (http:\/\/127\.0\.0\.1:\d+)$/.exec(line)?.[1]
    expect(url).toBeDefined()
    expect(hints.join()).toContain('instar server stop')
    expect(await health(url!)).toMatchObject({ status: 'ok' })
    expect((await stat(join(project.state, 'server.log'))).mode & 0o777).toBe(0o600)

    const { pid } = (await ownerOf(project.state))!
    expect(await project.instar('server', 'start')).toMatchObject({ code: 0, stdout: `instar is already listening on ${url} (pid ${pid})` })
    const status = await project.instar('server', 'status')
    expect(status.code).toBe(0)
    for (const fact of [
      /^url +http/m,
      new RegExp(`^pid +${pid}$`, 'm'),
      /^version +\d/m,
      /^sessions +0 live/m,
      /^backend local +ok: tmux/m,
    ]) {
      expect(status.stdout).toMatch(fact)
    }
    const { stdout: processes } = await execa('ps', ['-eo', 'args'])
    expect(processes).not.toContain(await project.token())

    expect(await project.instar('server', 'stop')).toMatchObject({ code: 0, stderr: '' })
    expect(await health(url!)).toBeNull()
    expect((await project.instar('server', 'status')).code).toBe(1)
  })

  it('is the very process that it says: killing its pid leaves nothing, and it starts again', async () => {
    const url = await project.start()
    const { pid } = (await ownerOf(project.state))!
    process.kill(pid, 'SIGKILL')
    await until(async () => (await health(url)) === null, { what: 'the server to be gone' })
    await until(async () => (await ownerOf(project.state)) === null, { what: 'its lock to be void' })
    expect(await project.fails('ls')).toMatch(/^Cannot reach the server/)
    expect(await health(await project.start())).not.toBeNull()
  })

  it('has stopped when `server stop` says so', async () => {
    await project.start()
    const { pid } = (await ownerOf(project.state))!
    process.kill(pid, 'SIGSTOP')
    try {
      const stopped = project.instar('server', 'stop')
      expect(await Promise.race([stopped, pass(2000)])).toBeUndefined()
      process.kill(pid, 'SIGCONT')
      expect(await stopped).toMatchObject({ code: 0, stderr: '' })
    } finally {
      await execa('kill', ['-CONT', String(pid)], { reject: false })
    }
  })

  it('leaves sessions running when it stops, and has them again', async () => {
    await project.start()
    await project.instar('spawn', 'stays', '--agent', 'shell', 'echo still here; sleep 600')
    await project.instar('server', 'stop')
    await project.start()
    expect(await project.session('stays')).toMatchObject({ status: 'running' })
    expect((await project.instar('output', 'stays')).stdout).toBe('still here')
  })

  it('says in one line why it does not start, and leaves no process', async () => {
    const other = await makeProject()
    try {
      const port = new URL(await other.start()).port
      expect(await project.fails('server', 'start', '--port', port)).toBe(`Cannot listen on 127.0.0.1:${port}: the port is in use`)
      expect(await ownerOf(project.state)).toBeNull()
      expect(await project.fails('server', 'start', '--port', '99999')).toMatch(/^Cannot use the port "99999"/)
      expect((await execa('ps', ['-eo', 'args'])).stdout).not.toContain(`--dir=${project.directory}`)
    } finally {
      await other.close()
    }
  })

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'in the foreground prints one line, logs JSON, and ends with exit code 0 on %s',
    async (signal) => {
      const child = execa(process.execPath, [...program, 'server', 'start', '--foreground', '--port', '0'], project.options())
      try {
        let stdout = ''
        child.stdout.on('data', (text) => void (stdout += String(text)))
        const line = await until(() => /^instar listening on (\S+)\n/.exec(stdout), { what: 'the line with the address' })
        expect((await ownerOf(project.state))?.pid).toBe(child.pid)
        expect(await health(line[1]!)).not.toBeNull()
        child.kill(signal)
        const { exitCode, stderr } = await child
        expect(exitCode).toBe(0)
        expect(stdout).toBe(line[0])
        await expect(stat(join(project.state, 'server.json'))).rejects.toMatchObject({ code: 'ENOENT' })
        for (const logged of stderr.split('\n').filter(Boolean)) expect(() => JSON.parse(logged)).not.toThrow()
        expect(await ownerOf(project.state)).toBeNull()
      } finally {
        child.kill('SIGKILL')
      }
    },
  )
})

describe('sessions', () => {
  let project: Project
  beforeAll(async () => {
    project = await makeProject()
    await project.start()
  })
  afterAll(() => project.close())

  it('spawns, lists, reads, sends and ends', async () => {
    expect((await project.instar('ls')).stdout).toMatch(/^No sessions\. .*instar spawn/)
    const spawned = await project.instar('spawn', 'talk', '--agent', 'shell', '--env', 'GREETING=a=b', 'echo "$GREETING $(pwd)"; tee got')
    expect(spawned).toMatchObject({ code: 0, stderr: '' })
    expect(spawned.stdout).toMatch(/^talk is (starting|running)\. .*instar output talk.*instar attach talk$/)
    await project.prints('talk', `a=b ${project.directory}`)

    expect((await project.instar('ls')).stdout).toMatch(/^NAME {2}STATUS {3}AGENT {2}AGE {2}REASON\ntalk {2}running {2}shell {2}\d+s$/)
    expect(await project.instar('send', 'talk', 'two', 'words')).toMatchObject({ code: 0, stdout: 'Typed into talk' })
    await project.instarWith({ input: 'from\nstandard input\n' }, 'send', 'talk', '-')
    await project.instar('send', 'talk', '--', '--not', 'an', 'option')
    const got = 'two words\nfrom\nstandard input\n--not an option\n'
    await until(async () => (await readFile(join(project.directory, 'got'), 'utf8')) === got, {
      what: 'the program to have all that was sent',
    })
    await project.prints('talk', '--not an option')
    expect((await project.instar('output', 'talk', '--lines', '1')).stdout).toBe('--not an option')
    expect(await project.fails('attach', 'talk')).toMatch(/this is not a terminal/)

    expect((await project.instar('kill', 'talk')).stdout).toBe('talk is killed')
    expect((await project.instar('ls', '--status', 'running')).stdout).toBe('No session is running')
    expect((await project.instar('ls', '--status', 'killed,error')).stdout).toMatch(/^talk +killed +shell +\d+s +ended on request$/m)
    expect((await project.instar('output', 'talk')).stdout).toContain('two words')
    expect(await project.fails('send', 'talk', 'x')).toMatch(/^Cannot send to session "talk": it is killed$/)
    expect(await project.fails('attach', 'talk')).toBe('Cannot attach to session "talk": it is killed')
    expect((await project.instar('kill', 'talk', '--purge')).stdout).toContain('its record is deleted')
    expect(await project.fails('output', 'talk')).toMatch(/no session has that name or id$/)
  })

  it('gives JSON to programs', async () => {
    const cwd = join(project.directory, 'below')
    await mkdir(cwd)
    const words = ['spawn', 'json', 'exit 3', '--agent=shell', '--cwd=below', '--label', 'a=1', '--label', 'b=2', '--json']
    const spawned = JSON.parse((await project.instar(...words)).stdout) as Session
    expect(spawned).toMatchObject({ name: 'json', agent: 'shell', cwd, labels: { a: '1', b: '2' } })
    await until(async () => (await project.session('json')).status === 'error', { what: 'the session to end' })
    expect(await project.session('json')).toMatchObject({ id: spawned.id, exitCode: 3 })
    const output = JSON.parse((await project.instar('output', 'json', '--json')).stdout) as unknown
    expect(output).toMatchObject({ session: 'json', output: '', lines: 0, truncated: false })
  })

  it.each([
    [['output', 'nosuch'], /^Cannot read session "nosuch": no session has that name or id$/],
    [['kill', '..'], /^Cannot find session "\.\."/],
    [['spawn', 'x', 'y', '--agent', 'shell', '--worktree=-x'], /hooks\.worktree\.branch is wrong: .*hyphen/],
    [['finish', 'nobody', 'keep'], /no session has that name/],
    [['spawn', 'Bad Name', 'x'], /name must be 1 to 63 lower-case letters/],
    [['spawn', 'x', 'y', '--agent', 'nosuch'], /there is no agent "nosuch"/],
    [['ls', '--status', 'nosuch'], /must be one of starting, running/],
  ])('what the server refuses is one line: instar %j', async (words, line) => {
    expect(await project.fails(...words)).toMatch(line)
  })

  it('shows below the line what it is about', async () => {
    const cwd = await makeRepository(join(project.directory, 'repository'), { a: '' })
    await project.instar('spawn', 'unsaved', 'touch b c', '--agent=shell', '--worktree', `--cwd=${cwd}`)
    await project.instar('wait', 'unsaved', '--for=completed')
    const stderr = 'Cannot merge session "unsaved": 2 files are not committed in its worktree\n  b\n  c'
    expect(await project.instar('finish', 'unsaved', 'merge')).toMatchObject({ code: 1, stderr })
  })

  it('says that a name is in use, and that the token is wrong', async () => {
    await project.instar('spawn', 'once', 'sleep 600', '--agent', 'shell')
    expect(await project.fails('spawn', 'once', 'sleep 600', '--agent', 'shell')).toMatch(
      /^Cannot spawn session "once": a session of that name is/,
    )
    const wrong = await project.instarWith({ env: { INSTAR_TOKEN: 'not-the-right-token' } }, 'ls')
    expect(wrong).toEqual({ code: 1, stdout: '', stderr: 'Cannot answer: the token is wrong' })
  })

  it('sits down at a terminal', async () => {
    await project.instar('spawn', 'seat', 'read -r line; echo "you typed $line"; cat', '--agent', 'shell')
    // A terminal of the test's own: another tmux.
    const tmux = (...args: string[]) =>
      execa('tmux', ['-L', `${socketName(project.state)}-seat`, '-f', '/dev/null', ...args], project.options())
    try {
      const command = [process.execPath, ...program, 'attach', 'seat'].map((word) => `'${word}'`).join(' ')
      await tmux('new-session', '-d', '-s', 'person', '-x', '100', '-y', '20', `${command}; echo "left with $?"; cat`)
      const shows = (text: string) =>
        until(async () => (await tmux('capture-pane', '-p', '-t', 'person')).stdout.includes(text), {
          what: `the terminal to show ${text}`,
        })
      await until(async () => (await project.tmux('list-clients', '-t', '=seat')).stdout !== '', { what: 'the person to sit there' })
      await tmux('send-keys', '-t', 'person', 'hello', 'Enter')
      await shows('you typed hello')
      await tmux('send-keys', '-t', 'person', 'C-b', 'd')
      await shows('left with 0')
    } finally {
      await endTmux(tmux)
    }
  })
})

// ---- a project of a test's own -----------------------------------------------------------------------------------------

interface Ran {
  readonly code: number | undefined
  readonly stdout: string
  readonly stderr: string
}

interface Project {
  readonly directory: string
  readonly state: string
  token(): Promise<string>
  /** Runs the CLI in the project. What it prints never holds the token. */
  instar(...words: string[]): Promise<Ran>
  instarWith(options: { cwd?: string; env?: Record<string, string>; input?: string }, ...words: string[]): Promise<Ran>
  /** The one line that it fails with, and exit code 1. */
  fails(...words: string[]): Promise<string>
  failsWith(code: number, ...words: string[]): Promise<string>
  /** Starts the server in the background; its address. */
  start(): Promise<string>
  session(name: string): Promise<Session>
  /** Resolves when a session's output ends so. */
  prints(name: string, end: string): Promise<void>
  /** Runs tmux on the project's own socket. */
  tmux(...args: string[]): Promise<{ stdout: string }>
  options(): { cwd: string; env: Record<string, string>; extendEnv: false; reject: false }
  /** Ends the server, its sessions and its tmux server, and removes all files. */
  close(): Promise<void>
}

const repository = fileURLToPath(new URL('..', import.meta.url))
const program = [cli]

/** An empty project with a home of its own. Whoever makes one closes it. */
async function makeProject(): Promise<Project> {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'instar-cli-')))
  const directory = join(base, 'project')
  const home = join(base, 'home')
  const state = join(directory, '.instar')
  await Promise.all([mkdir(directory), mkdir(home)])
  const env = { PATH: process.env['PATH'] ?? '', HOME: home, LANG: 'C.UTF-8', TERM: 'xterm-256color' }
  const options = () => ({ cwd: directory, env, extendEnv: false, reject: false }) as const

  const token = async () => {
    const text = await readFile(join(state, 'config.json'), 'utf8')
    return (JSON.parse(text) as { auth: { token: string } }).auth.token
  }
  const instarWith: Project['instarWith'] = async ({ cwd = directory, env: more = {}, input }, ...words) => {
    // Without input, standard input is a pipe that stays open: nothing may wait for its end.
    const given: Options = { ...options(), cwd, env: { ...env, ...more }, timeout: 45_000, ...(input === undefined ? {} : { input }) }
    const { exitCode, stdout, stderr } = await execa(process.execPath, [...program, ...words], given)
    const ran = { code: exitCode, stdout: String(stdout), stderr: String(stderr) }
    const secret = await token().catch(() => null)
    if (secret !== null) expect(ran.stdout + ran.stderr).not.toContain(secret)
    return ran
  }
  const instar = (...words: string[]) => instarWith({}, ...words)
  const failsWith = async (code: number, ...words: string[]) => {
    const ran = await instar(...words)
    expect(ran).toMatchObject({ code, stdout: '' })
    expect(ran.stderr).toMatch(/^[^\n]+$/)
    return ran.stderr
  }
  const tmux: Project['tmux'] = (...args) => execa('tmux', ['-L', socketName(state), ...args], options())

  return {
    directory,
    state,
    token,
    instar,
    instarWith,
    tmux,
    options,
    fails: (...words) => failsWith(1, ...words),
    failsWith,
    async start() {
      const { stdout, stderr } = await instar('server', 'start', '--port', '0')
      const url = /^instar listening on (\S+)$/m.exec(stdout)?.[1]
      if (!url) throw new Error(`the server did not start: ${stdout}${stderr}`)
      return url
    },
    async session(name) {
      const sessions = JSON.parse((await instar('ls', '--json')).stdout) as Session[]
      return sessions.find((session) => session.name === name)!
    },
    async prints(name, end) {
      await until(async () => (await instar('output', name)).stdout.endsWith(end), { what: `${name} to print ${end}` })
    },
    async close() {
      const owner = await ownerOf(state)
      if (owner) {
        process.kill(owner.pid, 'SIGTERM')
        await until(async () => (await ownerOf(state)) === null, { what: 'the server to end' }).catch(() =>
          process.kill(owner.pid, 'SIGKILL'),
        )
      }
      // A program that does not read its terminal would outlive it.
      const { stdout: leaders } = await tmux('list-panes', '-a', '-F', '#{pane_pid}')
      await execa(
        'kill',
        [
          '-KILL',
          '--',
          ...leaders
            .split('\n')
            .filter(Boolean)
            .map((pid) => `-${pid}`),
        ],
        options(),
      )
      await endTmux(tmux)
      await rm(base, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
    },
  }
}

/** Ends a tmux server, and removes its socket, which tmux leaves. */
async function endTmux(tmux: (...args: string[]) => Promise<{ stdout: string }>): Promise<void> {
  const { stdout: socket } = await tmux('display-message', '-p', '#{socket_path}')
  await tmux('kill-server')
  if (socket) await rm(socket, { force: true })
}

/** What a server says of itself; null when nobody listens. */
async function health(url: string): Promise<unknown> {
  return fetch(`${url}/health`).then(
    (response) => response.json(),
    () => null,
  )
}
