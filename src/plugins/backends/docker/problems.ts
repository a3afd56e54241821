import { InstarError } from '../../../runtime/error.ts'
import { clientOf, type DockerOptions } from './options.ts'

export const isGone = (stderr: string): boolean => /no such (?:container|object)/i.test(stderr)
export const isUnreachable = (stderr: string): boolean =>
  /cannot connect to|is the docker daemon running|permission denied while trying to connect|error during connect/i.test(stderr)

/** What docker's client says, as an error that says what to do. */
export function problemOf(stderr: string, options: Pick<DockerOptions, 'image' | 'program' | 'host' | 'context'>): InstarError {
  const { image, program = 'docker' } = options
  if (/permission denied while trying to connect/i.test(stderr))
    return unavailable(program, `this user may not use the daemon of ${program}: add it to the group docker`)
  if (isUnreachable(stderr)) return unavailable(program, `the daemon of ${program} does not run, or cannot be reached${whereIn(stderr)}`)
  // The words of a shell.
  if (new RegExp(`: ${program.replace(/[^\\w/-]/g, '.')}: (?:command )?not found`).test(stderr)) return notInstalled(program)
  if (/no such image|image not known/i.test(stderr))
    return failed(`there is no image ${image}: build it, or type ${clientOf(options).join(' ')} pull ${image}`)
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  const said =
    lines.findLast((line) => /^(?:docker|Error|Error response from daemon): /.test(line)) ?? lines[0] ?? `${program} says nothing`
  return failed(said.replace(/^(?:(?:docker|Error response from daemon|Error): )+/, '').replace(/\.?\s*$/, ''))
}

export const silent = (program: string, ms: number): InstarError =>
  unavailable(program, `the daemon of ${program} has not answered for ${ms / 1000} s`)

export const notInstalled = (program: string): InstarError =>
  unavailable(program, `${program} is not installed: ${/(?:^|\/)podman$/.test(program) ? ofPodman : ofDocker}`)
const ofPodman = 'apt-get install podman catatonit, or see https://podman.io/docs/installation'
const ofDocker = 'apt-get install docker.io, or see https://docs.docker.com/engine/install/'

export const outside = (cwd: string, roots: readonly string[]): InstarError =>
  new InstarError(
    'invalid_request',
    `Cannot start a container in ${cwd}: it may only see ${roots.join(', ') || 'no directory'}, the roots of its backend`,
    {
      field: 'cwd',
    },
  )

export const failed = (problem: string) => new InstarError('backend_failed', `Cannot start a container: ${problem}`)
const unavailable = (program: string, problem: string) =>
  new InstarError('backend_unavailable', `Cannot ask ${program} for a container: ${problem}`)

/** Where the client looked for its daemon, or what it met there. */
function whereIn(stderr: string): string {
  const [, address] = /daemon at (\S+?)\.? Is the/.exec(stderr) ?? []
  if (address !== undefined) return ` at ${address}`
  const [, met] = /error during connect: (?:\w+ "[^"]*": )?(.*)/i.exec(stderr) ?? []
  return met === undefined ? '' : `: ${met.replace(/\.?\s*$/, '')}`
}
