import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { errorStatus, InstarError, type ErrorCode } from '../src/runtime/error.ts'

const root = new URL('..', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')

interface Thrown {
  readonly place: string
  /** Null when it is not a literal. */
  readonly code: string | null
  /** As written; a template's `${…}` is left as `…`. Null when it is not a literal. */
  readonly message: string | null
}

const sources = readdirSync(new URL('src', root), { recursive: true, encoding: 'utf8' }).filter((path) => /\.tsx?$/.test(path))
// The client hands on what a server said; that server's sources are these.
const thrown = sources.flatMap((path) => thrownIn(`src/${path.replaceAll('\\', '/')}`)).filter(({ code, message }) => code || message)

describe('the table of codes', () => {
  test('is documented: each code with its status, when it happens and what to do, and no other', () => {
    const rows = [...read('docs/errors.md').matchAll(/^\| `(\w+)` \| (\d{3}) \| (.+?) \| (.+?) \|$/gm)]
    expect(Object.fromEntries(rows.map(([, code, status]) => [code, Number(status)]))).toEqual(errorStatus)
    for (const [, , , when, remedy] of rows) expect(Math.min(when!.length, remedy!.length)).toBeGreaterThan(5)
  })

  test('has no code that nothing throws', () => {
    const all = sources.map((path) => read(`src/${path}`)).join('\n')
    const unused = Object.keys(errorStatus).filter((code) => all.split(`'${code}'`).length < 2)
    expect(unused).toEqual([])
  })

  test('has only codes in one form, and statuses of errors', () => {
    for (const [code, status] of Object.entries(errorStatus)) {
      expect(code).toMatch(/^[a-z]+(?:_[a-z]+)*$/)
      expect(status).toBeGreaterThanOrEqual(400)
      expect(status).toBeLessThan(600)
    }
  })
})

describe('every error in the sources', () => {
  test('there are some', () => {
    expect(thrown.length).toBeGreaterThan(20)
  })

  test.each(thrown)('$place: $message', ({ code, message }) => {
    expect(Object.keys(errorStatus)).toContain(code)
    expect(message).toMatch(/^Cannot [a-z…]/)
    expect(message).toMatch(/^Cannot [^:]+: ./)
    expect(message).not.toMatch(/[.!\s]$/)
    expect(message).not.toContain('\n')
  })
})

describe('InstarError', () => {
  test.each(Object.entries(errorStatus))('%s is answered with %d', (code, status) => {
    const error = new InstarError(code as ErrorCode, 'Cannot do it: it is so', { field: 'x' }, new Error('cause'))
    expect(error).toBeInstanceOf(Error)
    expect(error.status).toBe(status)
    expect(error.name).toBe('InstarError')
    expect((error.cause as Error).message).toBe('cause')
    expect(JSON.stringify(error)).toBe(`{"error":{"code":"${code}","message":"Cannot do it: it is so","data":{"field":"x"}}}`)
  })
})

/** Every `new InstarError(code, message` of a source file. */
function thrownIn(path: string): Thrown[] {
  const text = read(path)
  return [...text.matchAll(/new InstarError\(\s*(?:'(\w+)'|[^,'"]+),\s*/g)].map((match) => ({
    place: `${path}:${text.slice(0, match.index).split('\n').length}`,
    code: match[1] ?? null,
    message: literalAt(text, match.index + match[0].length),
  }))
}

/** The string or template literal that begins at an offset. */
function literalAt(text: string, begin: number): string | null {
  const quote = text[begin]!
  if (!`'"\``.includes(quote)) return null
  let found = ''
  for (let i = begin + 1, depth = 0; i < text.length; i++) {
    if (depth > 0) {
      if (text[i] === '{') depth++
      if (text[i] === '}') depth--
    } else if (text[i] === quote) return found
    else if (text[i] === '\\') found += text[++i]
    else if (quote === '`' && text.startsWith('${', i)) {
      found += '…'
      depth = 1
      i++
    } else found += text[i]
  }
  return null
}
