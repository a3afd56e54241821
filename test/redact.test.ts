import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { redactor } from '../src/runtime/redact.ts'

describe('secrets in a text', () => {
  const environment = {
    GITHUB_TOKEN: 'value-of-the-token',
    dbPass: 'two words',
    PGPASSWORD: 'pg"quoted\\',
    SSH_KEY: '-----BEGIN NOTHING-----\nfirst-line-of-a-key\nsecond-line-of-a-key\n',
    SHORT_KEY: 'abc',
    KEYBOARD: 'qwertyuiop',
    HOME: '/somewhere',
    PWD: '/somewhere/else',
    UNSET_TOKEN: undefined,
  }
  const redact = redactor(environment)

  it.each([
    ['it was value-of-the-token, twice: value-of-the-token', 'it was [redacted], twice: [redacted]'],
    ['two words', '[redacted]'],
    [`{"env":${JSON.stringify({ a: environment.PGPASSWORD })}}`, '{"env":{"a":"[redacted]"}}'],
    [`https://host/?q=${encodeURIComponent('two words')}`, 'https://host/?q=[redacted]'],
    ['sh: first-line-of-a-key: not found', 'sh: [redacted]: not found'],
    ['abc qwertyuiop /somewhere/else', 'abc qwertyuiop /somewhere/else'],
  ])('are known by their values: %s', (text, shown) => expect(redact(text)).toBe(shown))

  it.each([
    ['API_KEY=abc', 'API_KEY=[redacted]'],
    ['export MY_SECRET="a b c"; next', 'export MY_SECRET=[redacted]; next'],
    [`{"password": "a \\" b", "user": "me"}`, '{"password": [redacted], "user": "me"}'],
    ["{'apiKey': 'x', 'b': 1}", "{'apiKey': [redacted], 'b': 1}"],
    ['accessToken: abcd', 'accessToken: [redacted]'],
    ['cmd --token abcd --verbose', 'cmd --token [redacted] --verbose'],
    ['cmd --api-key=abcd file', 'cmd --api-key=[redacted] file'],
    ['Authorization: Bearer abcdef', 'Authorization: Bearer [redacted]'],
    ['authorization: token abcdef', 'authorization: token [redacted]'],
    [`{"Authorization":"Basic YWJjOmRlZg==","x":1}`, `{"Authorization":"Basic [redacted]","x":1}`],
    ['Authorization: abcdef', 'Authorization: [redacted]'],
    ['Cookie: a=1; b=2\nHost: x', 'Cookie: [redacted]\nHost: x'],
    ['curl -H "bearer abcdefgh"', 'curl -H "bearer [redacted]"'],
    ['postgres://me:pa55@host/db', 'postgres://me:[redacted]@host/db'],
    ['GET /x?access_token=abcd&page=2', 'GET /x?access_token=[redacted]&page=2'],
    ['npm.auth_token=abcd', 'npm.auth_token=[redacted]'],
    ['DB_PASS=abcd MYSQL_PWD=efgh GH_PAT=ijkl', 'DB_PASS=[redacted] MYSQL_PWD=[redacted] GH_PAT=[redacted]'],
  ])('are known by their names: %s', (text, shown) => expect(redactor()(text)).toBe(shown))

  it.each([
    `sk-ant-api03-${'a'.repeat(40)}`,
    `ghp_${'A1'.repeat(18)}`,
    `AKIA${'ABCD'.repeat(4)}`,
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdef',
    '-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----',
    '-----BEGIN OPENSSH PRIVATE KEY-----\nMIIE',
  ])('are known by their shape: %s', (secret) => expect(redactor()(`it is ${secret}`)).toBe('it is [redacted]'))

  it.each([
    'fatal: not a git repository',
    'the keyboard: it hangs; passing: 3, failing: 2',
    'Cannot spawn session "a": its hook "x" failed: AGENT.md has 7 bytes, and 4 is the limit',
    'a token of its own is what it gets',
    'monkey=7 compass=north author: me turkey: 1',
    'see https://host:8080/a@b and user@host:path',
    'key by key',
    'PWD=/srv/project',
  ])('are not seen where there are none: %s', (text) => expect(redactor()(text)).toBe(text))

  it('are learned', () => {
    const learning = redactor()
    expect(learning('learned-secret')).toBe('learned-secret')
    learning.learn({ A_SECRET: 'learned-secret' })
    expect(learning('learned-secret')).toBe('[redacted]')
  })

  it('never stay, whatever is around them', () => {
    const value = fc
      .string({ minLength: 6, maxLength: 40 })
      .filter((text) => text.trim().length >= 6 && !'[redacted]'.includes(text.trim()))
    fc.assert(
      fc.property(value, fc.string(), fc.string(), (secret, before, after) => {
        fc.pre(!`${before}${after}`.includes(secret))
        expect(redactor({ MY_TOKEN: secret })(`${before} ${secret} ${after}`)).not.toContain(secret)
      }),
    )
  })

  it('take no longer in a long text without blanks', () => {
    const began = performance.now()
    redact(`${'a'.repeat(200_000)} ${'key='.repeat(50_000)} ${'"'.repeat(50_000)} ${'://'.repeat(50_000)}`)
    expect(performance.now() - began).toBeLessThan(2000)
  })
})
