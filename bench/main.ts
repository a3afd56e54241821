/**
 * Ours against a bare `tmux` command, in one run, because only ratios of one run mean something on a shared machine.
 * Every figure is a median of interleaved rounds; the number behind it is the 95th percentile.
 */
import type { Dockerd } from '../test/support/dockerd.ts'
import { compare, print, rounds, show } from './measure.ts'
import { openBareRoute, openStage, processesStarted, usage, type Stage } from './stage.ts'

const idleMs = Number(process.env['BENCH_IDLE_MS'] ?? 10_000)
const sizes = [1, 100, 500]

const stage = await openStage()
try {
  await stage.bareTmux('new-session', '-d', '-s', 'bare', 'cat')
  await spawn(stage, 'probe', 'cat')
  print('what', 'ours', 'bare', 'ratio')
  await compare(
    'spawn → 201, program running',
    (i) => spawn(stage, `spawn-${i}`, 'exec cat'),
    (i) => stage.bareTmux('new-session', '-d', '-s', `s${i}`, 'exec cat'),
  )
  print('what', 'remote', 'local', 'ratio')
  await compare(
    'spawn → 201, program running',
    (i) => spawn(stage, `there-${i}`, 'exec cat', 'there'),
    (i) => spawn(stage, `here-${i}`, 'exec cat'),
  )
  for (let i = 0; i < rounds; i++)
    for (const place of ['there', 'here']) await stage.request('DELETE', `/sessions/${place}-${i}?purge=true`)
  if (stage.dockerd) await containers(stage, stage.dockerd)
  else print('containers: not measured, they need docker and root', '', '', '')
  print('what', 'ours', 'bare', 'ratio')
  await compare(
    'send → visible',
    (i) => sendOurs(stage, `ours-${i}-`),
    (i) => sendBare(stage, `bare-${i}-`),
  )
  await compare(
    'output, 100 lines',
    () => output(stage, 'probe'),
    () => stage.bareTmux('capture-pane', '-p', '-S', '-100', '-t', 'bare'),
  )
  await exits()
  for (let i = 0; i < rounds; i++) await stage.request('DELETE', `/sessions/spawn-${i}?purge=true`)

  let live = 1
  for (const size of sizes) {
    for (; live < size; live++) await spawn(stage, `idle-${live}`, 'exec cat')
    await lists(size)
    if (size > 1) await idle(size)
  }
  await restart()
} finally {
  await stage.close()
}

async function spawn(stage: Stage, name: string, prompt: string, backend = 'local', cwd: string | null = '/'): Promise<void> {
  const answer = await stage.request('POST', '/sessions/spawn', { name, prompt, agent: 'shell', backend, ...(cwd === null ? {} : { cwd }) })
  const session = (await answer.json()) as { status: string }
  if (answer.status !== 201 || session.status !== 'running') throw new Error(`${name}: ${answer.status} ${JSON.stringify(session)}`)
}

/** Against `docker run` of the same image with the same network, which resolves when the program runs. */
async function containers(stage: Stage, { docker, image }: Dockerd): Promise<void> {
  print('what', 'docker()', 'docker run -d', 'ratio')
  await compare(
    'spawn → 201, program running',
    (i) => spawn(stage, `box-${i}`, 'exec cat', 'box', null),
    (i) => docker('run', '--detach', '--interactive', '--tty', '--init', '--network=host', `--name=bare-${i}`, image, 'cat'),
  )
  for (let i = 0; i < rounds; i++) {
    await stage.request('DELETE', `/sessions/box-${i}?purge=true`)
    await docker('rm', '--force', `bare-${i}`)
  }
}

async function output(stage: Stage, name: string): Promise<string> {
  return (await stage.request('GET', `/sessions/${name}/output?lines=100`)).text()
}

async function sendOurs(stage: Stage, text: string): Promise<void> {
  await stage.request('POST', '/sessions/probe/input', { text })
  while (!(await output(stage, 'probe')).includes(text)) continue
}

async function sendBare(stage: Stage, text: string): Promise<void> {
  await stage.bareTmux('send-keys', '-t', 'bare', text, 'Enter')
  while (!(await stage.bareTmux('capture-pane', '-p', '-t', 'bare')).includes(text)) continue
}

async function exits(): Promise<void> {
  const times: number[] = []
  for (let i = 0; i < rounds; i++) {
    const name = `exit-${i}`
    await spawn(stage, name, 'echo pid $$; exec sleep 1000')
    let pid: number | undefined
    while (!pid) pid = Number(/pid (\d+)/.exec(await output(stage, name))?.[1] ?? 0)
    const began = performance.now()
    process.kill(pid, i % 2 ? 'SIGKILL' : 'SIGTERM')
    for (;;) {
      const session = (await (await stage.request('GET', `/sessions/${name}`)).json()) as { status: string; signal: string }
      if (session.status !== 'running') break
    }
    times.push(performance.now() - began)
    await stage.request('DELETE', `/sessions/${name}?purge=true`)
  }
  print('process exit → status', show(times), '', '')
}

async function lists(size: number): Promise<void> {
  const body = await (await stage.request('GET', '/sessions')).text()
  const bare = await openBareRoute(body)
  const ours = async () => void (await (await stage.request('GET', '/sessions')).text())
  const theirs = async () => void (await (await fetch(bare.url)).text())
  await compare(
    `GET /sessions, ${size} sessions, ${Math.round(body.length / 1024)} KB, against a bare Hono route`,
    ours,
    theirs,
    rounds * 3,
  )
  bare.close()
}

async function idle(size: number): Promise<void> {
  // The bench itself starts no process meanwhile; what the rest of the machine starts is in the figure.
  const pids = [stage.pid, await stage.tmuxPid()]
  const [before, startedBefore] = [await Promise.all(pids.map(usage)), await processesStarted()]
  await new Promise((resolve) => setTimeout(resolve, idleMs))
  const [after, startedAfter] = [await Promise.all(pids.map(usage)), await processesStarted()]
  const core = (i: number) =>
    `${(((after[i]!.cpuMs - before[i]!.cpuMs) / idleMs) * 100).toFixed(2)} % of a core, ${after[i]!.rssMb.toFixed(0)} MB`
  print(`idle, ${size} sessions: server`, core(0), '', '')
  print(`idle, ${size} sessions: tmux`, core(1), '', '')
  print(
    `idle, ${size} sessions: processes started on this machine`,
    `${((startedAfter - startedBefore) / idleMs) * 60_000} a minute`,
    '',
    '',
  )
}

async function restart(): Promise<void> {
  const count = async () => ((await (await stage.request('GET', '/sessions?status=running')).json()) as unknown[]).length
  const live = await count()
  const began = performance.now()
  await stage.restart()
  const found = await count()
  print(`kill -9 and restart, ${live} sessions`, `${(performance.now() - began).toFixed(0)} ms, ${found} running`, '', '')
}
