import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** What becomes of what a client sends: it passes; it is lost with its connection; its answer is; every connection is lost with the answer; or its answer comes when it is released. */
export type Fate = 'pass' | 'lose' | 'lose answer' | 'lose all' | 'hold'

/** A TCP proxy that does to connections what networks do. */
export interface Proxy {
  readonly url: string
  /** Decides over what a client sends. Default: it passes. */
  decide: (text: string) => Fate
  /** Lets no byte through in either direction, and closes nothing. */
  stalled: boolean
  /** Whether what comes for those on `hold` is held back. */
  hold(isHeld: boolean): void
  /** Ends every connection. */
  cut(): void
  /** Ends every connection and takes no new one, as a machine that is off. */
  down(): Promise<void>
  up(): Promise<void>
  close(): Promise<void>
}

export async function openProxy(target: () => string): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>()
  const held: [Socket, Buffer][] = []
  let isHeld = false
  let port = 0
  const server = createServer((client) => {
    const { hostname, port: to } = new URL(target())
    const upstream = connect(Number(to), hostname)
    const pair = [client, upstream] as const
    pairs.add(pair)
    let fate: Fate = 'pass'
    const end = () => {
      // Who is silent does not say that it is gone either.
      if (self.stalled) return
      pairs.delete(pair)
      client.destroy()
      upstream.destroy()
    }
    for (const socket of pair) socket.on('error', end).on('close', end)
    client.on('data', (bytes) => {
      if (self.stalled) return
      if (fate === 'pass') fate = self.decide(bytes.toString('latin1'))
      if (fate === 'lose') return end()
      upstream.write(bytes)
    })
    upstream.on('data', (bytes) => {
      if (self.stalled) return
      if (fate === 'hold' && isHeld) return void held.push([client, bytes])
      if (fate === 'pass' || fate === 'hold') return void client.write(bytes)
      if (fate === 'lose all') self.cut()
      end()
    })
  })
  const listen = () => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const self: Proxy = {
    get url() {
      return `http://127.0.0.1:${port}`
    },
    decide: () => 'pass',
    stalled: false,
    hold(given) {
      isHeld = given
      if (!isHeld) for (const [client, bytes] of held.splice(0)) client.write(bytes)
    },
    cut() {
      for (const pair of pairs) for (const socket of pair) socket.destroy()
      pairs.clear()
    },
    async down() {
      const closed = new Promise((resolve) => server.close(resolve))
      self.cut()
      await closed
    },
    up: listen,
    async close() {
      if (server.listening) await self.down()
    },
  }
  await listen()
  port = (server.address() as AddressInfo).port
  return self
}
