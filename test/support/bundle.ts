import { builtinModules } from 'node:module'
import type { Plugin } from 'esbuild'

/** Stands in for a bundler that makes something for the edge: what is Node's is refused, as it would be there. */
export const noNode: Plugin = {
  name: 'no-node',
  setup({ onResolve }) {
    onResolve({ filter: /.*/ }, ({ path, importer }) =>
      path.startsWith('node:') || builtinModules.includes(path)
        ? { errors: [{ text: `${path} is of Node, wanted by ${importer}` }] }
        : undefined,
    )
  },
}
