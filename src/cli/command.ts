import { parseArgs } from 'node:util'
import type { ArgsDef, CommandDef } from 'citty'

/** What a person typed wrong: one line, and exit code 2. */
export class UsageError extends Error {}

/** What a person typed, by the table of a command's arguments. */
export interface Typed<Name extends string = string> {
  /** Everything that is not an option, in order; what follows `--` is never one. */
  readonly words: readonly string[]
  flag(name: Name): boolean
  /** The last value of an option. */
  option(name: Name): string | undefined
  /** Every value of an option that may be repeated. */
  options(name: Name): readonly string[]
}

interface Definition<T extends ArgsDef> {
  readonly name: string
  readonly description: string
  /** The last positional takes several words when its name ends with `...`; an option whose hint is in brackets may stand without a value, which is then empty. */
  readonly args: T
  readonly run: (typed: Typed<keyof T & string>) => Promise<void>
}

/** Where the project is, for the commands that need one. */
export const dir = {
  type: 'string',
  description: 'The project (default: the one around the working directory)',
  valueHint: 'PROJECT',
} as const
export const json = { type: 'boolean', description: 'Print JSON' } as const

/** A command of the CLI. Unknown options and surplus words are usage errors: a misspelt one is not silently without effect. */
export function command<const T extends ArgsDef>({ args, run, ...meta }: Definition<T>): CommandDef {
  return { meta, args, run: ({ rawArgs }) => run(parse(rawArgs, args)) }
}

/** Pure. Throws `UsageError`. */
export function parse(rawArgs: readonly string[], args: ArgsDef): Typed {
  const names = Object.keys(args)
  const positionals = names.filter((name) => args[name]!.type === 'positional')
  const options = names.filter((name) => args[name]!.type !== 'positional')
  const isOpen = positionals.at(-1)?.endsWith('...') === true
  const { values, positionals: words } = strictly(
    withEmpty(rawArgs, args),
    Object.fromEntries(options.map((name) => [name, { type: args[name]!.type === 'boolean' ? 'boolean' : 'string', multiple: true }])),
    isOpen,
  )
  const surplus = words[positionals.length]
  if (surplus !== undefined && !isOpen) throw new UsageError(`Unexpected argument "${surplus}"`)
  return {
    words,
    flag: (name) => values[name]?.at(-1) === true,
    option: (name) => values[name]?.at(-1)?.toString(),
    options: (name) => values[name]?.map(String) ?? [],
  }
}

/** node:util knows no options whose value may be left out. */
function withEmpty(rawArgs: readonly string[], args: ArgsDef): string[] {
  const end = rawArgs.includes('--') ? rawArgs.indexOf('--') : rawArgs.length
  const isBare = (arg: string) => {
    const { valueHint = '' } = args[arg.slice(2)] ?? ({} as { valueHint?: string })
    return arg.startsWith('--') && valueHint.startsWith('[')
  }
  return rawArgs.map((arg, index) => (index < end && isBare(arg) ? `${arg}=` : arg))
}

function strictly(args: readonly string[], options: Record<string, { type: 'boolean' | 'string'; multiple: true }>, isOpen: boolean) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    const [problem = ''] = (error as Error).message.split('. ')
    const isUnknown = (error as NodeJS.ErrnoException).code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION'
    throw new UsageError(isUnknown && isOpen ? `${problem}; put -- before words that begin with a hyphen` : problem, { cause: error })
  }
}
