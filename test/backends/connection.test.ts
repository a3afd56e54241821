import { expect, it } from 'vitest'
import { connect } from '../../src/plugins/backends/tmux/connection.ts'
import { InstarError } from '../../src/runtime/error.ts'
import { openPlace } from '../support/tmux.ts'
import { until } from '../support/wait.ts'

it('a connection to tmux is made again also when its place is lost while that is tried', async () => {
  const place = await openPlace()
  const losses: string[] = []
  let tries = 0
  const connection = connect({
    async client(args) {
      if (++tries === 2) throw new InstarError('backend_unavailable', 'Cannot reach far: it has not answered')
      return { argv: ['tmux', '-L', place.socket, ...args], env: { PATH: process.env['PATH']! } }
    },
    onBell() {},
    onConnected() {},
    onLost: ({ message }) => void losses.push(message),
    patienceMs: 3000,
  })
  try {
    const first = await connection.control()
    await first.close()
    const next = await until(() => connection.control(), { what: 'the next connection' })
    expect(next).not.toBe(first)
    expect(losses.at(-1)).toBe('Cannot reach far: it has not answered')
    expect(await next.run(['display-message', '-p', 'hello'])).toEqual([['hello']])
  } finally {
    await connection.close()
    await place.cleanup()
  }
})
