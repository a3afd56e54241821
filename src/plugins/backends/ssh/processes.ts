import type { PlaceProcesses } from '../place.ts'
import { mark, parseProcesses, processColumns } from '../ps.ts'
import { shellQuote } from '../quote.ts'
import type { Shell } from './shell.ts'

/** Processes of another machine, as its ps(1) tells them. */
export function processes(shell: () => Promise<Shell>): PlaceProcesses {
  const ask = async (snippet: string) => (await (await shell()).ask(snippet))?.toString('utf8') ?? ''
  let marks: Promise<string> | null = null

  return {
    async list() {
      const [first, second] = processColumns.map(
        (columns) =>
          `ps -A ${columns
            .split(',')
            .map((column) => `-o ${column}`)
            .join(' ')}`,
      )
      return parseProcesses(await ask(`instar_ps=$(${first} 2>/dev/null) || instar_ps=$(${second}); printf '%s\\n' "$instar_ps"`))
    },
    async marked(id) {
      // Many sessions that end together share one look at all processes. The bracket keeps sed from finding itself.
      marks ??= ask(
        `case $(uname) in Darwin) instar_ps=-AEww ;; *) instar_ps=axeww ;; esac
ps "$instar_ps" -o pid= -o command= | sed -n 's/^ *\\([0-9][0-9]*\\) .*[ ]${mark}=\\([^ ]*\\).*/\\1 \\2/p'`,
      ).finally(() => (marks = null))
      const rows = (await marks).split('\n').map((row) => row.split(' '))
      return rows.flatMap(([pid, owner]) => (owner === id ? [Number(pid)] : []))
    },
    async find(words) {
      const pid = await ask(
        `ps -A -ww -o pid= -o args= | while read -r instar_pid instar_args; do case $instar_args in *${shellQuote(words)}) echo "$instar_pid"; break ;; esac; done`,
      )
      return pid.trim() === '' ? null : Number.parseInt(pid, 10)
    },
    async signal(pids, name) {
      // 0 and negative numbers are groups.
      const all = pids.filter((pid) => Number.isInteger(pid) && pid > 1)
      if (all.length === 0) return []
      const kill = `kill -${name?.slice(3) ?? '0'} "$instar_pid"`
      const there = await ask(
        `for instar_pid in ${all.join(' ')}; do ${kill} 2>/dev/null || case $(${kill} 2>&1) in *ermitted*) ;; *) continue ;; esac; echo "$instar_pid"; done`,
      )
      return there
        .split('\n')
        .filter((pid) => pid !== '')
        .map(Number)
    },
  }
}
