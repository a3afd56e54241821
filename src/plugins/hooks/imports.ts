import { join, relative } from 'node:path/posix'

/**
 * The files that a text imports, as claude and gemini take `@path`: after white space, outside of code, relative to the
 * file that holds it. Those within the project only, relative to it. `from` is the file's own path in the project. Pure.
 */
export function importsOf(text: string, from: string, project: string): string[] {
  const prose = text.replace(/^ {0,3}(`{3,}|~{3,})[^]*?(?:^ {0,3}\1[`~]*[ \t]*$|$(?![^]))/gm, '').replace(/(`+)(?!`)[^]*?[^`]\1(?!`)/g, '')
  const paths = [...prose.matchAll(/(?:^|\s)@((?:[^\s\\]|\\ )+)/g)].map(([, path]) => path!.replaceAll('\\ ', ' ').replace(/#.*$/, ''))
  return paths.flatMap((path) => {
    if (path === '' || path.startsWith('~')) return []
    const inside = (path.startsWith('/') ? relative(project, path) : join(from, '..', path)).replace(/\/$/, '')
    return inside.startsWith('../') || ['', '.', '..'].includes(inside) ? [] : [inside]
  })
}

/** How deep they may be nested, as claude follows them. */
const maxDepth = 5

/**
 * The files that are imported by `roots`, directly or by each other. `read` gives their texts; null for one that is not there.
 */
export async function imported(
  roots: readonly string[],
  project: string,
  read: (paths: readonly string[]) => Promise<readonly (string | null)[]>,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>()
  let left = roots
  for (let depth = 0; depth <= maxDepth && left.length > 0; depth++) {
    const texts = await read(left)
    const next = new Set(left.flatMap((path, index) => importsOf(texts[index] ?? '', path, project)))
    left = [...next].filter((path) => !found.has(path) && !roots.includes(path))
    for (const path of next) found.add(path)
  }
  return found
}
