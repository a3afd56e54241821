import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { dirname, join } from 'node:path/posix'
import { describe, expect, test } from 'vitest'
import { version } from '../src/runtime/version.ts'

const root = new URL('..', import.meta.url)

interface Source {
  /** Below src, with `/`. */
  readonly path: string
  readonly text: string
  /** Without comments, and with every string empty; what a template inserts stays. */
  readonly code: string
  readonly imports: readonly { readonly from: string; readonly typeOnly: boolean }[]
}

const sources: readonly Source[] = readdirSync(new URL('src', root), { recursive: true, encoding: 'utf8' })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => /\.tsx?$/.test(path))
  .map((path) => {
    const text = readFileSync(new URL(`src/${path}`, root), 'utf8')
    return { path, text, code: bare(text), imports: importsOf(text) }
  })

/** What each part may import; an entry is a folder or a file. What is not listed sees everything. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'runtime/': ['runtime/'],
  'plugins/': ['plugins/', 'runtime/'],
  'routes/': ['routes/', 'runtime/'],
  'app.ts': ['routes/', 'runtime/'],
  'executor.ts': ['routes/', 'runtime/'],
  'dial.ts': ['executor.ts', 'runtime/'],
  'client.ts': ['app.ts', 'runtime/'],
  'web/': ['web/', 'client.ts', 'runtime/'],
}
const seesEverything = ['entry/', 'cli/', 'index.ts', 'node.ts', 'portable.ts', 'workerd.ts', 'conformance/', 'conformance.ts']
/** For those who write plugins, who have its packages themselves. */
const isSeenByNothing = ['conformance/', 'conformance.ts']

/** These run unchanged on Node, Deno, Bun and workerd. */
const portable = [
  'runtime/',
  'routes/',
  'app.ts',
  'executor.ts',
  'dial.ts',
  'client.ts',
  'portable.ts',
  'workerd.ts',
  'entry/assemble.ts',
  'entry/complete.ts',
  'entry/log.ts',
  'entry/object.ts',
  'entry/settings-error.ts',
  'entry/worker.ts',
  'plugins/agents/',
  'plugins/functions/',
  'plugins/backends/quote.ts',
  'plugins/backends/remote/',
  'plugins/hooks/guard/',
  'plugins/storage/durable-object.ts',
]
const portablePackages = ['hono', 'valibot', 'unstorage', '@noble/hashes']

const within = (path: string, parts: readonly string[]) =>
  parts.some((part) => (part.endsWith('/') ? path.startsWith(part) : path === part))
const packageOf = (from: string) => from.split('/', from.startsWith('@') ? 2 : 1).join('/')
const isRelative = (from: string) => from.startsWith('.')

describe('imports', () => {
  test('every file has its place', () => {
    const known = [...Object.keys(mayImport), ...seesEverything]
    expect(sources.map(({ path }) => path).filter((path) => !within(path, known))).toEqual([])
    expect(sources.length).toBeGreaterThan(20)
  })

  test.each(Object.entries(mayImport))('%s sees only %j', (part, allowed) => {
    const wrong = sources
      .filter(({ path }) => within(path, [part]))
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ from }) => isRelative(from) && !within(join(dirname(path), from), allowed))
          .map(({ from }) => `${path} → ${from}`),
      )
    expect(wrong).toEqual([])
  })

  test('the client takes no more than types from the app: it must not bring the server along', () => {
    const client = sources.find(({ path }) => path === 'client.ts')
    expect(client?.imports.filter(({ from, typeOnly }) => from === './app.ts' && !typeOnly)).toEqual([])
  })

  test('a relative import names its file with .ts', () => {
    const wrong = sources.flatMap(({ path, imports }) =>
      imports.filter(({ from }) => isRelative(from) && !/\.tsx?$/.test(from)).map(({ from }) => `${path} → ${from}`),
    )
    expect(wrong).toEqual([])
  })

  test('a relative import names a file that is there', () => {
    const paths = new Set(sources.map(({ path }) => path))
    const wrong = sources.flatMap(({ path, imports }) =>
      imports.filter(({ from }) => isRelative(from) && !paths.has(join(dirname(path), from))).map(({ from }) => `${path} → ${from}`),
    )
    expect(wrong).toEqual([])
  })

  test('the suites for plugins are seen by nothing', () => {
    const wrong = sources
      .filter(({ path }) => !within(path, isSeenByNothing))
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ from }) => isRelative(from) && within(join(dirname(path), from), isSeenByNothing))
          .map(({ from }) => `${path} → ${from}`),
      )
    expect(wrong).toEqual([])
  })

  test('there are no barrel files inside', () => {
    expect(sources.map(({ path }) => path).filter((path) => /\/index\.tsx?$/.test(path))).toEqual([])
  })
})

describe('what runs everywhere', () => {
  const inside = sources.filter(({ path }) => within(path, portable))

  test('imports nothing of Node, and only packages that run everywhere', () => {
    const wrong = inside.flatMap(({ path, imports }) =>
      imports.filter(({ from }) => !isRelative(from) && !portablePackages.includes(packageOf(from))).map(({ from }) => `${path} → ${from}`),
    )
    expect(wrong).toEqual([])
  })

  test('imports nothing that does not', () => {
    const wrong = inside.flatMap(({ path, imports }) =>
      imports
        .filter(({ from, typeOnly }) => isRelative(from) && !typeOnly && !within(join(dirname(path), from), portable))
        .map(({ from }) => `${path} → ${from}`),
    )
    expect(wrong).toEqual([])
  })

  test('uses no global of Node', () => {
    const wrong = inside.flatMap(({ path, code }) =>
      [...code.matchAll(/(?<![.\w$])(?:process|Buffer|__dirname|__filename|require|global|setImmediate)\b(?!\s*[:?]?:)/g)].map(
        ([found]) => `${path}: ${found}`,
      ),
    )
    expect(wrong).toEqual([])
  })
})

describe('the code', () => {
  test('starts no program synchronously', () => {
    expect(sources.filter(({ code }) => /\b(?:execSync|spawnSync|execFileSync|execaSync)\b/.test(code)).map(({ path }) => path)).toEqual([])
  })

  test('has no file over 300 lines', () => {
    const long = sources.map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length })).filter(({ lines }) => lines > 300)
    expect(long).toEqual([])
  })

  test('names no machine and no person', () => {
    const wrong = sources.filter(({ text }) => /\/(?:home|Users|root)\/\w/.test(text)).map(({ path }) => path)
    expect(wrong).toEqual([])
  })
})

describe('package.json', () => {
  const {
    name,
    version: released,
    dependencies,
    peerDependencies,
  } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as {
    name: string
    version: string
    dependencies: Record<string, string>
    peerDependencies: Record<string, string>
  }
  const imported = new Set(
    sources
      .flatMap(({ imports }) => imports.map(({ from }) => from))
      .filter((from) => !isRelative(from) && !from.startsWith('node:'))
      .map(packageOf),
  )

  test('has no dependency that the sources do not import', () => {
    expect(Object.keys(dependencies).filter((each) => !imported.has(each))).toEqual([])
  })

  test('only the suites for plugins need what whoever runs them has', () => {
    const users = sources.filter(({ imports }) => imports.some(({ from }) => packageOf(from) in peerDependencies)).map(({ path }) => path)
    expect(users.filter((path) => !within(path, isSeenByNothing))).toEqual([])
  })

  test('has every dependency that the sources import', () => {
    expect([...imported].filter((each) => !(each in dependencies || each in peerDependencies))).toEqual([])
  })

  test('has the version that the sources say', () => {
    expect(version).toBe(released)
  })

  test('builtin modules are named with node:', () => {
    expect([...imported].filter((each) => builtinModules.includes(each))).toEqual([])
  })

  test('the sources do not import the package by its own name', () => {
    expect(imported.has(name)).toBe(false)
  })
})

function importsOf(text: string): Source['imports'] {
  // A template may hold a whole program, which is another's to run.
  const code = text.replace(/^\s*(?:\/\/|\*|\/\*).*$/gm, '').replace(/`(?:[^`\\]|\\[\s\S])*`/g, '``')
  const found = [
    ...code.matchAll(/^(?:import|export)\s+(type\b)?[^'"()=;]*?\bfrom\s*['"]([^'"]+)['"]/gm),
    ...code.matchAll(/^import()\s*['"]([^'"]+)['"]/gm),
    ...code.matchAll(/\bimport()\(\s*['"]([^'"]+)['"]/g),
  ]
  return found.map(([, type, from]) => ({ from: from!, typeOnly: type === 'type' }))
}

/** Good enough for sources that a formatter has been over. */
function bare(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/'(?:[^'\\\n]|\\.)*'/g, "''")
    .replace(/(^|\s)\/\/.*$/gm, '$1')
    .replace(/`(?:[^`\\]|\\.)*`/g, (template) => [...template.matchAll(/\$\{([^}]*)\}/g)].map(([, inserted]) => inserted).join(' '))
}
