import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  line,
  literal,
  literalTime,
  parseAnswer,
  parseUntrusted,
  quote,
  unvis,
  versionNumber,
} from '../../src/plugins/backends/tmux/protocol.ts'
import { shellQuote } from '../../src/plugins/backends/quote.ts'

/** Any text that a program can be given: no NUL and no half characters. */
const anyText = fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\0', ''))
const anyLine = fc.string({ unit: 'binary' }).map((text) => text.replace(/[\0\n]/g, ''))

describe('quote', () => {
  it.each([
    ['', `''`],
    ['plain', `'plain'`],
    ['two words; #{x} $HOME ~ \\ "', `'two words; #{x} $HOME ~ \\ "'`],
    ["it's", `"it's"`],
    [`'$~"\\`, `"'\\044\\176\\042\\134"`],
    ['a\nb\rc', `"a\\012b\\015c"`],
    ['\x01', `'\x01'`],
    ["'\x01\x7f", `"'\\001\\177"`],
  ])('%j', (text, quoted) => {
    expect(quote(text)).toBe(quoted)
  })

  it('makes one token of one line of any text, and loses nothing', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const quoted = quote(text)
        expect(quoted).not.toMatch(/[\n\r]/)
        expect(read(quoted)).toBe(text)
      }),
    )
  })

  it('refuses what cannot be said', () => {
    expect(() => quote('a\0b')).toThrow(RangeError)
  })

  it('puts commands on one line', () => {
    expect(line([['a', 'b c;'], ['d']])).toBe(`'a' 'b c;' ; 'd'`)
  })

  /** What tmux makes of a token, by its manual: nothing is special inside '…'; inside "…" there are \ooo. */
  function read(token: string): string {
    const single = /^'([^']*)'$/.exec(token)
    if (single) return single[1]!
    const double = /^"((?:[^"\\$~\x01-\x1f\x7f]|\\[0-3][0-7]{2})*)"$/.exec(token)
    if (!double) throw new Error(`not one token: ${token}`)
    return double[1]!.replace(/\\(\d{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)))
  }
})

it('a shell word is one word in single quotes', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      expect(shellQuote(text)).toMatch(/^'[^']*'(?:\\''[^']*')*$/)
      expect(shellQuote(text).slice(1, -1).replaceAll(`'\\''`, "'")).toBe(text)
    }),
  )
})

it('a literal has no lone # and, for strftime, no lone %', () => {
  expect(literal('a#(x)##%H')).toBe('a##(x)####%H')
  expect(literalTime('a#(x)%H')).toBe('a##(x)%%H')
})

describe('an answer', () => {
  /** What a hostile program may print, and what nobody would think of. */
  const hostile = fc.oneof(
    anyLine,
    fc.tuple(fc.constantFrom('%begin', '%end', '%error'), fc.nat(3), fc.nat(3), fc.nat(1)).map((words) => words.join(' ')),
    fc.constantFrom('%exit', '%output %0 x', '%begin', '%end', 'instar-0123456789abcdef01234567', ''),
  )
  const notification = fc.constantFrom('%output %0 x', '%sessions-changed', '%unlinked-window-add @4', '%exit')
  const noise = fc.array(notification, { maxLength: 3 })
  const wrap = (guard: string, ok: boolean, lines: readonly string[]) => [`%begin ${guard}`, ...lines, `${ok ? '%end' : '%error'} ${guard}`]

  it('is the blocks of our commands, without those of hooks, and the notifications between', () => {
    const block = fc.record({ ok: fc.boolean(), ours: fc.boolean(), lines: fc.array(hostile), before: noise })
    fc.assert(
      fc.property(fc.array(block), noise, (blocks, after) => {
        const guardOf = (n: number) => `1790000000 ${n} ${blocks[n]!.ours ? 1 : 0}`
        const lines = blocks.flatMap(({ ok, lines, before }, n) => [...before, ...wrap(guardOf(n), ok, lines)])
        const answer = parseAnswer([...lines, ...after])
        expect(answer.blocks).toEqual(blocks.filter(({ ours }) => ours).map(({ ok, lines }) => ({ ok, lines })))
        expect(answer.notifications).toEqual([...blocks.flatMap(({ before }) => before), ...after])
      }),
    )
  })

  it('drops a block that is not whole', () => {
    expect(parseAnswer(['%begin 1 2 1', 'x', '%end 1 3 1'])).toEqual({ blocks: [], notifications: [] })
  })

  it('that a program wrote ends at the last line that can end it, whatever it holds', () => {
    fc.assert(
      fc.property(noise, fc.array(hostile), fc.boolean(), noise, (before, lines, ok, after) => {
        const guard = '2 3 1'
        const hook = wrap('2 2 0', true, [])
        const answer = parseUntrusted([...before, ...hook, ...wrap(guard, ok, lines), ...after])
        expect(answer).toEqual({ blocks: [{ ok, lines }], notifications: [...before, ...after] })
      }),
    )
  })

  it('that a program wrote is none when there is no block', () => {
    expect(parseUntrusted(['%sessions-changed'])).toEqual({ blocks: [], notifications: ['%sessions-changed'] })
    expect(parseUntrusted(['%begin 1 2 1', 'cut short']).blocks).toEqual([])
  })
})

describe('unvis', () => {
  it.each([
    ['plain 日本語', 'plain 日本語'],
    ['a\\\\b', 'a\\b'],
    ['\\$HOME $', '$HOME $'],
    ['\\033[31m', '\x1b[31m'],
    ['tab\\there', 'tab\there'],
    ['\\\\033', '\\033'],
    ['\\\\\\$x', '\\$x'],
    ['\\^x \\', '\\^x \\'],
  ])('%j', (escaped, text) => {
    expect(unvis(escaped)).toBe(text)
  })

  it('undoes what tmux 3.3 does to any text', () => {
    fc.assert(
      fc.property(anyLine, (text) => {
        expect(unvis(vis(text))).toBe(text)
      }),
    )
  })

  /** utf8_strvis of tmux 3.3, with VIS_OCTAL, VIS_CSTYLE, VIS_TAB and VIS_NL. */
  function vis(text: string): string {
    const named: Record<string, string> = { '\x07': 'a', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't', '\v': 'v' }
    return text
      .replace(/[\\\x01-\x1f\x7f]/g, (c) =>
        c === '\\' ? '\\\\' : named[c] ? `\\${named[c]}` : `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`,
      )
      .replace(/\$(?=[A-Za-z_{])/g, '\\$$')
  }
})

it.each([
  ['3.2', 302],
  ['3.2a', 302],
  ['3.3a', 303],
  ['next-3.8', 308],
  ['3.10', 310],
  ['4.0-rc', 400],
  ['2.9', 209],
  ['openbsd-7.4', 999],
  ['master', 999],
  ['', 999],
])('the version %s is %i', (name, number) => {
  expect(versionNumber(name)).toBe(number)
})
