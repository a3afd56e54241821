import { expect, it } from 'vitest'
import { iso, line, path, serve, within, type Program, type Stage } from './stage.ts'
import { until } from './wait.ts'

/** For a backend whose sessions end with the server. */
export function perishes(stage: Stage): void {
  /** A program that says something, prints something, and goes on, with a process that has left its tree. */
  async function talking(): Promise<{ program: Program; pids: readonly string[] }> {
    const id = crypto.randomUUID()
    const script = `(setsid sh -c 'echo $$ >stray.new; mv stray.new stray; exec sleep 59' </dev/null >/dev/null 2>&1 &); until [ -e stray ]; do sleep 0.02; done
      echo '{}' | sh "$1/hook.sh" One; echo last words; echo $$ >tree.new; mv tree.new tree; exec sleep 59`
    const program = await stage.server.run(['sh', '-c', script, 'sh', stage.server.backend.directory(id)], {
      id,
      env: { PATH: path, INSTAR_SESSION_ID: id },
    })
    await until(() => stage.server.signals(program).length === 1, { what: 'the signal' })
    await stage.server.shows(program, 'last words')
    await until(async () => (await stage.harness.read(stage.file('tree'))) !== null, { what: 'the tree' })
    const pids = await Promise.all(['tree', 'stray'].map(async (name) => (await stage.harness.read(stage.file(name)))!.trim()))
    return { program, pids }
  }

  it('leaves nothing running, and reports them as gone with the reason, once', async () => {
    const { program, pids } = await talking()
    const last = stage.server
    await stage.restart()
    await stage.server.follow(program, last.cursor(program))
    expect(await stage.server.exit(program)).toMatchObject({ reason: expect.stringMatching(/./), at: expect.stringMatching(iso) })
    expect(stage.server.types(program)).toEqual(['exited'])
    expect(await stage.server.screen(program)).toBe('last words')
    await stage.server.left()
    expect(await stage.running(program, pids)).toBe('')
  })

  it('reports what was said and not kept, in order, before the end', async () => {
    const { program } = await talking()
    await stage.restart()
    await stage.server.follow(program, 0)
    await stage.server.exit(program)
    expect(stage.server.types(program)).toEqual(['launched', 'signal', 'exited'])
  })

  it('can do nothing with one that is gone, and takes its name again', async () => {
    const { program } = await talking()
    const last = stage.server
    await stage.restart()
    await stage.server.follow(program, last.cursor(program))
    await stage.server.exit(program)
    await expect(stage.server.backend.send(program.handle, line('too late'))).rejects.toMatchObject({ code: 'session_ended' })
    await stage.server.backend.stop(program.handle, 1000)
    const again = await stage.server.sh('exit 3', { name: program.name })
    expect(await stage.server.exit(again)).toMatchObject({ code: 3 })
    await stage.server.backend.remove(program.id)
    await stage.server.backend.remove(program.id)
    expect(await stage.server.screen(program)).toBe('')
  })
}

/** For every backend. */
export function remembers(stage: Stage): void {
  it('reports the end again to who had not kept it', async () => {
    const program = await stage.server.sh('echo last words; exit 8')
    const exit = await stage.server.exit(program)
    await stage.restart()
    await stage.server.follow(program, 0)
    expect(await stage.server.exit(program)).toEqual(exit)
    expect(stage.server.types(program)).toEqual(['launched', 'exited'])
    expect(await stage.server.screen(program)).toBe('last words')
  })

  it.each([
    ['never resolves', () => new Promise<void>(() => {})],
    ['rejects', () => Promise.reject(new Error('the disk is full'))],
  ])('still has the session whose end was not kept, because the report %s', async (_, safe) => {
    await stage.server.backend.close()
    stage.server = await serve(stage.harness, safe)
    const program = await stage.server.sh('echo last words; exit 9')
    await stage.server.exit(program)
    expect(await stage.server.screen(program)).toBe('last words')
    // Not even that it had begun was kept: then the list has to tell.
    await within(stage.restart(), 'the restart')
    const sighting = (await stage.server.backend.list()).find(({ id }) => id === program.id)!
    await stage.server.follow({ ...program, handle: sighting.handle }, 0)
    expect(await stage.server.exit(program)).toMatchObject({ code: 9 })
    expect(stage.server.types(program)).toEqual(['launched', 'exited'])
    expect(await stage.server.backend.capture(sighting.handle, 10)).toEqual({ text: 'last words', truncated: false })
    await stage.server.left()
    const again = await stage.server.sh('exit 0', { name: program.name })
    expect(await stage.server.exit(again)).toMatchObject({ code: 0 })
  })

  it('reports a session of which nothing is left as gone, with the reason', async () => {
    const program = await stage.server.sh('exit 0')
    await stage.server.exit(program)
    await stage.server.left()
    await stage.server.backend.remove(program.id)
    await stage.restart()
    await stage.server.follow(program, 1)
    expect(await stage.server.exit(program)).toMatchObject({ code: null, signal: null, reason: expect.any(String) })
    await within(stage.server.backend.stop(program.handle, 1000), 'the stop')
  })
}
