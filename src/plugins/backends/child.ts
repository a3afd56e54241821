import { execa } from 'execa'
import type { LocalProcess } from './place.ts'

/** How much of what a child says of itself is kept, for the reason why it ended. */
export const complaintLength = 4000

/**
 * A process of this machine that lives as long as a connection. In its own process group: a Ctrl-C that ends this server in
 * a terminal must not end the connection first. `complaint` is the last of what it wrote to its standard error.
 */
export function startChild({ argv: [file, ...args], env }: LocalProcess) {
  const child = execa(file, args, {
    env,
    extendEnv: false,
    cwd: '/',
    detached: true,
    reject: false,
    buffer: false,
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  let complaint = ''
  child.stdin.on('error', () => {})
  child.stderr.on('data', (bytes: Buffer) => (complaint = (complaint + bytes.toString()).slice(-complaintLength)))
  return { child, complaint: () => complaint }
}
