import { execa } from 'execa'

/** What the tests need besides npm packages. Without one of them no test runs, anywhere. */
const programs = [{ name: 'tmux', probe: ['-V'], install: 'apt-get install tmux (Debian, Ubuntu), brew install tmux (macOS)' }]

export default async function setup(): Promise<void> {
  for (const { name, probe, install } of programs) {
    const { failed } = await execa(name, probe, { reject: false })
    if (!failed) continue
    throw new Error(`The tests need ${name}: ${install}`)
  }
}
