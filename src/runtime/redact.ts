/** Words in names of variables and fields whose values are secrets: anywhere in a name, and as one of its words. */
const secretPart = /passw|passphrase|secret|token|credential|api_?key|access_?key|private_?key|authorization/i
const secretWord = /^(?:keys?|pass|pwd|pat|jwt|cookies?)$/
const wordsOf = (name: string): string[] =>
  name
    .replace(/([a-z0-9])(?=[A-Z])/g, '$1_')
    .toLowerCase()
    .split(/[_.-]/)
/** `PWD` is the working directory; `MYSQL_PWD` and `pwd` are passwords. */
const isSecret = (name: string): boolean => name !== 'PWD' && (secretPart.test(name) || wordsOf(name).some((word) => secretWord.test(word)))

/** Shorter values stand in texts by chance. */
const shortest = 6
/** A line of a value of several, such as a private key. */
const shortestLine = 16
const mask = '[redacted]'

/** What looks like a secret wherever it stands: keys of well-known services, JSON web tokens, private keys. */
const shapes = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*/g,
  /\b(?:sk-|ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|glpat-|xox[abprs]-|npm_|AKIA|ASIA|AIza|ya29\.)[\w-]{16,}/g,
]

/** A text without secrets. */
export interface Redactor {
  (text: string): string
  /** Knows the secrets of another environment from now on. */
  learn(environment: Environment): void
}
type Environment = Readonly<Record<string, string | undefined>>

/**
 * Takes secrets out of texts: by value, for every variable with a secret's name in an environment, also where the value
 * stands in JSON or a URL; by name, whatever follows `NAME=`, `"name":`, `--name` or `Authorization:`; and by their shape.
 */
export function redactor(...environments: readonly Environment[]): Redactor {
  const values = new Set<string>()
  /** A value that holds another goes first. */
  let sorted: readonly string[] = []
  function learn(environment: Environment): void {
    for (const [name, value = ''] of Object.entries(environment)) if (isSecret(name)) for (const each of formsOf(value)) values.add(each)
    sorted = [...values].toSorted((a, b) => b.length - a.length)
  }
  environments.forEach(learn)
  const redact = (text: string) => byName(byShape(sorted.reduce((left, value) => left.replaceAll(value, mask), text)))
  return Object.assign(redact, { learn })
}

function formsOf(value: string): string[] {
  if (value.trim().length < shortest) return []
  const lines = value.includes('\n') ? value.split('\n').filter((line) => line.trim().length >= shortestLine) : []
  return [value, value.trim(), ...lines].flatMap((each) => [each, JSON.stringify(each).slice(1, -1), encodeURIComponent(each)])
}

const byShape = (text: string): string => shapes.reduce((left, shape) => left.replace(shape, mask), text)

const byName = (text: string): string =>
  text
    .replace(/((?<![\w-])(?:proxy-)?authorization["']?\s*[:=]\s*["']?)(?:(\w+)[ \t]+)?[^\s"',;]+/gi, (_, before: string, scheme?: string) =>
      [before, ...(scheme === undefined ? [] : [scheme, ' ']), mask].join(''),
    )
    .replace(/((?<![\w-])(?:set-)?cookie["']?\s*:\s*["']?)[^\r\n"]+/gi, `$1${mask}`)
    .replace(/\b(bearer|basic)[ \t]+(?!\[)[\w.~+/=-]{6,}/gi, `$1 ${mask}`)
    .replace(/(:\/\/[^\s/:@]{0,200}:)[^\s/@]+@/g, `$1${mask}@`)
    .replace(
      new RegExp(`(?<![\\w-])(--?)([\\w.-]{1,100})(\\s+)${value}`, 'g'),
      (all, dashes: string, name: string, blank: string, value: string) => (isShown(name, value) ? all : `${dashes}${name}${blank}${mask}`),
    )
    .replace(
      new RegExp(`(?<![\\w.])(["']?)([\\w.-]{1,100})\\1(\\s*[=:]\\s*)${value}`, 'g'),
      (all, quote: string, name: string, sign: string, value: string) =>
        isShown(name, value) ? all : `${quote}${name}${quote}${sign}${mask}`,
    )

const value = /("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"',;&]+)/.source
// What follows Authorization is two words, and dealt with.
const isShown = (name: string, value: string): boolean =>
  !isSecret(name) || value.includes(mask) || /^(?:proxy-)?authorization$/i.test(name)
