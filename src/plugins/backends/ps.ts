import type { Process } from './place.ts'

/** The variable by which a session's processes are known that have left its process tree; see `Command.env`. */
export const mark = 'INSTAR_SESSION_ID'

export const processColumns = 'pid=,ppid=,pgid=,tty=,stat='

/** What `ps -o` with those columns printed. Zombies are left out: they have ended. */
export function parseProcesses(text: string): Process[] {
  return text.split('\n').flatMap((row) => {
    const [pid, parent, group, tty = '?', state = ''] = row.trim().split(/\s+/)
    return state === '' || state.startsWith('Z') ? [] : [{ pid: Number(pid), parent: Number(parent), group: Number(group), tty }]
  })
}
