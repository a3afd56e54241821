/**
 * Ours against a bare `tmux` command, in one run, because only ratios of one run mean something on a shared machine.
 * Every figure is a median of interleaved rounds; the number behind it is the 95th percentile.
 */
import { openBareRoute, openStage, processesStarted, usage, type Stage } from './stage.ts'

const rounds = Number(process.env['BENCH_ROUNDS'] ?? 40)
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

async function spawn(stage: Stage, name: string, prompt: string): Promise<void> {
  const answer = await stage.request('POST', '/sessions/spawn', { name, prompt, agent: 'shell' })
  const session = (await answer.json()) as { status: string }
  if (answer.status !== 201 || session.status !== 'running') throw new Error(`${name}: ${answer.status} ${JSON.stringify(session)}`)
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

type Task = (round: number) => Promise<unknown>

async function compare(what: string, ours: Task, bare: Task, times = rounds): Promise<void> {
  const measured: [number[], number[]] = [[], []]
  for (let i = 0; i < times; i++) {
    for (const [side, task] of [ours, bare].entries()) {
      const began = performance.now()
      await task(i)
      measured[side]!.push(performance.now() - began)
    }
  }
  const [a, b] = measured
  print(what, show(a), show(b), (quantile(a, 0.5) / quantile(b, 0.5)).toFixed(2))
}

function quantile(times: readonly number[], q: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!
}

function show(times: readonly number[]): string {
  return `${quantile(times, 0.5).toFixed(2)} / ${quantile(times, 0.95).toFixed(2)} ms`
}

function print(...[what, ours, bare, ratio]: [string, string, string, string]): void {
  process.stdout.write(`${what.padEnd(66)} ${ours.padEnd(28)} ${bare.padEnd(20)} ${ratio}\n`)
}
