import type { Process } from './place.ts'

/** The variable by which a session's processes are known that have left its process tree; see `Command.env`. */
export const mark = 'INSTAR_SESSION_ID'

/** What is asked of `ps -A -o`: the first, and of a ps that knows no `sid`, which is that of macOS, the second. */
export const processColumns = ['pid=,ppid=,pgid=,sid=,stat=', 'pid=,ppid=,pgid=,tty=,stat='] as const

/** What `ps -o` with those columns printed. Zombies are left out: they have ended. */
export function parseProcesses(text: string): Process[] {
  return text.split('\n').flatMap((row) => {
    const [pid, parent, group, session = '', state = ''] = row.trim().split(/\s+/)
    return state === '' || state.startsWith('Z') ? [] : [{ pid: Number(pid), parent: Number(parent), group: Number(group), session }]
  })
}
