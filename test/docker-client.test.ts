import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { clientScript } from '../src/plugins/backends/docker/client.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'instar-client-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

/** Programs that write down how they are called; docker's answers are those of `says`, one for each time it is asked. */
async function pauses(says: readonly ('gone' | 'running' | 'ended')[]): Promise<number[]> {
  const answers = says.map((each, index) => `${index + 1}) say=${each} ;;`).join(' ')
  await writeFile(join(directory, 'sleep'), `#!/bin/sh\necho "$1" >>"${directory}/slept"\n`, { mode: 0o755 })
  await writeFile(
    join(directory, 'docker'),
    `#!/bin/sh
[ "$1" = inspect ] || exit 1
echo >>"${directory}/asked"
case $(($(wc -l <"${directory}/asked"))) in ${answers} esac
case $say in
gone) echo 'Cannot connect to the Docker daemon' >&2; exit 1 ;;
running) echo '{"Status":"running","Running":true}' ;;
*) echo '{"Status":"exited","Running":false,"ExitCode":0}' ;;
esac
`,
    { mode: 0o755 },
  )
  const script = clientScript({ argv: [join(directory, 'docker')], env: {}, name: 'box', run: [], owner: null })
  await execa('sh', ['-c', script, 'sh', directory], { env: { PATH: `${directory}:${process.env['PATH']}` }, timeout: 20_000 })
  return (await readFile(join(directory, 'slept'), 'utf8')).trim().split('\n').map(Number)
}

test('a daemon that is gone is asked ever less often, and at once when it is back', async () => {
  const gone = Array.from({ length: 18 }, () => 'gone' as const)
  const longer = Array.from({ length: 18 }, (_, index) => Math.min(index, 15))
  expect(await pauses([...gone, 'running', 'running', 'ended'])).toEqual([...longer, 0, 1])
})
