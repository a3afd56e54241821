import * as v from 'valibot'
import { InstarError } from '../../runtime/error.ts'
import type { OpencodeOptions } from './opencode.ts'

/** What the user gives in the same variable stays; our plugin and our instructions come after. */
export function settings(
  env: Readonly<Record<string, string>>,
  plugin: unknown,
  permission: OpencodeOptions['permission'],
  told: readonly string[],
): string {
  const given = v.safeParse(settingsSchema, env['OPENCODE_CONFIG_CONTENT'] || '{}')
  if (!given.success)
    throw new InstarError('invalid_request', 'Cannot spawn a session: OPENCODE_CONFIG_CONTENT is not a JSON object', { field: 'env' })
  const { plugin: plugins, instructions, permission: theirs = {}, ...rest } = given.output
  const both = { ...(typeof theirs === 'string' ? { '*': theirs } : theirs), ...permission }
  const all = [...instructions, ...told]
  return JSON.stringify({
    ...rest,
    plugin: [...plugins, plugin],
    ...(all.length > 0 ? { instructions: all } : {}),
    ...(Object.keys(both).length > 0 ? { permission: both } : {}),
  })
}

const settingsSchema = v.pipe(
  v.string(),
  v.regex(/^\s*\{/),
  v.parseJson(),
  v.looseObject({
    plugin: v.optional(v.array(v.unknown()), []),
    instructions: v.optional(v.array(v.unknown()), []),
    permission: v.optional(v.union([v.string(), v.record(v.string(), v.unknown())])),
  }),
)
