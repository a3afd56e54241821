import { execa } from 'execa'
import { createStorage } from 'unstorage'
import { describe, expect, test } from 'vitest'
import { shellQuote, shellWords } from '../src/plugins/backends/quote.ts'
import { remote } from '../src/plugins/backends/remote/remote.ts'

const inShell = async (line: string) => (await execa('sh', ['-c', `printf '%s\\0' ${line}`])).stdout.split('\0').slice(0, -1)
const attach = `ssh -t -- far ${shellQuote("tmux -S '/tmp/a b' attach -t =it's")}`

test.each([
  'tmux -S /tmp/x attach -t =name',
  attach,
  `ssh -t near ${shellQuote(attach)}`,
  `a ${shellQuote('')} ${shellQuote('b\\c "d" $e `f`')}`,
])('the words of a command are those of a shell: %s', async (line) => {
  expect(shellWords(line)).toEqual(await inShell(line))
})

describe('what an executor says is to be typed', () => {
  const attached = (attachWith: string, host?: string) =>
    remote({ url: 'http://127.0.0.1:1', token: 'x'.repeat(20), ...(host ? { host } : {}) })({
      directory: '/nowhere',
      socket: 'none',
      storage: createStorage(),
    }).attach({ attachWith })

  test('is run on its own machine alone', async () => {
    const line = 'tmux attach; touch /tmp/mine'
    expect(await inShell(attached(line, 'far')!)).toEqual(['ssh', '-t', 'far', line])
  })

  test.each(['tmux -S /tmp/tmux-0/x attach -t =a-1', '/opt/bin/tmux-3.2 -L x attach -t =a'])('is told as it is: %s', (line) => {
    expect(attached(line)).toBe(line)
  })

  test.each([
    'rm -rf /home',
    'tmux -S x attach -t =a; rm x',
    'tmux -f /tmp/evil -S x attach -t =a',
    'ssh -oProxyCommand=evil far',
    'sh -S x attach -t =a',
    'tmux -S $(evil) attach -t =a',
    'tmux -S x attach -t =a\nevil',
  ])('is not told without a way to that machine: %s', (line) => {
    expect(attached(line)).toBeNull()
  })
})
