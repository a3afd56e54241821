import { expect, type TestContext } from 'vitest'
import type { Ability, Backend } from '../runtime/backend.ts'
import type { Command, Exit, Handle, Keystroke, Report, Sight, Signal } from '../runtime/types.ts'
import { until } from './wait.ts'

/**
 * What a backend is tested with. It is known by its contract only; what a backend does not offer is skipped, with the
 * reason.
 */
export interface Harness {
  /** A new backend on this place that nobody has opened. The second one is what a server makes after a restart. */
  backend(): Backend
  /** An empty directory where the programs run, theirs to write to. Absolute. */
  readonly directory: string
  /** A file there as text; null when there is none. */
  read(path: string): Promise<string | null>
  write(path: string, text: string): Promise<void>
  /** Makes a terminal on the backend's terminal server that is not the backend's. Needed where `terminals` is offered. */
  intrude?(name: string): Promise<void>
  /** How many programs are run where a test runs many. Default 30. */
  readonly many?: number
  /** Those of some processes of a session that run. Needed where a session has process ids of its own. */
  running?(id: string, pids: readonly string[]): Promise<readonly string[]>
  /** Ends everything that runs there, also after a failure. Called after every backend is closed. */
  cleanup(): Promise<void>
}

/** Where a part of the suite plays: a place, and a server on it. */
export interface Stage {
  readonly open: () => Promise<Harness>
  harness: Harness
  server: Server
  /** The path of a file in the harness's directory. */
  file(name: string): string
  /** What a program wrote, once it has ended well. */
  written(program: Program, name: string): Promise<string>
  /** What a screen shows of a line that was typed into `cat`: a terminal shows it as well. */
  echo(line: string): string
  /** Those of some processes that run; one that has ended and that nobody collected does not. */
  running(program: Known, pids: readonly string[]): Promise<string>
  /** The server ends; what `meanwhile` does nobody sees; another server begins on the same place. */
  restart(meanwhile?: () => Promise<void>): Promise<void>
}

export function createStage(open: Stage['open']): Stage {
  const stage: Stage = {
    open,
    // Set before every test.
    harness: undefined as never,
    server: undefined as never,
    file: (name) => `${stage.harness.directory}/${name}`,
    async written(program, name) {
      expect(await stage.server.exit(program)).toMatchObject({ code: 0, signal: null })
      return (await stage.harness.read(stage.file(name))) ?? ''
    },
    echo: (line) => (stage.server.backend.cannot?.terminal === undefined ? `${line}\n${line}` : line),
    async running({ id }, pids) {
      const { harness } = stage
      if (harness.running) return (await harness.running(id, pids)).toSorted((a, b) => Number(a) - Number(b)).join('\n')
      const script = `ps -A -o pid= -o stat= | while read -r pid stat; do case $stat in Z*) ;; *) for p; do [ "$p" = "$pid" ] && echo "$p"; done ;; esac; done; exit 0`
      const look = await stage.server.sh(script, { args: pids })
      await stage.server.exit(look)
      return stage.server.screen(look)
    },
    async restart(meanwhile = async () => {}) {
      await stage.server.backend.close()
      await meanwhile()
      stage.server = await serve(stage.harness)
    },
  }
  return stage
}

/** Everything a shell, a terminal and tmux may do something with when they should not. Who runs what stands in there makes the file `touched`. */
export const nasty = (touched: string): readonly string[] => [
  '',
  ' ',
  '  two  blanks  ',
  "it's",
  '"quoted"',
  `'"'"'`,
  'end;',
  ';',
  '\\;',
  ';;',
  '#{pane_id}',
  `#(touch ${touched})`,
  '##',
  '#',
  '#[fg=red]',
  '$HOME',
  '${HOME}',
  `$(touch ${touched})`,
  `\`touch ${touched}\``,
  '$$',
  'two\nlines',
  '\n',
  'newline at the end\n',
  '\ttabs\t',
  'carriage\rreturn',
  '\x1b[31m',
  '\x01\x7f',
  'ünï 日本語 👍',
  '%',
  '%s %d %%',
  '%1',
  '~',
  '~root',
  '-',
  '--',
  '-n',
  '--help',
  '*',
  '[a-z]?',
  '{a,b}',
  '!!',
  '& true',
  '|| true',
  `> ${touched}`,
  `; touch ${touched} ;`,
  `' ; run-shell 'touch ${touched}' ; '`,
  `" ; run-shell "touch ${touched}`,
  '(',
  '\\',
  '\\n\\',
  '@instar_id=x',
  '=name:',
  'x'.repeat(100_000),
]

/** What a terminal and a shell set for themselves. */
const ambient = ['TERM', 'COLORTERM', 'PWD', 'OLDPWD', 'SHLVL', '_']
export const path = '/usr/local/bin:/usr/bin:/bin'
// ---- a server, as far as a backend sees one --------------------------------------------------------------------------

export interface Program {
  readonly id: string
  readonly name: string
  readonly handle: Handle
}

interface Options extends Partial<Omit<Command, 'argv'>> {
  readonly name?: string
  readonly args?: readonly string[] | ((id: string) => readonly string[])
}

export type Known = Pick<Program, 'id'>

export interface Server {
  readonly backend: Backend
  readonly reports: readonly Report[]
  run(argv: Command['argv'], options?: Omit<Options, 'args'> & { readonly id?: string }): Promise<Program>
  /** Runs a script with `args` as its `$1`, `$2`, … in the harness's directory. */
  sh(script: string, options?: Options): Promise<Program>
  follow(program: Program, cursor: number): Promise<void>
  sights(program: Known): readonly Sight[]
  types(program: Known): readonly Sight['type'][]
  signals(program: Known): readonly Signal[]
  /** What a store would keep. */
  cursor(program: Known): number
  /** Waits for the end. */
  exit(program: Known): Promise<Exit>
  screen(program: Program, lines?: number): Promise<string>
  /** Waits until the screen holds a text. */
  shows(program: Program, text: string): Promise<void>
  /** The sessions that the backend lists. */
  ids(): Promise<string[]>
  /** Waits until it lists these and no other: a terminal may outlive the report of its end, until that is safe. */
  left(...programs: readonly Program[]): Promise<void>
}

let count = 0

export async function serve(harness: Harness, safe: () => Promise<void> = async () => {}): Promise<Server> {
  const backend = harness.backend()
  const reports: Report[] = []
  const stored = new Map<string, number>()
  await backend.open((report) => {
    reports.push(report)
    return safe()
  })
  const of = ({ id }: Known) => reports.filter((report) => report.id === id)
  const server: Server = {
    backend,
    reports,
    async run(argv, { id = crypto.randomUUID(), name = `program-${count++}`, ...rest } = {}) {
      const defaults = { env: { PATH: path }, cwd: harness.directory, files: {}, size: { cols: 160, rows: 48 } }
      return { id, name, handle: await backend.start(id, name, { ...defaults, ...rest, argv }) }
    },
    sh(script, { args = [], ...rest } = {}) {
      const id = crypto.randomUUID()
      return server.run(['sh', '-c', script, 'sh', ...(typeof args === 'function' ? args(id) : args)], { ...rest, id })
    },
    follow: ({ id, handle }, cursor) => {
      stored.set(id, cursor)
      return backend.follow({ id, handle: JSON.parse(JSON.stringify(handle)) as Handle }, cursor)
    },
    sights: (program) => of(program).flatMap(({ sights }) => sights),
    types: (program) => server.sights(program).map(({ type }) => type),
    signals: (program) => server.sights(program).flatMap((sight) => (sight.type === 'signal' ? [sight.signal] : [])),
    cursor: (program) => of(program).at(-1)?.cursor ?? stored.get(program.id) ?? 0,
    exit: (program) =>
      until(() => server.sights(program).flatMap((sight) => (sight.type === 'exited' ? [sight.exit] : []))[0], {
        what: 'the end of a program',
      }),
    screen: async ({ handle }, lines = 100) => (await backend.capture(handle, lines)).text,
    shows: async (program, text) => {
      let screen = ''
      await until(async () => (screen = await server.screen(program)).includes(text), { what: `the screen to show ${text}` }).catch(
        (error: unknown) => {
          throw new Error(`the screen shows:\n${screen}`, { cause: error })
        },
      )
    },
    ids: async () => (await backend.list()).map(({ id }) => id),
    async left(...programs) {
      const wanted = programs.map(({ id }) => id).toSorted()
      await until(async () => (await server.ids()).toSorted().join() === wanted.join(), { what: `${wanted.length} sessions to be left` })
    },
  }
  return server
}

export const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

export const line = (text: string): Keystroke[] => [
  { type: 'paste', text },
  { type: 'key', key: 'Enter' },
]

export const numbered = (first: number, last: number): string =>
  Array.from({ length: last - first + 1 }, (_, i) => `line ${first + i}`).join('\n')

export function environmentIn(text: string): Record<string, string> {
  const entries = text.split('\n').map((each) => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)] as const)
  return Object.fromEntries(entries.filter(([name]) => !ambient.includes(name)))
}

/** A promise that must not be waited for in vain. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let settled = false
  promise.then(
    () => (settled = true),
    () => (settled = true),
  )
  await until(() => settled, { what })
  return promise
}

/** Skips a test with a reason where a backend cannot do what it is about. */
export function needs<T>(context: TestContext, verb: T, reason: string): NonNullable<T> {
  if (verb === undefined) context.skip(reason)
  return verb!
}

/** The same, for what has no verb of its own. */
export function needsTo(context: TestContext, { server }: Stage, ability: Ability): void {
  const reason = server.backend.cannot?.[ability]
  if (reason !== undefined) context.skip(reason)
}
