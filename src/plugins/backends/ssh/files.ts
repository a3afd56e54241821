import { randomBytes } from 'node:crypto'
import { maxTextBytes, type PlaceFiles } from '../place.ts'
import { shellQuote } from '../quote.ts'
import type { Followers } from './followers.ts'
import type { Shell } from './shell.ts'
import { texts } from './texts.ts'

/** How long a hook that has told of its mailbox may take to open it. */
const openTimeoutMs = 1000
/** How long it may take to read an answer that is longer than a FIFO holds. */
const readTimeoutMs = 5000
const tryAgainMs = 15

/**
 * What the snippets below call. `instar_put` writes with a builtin, because what it writes must stand in no argument list;
 * where that fails, dash does not say why, and `cat` does when it is given the same.
 */
export const fileFunctions = `\
case $(command -v printf) in
  printf) instar_print() { printf %s "$1"; } ;;
  *) instar_print() { print -rn -- "$1"; } ;;
esac
instar_put() { instar_print "$1" >"$2" || { instar_print "$1" | cat >"$2"; false; }; }
instar_gone() { return 44; }
case $(date +%N) in *[!0-9]* | '') instar_fraction= ;; *) instar_fraction=.%N ;; esac
instar_entries() {
  instar_directory=$1
  set --
  for instar_file in "$instar_directory"/*.json; do [ -f "$instar_file" ] && set -- "$@" "$instar_file"; done
  [ "$#" -eq 0 ] || grep '' /dev/null "$@" | head -c ${maxTextBytes}
}
instar_written() { date -r "$1" "+%s$instar_fraction"; }
`

/** Files of another machine, through its shell. */
export function files(shell: () => Promise<Shell>, followers: Followers, toTime: (seconds: string) => string): PlaceFiles {
  const ask = async (snippet: string) => (await shell()).ask(snippet)
  const isThere = (name: string) => `[ -e ${name} ]`
  /** A program may have put a link or a FIFO in place of one of its session's files. */
  const isOurs = (name: string) => `[ -f ${name} ] && [ ! -L ${name} ]`
  const isFile = (name: string) => `[ -f ${name} ]`
  const ifThere = (name: string, snippet: string, test = isThere) => `if ${test(shellQuote(name))}; then ${snippet}; else instar_gone; fi`

  return {
    async create(directory, contents) {
      const puts = Object.entries(contents).map(
        ([name, text]) => ` && instar_put ${shellQuote(text)} ${shellQuote(`${directory}/${name}`)}`,
      )
      await ask(`mkdir -p -- ${shellQuote(directory)} && chmod 700 ${shellQuote(directory)}${puts.join('')}`)
    },
    texts: texts(shell),
    async replace(name, text) {
      await ask(replaced(name, text))
    },
    async read(name) {
      // No process for an empty one, which the launcher's words mostly are.
      const output = await ask(
        ifThere(
          name,
          `if [ -s ${shellQuote(name)} ]; then instar_written ${shellQuote(name)} && head -c ${maxTextBytes} -- ${shellQuote(name)}; else echo 0; fi`,
          isOurs,
        ),
      )
      if (!output) return null
      const end = output.indexOf(10)
      return { text: output.toString('utf8', end + 1), at: toTime(output.toString('utf8', 0, end)) }
    },
    async writtenAt(name) {
      const output = await ask(ifThere(name, `instar_written ${shellQuote(name)}`))
      return output && toTime(output.toString('utf8').trim())
    },
    lastOf: async (name, bytes) => (await ask(ifThere(name, `tail -c ${bytes} -- ${shellQuote(name)}`, isFile))) ?? Buffer.alloc(0),
    async remove(directory) {
      await ask(`rm -rf -- ${shellQuote(directory)}`)
    },
    follow: (name, cursor, tell) => followers.follow(name, cursor, tell),
    watch: (directory, tell) => followers.watch(directory, tell),
    answer: (fifo, text) => answerAt(ask, fifo, text),
  }
}

export const replaced = (name: string, text: string): string => {
  const [temporary, final] = [shellQuote(`${name}.tmp`), shellQuote(name)]
  return `instar_put ${shellQuote(text)} ${temporary} && mv -f -- ${temporary} ${final}`
}

/**
 * Answers a hook that waits at a FIFO (see `hook` in scripts.ts). To open one waits for its reader, and the shell must not
 * wait; so a process of its own does it, and writes down how far it got. It ends with the shell, or when it is given up.
 */
async function answerAt(ask: (snippet: string) => Promise<Buffer | null>, fifo: string, text: string): Promise<boolean> {
  const [path, log] = [shellQuote(fifo), shellQuote(`${fifo}.${randomBytes(4).toString('hex')}`)]
  const write = `exec 3>${path} && rm -f -- ${path} && echo opened >${log} && instar_print ${shellQuote(text)} >&3 && echo written >${log}`
  const begun = await ask(`if [ -p ${path} ]; then : >${log}; ( trap - EXIT; ${write} ) >/dev/null 2>&1 & echo "$!"; else instar_gone; fi`)
  if (!begun) return false
  const writer = begun.toString().trim()
  const look = async (first = '') =>
    (await ask(`${first} cat -- ${log} 2>/dev/null; [ -n "$(kill -0 ${writer} 2>&1)" ] && echo over; :`))!.toString()
  const began = Date.now()
  for (let isOpen = false; ; await new Promise((resolve) => setTimeout(resolve, tryAgainMs))) {
    const seen = await look()
    isOpen ||= seen.includes('opened')
    const isOver = seen.includes('over') || seen.includes('written')
    if (!isOver && Date.now() - began < (isOpen ? readTimeoutMs : openTimeoutMs)) continue
    // What it wrote until it was ended counts.
    const last = await look(`kill -KILL ${writer} 2>/dev/null; wait ${writer} 2>/dev/null;`)
    await ask(`rm -f -- ${path} ${log}`)
    return last.includes('written')
  }
}
