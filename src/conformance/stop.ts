import { describe, expect, it } from 'vitest'
import { needsTo, path, type Stage } from './stage.ts'
import { until } from './wait.ts'

export function stops(stage: Stage): void {
  describe('stops a program', () => {
    it('that ends when it is asked to', async () => {
      const program = await stage.server.sh(`trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done`)
      await stage.server.shows(program, 'ready')
      const began = Date.now()
      await stage.server.backend.stop(program.handle, 10_000)
      expect(Date.now() - began).toBeLessThan(5000)
      expect(stage.server.sights(program).at(-1)).toMatchObject({ type: 'exited', exit: { code: 0, signal: null } })
      expect(await stage.server.screen(program)).toMatch(/^ready\n.*bye$/s)
    })

    it('that ignores every request', async () => {
      const program = await stage.server.sh(`trap '' TERM HUP INT; echo ready; while :; do sleep 0.05; done`)
      await stage.server.shows(program, 'ready')
      await stage.server.backend.stop(program.handle, 300)
      expect(stage.server.sights(program).at(-1)).toMatchObject({ type: 'exited', exit: { code: null, signal: 'SIGKILL' } })
    })

    it('with everything that it started', async () => {
      const tree = `note() { echo $$ >>"$1"; }
        setsid sh -c 'trap "" HUP; echo $$ >>tree; sleep 59 & echo $! >>tree; wait' &
        nohup sleep 59 >/dev/null 2>&1 & echo $! >>tree
        sh -c 'echo $$ >>tree; sleep 59 & echo $! >>tree; exec sleep 59' & echo $$ >>tree; wait`
      const program = await stage.server.sh(tree)
      const pids = await until(
        async () =>
          (await stage.harness.read(stage.file('tree')))?.match(/\d+\n/g)?.length === 6 ? stage.harness.read(stage.file('tree')) : null,
        {
          what: 'the tree',
        },
      )
      await stage.server.backend.stop(program.handle, 500)
      expect(await stage.running(program, pids.trim().split('\n'))).toBe('')
    })

    it('with what it starts when it is asked to end', async () => {
      const program = await stage.server.sh(
        `trap 'nohup sleep 59 >/dev/null 2>&1 & echo $! >late; exit 0' TERM; echo ready; while :; do sleep 0.05; done`,
      )
      await stage.server.shows(program, 'ready')
      await stage.server.backend.stop(program.handle, 500)
      expect(await stage.running(program, [(await stage.harness.read(stage.file('late')))!.trim()])).toBe('')
    })

    /** Starts a process that nothing ties to the program any more but its environment; its pid goes to a file. */
    const stray = (name: string) =>
      `(setsid sh -c 'echo $$ >"$0.new"; mv "$0.new" "$0"; exec sleep 59' ${name} </dev/null >/dev/null 2>&1 &); until [ -e ${name} ]; do sleep 0.02; done; `
    const carrying = (script: string) => {
      const id = crypto.randomUUID()
      return stage.server.run(['sh', '-c', script], { id, env: { PATH: path, INSTAR_SESSION_ID: id } })
    }
    const pidIn = async (name: string) => {
      await until(async () => (await stage.harness.read(stage.file(name))) !== null, { what: `the file ${name}` })
      return (await stage.harness.read(stage.file(name)))!.trim()
    }

    it('with what has left its process tree and carries its id, and nothing of another session', async (context) => {
      needsTo(context, stage, 'strays')
      const program = await carrying(`${stray('stray-1')} ${stray('stray-2')} exec sleep 59`)
      const other = await carrying(`${stray('stray-other')} exec sleep 59`)
      const pids = [await pidIn('stray-1'), await pidIn('stray-2')]
      const bystander = await pidIn('stray-other')
      expect(await stage.running(program, pids)).toBe(pids.toSorted((a, b) => Number(a) - Number(b)).join('\n'))
      await stage.server.backend.stop(program.handle, 1000)
      expect(await stage.running(program, pids)).toBe('')
      expect(await stage.running(other, [bystander])).toBe(bystander)
      await stage.server.backend.stop(other.handle, 1000)
      expect(await stage.running(other, [bystander])).toBe('')
    })

    it('also such a one that ignores every request', async (context) => {
      needsTo(context, stage, 'strays')
      const program = await carrying(
        `(setsid sh -c 'trap "" TERM HUP INT; echo $$ >stray-deaf; while :; do sleep 0.05; done' </dev/null >/dev/null 2>&1 &); exec sleep 59`,
      )
      const pid = await pidIn('stray-deaf')
      await stage.server.backend.stop(program.handle, 300)
      expect(await stage.running(program, [pid])).toBe('')
    })

    it('whose program was killed: what that had started is ended, and what it started elsewhere', async (context) => {
      needsTo(context, stage, 'strays')
      const program = await carrying(`${stray('stray-killed')} sleep 59 & echo $! >child-killed; kill -KILL $$`)
      const other = await carrying(`${stray('stray-beside')} exec sleep 59`)
      expect(await stage.server.exit(program)).toMatchObject({ code: null, signal: 'SIGKILL' })
      const pids = [await pidIn('stray-killed'), await pidIn('child-killed')]
      const bystander = await pidIn('stray-beside')
      await until(async () => (await stage.running(program, pids)) === '', { what: 'the end of what it had started' })
      expect(await stage.running(other, [bystander])).toBe(bystander)
      await stage.server.backend.stop(other.handle, 1000)
    })

    it('twice, at once and again after the end', async () => {
      const program = await stage.server.sh('exec sleep 60')
      await Promise.all([stage.server.backend.stop(program.handle, 1000), stage.server.backend.stop(program.handle, 1000)])
      await stage.server.backend.stop(program.handle, 1000)
      expect(stage.server.types(program)).toEqual(['launched', 'exited'])
      await stage.server.left()
    })

    it('that has just been started', async () => {
      const programs = await Promise.all(
        Array.from({ length: 5 }, async () => {
          const program = await stage.server.sh('exec sleep 60')
          await stage.server.backend.stop(program.handle, 1000)
          return program
        }),
      )
      for (const program of programs) expect(stage.server.types(program)).toEqual(['launched', 'exited'])
    })

    it('and removes what is left, also again, also what never was', async () => {
      const program = await stage.server.sh('echo here; exit 0', { files: { 'notes.txt': 'kept' } })
      const notes = `${stage.server.backend.directory(program.id)}/notes.txt`
      await stage.server.exit(program)
      expect(await stage.harness.read(notes)).toBe('kept')
      await stage.server.backend.remove(program.id)
      await stage.server.backend.remove(program.id)
      await stage.server.backend.remove(crypto.randomUUID())
      expect(await stage.harness.read(notes)).toBeNull()
    })
  })
}
