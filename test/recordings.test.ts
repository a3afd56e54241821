import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { codex } from '../src/plugins/agents/codex.ts'
import { gemini } from '../src/plugins/agents/gemini.ts'
import { opencode } from '../src/plugins/agents/opencode.ts'

const agents = { codex: codex(), gemini: gemini(), opencode: opencode() }

/** What stands in the composer of each screen: nothing, a person's text, or what is no composer to type into. Claude Code's are in text.test.ts. */
it.each([
  ['codex', 'idle', /^$/],
  ['codex', 'draft', /^half a thought$/],
  ['codex', 'busy', /^$/],
  ['gemini', 'idle', /^$/],
  ['gemini', 'draft', /^half a thought$/],
  ['gemini', 'busy', /^$/],
  ['opencode', 'idle', /^$/],
  ['opencode', 'draft', /^half a thought$/],
  ['opencode', 'busy', /^$/],
] as const)('the composer of %s, %s', async (name, what, expected) => {
  const screen = await recording(name, what)
  expect(agents[name].draft!(screen)).toMatch(expected)
})

it.each(['gemini', 'opencode'] as const)('a text is not typed into the permission dialog of %s', async (name) => {
  const screen = await recording(name, 'permission')
  expect(agents[name].draft!(screen)).not.toBe('')
})

/** As a backend captures it: without blank lines at its end. */
async function recording(name: string, what: string): Promise<string> {
  return (await readFile(new URL(`recordings/${name}-${what}.txt`, import.meta.url), 'utf8')).trimEnd()
}
