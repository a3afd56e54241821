import type { Agent } from '../../runtime/agent.ts'
import { document, isTooLong } from './text.ts'

/**
 * Any command: the prompt is the command line, run with `sh -c`; `args` become its `$1`, `$2`, …. It is `running` from
 * its start to its end: nothing tells when a program waits for input. INSTAR_INSTRUCTIONS names a file with what hooks
 * tell an agent, when they do.
 */
export function shell(): Agent {
  return {
    plan({ prompt, args, env, cwd, size, instructions }, directory) {
      const long = isTooLong(prompt)
      const told = document(instructions)
      return {
        argv: long ? ['sh', `${directory}/prompt`, ...args] : ['sh', '-c', prompt, 'sh', ...args],
        env: told === '' ? env : { ...env, INSTAR_INSTRUCTIONS: `${directory}/instructions.md` },
        cwd,
        files: { ...(long ? { prompt } : {}), ...(told === '' ? {} : { 'instructions.md': told }) },
        size,
      }
    },
    read(sight) {
      if (sight.type !== 'launched') return null
      return { type: 'working', evidence: { source: 'process', rule: 'its launcher started the program', at: sight.at } }
    },
    interrupt: [{ type: 'key', key: 'C-c' }],
    type: (text) => [
      { type: 'paste', text },
      { type: 'key', key: 'Enter' },
    ],
  }
}
