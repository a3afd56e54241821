import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { execa } from 'execa'

/** git by hand. Nothing that whoever runs the tests has configured matters. */
export async function git(directory: string, ...args: readonly string[]): Promise<string> {
  const env = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' }
  const { stdout } = await execa('git', ['-c', 'protocol.file.allow=always', '-C', directory, ...args], { env })
  return stdout
}

export async function write(directory: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), content)
  }
}

/** A repository with the files in one commit, on `main`. */
export async function makeRepository(directory: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  await mkdir(directory, { recursive: true })
  await git(directory, 'init', '-q', '-b', 'main')
  await git(directory, 'config', 'user.name', 'Tester')
  await git(directory, 'config', 'user.email', 'tester@example.com')
  await write(directory, files)
  await git(directory, 'add', '-A')
  await git(directory, 'commit', '-q', '-m', 'first')
  return directory
}
