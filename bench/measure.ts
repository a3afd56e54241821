/** How often each thing is done; interleaved, because only ratios of one run mean something on a shared machine. */
export const rounds = Number(process.env['BENCH_ROUNDS'] ?? 40)

type Task = (round: number) => Promise<unknown>

export async function compare(what: string, ours: Task, bare: Task, times = rounds): Promise<void> {
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

export function quantile(times: readonly number[], q: number): number {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]!
}

export function show(times: readonly number[]): string {
  return `${quantile(times, 0.5).toFixed(2)} / ${quantile(times, 0.95).toFixed(2)} ms`
}

export function print(...[what, ours, bare, ratio]: [string, string, string, string]): void {
  process.stdout.write(`${what.padEnd(66)} ${ours.padEnd(28)} ${bare.padEnd(20)} ${ratio}\n`)
}
