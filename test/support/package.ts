import { cp, mkdir, readFile, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { execa } from 'execa'

/** What `npm pack` makes of this tree, built anew. */
export async function pack(root: string): Promise<string> {
  const tree = join(root, 'tree')
  await mkdir(tree)
  for (const name of ['src', 'skills', 'CHANGELOG.md', 'package.json', 'tsconfig.json', 'tsconfig.build.json'])
    await cp(name, join(tree, name), { recursive: true })
  await symlink(join(process.cwd(), 'node_modules'), join(tree, 'node_modules'))
  const { stdout } = await execa('npm', ['pack', '--json', '--pack-destination', root], { cwd: tree })
  const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf('['))) as [{ filename: string }]
  return join(root, filename)
}

/** As npm does, without a registry: what the package depends on is what is installed here. */
export async function unpack(tarball: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true })
  await execa('tar', ['-xzf', tarball, '-C', to, '--strip-components=1'])
  const { dependencies } = JSON.parse(await readFile(join(to, 'package.json'), 'utf8')) as { dependencies: Record<string, string> }
  const modules = dirname(to)
  for (const name of [...Object.keys(dependencies), 'vitest', '@types/node']) {
    await mkdir(dirname(join(modules, name)), { recursive: true })
    await symlink(join(process.cwd(), 'node_modules', name), join(modules, name))
  }
}
