import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { importSmall, unmount } from './dockerd.ts'

/** A podman with a store of its own, that nobody else knows of. It has no daemon. */
export interface Podman {
  readonly program: string
  /** As `Dockerd.image`. */
  readonly image: string
  /** Runs it. Resolves to what it prints. */
  podman(...args: readonly string[]): Promise<string>
  /** Removes everything, with all its containers. */
  close(): Promise<void>
}

/** Needs root. */
export async function openPodman(): Promise<Podman> {
  const root = await realpath(await mkdtemp(join(tmpdir(), 'instar-podman-')))
  const program = join(root, 'podman')
  const podman = async (...args: readonly string[]) => (await execa(program, args, { timeout: 60_000 })).stdout

  async function close(): Promise<void> {
    await podman('rm', '--all', '--force', '--volumes').catch(() => {})
    await unmount(root)
    await rm(root, { recursive: true, force: true })
  }

  try {
    const config = join(root, 'containers.conf')
    // Limits that nobody needs a capability for, and what works with every kind of control groups.
    await writeFile(
      config,
      `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
`,
    )
    const store = `--root=${root}/data --runroot=${root}/run --tmpdir=${root}/tmp --storage-driver=vfs`
    await writeFile(program, `#!/bin/sh\nCONTAINERS_CONF=${config} exec podman ${store} "$@"\n`, { mode: 0o755 })
    const image = 'instar-test:small'
    await importSmall(root, podman, image)
    return { program, image, podman, close }
  } catch (error) {
    await close()
    throw error
  }
}
