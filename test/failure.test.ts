import { expect, test } from 'vitest'
import { failureIn } from '../src/runtime/failure.ts'

const error = (message: string, more: object = {}, cause?: unknown) =>
  Object.assign(new TypeError(message, cause === undefined ? {} : { cause }), more)
const bun = 'The socket connection was closed unexpectedly. For more information, pass `verbose: true` in the second argument to fetch()'

test.each([
  ['Node', error('fetch failed', {}, { code: 'ECONNREFUSED', message: 'connect ECONNREFUSED 127.0.0.1:1' }), 'ECONNREFUSED'],
  ['Node, of a port', error('fetch failed', {}, { message: 'bad port' }), 'bad port'],
  ['Bun', error(`ECONNRESET: ${bun}`, { code: 'ECONNRESET' }), 'ECONNRESET'],
  [
    'Deno',
    error(
      'fetch failed',
      {},
      {
        message:
          'error sending request for url (http://127.0.0.1:4041/): client error (Connect): tcp connect error: Connection refused (os error 111)',
      },
    ),
    'tcp connect error: Connection refused (os error 111)',
  ],
  [
    'Deno, of a connection',
    error(
      'fetch failed',
      {},
      {
        message:
          'error sending request from 127.0.0.1:5 for http://127.0.0.1:6/ (127.0.0.1:6): client error (SendRequest): connection closed before message completed',
      },
    ),
    'connection closed before message completed',
  ],
  ['Deno, of a body', error('error reading a body from connection'), 'error reading a body from connection'],
  ['an abort', new DOMException('This operation was aborted', 'AbortError'), 'This operation was aborted'],
])('what %s says of a failed fetch is short', (_, failed, words) => {
  expect(failureIn(failed)).toBe(words)
})
