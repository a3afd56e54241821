import { shellQuote } from '../quote.ts'

/** What ssh or the far side said, as a reason for people. Pure. `said` is everything that was said, the last last; `host` is what a person types after `ssh`. */
export function sshReason(said: string, host: string): string {
  const text = said.replaceAll('\r', '')
  for (const [pattern, reason] of reasons) {
    const found = pattern.exec(text)
    if (found) return reason(found, host)
  }
  const last = text.split('\n').findLast((line) => line.trim() !== '' && !line.startsWith('Warning:'))
  return last?.trim() ?? 'the connection was closed'
}

const closing = /Connection (?:closed|reset)|Broken pipe|kex_exchange_identification/

const reasons: readonly (readonly [RegExp, (found: RegExpExecArray, host: string) => string])[] = [
  [
    /REMOTE HOST IDENTIFICATION HAS CHANGED[^]*Host key verification failed/,
    (found, host) =>
      `its host key has changed${known(found.input)}: somebody may be in between. If the machine was made anew, remove the old key (${forget(found.input, host)}) and connect once by hand with "ssh ${host}"`,
  ],
  [
    /Host key verification failed|host key is known for/,
    (_, host) => `its host key is not known yet: connect once by hand with "ssh ${host}" and compare the key`,
  ],
  [/Could not resolve hostname ([^\s:]+)/i, (found) => `there is no host of the name ${found[1]}`],
  [
    /Permissions \S+ for '(.*)' are too open[^]*Permission denied/,
    (found) => `ssh here does not use the key ${found[1]}, because others may read it: chmod 600 ${found[1]}`,
  ],
  [
    /(?:^(\S+@\S+): )?Permission denied \(([^)]*)\)/m,
    (found, host) =>
      `${found[1] ? `${found[1]} refuses our key` : 'it refuses our key'} (${found[2]}): "ssh -o BatchMode=yes ${host}" has to work without a question`,
  ],
  [/Too many authentication failures/, () => 'it refuses our keys: too many were tried; name the right one with IdentityFile'],
  [/Connection refused/, (found) => `connection refused: nothing listens ${address(found.input) ?? 'there'}`],
  [/No route to host|Network is unreachable/, (found) => `there is no route to it${inBrackets(address(found.input))}`],
  [
    /Connection timed out|Operation timed out/,
    (found) => `it does not answer: the connection timed out${inBrackets(address(found.input))}`,
  ],
  [/Timeout, server \S+ not responding/, () => 'it does not answer any more'],
  [
    /Session open refused by peer|session request failed/,
    () => 'it refuses another session in the connection: its sshd needs MaxSessions 10 or more',
  ],
  [/This account is (?:currently )?not available/, () => 'its account has no shell'],
  [/\/bin\/sh: (?:not found|No such file or directory)/, () => 'it has no /bin/sh'],
  [/Bad configuration option: (\S+)|Bad owner or permissions on (\S+)/, (found) => found[0]],
  [closing, (found) => `the connection was closed${before(found.input)}`],
]

/** With a jump host it is not always the host itself that is meant. */
function address(text: string): string | null {
  const [, host, port] = /connect to host (\S+) port (\d+)/.exec(text) ?? []
  return host === undefined ? null : `at ${host} port ${port}`
}

const inBrackets = (text: string | null): string => (text === null ? '' : ` (${text})`)

/** What a proxy command had to say, for one. */
function before(text: string): string {
  const [line] = text.split('\n').filter((each) => each.trim() !== '' && !each.startsWith('Warning:') && !closing.test(each))
  return line === undefined ? '' : `, after it was said: ${line.trim()}`
}

/** The name in the file of known keys is not always that of the host. */
function forget(text: string, host: string): string {
  const name = /Host key for (\S+) has changed/.exec(text)?.[1] ?? host
  const file = /Offending \S+ key in (\S+?):\d+/.exec(text)?.[1]
  return `ssh-keygen${file === undefined ? '' : ` -f ${shellQuote(file)}`} -R ${shellQuote(name)}`
}

function known(text: string): string {
  const found = /Offending (\S+) key in (\S+)/.exec(text)
  return found ? ` (it is not the one in ${found[2]})` : ''
}
