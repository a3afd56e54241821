import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pack } from 'tar-stream'
import { unreadable, type Entry } from './collect.ts'

export interface Archive {
  readonly bytes: Uint8Array
  /** What tells it from others. */
  readonly digest: string
}

/** A tar archive of entries of a project. The same entries make the same archive, on whatever machine and by whomever. */
export async function archive(project: string, entries: readonly Entry[]): Promise<Archive> {
  const tar = pack()
  const chunks: Buffer[] = []
  const written = (async () => {
    for await (const chunk of tar) chunks.push(chunk as Buffer)
  })()
  for (const entry of entries) await put(tar, project, entry)
  tar.finalize()
  await written
  const bytes = Buffer.concat(chunks)
  return { bytes, digest: createHash('sha256').update(bytes).digest('hex') }
}

const same = { uid: 0, gid: 0, uname: '', gname: '', mtime: new Date(0) }

async function put(tar: ReturnType<typeof pack>, project: string, entry: Entry): Promise<void> {
  // One that begins with a hyphen would be an option of some programs.
  const name = `./${entry.path}`
  switch (entry.type) {
    case 'directory':
      // Whoever unpacks it has to get into it.
      return added(tar, { ...same, name, type: 'directory', mode: entry.mode | 0o700 })
    case 'link':
      return added(tar, { ...same, name, type: 'symlink', linkname: entry.target })
    case 'file':
      return added(tar, { ...same, name, mode: entry.mode }, await readFile(join(project, entry.path)).catch(unreadable(entry.path)))
  }
}

const added = (tar: ReturnType<typeof pack>, header: Parameters<typeof tar.entry>[0], content: Buffer | string = ''): Promise<void> =>
  new Promise((resolve, reject) => {
    tar.entry(header, content as Buffer, (error) => (error ? reject(error) : resolve()))
  })
