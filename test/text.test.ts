import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { claude } from '../src/plugins/agents/claude.ts'
import { limitEnd } from '../src/plugins/agents/limit.ts'
import { answerDialog, dialogOf } from '../src/plugins/agents/menu.ts'
import { boxed, chunks, submitted, withoutSuggestion } from '../src/plugins/agents/text.ts'
import type { OpenPrompt } from '../src/runtime/types.ts'

const at = '2026-11-22T14:38:00.000Z'
const plain = (screen: string): string => screen.replaceAll(/\x1b\[[0-9;:]*m/g, '')

describe('chunks', () => {
  const bounds = { lines: 3, characters: 700 }

  it.each([
    ['nothing', '', ['']],
    ['a line', 'a line', ['a line']],
    ['as many lines as there may be', 'a\nb\nc', ['a\nb\nc']],
    ['one more', 'a\nb\nc\nd', ['a\nb\nc', '\nd']],
    ['blank lines', '\n\n\n\n', ['\n\n', '\n\n']],
    ['a line that is too long', 'x'.repeat(1500), ['x'.repeat(600), 'x'.repeat(600), 'x'.repeat(300)]],
    ['emoji, of two characters each', '🦖'.repeat(500), ['🦖'.repeat(200), '🦖'.repeat(300)]],
  ])('of %s', (_, text, pieces) => expect(chunks(text, bounds)).toEqual(pieces))

  const anyText = fc
    .array(
      fc.oneof(
        fc.string({ unit: 'binary', maxLength: 30 }),
        fc.constantFrom('\n', '\n\n', '\r\n', 'x'.repeat(250), '🦖'.repeat(210), '\ud800'),
      ),
      {
        maxLength: 30,
      },
    )
    .map((parts) => parts.join(''))

  test('are the text again, within the bounds, none of them empty, and cut no character in two', () => {
    fc.assert(
      fc.property(anyText, fc.integer({ min: 2, max: 6 }), fc.integer({ min: 400, max: 1000 }), (text, lines, characters) => {
        const found = chunks(text, { lines, characters })
        expect(found.join('')).toBe(text)
        for (const chunk of found) {
          expect(chunk.length).toBeLessThanOrEqual(characters)
          expect(chunk.split('\n').length).toBeLessThanOrEqual(lines)
          if (text !== '') expect(chunk).not.toBe('')
        }
        found.slice(1).forEach((chunk, i) => expect(/[\ud800-\udbff]$/.test(found[i]!) && /^[\udc00-\udfff]/.test(chunk)).toBe(false))
      }),
      { numRuns: 500 },
    )
  })

  test('are pasted one after the other, and submitted when the end of the text shows', () => {
    expect(submitted(['one\n', 'two'])).toEqual([
      { type: 'paste', text: 'one\n' },
      { type: 'paste', text: 'two' },
      { type: 'visible', text: 'one\ntwo' },
      { type: 'key', key: 'Enter' },
    ])
  })
})

describe('limitEnd', () => {
  it.each([
    ['resets 4:03pm (UTC)', at, '2026-11-22T16:04:00.000Z'],
    ['You’ve hit your session limit · resets 4pm (UTC)', at, '2026-11-22T16:01:00.000Z'],
    ['resets at 4:03 PM', at, '2026-11-22T16:04:00.000Z'],
    ['limit resets 12am', at, '2026-11-23T00:01:00.000Z'],
    ['limit resets 12:30pm', '2026-11-22T11:00:00.000Z', '2026-11-22T12:31:00.000Z'],
    // It is that minute still.
    ['resets 2:38pm', '2026-11-22T14:38:59.000Z', '2026-11-22T14:39:00.000Z'],
    ['resets 9am', '2026-12-31T22:00:00.000Z', '2027-01-01T09:01:00.000Z'],
    ['resets 4pm (Europe/Berlin)', at, '2026-11-22T15:01:00.000Z'],
    ['resets 12:30am (Asia/Tokyo)', at, '2026-11-22T15:31:00.000Z'],
    ['resets 4am (Asia/Kathmandu)', at, '2026-11-22T22:16:00.000Z'],
    ['resets 4pm (Not/AZone)', at, '2026-11-22T16:01:00.000Z'],
    ['resets Nov 25 at 4pm (Europe/Berlin)', at, '2026-11-25T15:01:00.000Z'],
    ['resets Nov 25, 4:30pm (UTC)', at, '2026-11-25T16:31:00.000Z'],
    ['resets November 25 at 4pm', at, '2026-11-25T16:01:00.000Z'],
    ['resets Jan 2 at 9am (UTC)', '2026-12-30T00:00:00.000Z', '2027-01-02T09:01:00.000Z'],
  ])('%j, said at %s: %s', (words, said, end) => expect(limitEnd(words, said)).toBe(end))

  it.each([
    ['a moment ago', 'resets Nov 22 at 2pm (UTC)', at, '2026-11-22T14:01:00.000Z'],
    ['yesterday', 'resets Nov 21 at 2pm (UTC)', at, '2026-11-21T14:01:00.000Z'],
    ['in the year before', 'resets Dec 31 at 11pm (UTC)', '2027-01-01T00:30:00.000Z', '2026-12-31T23:01:00.000Z'],
  ])('a date that has passed %s has passed', (_, words, said, end) => expect(limitEnd(words, said)).toBe(end))

  it.each([
    ['put back before it', 'resets Oct 26 at 4pm (Europe/Berlin)', '2026-10-24T12:00:00.000Z', '2026-10-26T15:01:00.000Z'],
    ['put forward before it', 'resets Mar 30 at 4pm (Europe/Berlin)', '2026-03-28T12:00:00.000Z', '2026-03-30T14:01:00.000Z'],
    ['put back in the night', 'resets 4am (Europe/Berlin)', '2026-10-24T22:00:00.000Z', '2026-10-25T03:01:00.000Z'],
    ['put forward in the night', 'resets 4am (Europe/Berlin)', '2026-03-28T23:30:00.000Z', '2026-03-29T02:01:00.000Z'],
    ['put back until tomorrow', 'resets 4pm (America/New_York)', '2026-10-31T22:00:00.000Z', '2026-11-01T21:01:00.000Z'],
    ['put back an hour before', 'resets 3am (America/New_York)', '2026-11-01T05:30:00.000Z', '2026-11-01T08:01:00.000Z'],
  ])('the clocks are %s', (_, words, said, end) => expect(limitEnd(words, said)).toBe(end))

  it.each([
    'resets Feb 30 at 4pm',
    'resets Feb 29 at 4pm',
    'resets Nov 31 at 4pm',
    'resets Nov 0 at 4pm',
    'resets Foo 25 at 4pm',
    'resets 13:75pm',
    'resets 13pm',
    'resets 0am',
    'resets 4:60pm',
    'resets 99:99am',
    'resets soon',
    'resets in 5 minutes',
    'resets 16:00',
    'the limit is reached',
    '',
  ])('%j tells no time', (words) => expect(limitEnd(words, '2026-11-22T14:38:00.000Z')).toBeNull())

  test('the 29th of February is one where there is one', () => {
    expect(limitEnd('resets Feb 29 at 4pm', '2028-02-27T00:00:00.000Z')).toBe('2028-02-29T16:01:00.000Z')
    expect(limitEnd('resets Feb 29 at 4pm', '2027-12-30T00:00:00.000Z')).toBe('2028-02-29T16:01:00.000Z')
  })

  test('nor does anything that is said at no time', () => {
    expect(limitEnd('resets 4pm', '')).toBeNull()
    expect(limitEnd('resets Nov 25 at 4pm', 'now')).toBeNull()
  })

  const zones = [
    'UTC',
    'Europe/Berlin',
    'America/New_York',
    'Asia/Kathmandu',
    'Australia/Lord_Howe',
    'Pacific/Kiritimati',
    'America/St_Johns',
  ]
  const moment = fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2035, 0, 1) })
  /** As claude says it. */
  const shown = (time: number, timeZone: string, withDate: boolean) => {
    const part = Object.fromEntries(
      new Intl.DateTimeFormat('en-US', { timeZone, month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit', hour12: true })
        .formatToParts(time)
        .map(({ type, value }) => [type, value]),
    )
    const clock = `${part['hour']}:${part['minute']}${part['dayPeriod']!.toLowerCase()}`
    return `resets ${withDate ? `${part['month']} ${part['day']} at ` : ''}${clock} (${timeZone})`
  }

  test.each([
    ['within half a day', false, 12 * 60],
    ['with its date, within two weeks', true, 14 * 24 * 60],
  ])('is the end of the minute that was meant: %s', (_, withDate, minutes) => {
    fc.assert(
      fc.property(moment, fc.integer({ min: 1, max: minutes }), fc.constantFrom(...zones), (said, after, zone) => {
        const meant = Math.floor(said / 60_000) * 60_000 + after * 60_000
        const end = Date.parse(limitEnd(shown(meant, zone, withDate), new Date(said).toISOString())!)
        // An hour that the clocks show twice.
        const twice = [-60, -30, 30, 60].some((shift) => shown(meant + shift * 60_000, zone, true) === shown(meant, zone, true))
        if (!twice) expect(end).toBe(meant + 60_000)
        else expect(Math.abs(end - meant - 60_000)).toBeLessThanOrEqual(withDate ? 3_600_000 : 25 * 3_600_000)
      }),
      { numRuns: 1500 },
    )
  })

  test('is a time or null, whatever is said', () => {
    const word = fc.oneof(fc.constantFrom('resets', 'at', 'Nov', 'Feb', '30', '4pm', '4:03', 'am', '(UTC)', '(x)', ':', ' '), fc.string())
    fc.assert(
      fc.property(fc.array(word), fc.constantFrom(at, 'x'), (words, said) => {
        const end = limitEnd(words.join(' '), said)
        expect(end === null || new Date(end).toISOString() === end).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('withoutSuggestion', () => {
  it.each([
    ['a plain text', '❯ a text', '❯ a text'],
    ['colours', '\x1b[38;5;174m❯\x1b[39m \x1b[1ma\x1b[0m text\x1b[48;2;1;2;3m!\x1b[49m', '❯ a text!'],
    ['what is dim', '❯ \x1b[2mTry this\x1b[0m', '❯ '],
    ['what is dim and has colours', '❯ \x1b[0;2m\x1b[39m\x1b[38;5;246mTry \x1b[39mthis\x1b[0m!', '❯ !'],
    ['what is dim and slanted', '❯ \x1b[2;3mTry this\x1b[0m', '❯ '],
    ['what is dim and bold', '❯ \x1b[1;2mTry this\x1b[22m!', '❯ !'],
    ['what is dim, until something else begins', '\x1b[2mdim\x1b[0;1mbold\x1b[0;2mdim\x1b[mplain', 'boldplain'],
    ['the first character, under a cursor', '❯ \x1b[7m\x1b[39mP\x1b[0;2m\x1b[39mress up\x1b[0m', '❯ '],
    ['the first character, under a cursor in bold', '❯ \x1b[0;1;7mP\x1b[0;2mress up\x1b[0m', '❯ '],
    ['a cursor in a text', '❯ a \x1b[7mt\x1b[0mext', '❯ a text'],
    ['a cursor after a text', '❯ a text\x1b[7m \x1b[0m', '❯ a text '],
    ['a colour whose number ends with 2', '\x1b[38;5;2mgreen \x1b[48;5;2mon green \x1b[38;2;0;0;2mblue', 'green on green blue'],
    ['an underline that curls', '\x1b[4:3mwrong\x1b[0m \x1b[58:2::1:2:2mwords\x1b[0m', 'wrong words'],
    // tmux ends a style where the next one begins: in the next line.
    ['what is dim to the end of its line', '──\n❯ \x1b[2mTry this\n\x1b[0m──', '──\n❯ \n──'],
    ['what is dim in two lines', '❯ \x1b[2mTry\nthis\n\x1b[0m──', '❯ \n\n──'],
  ])('%s', (_, screen, text) => expect(withoutSuggestion(screen)).toBe(text))

  test('leaves a text in which nothing is dim, whatever its colours', () => {
    const colour = fc.oneof(
      fc.integer({ min: 0, max: 255 }).map((colour) => `38;5;${colour}`),
      fc.integer({ min: 0, max: 255 }).map((blue) => `48;2;1;2;${blue}`),
      fc.constantFrom('0', '', '1', '3', '7', '0;1', '0;7', '4', '39', '49', '22', '31', '92', '102'),
    )
    const part = fc.tuple(colour, fc.stringMatching(/^[ -~\n]{0,10}$/))
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const screen = parts.map(([colour, text]) => `\x1b[${colour}m${text}`).join('')
        expect(withoutSuggestion(screen)).toBe(parts.map(([, text]) => text).join(''))
      }),
      { numRuns: 500 },
    )
  })
})

describe('boxed', () => {
  const composer = (screen: string) => boxed(screen, /^─{5,}/, /^(?:> ?|  )/)
  const rule = '─────'

  it.each([
    ['nothing', '', null],
    ['one rule', `a\n${rule}\nb`, null],
    ['two rules, and nothing between', `${rule}\n${rule}`, null],
    ['an empty composer', `${rule}\n> \n${rule}\n ready`, ''],
    ['a line', `before\n${rule}\n> a line  \n${rule}\n ready`, 'a line'],
    ['lines, with what is indented', `${rule}\n> one\n\n    three\n${rule}`, 'one\n\n  three'],
    ['lines of which the first is out of sight', `${rule}\n  two\n  three\n${rule}`, 'two\nthree'],
    ['the last of several', `${rule}\n> old\n${rule}\n> new\n${rule}`, 'new'],
    ['another mark', `${rule}\n! ls\n${rule}`, '! ls'],
    ['a dialog', `${rule}\n Which?\n\n> 1. Yes\n  2. No\n${rule}\n 3. Chat`, null],
    ['a dialog with pages', `${rule}\n←  ☐ One  ☐ Two  →\n\n> 1. Yes\n${rule}\n 3. Chat`, null],
  ])('%s', (_, screen, text) => expect(composer(screen)).toBe(text))
})

describe('a menu', () => {
  const menu = (screen: string) => dialogOf(screen, 'question', 'which?', at)
  const labels = (screen: string) => menu(screen)?.options.map(({ label }) => label)
  const selected = (screen: string) => (menu(screen)?.details as { selected: number } | undefined)?.selected

  it.each([
    ['with numbers', ' Go?\n ❯ 1. Yes\n   2. No, exit\n\n Enter', ['Yes', 'No, exit'], 0],
    ['without numbers', 'Go?\n  Yes\n> No\n  Perhaps', ['Yes', 'No', 'Perhaps'], 1],
    ['in a box', '│ Go?      │\n│ ● 1. Yes │\n│   2. No  │\n╰──────────╯', ['Yes', 'No'], 0],
    ['with what is chosen now', '› 1. Dark ✔\n  2. Light', ['Dark', 'Light'], 0],
    ['below another one', '❯ 1. Old\n  2. Older\n\n  1. New\n❯ 2. Newer', ['New', 'Newer'], 1],
    ['of ten', Array.from({ length: 10 }, (_, i) => `${i === 9 ? '❯' : ' '} ${i + 1}. Option ${i}`).join('\n'), undefined, 9],
  ])('%s', (_, screen, wanted, at) => {
    if (wanted) expect(labels(screen)).toEqual(wanted)
    expect(selected(screen)).toBe(at)
  })

  it.each([
    ['nothing', ''],
    ['no marker', '  1. Yes\n  2. No'],
    ['one line only', '❯ 1. Yes\n\n  2. No'],
    ['a composer', '─────\n❯ a text\n─────'],
    ['an empty composer', '─────\n❯ \n─────'],
  ])('there is none in %s', (_, screen) => expect(menu(screen)).toBeNull())

  test('is a prompt that is answered with keys', () => {
    expect(menu('❯ 1. Yes\n  2. No')).toEqual({
      id: `screen-${Date.parse(at)}`,
      mailbox: null,
      kind: 'question',
      message: 'which?',
      options: [
        { id: '1', label: 'Yes' },
        { id: '2', label: 'No' },
      ],
      openedAt: at,
      details: { selected: 0 },
    })
  })

  test('the keys lead from what is selected to what is chosen, and press Enter there', () => {
    const size = 9
    fc.assert(
      fc.property(fc.nat({ max: size - 1 }), fc.nat({ max: size - 1 }), fc.boolean(), (from, to, numbered) => {
        const lines = Array.from({ length: size }, (_, i) => `${i === from ? ' ❯' : '  '} ${numbered ? `${i + 1}. ` : ''}Option ${i}`)
        const prompt = menu(`Go?\n${lines.join('\n')}\n\nEnter`) as OpenPrompt
        const { id } = prompt.options.find(({ label }) => label === `Option ${to}`)!
        const answer = answerDialog(prompt, { choice: id })
        const keys = answer.type === 'keys' ? answer.keystrokes.map((stroke) => (stroke.type === 'key' ? stroke.key : stroke.type)) : []
        expect(keys.at(-1)).toBe('Enter')
        expect(new Set(keys.slice(0, -1)).size).toBeLessThanOrEqual(1)
        const steps: Record<string, number> = { Up: -1, Down: 1, Enter: 0 }
        expect(keys.reduce((place, key) => place + steps[key]!, from)).toBe(to)
      }),
    )
  })
})

/** What each recording is: see recordings/record.ts. `startup` is what it would mean of a session that no hook has told of. */
interface Expected {
  readonly draft: string | null
  readonly startup:
    | 'working'
    | 'rested'
    | { readonly kind: string; readonly options?: readonly string[]; readonly selected?: number }
    | null
}
const asks = { draft: null, startup: { kind: 'question' } }
const long = `${'word '.repeat(19).trim()}\n${'word '.repeat(19).trim()}\nword word end`
const anyVersion: Readonly<Record<string, Expected>> = {
  fresh: { draft: '', startup: 'rested' },
  idle: { draft: '', startup: 'rested' },
  draft: { draft: 'a text that a person has left', startup: 'rested' },
  'draft-lines': { draft: 'one line\n\n  and a third, indented', startup: 'rested' },
  'draft-long': { draft: long, startup: 'rested' },
  'draft-shell': { draft: '!\u00a0ls', startup: 'rested' },
  // Its last line says nothing of the turn then.
  'draft-busy': { draft: 'and this, later', startup: null },
  busy: { draft: '', startup: 'working' },
  queued: { draft: '', startup: 'working' },
  interrupted: { draft: '', startup: 'rested' },
  'interrupted-early': { draft: '[think 60000] comes back', startup: 'rested' },
  limit: { draft: '', startup: 'rested' },
  question: asks,
  questions: asks,
}
const allow = 'Yes, and always allow access to'
const expected: Readonly<Record<string, Readonly<Record<string, Expected>>>> = {
  '2.1.197': {
    ...anyVersion,
    permission: { draft: null, startup: { kind: 'question', options: ['Yes', `${allow} project/ from this project`, 'No'], selected: 0 } },
    trust: { draft: null, startup: { kind: 'trust', options: ['Yes, I trust this folder', 'No, exit'], selected: 0 } },
  },
  '2.1.330': {
    ...anyVersion,
    permission: {
      draft: null,
      startup: {
        kind: 'question',
        options: [
          'Yes',
          `${allow} /tmp/instar-app-record/project from this project`,
          'Yes, and switch to auto mode · auto mode handles these prompts for you',
          'No',
        ],
        selected: 0,
      },
    },
    trust: { draft: null, startup: { kind: 'trust', options: ['No, exit', 'Yes, I trust this folder'], selected: 0 } },
  },
}

describe('screens of the real claude', () => {
  const directory = new URL('recordings/', import.meta.url)
  const recorded = readdirSync(directory).filter((name) => /^claude-[\d.]+-.*\.txt$/.test(name))
  const known = Object.entries(expected).flatMap(([version, screens]) =>
    Object.entries(screens).map(([what, wanted]) => ({ name: `claude-${version}-${what}.txt`, ...wanted })),
  )
  const screen = (name: string) => readFileSync(new URL(name, directory), 'utf8')
  const agent = claude()

  test('all are known', () => {
    expect(recorded.sort()).toEqual(known.map(({ name }) => name).sort())
  })

  test.each(recorded)('%s names no machine', (name) => {
    expect(screen(name).match(/\/(?:home|Users|root|work|var)\/\S*/g)).toBeNull()
    for (const [path] of screen(name).matchAll(/\/tmp\/\S*/g)) expect(path).toContain('/tmp/instar-app-record/project')
  })

  test.each(known)('$name: what stands in its composer', ({ name, draft }) => {
    expect(agent.draft!(screen(name))).toBe(draft)
  })

  test.each(known)('$name: what it means at a start', ({ name, startup }) => {
    if (startup === null) return
    const event = agent.startup!.read(plain(screen(name)), at)
    expect(event.evidence).toMatchObject({ source: 'screen', at })
    if (typeof startup === 'string') return expect(event).toMatchObject({ type: startup })
    const { kind, options, selected } = startup
    expect(event).toMatchObject({ type: 'asked', waiting: { kind } })
    const prompt = event.type === 'asked' ? event.prompt : undefined
    expect(prompt?.options.map(({ label }) => label)).toEqual(options)
    expect(prompt?.details).toEqual(options && { selected })
  })

  test.each(known.filter(({ name }) => name.includes('-trust')))('$name: both answers', ({ name }) => {
    const prompt = dialogOf(plain(screen(name)), 'trust', '', at)!
    const keys = (label: RegExp) => {
      const answer = answerDialog(prompt, { choice: prompt.options.find((option) => label.test(option.label))!.id })
      return answer.type === 'keys' && answer.keystrokes.map((stroke) => stroke.type === 'key' && stroke.key).join(' ')
    }
    expect([keys(/trust/), keys(/exit/)]).toEqual(name.includes('2.1.197') ? ['Enter', 'Down Enter'] : ['Down Enter', 'Enter'])
  })

  test.each(known.filter(({ name }) => name.includes('-limit')))('$name: tells when the limit ends', ({ name }) => {
    const [, hour, minute] = /resets (\d+):(\d\d)pm/.exec(plain(screen(name)))!
    expect(limitEnd(plain(screen(name)), at)).toBe(new Date(Date.UTC(2026, 10, 22, Number(hour) + 12, Number(minute) + 1)).toISOString())
  })
})
