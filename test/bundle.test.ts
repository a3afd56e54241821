import { build } from 'esbuild'
import { describe, expect, test } from 'vitest'
import { noNode } from './support/bundle.ts'

async function bundle(entry: string): Promise<{ text: string; inputs: string[] }> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: entry, resolveDir: process.cwd(), loader: 'ts' },
    bundle: true,
    write: false,
    minify: true,
    metafile: true,
    format: 'esm',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    conditions: ['workerd', 'worker', 'browser'],
    plugins: [noNode],
    logLevel: 'silent',
  })
  return { text: outputFiles[0]!.text, inputs: Object.keys(metafile.inputs) }
}

describe('a bundle for where there is no Node', () => {
  test('holds the app, the runtime and the agents', async () => {
    const { text, inputs } = await bundle("export * from './src/portable.ts'\nexport * from './src/client.ts'")
    expect(inputs.filter((path) => path.startsWith('src/plugins/agents/')).length).toBeGreaterThan(5)
    expect(inputs.filter((path) => /\/(?:here|tmux|entry|cli)\/|storage\/files/.test(path))).toEqual([])
    // A dependency that doubles it should be noticed.
    expect(text.length).toBeLessThan(400_000)
  })

  test.each(['src/index.ts', 'src/node.ts', 'src/plugins/backends/tmux/tmux.ts'])('%s is refused', async (path) => {
    await expect(bundle(`export * from './${path}'`)).rejects.toThrow('is of Node')
  })
})
