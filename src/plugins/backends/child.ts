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

/** Why a program did not even start, of what execa says of it; null when it did, or nothing is known. */
export function notStarted(
  program: string,
  { code, cause }: { readonly code?: string | undefined; readonly cause?: unknown },
): string | null {
  if (code === 'ENOENT') return `${program} is not installed on this machine`
  return (cause as Error | undefined)?.name === 'NotCapable' ? `Deno lacks the permission --allow-run=${program}` : null
}
