import { join, relative } from 'node:path/posix'
import { insideOf, type Boxed } from '../box.ts'
import type { Argv } from '../place.ts'
import { isWithin, type DockerOptions } from './options.ts'

/** Labels by which containers are found again. */
export const labels = { id: 'instar.session', name: 'instar.name', server: 'instar.server' } as const

export const containerName = (id: string): string => `instar-${id}`

export interface Surroundings {
  /** A name that no other server uses. */
  readonly server: string
  readonly user: string
  /** What the server keeps: a container sees its own part only. */
  readonly hidden: readonly string[]
  /** What hooks ring when their signals are followed from another machine; see `ring`. */
  readonly bell: string | null
  /** The programs' HOME, which outlives containers: agents keep their conversations there. */
  readonly home: string
  /** The root that is mounted whole, or the directory that is mounted in place of `cwd`. */
  readonly project: { readonly source: string; readonly target: string }
}

interface Mount {
  readonly source: string
  readonly target: string
  readonly readOnly?: boolean | undefined
}

/** The arguments of `docker run` that look at what a session would find, in a container that is gone afterwards. Pure. */
export function lookArguments(argv: Argv, options: DockerOptions, { user, home }: Pick<Surroundings, 'user' | 'home'>): string[] {
  const [program, ...words] = argv
  return [
    '--rm',
    '--pull=never',
    '--log-driver=none',
    ...rights(options, user),
    ...given('network', options.network),
    ...[...mountsOf(options), { source: home, target: home }].map(bind),
    ...(options.args ?? []),
    `--entrypoint=${program}`,
    options.image,
    ...words,
  ]
}

/** The arguments of `docker run` for a session. No secret stands in them. Pure. */
export function runArguments({ id, name, directory }: Boxed, options: DockerOptions, around: Surroundings): string[] {
  const { project, home } = around
  const inside = insideOf(directory)
  const mounts: Mount[] = [
    { ...project, readOnly: options.mount === 'read-only' },
    ...mountsOf(options),
    { source: home, target: home },
    { source: inside, target: inside },
    // What programs outside read and write by name stands on its own, so that nobody inside can put another file there.
    { source: `${directory}/signals.jsonl`, target: `${inside}/signals.jsonl` },
    { source: `${directory}/answers`, target: `${inside}/answers` },
    ...(around.bell === null ? [] : [{ source: around.bell, target: around.bell }]),
  ]
  // A project has the server's own files in it: its token, and what other sessions are given.
  const seen = mounts.flatMap(({ source, target }) =>
    around.hidden.filter((path) => isWithin(source, path)).map((path) => join(target, relative(source, path))),
  )
  const hidden = [...new Set(seen)].filter((path) => !seen.some((other) => other !== path && isWithin(other, path)))
  const memory = [...new Set([...(options.readOnly ? ['/tmp'] : []), ...(options.tmpfs ?? [])])]
  return [
    `--name=${containerName(id)}`,
    `--hostname=${name.slice(0, 63)}`,
    ...Object.entries({ ...options.labels, [labels.id]: id, [labels.name]: name, [labels.server]: around.server }).map(
      ([label, value]) => `--label=${label}=${value}`,
    ),
    '--interactive',
    '--tty',
    '--init',
    '--pull=never',
    // The terminal server keeps the log.
    '--log-driver=none',
    '--workdir=/',
    ...rights(options, around.user),
    ...given('network', options.network),
    ...given('memory', options.memory),
    // Without this the container may use as much swap again.
    ...given('memory-swap', options.memory),
    ...given('cpus', options.cpus),
    ...given('pids-limit', options.pids),
    ...(options.readOnly ? ['--read-only'] : []),
    // An empty volume, which goes with the container. One in memory would take the rights of what it hides, and let only root through.
    ...hidden.map((target) => `--mount=${csv(['type=volume', `target=${target}`])}`),
    ...memory.map((target) => `--mount=${csv(['type=tmpfs', `target=${target}`])}`),
    ...mounts.map(bind),
    ...(options.args ?? []),
    '--entrypoint=sh',
    options.image,
    `${inside}/run.sh`,
    inside,
  ]
}

const rights = ({ user, capabilities = [], newPrivileges }: DockerOptions, own: string): string[] => [
  `--user=${user ?? own}`,
  '--cap-drop=ALL',
  ...capabilities.map((capability) => `--cap-add=${capability}`),
  ...(newPrivileges ? [] : ['--security-opt=no-new-privileges']),
]

const mountsOf = ({ mounts = [] }: DockerOptions): Mount[] =>
  mounts.map(({ source, target = source, readOnly }) => ({ source, target, readOnly }))

const given = (flag: string, value: string | number | undefined): string[] => (value === undefined ? [] : [`--${flag}=${value}`])

const bind = ({ source, target, readOnly }: Mount): string =>
  `--mount=${csv(['type=bind', `source=${source}`, `target=${target}`, ...(readOnly ? ['readonly'] : [])])}`

/** The value of `--mount`, which docker reads as a line of CSV. */
const csv = (fields: readonly string[]): string =>
  fields.map((field) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(',')
