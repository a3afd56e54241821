/** A word for `sh`. */
export const shellQuote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/** The words of a line that `shellQuote` and plain words make up, as `sh` reads it. */
export const shellWords = (line: string): string[] =>
  [...line.matchAll(/(?:'[^']*'|\\.|[^\s'\\])+/g)].map(([word]) => word.replaceAll(/'([^']*)'|\\(.)/g, '$1$2'))
