import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { makeState, projectDirectory, readConfigFile, readSettings, SettingsError, socketName } from '../src/entry/settings.ts'
import { lockState } from '../src/entry/state-lock.ts'
import { absent, commandOf, hostEnvironment, hosts, installRuntimes } from './support/runtimes.ts'

let project: string
let state: string
let file: string

beforeEach(async () => {
  project = await mkdtemp(join(tmpdir(), 'instar-settings-'))
  state = join(project, '.instar')
  file = join(state, 'config.json')
})
afterEach(async () => {
  await rm(project, { recursive: true, force: true })
})

const token = 'a-token-of-the-project-0123456789'
const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8)

async function writeConfig(content: unknown): Promise<string> {
  const text = typeof content === 'string' ? content : JSON.stringify(content)
  await mkdir(state, { recursive: true, mode: 0o700 })
  await writeFile(file, text, { mode: 0o600 })
  return text
}

describe('the order of settings', () => {
  const config = { port: 1001, host: 'config.test' }
  const written = { port: 1002, host: 'file.test', auth: { token } }
  const environment = { INSTAR_PORT: '1003', INSTAR_HOST: 'environment.test', INSTAR_TOKEN: 'a-token-of-the-environment' }
  const flags = { port: '1004', host: 'flags.test' }

  test.each([
    ['defaults', {}, null, {}, {}, 4040, '127.0.0.1'],
    ['instar.config', config, null, {}, {}, 1001, 'config.test'],
    ['.instar/config.json', config, written, {}, {}, 1002, 'file.test'],
    ['the environment', config, written, environment, {}, 1003, 'environment.test'],
    ['flags', config, written, environment, flags, 1004, 'flags.test'],
    ['flags without the rest', {}, null, {}, flags, 1004, 'flags.test'],
    ['each for itself', { host: 'config.test' }, { auth: { token } }, { INSTAR_PORT: '1003' }, {}, 1003, 'config.test'],
  ])('%s', async (_, config, written, environment, flags, port, host) => {
    if (written) await writeConfig(written)
    const settings = await readSettings({ dir: project, ...flags }, environment, config)
    expect(settings).toMatchObject({ directory: project, state, port, host })
    if ('INSTAR_TOKEN' in environment) expect(settings.token).toBe(environment.INSTAR_TOKEN)
    else if (written) expect(settings.token).toBe(token)
    else expect(settings.token).toMatch(/^[\w-]{43}$/)
  })

  test('the project is where a flag, the environment or the shell says', () => {
    expect(projectDirectory({ dir: '/a/b/../c' }, { INSTAR_DIR: '/d' })).toBe('/a/c')
    expect(projectDirectory({}, { INSTAR_DIR: '/d' })).toBe('/d')
    expect(projectDirectory({}, {})).toBe(process.cwd())
    expect(projectDirectory({}, { INSTAR_DIR: '' })).toBe(process.cwd())
  })

  test('an empty variable is none: an empty host would listen everywhere', async () => {
    const settings = await readSettings({ dir: project }, { INSTAR_HOST: '', INSTAR_PORT: '', INSTAR_TOKEN: '' }, {})
    expect(settings).toMatchObject({ host: '127.0.0.1', port: 4040 })
    expect(settings.token).toMatch(/^[\w-]{43}$/)
  })

  test.each(['0', '1', '65535'])('port %s', async (port) => {
    expect((await readSettings({ dir: project, port }, {}, {})).port).toBe(Number(port))
  })

  test.each(['-1', '65536', '1.5', 'abc', '0x50', ' 80', '1e3'])('port %j is refused', async (port) => {
    await expect(readSettings({ dir: project, port }, {}, {})).rejects.toThrow(SettingsError)
    await expect(readSettings({ dir: project }, { INSTAR_PORT: port }, {})).rejects.toThrow(SettingsError)
  })

  test.each(['short', 'with a blank in the middle', 'a-line-break-in-it\n'])('INSTAR_TOKEN %j is refused, and not shown', async (given) => {
    const error = await readSettings({ dir: project }, { INSTAR_TOKEN: given }, {}).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(SettingsError)
    expect((error as Error).message).toContain('INSTAR_TOKEN')
    expect((error as Error).message).not.toContain(given)
  })

  test('projects have tmux servers of their own', () => {
    expect(socketName('/a/.instar')).toMatch(/^instar-[0-9a-f]{8}$/)
    expect(socketName('/a/.instar')).toBe(socketName('/a/.instar'))
    expect(socketName('/a/.instar')).not.toBe(socketName('/b/.instar'))
  })
})

describe('the token', () => {
  test('is made once, 32 random bytes in base64url', async () => {
    const first = await readSettings({ dir: project }, {}, {})
    expect(first.token).toMatch(/^[\w-]{43}$/)
    expect(Buffer.from(first.token, 'base64url')).toHaveLength(32)
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ auth: { token: first.token } })
    const bytes = await readFile(file)
    expect(await readSettings({ dir: project }, {}, {})).toEqual(first)
    expect(await readFile(file)).toEqual(bytes)
  })

  test('differs between projects', async () => {
    const other = join(project, 'other')
    const tokens = await Promise.all([project, other].map(async (dir) => (await readSettings({ dir }, {}, {})).token))
    expect(new Set(tokens).size).toBe(2)
  })

  test('is for its owner only, and stays out of repositories', async () => {
    await readSettings({ dir: project }, {}, {})
    expect([await mode(state), await mode(file)]).toEqual(['700', '600'])
    expect(await readFile(join(state, '.gitignore'), 'utf8')).toBe('*\n')
    expect((await readdir(state)).sort()).toEqual(['.gitignore', 'config.json'])
  })

  test.each([
    ['with a token', { auth: { token } }],
    ['without one', { port: 5 }],
  ])('a file %s that others could read is for its owner only again', async (_, content) => {
    await writeConfig(content)
    await chmod(file, 0o644)
    await readSettings({ dir: project }, {}, {})
    expect(await mode(file)).toBe('600')
  })

  test('is added to a file that has none, which keeps everything else', async () => {
    await writeConfig({ port: 5, future: { setting: [1, 2] }, auth: { method: 'bearer' } })
    const { token } = await readSettings({ dir: project }, {}, {})
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({
      port: 5,
      future: { setting: [1, 2] },
      auth: { method: 'bearer', token },
    })
  })

  test('that the environment gives is not written down', async () => {
    const given = 'a-token-of-the-environment'
    await readSettings({ dir: project }, { INSTAR_TOKEN: given }, {})
    expect(await readFile(file, 'utf8')).not.toContain(given)
  })
})

describe('.instar/config.json', () => {
  test.each([
    ['cut off', '{"port":4040,"auth":{"tok', 'JSON'],
    ['empty', '', 'JSON'],
    ['null', 'null', 'the whole'],
    ['a number', '5', 'the whole'],
    ['an array', '[]', 'the whole'],
    ['an array with something in it', '[{"port":5}]', 'the whole'],
    ['a text for the port', { port: '4040' }, 'port'],
    ['a port that does not exist', { port: 70_000 }, 'port'],
    ['half a port', { port: 1.5 }, 'port'],
    ['an empty host', { host: '' }, 'host'],
    ['a number for the host', { host: 5 }, 'host'],
    ['a text for auth', { auth: token }, 'auth'],
    ['an array for auth', { auth: [token] }, 'auth'],
    ['a short token', { auth: { token: 'short' } }, 'auth.token'],
    ['an empty token', { auth: { token: '' } }, 'auth.token'],
    ['a token with a blank', { auth: { token: `${token} ${token}` } }, 'auth.token'],
    ['a number for the token', { auth: { token: 12_345_678_901_234_567_890 } }, 'auth.token'],
    ['null for the token', { auth: { token: null } }, 'auth.token'],
  ])('%s: refused with the field, and kept as it is', async (_, content, field) => {
    const text = await writeConfig(content)
    const error = await readSettings({ dir: project }, {}, {}).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(SettingsError)
    expect((error as Error).message).toMatch(/^Cannot .*[^.]$/)
    expect((error as Error).message).toContain(file)
    expect((error as Error).message).toContain(field)
    expect((error as Error).message).not.toContain('\n')
    expect(await readFile(file, 'utf8')).toBe(text)
    expect(await readdir(state)).toEqual(['config.json'])
  })

  test('a directory in its place is refused', async () => {
    await mkdir(file, { recursive: true })
    await expect(readSettings({ dir: project }, {}, {})).rejects.toThrow(SettingsError)
  })

  test('a file in the place of the state directory is refused in words', async () => {
    await writeFile(state, '')
    await expect(makeState(state)).rejects.toThrow(new SettingsError(`Cannot use ${state}: it is no directory`))
    await expect(lockState(join(state, 'below'))).rejects.toThrow(`Cannot use ${join(state, 'below')}: it is no directory`)
  })

  test('there need not be one', async () => {
    expect(await readConfigFile(state)).toBeNull()
  })
})

interface Loaded {
  readonly config?: Record<string, unknown>
  /** What the config got as `InstarError` is what the server has. */
  readonly same?: boolean
  readonly error?: string
  readonly type?: string
}

describe.each(([...hosts, 'node24'] as const).map((host) => ({ host })))('instar.config on $host', ({ host }) => {
  beforeAll(() => (host === 'node' ? undefined : installRuntimes()), 200_000)
  beforeEach((test) => (host !== 'node' && absent !== null ? test.skip(absent) : undefined))

  /** Loads the configs of projects, given as their files, in a process of its own: this one has its own way with imports. */
  async function load(...projects: readonly Record<string, string>[]): Promise<Loaded[]> {
    const directories = await Promise.all(
      projects.map(async (files, i) => {
        const directory = join(project, String(i))
        await mkdir(directory)
        await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(directory, name), text)))
        return directory
      }),
    )
    const [program, words] = await commandOf(host, 'test/support/load-configs.ts')
    const options = { cwd: project, env: hostEnvironment(project), extendEnv: false, reject: false }
    const { stdout, stderr, failed } = await execa(program, [...words, ...directories], options)
    // Without the stack: it names files of that other process.
    if (failed) throw new Error(`loading failed: ${/^\w*Error.*$/m.exec(stderr)?.[0] ?? stderr.slice(0, 500)}`)
    return JSON.parse(stdout) as Loaded[]
  }

  test('need not be there', async () => {
    expect(await load({})).toEqual([{ config: {}, same: false }])
  })

  const typescript = `import { defineConfig, InstarError, tmux, claude, type Config } from 'instar'
    const port: number = 5005
    export default { ...defineConfig({ port, backends: { local: tmux() }, agents: { claude: claude() } } satisfies Config), agents: { marker: InstarError } }`
  const javascript = `import { defineConfig, InstarError } from 'instar'
    export default { ...defineConfig({ port: 5005 }), agents: { marker: InstarError } }`

  test.each([
    ['instar.config.ts', { 'instar.config.ts': typescript }],
    ['instar.config.ts in a package of modules', { 'instar.config.ts': typescript, 'package.json': '{"type":"module"}' }],
    ['instar.config.ts in a package of CommonJS', { 'instar.config.ts': typescript, 'package.json': '{"type":"commonjs"}' }],
    ['instar.config.js', { 'instar.config.js': javascript }],
    ['instar.config.js in a package of modules', { 'instar.config.js': javascript, 'package.json': '{"type":"module"}' }],
    [
      'a file that instar.config.ts imports',
      {
        'marker.ts': `import { InstarError } from 'instar'\nexport const marker: typeof InstarError = InstarError`,
        'instar.config.ts': `import { marker } from './marker.ts'\nexport default { port: 5005, agents: { marker } }`,
      },
    ],
  ])('%s may import instar without having it installed, and gets the very same classes', async (_, files) => {
    expect(await load(files)).toMatchObject([{ config: { port: 5005 }, same: true }])
  })

  test('may be TypeScript, JavaScript or JSON, in this order, and CommonJS too', async () => {
    const json = { 'instar.config.json': '{"port":3}' }
    // Deno takes a .js file for CommonJS only where a package.json says so.
    const js = { 'instar.config.js': host === 'deno' ? 'export default { port: 2 }' : 'module.exports = { port: 2 }' }
    const ts = { 'instar.config.ts': 'export default { port: 1 as number }' }
    const loaded = await load(json, js, ts, { ...json, ...js }, { ...json, ...js, ...ts })
    expect(loaded.map(({ config }) => config?.['port'])).toEqual([3, 2, 1, 2, 1])
  })

  const wrong: [file: string, text: string, words: string][] = [
    ['instar.config.ts', 'export const config = {}', 'default export'],
    ['instar.config.ts', 'export default null', 'default export'],
    ['instar.config.ts', 'export default 5', 'default export'],
    ['instar.config.ts', 'export default {', ''],
    ['instar.config.js', 'export default {{', ''],
    ['instar.config.json', '{"port":', 'JSON'],
    ['instar.config.json', 'null', ''],
    ['instar.config.json', '[]', ''],
    ['instar.config.ts', "import 'no-such-package'\nexport default {}", 'no-such-package'],
    ['instar.config.ts', "throw new Error('it fails by itself\\nsecond line')", 'it fails by itself'],
    ['instar.config.ts', "export default { port: '4040' }", 'port'],
    ['instar.config.ts', 'export default { plugins: [{ name: "a", fetch: 5 }] }', 'plugins.0 is wrong: fetch of "a" must be a function'],
    ['instar.config.ts', 'export default { plugins: [{ name: "a", fecth() {} }] }', 'fecth of "a" is not known'],
    ['instar.config.ts', 'export default { storage: {} }', 'storage is wrong: it must be a driver of unstorage, such as redis({ url })'],
    ['instar.config.json', '{"plugins":5}', 'plugins'],
    ['instar.config.json', '{"limits":{"maxSessions":"many"}}', 'limits.maxSessions'],
  ]
  describe('is refused in one line that names the file', () => {
    let loaded: Loaded[]
    beforeEach(async () => {
      loaded ??= await load(...wrong.map(([file, text]) => ({ [file]: text })))
    })

    test.each(wrong.map(([file, text, words], i) => ({ file, text, words, i })))('$file: $text', ({ file, words, i }) => {
      const { type, error } = loaded[i]!
      expect(type).toBe('SettingsError')
      expect(error).toMatch(/^Cannot .*[^.]$/)
      expect(error).toContain(file)
      expect(error).toContain(words)
    })
  })
})
