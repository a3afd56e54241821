import { join } from 'node:path/posix'
import type { Agent } from '../../runtime/agent.ts'
import { isTooLong } from './text.ts'

/**
 * Any command: the prompt is the command line, run with `sh -c`; `args` become its `$1`, `$2`, …. It is `running` from
 * its start to its end: nothing tells when a program waits for input.
 */
export function shell(): Agent {
  return {
    plan({ prompt, args, env, cwd, size }, directory) {
      const long = isTooLong(prompt)
      return {
        argv: long ? ['sh', join(directory, 'prompt'), ...args] : ['sh', '-c', prompt, 'sh', ...args],
        env,
        cwd,
        files: long ? { prompt } : {},
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
