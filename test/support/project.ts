import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer } from '../../src/entry/node.ts'
import type { Server } from '../../src/entry/server.ts'
import { socketName, stateDirectory } from '../../src/entry/settings.ts'
import { endServer } from './tmux.ts'

export interface Project {
  readonly directory: string
  readonly server: Server
  close(): Promise<void>
}

/** A whole server, in this process, for a project of its own on a free port. */
export async function startProject(
  environment: NodeJS.ProcessEnv = { PATH: process.env['PATH'], HOME: process.env['HOME'] },
): Promise<Project> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'instar-project-')))
  const server = await startServer({ dir: directory, port: '0' }, environment)
  return {
    directory,
    server,
    async close() {
      await Promise.allSettled(server.runtime.list().map(({ id }) => server.runtime.end(id)))
      await server.close()
      await endServer(socketName(stateDirectory(directory)))
      await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    },
  }
}

/** The shell commands of a document: everything in its `sh` blocks, in order. */
export const shellBlocks = (markdown: string): string[] => [...markdown.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]!)
