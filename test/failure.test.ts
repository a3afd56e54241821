import { expect, test } from 'vitest'
import { failureIn } from '../src/runtime/failure.ts'

const error = (message: string, more: object = {}, cause?: unknown) =>
  Object.assign(new TypeError(message, cause === undefined ? {} : { cause }), more)
const bun = 'The socket connection was closed unexpectedly. For more information, pass `verbose: true` in the second argument to fetch()'

test.each([
  ['Node', error('fetch failed', {}, { code: 'ECONNREFUSED', message: 'connect ECONNREFUSED 127.0.0.1:1' }), 'nothing listens there'],
  ['Node, of a connection', error('terminated', {}, { code: 'UND_ERR_SOCKET', message: 'other side closed' }), 'the connection broke'],
  [
    'Node, of a certificate',
    error('fetch failed', {}, { code: 'DEPTH_ZERO_SELF_SIGNED_CERT', message: 'self-signed certificate' }),
    'its certificate is not accepted: DEPTH_ZERO_SELF_SIGNED_CERT',
  ],
  [
    'Node 24, of another protocol',
    error('fetch failed', {}, { message: 'Response does not match the HTTP/1.1 protocol (Expected HTTP/)' }),
    'what answers speaks no HTTP',
  ],
  ['Node, of a port', error('fetch failed', {}, { message: 'bad port' }), 'bad port'],
  ['Bun', error(`ECONNRESET: ${bun}`, { code: 'ECONNRESET' }), 'the connection broke'],
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
    'nothing listens there',
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
    'the connection broke',
  ],
  [
    'Deno, of a certificate',
    error(
      'fetch failed',
      {},
      { message: 'error sending request for url (https://a.b/): client error (Connect): invalid peer certificate: UnknownIssuer' },
    ),
    'its certificate is not accepted: invalid peer certificate: UnknownIssuer',
  ],
  ['Deno, of a body', error('error reading a body from connection'), 'the connection broke'],
  ['workerd', error('Network connection lost.'), 'the connection broke'],
  ['an abort', new DOMException('This operation was aborted', 'AbortError'), 'This operation was aborted'],
])('what %s says of a failed fetch is short', (_, failed, words) => {
  expect(failureIn(failed)).toBe(words)
})
