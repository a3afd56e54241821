import { inheritedEnvironment } from '../../../runtime/config.ts'
import type { Ran } from '../../../runtime/backend.ts'
import { InstarError } from '../../../runtime/error.ts'

export type Environment = Readonly<Record<string, string>>

/** A profile that takes longer is done without. */
export const profileTimeoutMs = 8000

const begin = 'instar-environment'

/** Runs in the account's own shell as at a login, and prints the environment after whatever its profile prints. */
export const printLogin = `exec "\${SHELL:-/bin/sh}" -l -c 'echo; echo ${begin}; exec env'`

/**
 * The environment of a login, as far as a session may see it: programs are often found by what the profile says, which a
 * command over ssh does not read. `plain` is the environment of such a command.
 */
export async function loginEnvironment(plain: Environment, run: () => Promise<Ran>): Promise<Environment> {
  const { code, stdout } = await run().catch((error: unknown) => {
    if (error instanceof InstarError && error.code === 'backend_unavailable') throw error
    return { code: 1, stdout: '' }
  })
  const told = code === 0 ? stdout.split(`\n${begin}\n`)[1] : undefined
  return inheritedEnvironment({ ...plain, ...parseEnvironment(told ?? '') })
}

/** What env(1) printed. Of a value with several lines the first is taken. */
export function parseEnvironment(text: string): Environment {
  const env: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const [, name, value] = /^([A-Za-z_]\w*)=(.*)$/.exec(line) ?? []
    if (name !== undefined) env[name] = value!
  }
  return env
}
