import { docker, type DockerOptions } from '../../src/plugins/backends/docker/docker.ts'
import type { Dockerd } from './dockerd.ts'
import { openPlace, type TmuxPlace } from './tmux.ts'

interface Container {
  readonly Id: string
  readonly Name: string
  readonly State: { readonly Running: boolean; readonly Pid: number }
  readonly Config: object
  readonly HostConfig: object
}

export interface DockerPlace extends TmuxPlace {
  /** A new backend with further options. */
  with(options: Partial<DockerOptions>): ReturnType<TmuxPlace['backend']>
  /** The container of a session, as the daemon tells it; null when there is none. */
  container(id: string): Promise<Container | null>
}

/** A place whose sessions run in containers of a daemon. */
export async function openDockerPlace(
  { host, image, docker: ask }: Pick<Dockerd, 'host' | 'image' | 'docker'>,
  options: (place: TmuxPlace) => Partial<DockerOptions> = () => ({}),
): Promise<DockerPlace> {
  const place = await openPlace()
  const make = (more: Partial<DockerOptions> = {}) =>
    docker({ image, host, network: 'host', ...options(place), ...more })({
      directory: place.state,
      socket: place.socket,
      project: place.directory,
    })
  const containers = async () =>
    (await ask('ps', '--all', '--quiet', '--filter', `label=instar.server=${place.socket}`)).split('\n').filter((id) => id !== '')
  return {
    ...place,
    // A container takes 0.3 s of a machine with two cores, and a network of its own another 0.1 s.
    many: 12,
    backend: () => make(),
    with: make,
    async container(id) {
      const found = await ask('ps', '--all', '--quiet', '--filter', `label=instar.session=${id}`)
      return found === '' ? null : JSON.parse(await ask('inspect', '--format={{json .}}', found))
    },
    async running(id, pids) {
      const found = await ask('ps', '--quiet', '--filter', `label=instar.session=${id}`)
      if (found === '') return []
      const script = 'for pid; do case $(cat "/proc/$pid/stat" 2>/dev/null) in ""|*") Z "*) ;; *) echo "$pid" ;; esac; done'
      return (await ask('exec', found, 'sh', '-c', script, 'sh', ...pids)).split('\n').filter((pid) => pid !== '')
    },
    async cleanup() {
      try {
        const left = await containers()
        if (left.length > 0) await ask('rm', '--force', '--volumes', ...left)
      } finally {
        await place.cleanup()
      }
    },
  }
}
