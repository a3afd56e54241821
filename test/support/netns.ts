import { randomBytes, randomInt } from 'node:crypto'
import { execa } from 'execa'
import { openSshd, type Sshd } from './sshd.ts'

/**
 * Another host: a network namespace with an address of its own, at the end of a cable. Its files and processes are those of
 * this machine. Needs root.
 */
export interface FarHost extends Sshd {
  readonly address: string
  /** Pulls the cable: nobody is told, packets get lost. */
  cut(): Promise<void>
  join(): Promise<void>
}

export async function openFarHost(client: readonly string[] = []): Promise<FarHost> {
  const name = randomBytes(4).toString('hex')
  const [namespace, near, far] = [`instar-${name}`, `ia-${name}`, `ib-${name}`]
  // From the block for measurements of devices, RFC 2544: nobody's.
  const net = `198.18.${randomInt(256)}.${randomInt(64) * 4}`.split('.').map(Number)
  const at = (host: number) => [...net.slice(0, 3), net[3]! + host].join('.')
  const ip = (...args: string[]) => execa('ip', args)
  const remove = async () => {
    await execa('ip', ['link', 'delete', near], { reject: false })
    await execa('ip', ['netns', 'delete', namespace], { reject: false })
  }
  try {
    await ip('netns', 'add', namespace)
    await ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', namespace)
    await ip('address', 'add', `${at(1)}/30`, 'dev', near)
    await ip('link', 'set', near, 'up')
    await ip('-n', namespace, 'address', 'add', `${at(2)}/30`, 'dev', far)
    await ip('-n', namespace, 'link', 'set', 'lo', 'up')
    await ip('-n', namespace, 'link', 'set', far, 'up')
    const sshd = await openSshd({ address: at(2), port: 22, within: ['ip', 'netns', 'exec', namespace], client })
    return {
      ...sshd,
      address: at(2),
      cut: async () => void (await ip('-n', namespace, 'link', 'set', far, 'down')),
      join: async () => void (await ip('-n', namespace, 'link', 'set', far, 'up')),
      async close() {
        await sshd.close()
        await remove()
      },
    }
  } catch (error) {
    await remove()
    throw error
  }
}
