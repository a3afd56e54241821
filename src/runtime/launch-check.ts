import type { Launch } from './types.ts'

/** What a hook did wrong to a launch, which somebody may have written without types; null when it is one. Pure. */
export function problemOfLaunch(launch: Launch): string | null {
  if (typeof launch !== 'object' || launch === null) return `it gave next() ${nameOf(launch)}, and not a launch`
  const { cwd, env, args, instructions, files, guards } = launch
  const problems = [
    typeof cwd !== 'string' && `cwd, which is ${nameOf(cwd)} and not a string`,
    wrongText('env', env),
    wrongText('files', files),
    !isTexts(args) && 'args, which is no array of strings',
    !isTexts(guards) && 'guards, which is no array of strings',
    !isInstructions(instructions) && 'instructions, which is no array of objects with a title and a text',
  ].filter((problem) => typeof problem === 'string')
  if (problems[0] !== undefined) return `it gave next() a launch with ${problems[0]}`
  const name = Object.keys(files).find((each) => !/^[^/\0]+$/.test(each) || each === '.' || each === '..')
  if (name !== undefined) return `it gave next() a file named ${JSON.stringify(name)}, which is no name in the session's directory`
  const guard = guards.find((each) => !Object.hasOwn(files, each))
  return guard === undefined ? null : `it gave next() the guard ${JSON.stringify(guard)}, which is not among the files`
}

/** The first entry that is no text. */
function wrongText(field: string, entries: unknown): string | false {
  if (typeof entries !== 'object' || entries === null) return `${field}, which is ${nameOf(entries)} and not an object`
  const [name, value] = Object.entries(entries).find(([, each]) => typeof each !== 'string') ?? []
  return name !== undefined && `${field}.${name}, which is ${nameOf(value)} and not a string`
}

const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every((each) => typeof each === 'string')

const isInstructions = (value: unknown): boolean =>
  Array.isArray(value) && value.every((each) => typeof each?.title === 'string' && typeof each.text === 'string')

const nameOf = (value: unknown): string =>
  value === null || value === undefined ? String(value) : typeof value === 'object' ? 'an object' : `a ${typeof value}`
