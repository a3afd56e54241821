import { isAbsolute, normalize } from 'node:path/posix'
import { InstarError } from '../../../runtime/error.ts'
import type { Argv, PlacedFactory } from '../place.ts'

export interface DockerOptions {
  /** Where the terminals and the daemon are, such as `ssh({ host })`. Default: this machine. */
  readonly on?: PlacedFactory
  /** See `Backend.maxSessions`. */
  readonly maxSessions?: number
  /** An image with `sh`. */
  readonly image: string
  /** Pull the image when it is not there. Default false. */
  readonly pull?: boolean
  /**
   * How a session's directory gets into the container, at the same path: mounted `read-write` (the default) or `read-only`;
   * false mounts an empty directory, which a hook may fill and which goes with the session.
   */
  readonly mount?: 'read-write' | 'read-only' | false
  /** The directories that may be mounted, each whole; a session runs in one of them or below. Default: the project's, which on another machine is most often not there. */
  readonly roots?: readonly string[]
  readonly mounts?: readonly DockerMount[]
  /** `<uid>[:<gid>]`. Default: who runs the terminals, so that files belong to the same user inside and outside. */
  readonly user?: string
  /** Default: docker's own, a bridge. */
  readonly network?: string
  /** Such as `2g`. */
  readonly memory?: string
  /** Such as 1.5. */
  readonly cpus?: number
  /** How many processes there may be. */
  readonly pids?: number
  /** The image's own files cannot be written to; /tmp can. Default false. */
  readonly readOnly?: boolean
  /** Further directories in memory. */
  readonly tmpfs?: readonly string[]
  /** Capabilities the container has. Default none. */
  readonly capabilities?: readonly string[]
  /** Allow that programs inside get more rights than they began with, as sudo does. Default false. */
  readonly newPrivileges?: boolean
  readonly labels?: Readonly<Record<string, string>>
  /** Further options for `docker create`. */
  readonly args?: readonly string[]
  /** The client, such as `podman`. Default: `docker` on the PATH. */
  readonly program?: string
  /** As `docker --host`. The daemon has to be on the machine of the terminals, whose directories it mounts. Default: DOCKER_HOST, or docker's own. */
  readonly host?: string
  /** As `docker --context`. */
  readonly context?: string
}

export interface DockerMount {
  readonly source: string
  /** Default: the same as `source`. */
  readonly target?: string
  readonly readOnly?: boolean
}

/** What is wrong with options is said when the config is read. */
export function checked(options: DockerOptions): DockerOptions {
  const refuse = (field: string, value: unknown, problem: string) => {
    throw new InstarError('invalid_request', `Cannot use docker({ ${field}: ${JSON.stringify(value)} }): ${problem}`, { field })
  }
  const { image, user, roots = [], mounts = [], tmpfs = [] } = options
  if (typeof image !== 'string' || !/^[A-Za-z0-9][^\s\0]*$/.test(image)) refuse('image', image, 'an image is named like debian:12')
  if (user !== undefined && !/^\d+(?::\d+)?$/.test(user)) refuse('user', user, 'it has to be numbers, <uid> or <uid>:<gid>')
  const paths = [
    ...roots.map((path) => ['roots', path] as const),
    ...mounts.flatMap(({ source, target = source }) => [['mounts', source] as const, ['mounts', target] as const]),
    ...tmpfs.map((path) => ['tmpfs', path] as const),
  ]
  for (const [field, path] of paths) if (!isAbsolute(path) || path.includes('\0')) refuse(field, path, 'a path has to begin with /')
  return options
}

/** The client, and which daemon it is to ask. */
export const clientOf = ({ program = 'docker', host, context }: Pick<DockerOptions, 'program' | 'host' | 'context'>): Argv => [
  program,
  ...(host ? [`--host=${host}`] : []),
  ...(context ? [`--context=${context}`] : []),
]

/** Whether a path is a directory or in it, whatever dots are in it. */
export function isWithin(directory: string, path: string): boolean {
  const [outer, inner] = [directory, path].map((each) => normalize(`${each}/`)) as [string, string]
  return inner.startsWith(outer)
}
