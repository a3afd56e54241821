import { expect, it } from 'vitest'
import { remote, type RemoteOptions } from '../../src/plugins/backends/remote/remote.ts'

const url = 'http://127.0.0.1:4041'
const token = 'a-token-that-is-long'

it.each([
  [{ token }, 'it takes either url, where the executor listens, or dial: true, when it dials in'],
  [{ url, dial: true, token }, 'it takes either url'],
  [{ dial: false, token }, 'it takes either url'],
  [{ url: 'build:4041', token }, 'Cannot use remote({ url: "build:4041" }): it must be like https://build.example.com:4041'],
  [{ url: '', token }, 'Cannot use remote({ url: "" })'],
  [{ url: 5, token }, 'Cannot use remote({ url: 5 })'],
  [{ url: 'http://user:secret@build/', token }, 'with a user and a password for build: what opens an executor is its token'],
  [{ url }, 'the executor at http://127.0.0.1:4041 has no token here: it is under executor.token in .instar/config.json there'],
  [{ url, token: '' }, 'has no token here'],
  [{ url, token: 'short' }, 'it must have at least 16 characters and no blanks'],
  [
    { dial: true, token: 'with a blank, and long' },
    'Cannot use remote({ token }) for the executor that dials in: it must have at least 16',
  ],
  [{ url, token, silenceMs: 0 }, 'Cannot use remote({ silenceMs: 0 }): it must be a number of milliseconds from 100 to 600000'],
  [{ url, token, patienceMs: '5' }, 'Cannot use remote({ patienceMs: "5" }): it must be a number of milliseconds from 0 to 600000'],
])('remote(%j) is refused in words', (options, words) => {
  let said = ''
  try {
    remote(options as unknown as RemoteOptions)
  } catch (error) {
    said = (error as Error).message
  }
  expect(said).toContain(words)
  for (const secret of ['secret@', 'with a blank']) expect(said).not.toContain(secret)
})

it.each([
  { url: 'https://build.example.com:4041/below/', token },
  { dial: true, token, silenceMs: 300, patienceMs: 0 },
])('remote(%j) is taken', (options) => {
  expect(remote(options as RemoteOptions)).toBeTypeOf('function')
})
