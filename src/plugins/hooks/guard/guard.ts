import * as v from 'valibot'
import { defineHook, type Hook } from '../../../runtime/hook.ts'
import { guardRules, type GuardRule, type When } from './rules.ts'
import { guardProgram, guardScript, type GuardSettings } from './script.ts'

export interface GuardOptions {
  /** Names of branches that nobody may force-push or delete; `*` is any text. Default `main`, `master`, `release/*`. */
  readonly protectedBranches?: readonly string[]
  /** What is allowed all the same: ids of rules, or patterns of commands that begin with `^`; see `GuardRule`. */
  readonly allow?: readonly string[]
  /** Further rules. */
  readonly rules?: readonly GuardOwnRule[]
  /** What becomes of a command that cannot be judged, such as `eval "$(./settings)"`. It is told of either way. Default `allow`. */
  readonly unjudged?: 'allow' | 'deny'
}

/** A rule without its examples. */
export type GuardOwnRule = Pick<GuardRule, 'id' | 'why' | 'when'>

/** What a spawn may say: `allow` and `rules` are further ones, the others take the place of the config's. */
export interface GuardSpawnOptions {
  readonly protectedBranches?: string[] | undefined
  readonly allow?: string[] | undefined
  readonly rules?: GuardOwnRule[] | undefined
  readonly unjudged?: 'allow' | 'deny' | undefined
}

/**
 * Stops dangerous commands before the agent carries them out, and tells the agent why: see docs/guard.md. A net for
 * mistakes, not a wall: what runs in a program that the agent wrote is not seen.
 */
export function guard(options: GuardOptions = {}): Hook<GuardSpawnOptions> {
  const ids = guardRules.map(({ id }) => id)
  const own = v.parse(schemaOf(ids), options)

  function settingsOf(said: GuardSpawnOptions): GuardSettings {
    const allow = [...(own.allow ?? []), ...(said.allow ?? [])]
    const { protectedBranches = ['main', 'master', 'release/*'], unjudged = 'allow' } = { ...own, ...given(said) }
    const rules: readonly GuardOwnRule[] = [...guardRules, ...(own.rules ?? []), ...(said.rules ?? [])]
    return {
      rules: rules.filter(({ id }) => !allow.includes(id)),
      allow: allow.filter(isPattern),
      protectedBranches: protectedBranches.map(branchPattern),
      unjudged,
    }
  }
  /** Of a spawn that says nothing: it takes milliseconds to make. */
  let usual: ReturnType<typeof guardProgram> | null = null

  return defineHook<GuardSpawnOptions>({
    name: 'guard',
    isProtective: true,
    options: schemaOf([...ids, ...(own.rules ?? []).map(({ id }) => id)]),
    launch(launch, next, { options: said, runsGuards }) {
      if (!runsGuards) return next(launch)
      const settings = settingsOf(said ?? {})
      const program = said ? guardProgram(settings) : (usual ??= guardProgram(settings))
      const files = {
        'guard.sh': guardScript,
        'guard.awk': program(launch.cwd),
        ...(settings.unjudged === 'deny' ? { 'guard.deny': '' } : {}),
      }
      return next({ ...launch, files: { ...launch.files, ...files }, guards: [...launch.guards, 'guard.sh'] })
    },
  })
}

const given = <T extends object>(said: T): Partial<T> =>
  Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)) as Partial<T>

const isPattern = (entry: string): boolean => entry.startsWith('^')
const branchPattern = (name: string): string =>
  name
    .replaceAll(/[.+()[\]{}|^$\\]/g, '[$&]')
    .replaceAll('[^]', '\\^')
    .replaceAll('*', '.*')

// ---- what may be said ------------------------------------------------------------------------------------------------

/** What every awk takes for the same. */
const pattern = v.pipe(
  v.string(),
  v.minLength(1, 'it must not be empty'),
  v.maxLength(1000, 'it is too long'),
  v.check((text) => !/\p{Cc}/u.test(text), 'it must be one line'),
  v.check(
    (text) => !/\\[a-z0-9]|\(\?|(?<!\[)\{/i.test(text),
    'it must be an extended regular expression of POSIX, without \\d, (?…) and {n}',
  ),
  v.check(compiles, 'it is no regular expression'),
)
const name = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_.+*<>-]{1,60}$/, 'it must be the name of a program'))
const when = v.strictObject(
  {
    programs: v.pipe(v.array(name), v.minLength(1, 'it must name a program'), v.maxLength(50)),
    all: v.optional(v.pipe(v.array(pattern), v.maxLength(20))),
    unless: v.optional(v.pipe(v.array(pattern), v.maxLength(20))),
  },
  'it must be an object with programs, all and unless, and nothing else',
)
const rule = v.strictObject(
  {
    id: v.pipe(v.string(), v.regex(/^[a-z][a-z0-9-]{0,39}$/, 'it must be lower-case words with hyphens')),
    why: v.pipe(v.string(), v.minLength(1, 'it must say why'), v.maxLength(500, 'it is too long')),
    when: v.pipe(v.array(when), v.minLength(1, 'it must say when'), v.maxLength(50)),
  },
  'it must be an object with id, why and when, and nothing else',
)
const branch = v.pipe(v.string(), v.regex(/^[^\s~?:\\]{1,200}$/, 'it must be the name of a branch'))

/** `ids` are those of the rules that are there besides the ones that are said. */
function schemaOf(ids: readonly string[]) {
  const known = (rules: readonly GuardOwnRule[]) => [...ids, ...rules.map(({ id }) => id)]
  const unknown = ({ allow = [], rules = [] }: Said) => allow.find((entry) => !isPattern(entry) && !known(rules).includes(entry))
  return v.pipe(
    v.strictObject(
      {
        protectedBranches: v.optional(v.pipe(v.array(branch), v.maxLength(50))),
        allow: v.optional(v.pipe(v.array(pattern), v.maxLength(100))),
        rules: v.optional(v.pipe(v.array(rule), v.maxLength(100))),
        unjudged: v.optional(v.picklist(['allow', 'deny'], 'it must be allow or deny')),
      },
      'it must be an object with protectedBranches, allow, rules and unjudged, and nothing else',
    ),
    v.check(
      (said) => unknown(said) === undefined,
      ({ input }) => `"${unknown(input)}" in allow is no rule; a pattern begins with ^. Rules are ${known(input.rules ?? []).join(', ')}`,
    ),
  )
}
type Said = Pick<GuardSpawnOptions, 'allow' | 'rules'>

function compiles(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp
  } catch {
    return false
  }
}

export type { GuardRule, When as GuardWhen }
