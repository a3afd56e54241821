import { appendFile, mkdtemp, realpath, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ssh } from '../src/plugins/backends/ssh/ssh.ts'
import { tmux } from '../src/plugins/backends/tmux/tmux.ts'
import { maxTextBytes } from '../src/plugins/backends/place.ts'
import type { Backend } from '../src/runtime/backend.ts'
import type { Step } from '../src/runtime/types.ts'
import { testApp, type TestApp } from './support/app.ts'
import { openSshd, type Sshd } from './support/sshd.ts'
import { program } from './support/tmux.ts'
import { until } from './support/wait.ts'

const MiB = 1024 * 1024

let sshd: Sshd
let far: string
beforeAll(async () => {
  far = await realpath(await mkdtemp(join(tmpdir(), 'instar-there-')))
  sshd = await openSshd()
})
afterAll(async () => {
  await sshd?.close()
  await rm(far, { recursive: true, force: true })
})

describe.each([
  ['here', () => tmux({ program })],
  ['over ssh', () => ssh({ host: 'far', config: sshd.config, directory: join(far, 'state') })],
])('what a session writes %s', (where, make) => {
  let app: TestApp
  let backend: Backend
  beforeEach(async () => {
    app = await testApp({
      backends: {
        [where]: (state) => {
          backend = make()(state)
          return backend
        },
      },
    })
  })
  afterEach(async () => {
    await app?.close()
  })

  async function follow(file: string, cursor = 0) {
    const told: string[] = []
    const cursors: number[] = []
    const tail = await backend.tail!(file, cursor, (lines, at) => {
      told.push(...lines)
      cursors.push(at)
    })
    return { told, cursors, tail }
  }
  const said = () => app.logged.filter((line) => line.includes('too long'))

  it('in a line that is too long is passed over, and what comes after it is told once', async () => {
    const file = join(app.project, 'lines')
    await writeFile(file, 'one\n')
    const { told, cursors, tail } = await follow(file)
    expect(told).toEqual(['one'])
    await truncate(file, 4 + maxTextBytes + 1)
    await tail.catchUp()
    expect(told).toEqual(['one'])
    await appendFile(file, '\ntwo\nthr')
    await until(() => told.length > 1, { what: 'the line after it' })
    await appendFile(file, 'ee\n')
    await until(() => told.includes('three'), { what: 'the third line' })
    tail.close()
    expect(told.map((text) => text.slice(0, 9))).toEqual(['one', '', 'two', 'three'])
    expect(cursors.at(-1)).toBe(4 + maxTextBytes + 2 + 10)
    expect(said()).toEqual([expect.stringContaining(file)])

    const again = await follow(file)
    again.tail.close()
    expect(again.told.map((text) => text.slice(0, 9))).toEqual(['one', '', 'two', 'three'])
  })

  it('in a line as long as one may be is told', async () => {
    const file = join(app.project, 'lines')
    await writeFile(file, `${'x'.repeat(maxTextBytes)}\nlast\n`)
    const { told, tail } = await follow(file)
    tail.close()
    expect(told.map(({ length }) => length)).toEqual([maxTextBytes, 4])
    expect(said()).toEqual([])
  })

  it('in a line that has no end is not held', async () => {
    const file = join(app.project, 'lines')
    await writeFile(file, 'one\n')
    const { told, tail } = await follow(file)
    await truncate(file, 5 * maxTextBytes)
    const held = await most(() => tail.catchUp())
    tail.close()
    const again = await most(async () => (await follow(file)).tail.close())
    expect([told, held < 4 * maxTextBytes, again < 4 * maxTextBytes], `${held / MiB} and ${again / MiB} MiB`).toEqual([['one'], true, true])
  })

  it('as signals, so long, is said in its trail; those after it come, also after a restart', async () => {
    const flood = `head -c ${maxTextBytes + 1} /dev/zero | tr '\\0' x >>"$d/signals.jsonl"; echo >>"$d/signals.jsonl"; `
    const prompt = `d=$(cd -- "$DIRECTORY" && pwd); hook() { echo '{}' | sh "$d/hook.sh" "$1"; }; hook First; ${flood}hook Second; exec cat`
    const id = await spawn(prompt)
    const heard = ['First', 'line_too_long', 'Second']
    await until(async () => (await trail(id)).includes('Second'), { timeout: 20_000, what: 'the signal after it' })
    expect(await trail(id)).toEqual(heard)
    expect(said()).toEqual([expect.stringContaining(`sessions/${id}/signals.jsonl`)])
    await app.restart()
    expect(await trail(id)).toEqual(heard)
  })

  it('as what its launcher had to say, so long, does not keep it from ending', async () => {
    const prompt = `d=$(cd -- "$DIRECTORY" && pwd); until [ -e go ]; do sleep 0.05; done; exit 3`
    const id = await spawn(prompt)
    const words = `${backend.directory(id)}/launcher.err`
    await writeFile(words, '')
    await truncate(words, 10 * maxTextBytes)
    await writeFile(join(app.project, 'go'), '')
    const ended = async () => (await call('GET', `/sessions/${id}`)).endedAt !== null
    const held = await most(() => until(ended, { timeout: 20_000, what: 'the end' }))
    expect(held, `${held / MiB} MiB`).toBeLessThan(6 * maxTextBytes)
    expect((await call('GET', `/sessions/${id}`)).exitCode).toBe(3)
  })

  async function call(method: string, path: string, body?: unknown): Promise<any> {
    const answer = await app.request(path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    return answer.json()
  }
  /** `$DIRECTORY` is where its own files are. */
  async function spawn(prompt: string): Promise<string> {
    const directory = backend.directory('0').slice(0, -1)
    const { id } = await call('POST', '/sessions/spawn', {
      name: `s-${where.slice(0, 4)}`,
      cwd: app.project,
      prompt: `DIRECTORY='${directory}'"$INSTAR_SESSION_ID"; ${prompt}`,
    })
    expect(id).toBeTypeOf('string')
    return id
  }
  async function trail(id: string): Promise<string[]> {
    const { trail } = (await call('GET', `/sessions/${id}/status?explain=1`)) as { trail: Step[] }
    return trail.filter(({ source }) => source === 'hook').map(({ rule }) => rule)
  }
})

/** How many bytes of buffers and strings there were at most while something was done, above those before. */
async function most(task: () => Promise<unknown>): Promise<number> {
  const held = () => {
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    return arrayBuffers + heapUsed
  }
  const before = held()
  let top = before
  const timer = setInterval(() => (top = Math.max(top, held())), 2)
  try {
    await task()
  } finally {
    clearInterval(timer)
  }
  return Math.max(top, held()) - before
}
