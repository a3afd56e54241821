import { expect, it } from 'vitest'
import { line, needs, needsTo, serve, within, type Stage } from './stage.ts'
import { pass, until } from './wait.ts'

/** For a backend whose sessions outlive the server. */
export function survives(stage: Stage): void {
  const exists = (name: string) => until(async () => (await stage.harness.read(stage.file(name))) !== null, { what: `the file ${name}` })
  const wait = (name: string) => `until [ -e ${name} ]; do sleep 0.02; done; `

  it('lists the sessions of the last one, and reports nothing of them by itself', async () => {
    const programs = [await stage.server.sh('exec cat', { name: 'b-1' }), await stage.server.sh('exec cat', { name: 'b-10' })]
    await stage.restart()
    const list = (await stage.server.backend.list()).toSorted((a, b) => (a.handle['name']! < b.handle['name']! ? -1 : 1))
    expect(list).toEqual(programs.map(({ id, handle }) => ({ id, handle })))
    expect(stage.server.reports).toEqual([])
  })

  it('goes on with a session: nothing is reported again, and everything works', async () => {
    const program = await stage.server.sh('echo before; exec cat')
    await stage.server.shows(program, 'before')
    const last = stage.server
    await stage.restart()
    await stage.server.follow(program, last.cursor(program))
    expect(await stage.server.screen(program)).toBe('before')
    await stage.server.backend.send(program.handle, line('after'))
    await stage.server.shows(program, `before\n${stage.echo('after')}`)
    expect(stage.server.reports).toEqual([])
    await within(stage.server.backend.stop(program.handle, 1000), 'the stop')
    expect(stage.server.types(program)).toEqual(['exited'])
    expect(await stage.server.screen(program)).toBe(`before\n${stage.echo('after')}`)
    await stage.server.left()
  })

  it('stops what it has only just taken over', async () => {
    const program = await stage.server.sh(`trap '' TERM HUP; while :; do sleep 0.05; done`)
    const last = stage.server
    await stage.restart()
    await stage.server.follow(program, last.cursor(program))
    await within(stage.server.backend.stop(program.handle, 100), 'the stop')
    expect(stage.server.sights(program)).toMatchObject([{ type: 'exited', exit: { code: null, signal: 'SIGKILL' } }])
  })

  it('types into and reads what it has only just taken over', async () => {
    const program = await stage.server.sh('echo ready; exec cat')
    await stage.server.shows(program, 'ready')
    const last = stage.server
    await stage.restart()
    await stage.server.follow(program, last.cursor(program))
    await stage.server.backend.send(program.handle, line('at once'))
    await stage.server.shows(program, stage.echo('at once'))
  })

  it('reports what happened meanwhile, once, in order and with its time', async () => {
    const program = await stage.server.sh(
      `hook="sh $1/hook.sh"; echo '{"n":1}' | $hook One; ${wait('go')} echo '{"n":2}' | $hook Two; $hook Three <"$1/long"; echo last words; : >over; exit 42`,
      { args: (id) => [stage.server.backend.directory(id)], files: { long: JSON.stringify({ long: 'x'.repeat(5000) }) } },
    )
    await until(() => stage.server.signals(program).length === 1, { what: 'the first signal' })
    const last = stage.server
    let endedAt = 0
    await stage.restart(async () => {
      await stage.harness.write(stage.file('go'), '')
      await exists('over')
      endedAt = Date.now()
      await pass(2000)
    })
    await stage.server.follow(program, last.cursor(program))
    const { at } = await stage.server.exit(program)
    expect(Math.abs(Date.parse(at) - endedAt)).toBeLessThan(1000)
    expect(stage.server.sights(program)).toMatchObject([
      { type: 'signal', signal: { event: 'Two', payload: { n: 2 } } },
      { type: 'signal', signal: { event: 'Three', payload: { long: 'x'.repeat(5000) } } },
      { type: 'exited', exit: { code: 42, signal: null, reason: null } },
    ])
    expect(await stage.server.screen(program)).toBe('last words')
    await stage.server.left()
  })

  it.each(['KILL', 'TERM', 'SEGV'])('reports a program that SIG%s ended meanwhile', async (signal) => {
    const program = await stage.server.sh(`${wait('go')} echo last words; : >over; kill -${signal} $$`)
    const last = stage.server
    await stage.restart(async () => {
      await stage.harness.write(stage.file('go'), '')
      await exists('over')
    })
    await stage.server.follow(program, last.cursor(program))
    expect(await stage.server.exit(program)).toMatchObject({ code: null, signal: `SIG${signal}`, reason: null })
    expect(stage.server.types(program)).toEqual(['exited'])
    expect(await stage.server.screen(program)).toBe('last words')
  })

  it('reports what comes over many restarts, each once', async () => {
    const program = await stage.server.sh(
      `hook="sh $1/hook.sh"; for i in 1 2 3 4 5 6; do until [ -e go$i ]; do sleep 0.02; done; echo $i | $hook E; : >sent$i; done; exit 6`,
      {
        args: (id) => [stage.server.backend.directory(id)],
      },
    )
    const heard: unknown[] = []
    for (let i = 1; i <= 6; i++) {
      const last = stage.server
      // Every other one while nobody is there.
      const go = async () => {
        await stage.harness.write(stage.file(`go${i}`), '')
        await exists(`sent${i}`)
      }
      if (i % 2 === 0) await go()
      const said = stage.server
      if (i % 2 === 0) await until(() => said.signals(program).length > 0, { what: 'the signal' })
      await stage.restart(i % 2 === 0 ? undefined : go)
      await stage.server.follow(program, last.cursor(program))
      heard.push(...said.signals(program).map(({ payload }) => payload))
    }
    expect(await stage.server.exit(program)).toMatchObject({ code: 6 })
    heard.push(...stage.server.signals(program).map(({ payload }) => payload))
    expect(heard).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('reports everything again from the beginning to who knows nothing, with the times of then', async () => {
    const program = await stage.server.sh(`hook="sh $1/hook.sh"; ${wait('go')} echo 1 | $hook One; ${wait('go2')} exit 7`, {
      args: (id) => [stage.server.backend.directory(id)],
    })
    const before = stage.server.sights(program)
    await pass(1500)
    await stage.harness.write(stage.file('go'), '')
    await until(() => stage.server.signals(program).length === 1, { what: 'the signal' })
    const signal = stage.server.signals(program)
    await pass(1500)
    await stage.restart(async () => {
      await stage.harness.write(stage.file('go2'), '')
    })
    await stage.server.follow(program, 0)
    const exit = await stage.server.exit(program)
    expect(exit).toMatchObject({ code: 7 })
    expect(stage.server.types(program)).toEqual(['launched', 'signal', 'exited'])
    const times = stage.server
      .sights(program)
      .map((sight) => Date.parse(sight.type === 'launched' ? sight.at : sight.type === 'signal' ? sight.signal.at : 0 + exit.at))
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    const launchedAt = before.find((sight) => sight.type === 'launched')!.at
    expect(Math.abs(times[0]! - Date.parse(launchedAt))).toBeLessThan(1000)
    expect(Math.abs(times[1]! - Date.parse(signal[0]!.at))).toBeLessThan(1000)
  })

  it('answers a hook that waits since before', async (context) => {
    needs(context, stage.server.backend.answer, 'the backend cannot answer hooks')
    const script = `echo '{}' | sh "$1/hook.sh" Ask wait >answer; exit 5`
    const program = await stage.server.sh(script, { args: (id) => [stage.server.backend.directory(id)] })
    const mailbox = await until(() => stage.server.signals(program)[0]?.mailbox, { what: 'the hook' })
    const last = stage.server
    await stage.restart()
    await stage.server.follow(program, last.cursor(program))
    expect(await stage.server.backend.answer!(program.handle, mailbox, 'after the restart')).toBe(true)
    expect(await stage.server.exit(program)).toMatchObject({ code: 5 })
    expect(await stage.harness.read(stage.file('answer'))).toBe('after the restart')
  })

  it('hears of a hook that began to wait meanwhile', async (context) => {
    needs(context, stage.server.backend.answer, 'the backend cannot answer hooks')
    const script = `${wait('go')} echo '{}' | sh "$1/hook.sh" Ask wait >answer; exit 6`
    const program = await stage.server.sh(script, { args: (id) => [stage.server.backend.directory(id)] })
    const last = stage.server
    await stage.restart(() => stage.harness.write(stage.file('go'), ''))
    await stage.server.follow(program, last.cursor(program))
    const mailbox = await until(() => stage.server.signals(program)[0]?.mailbox, { what: 'the hook' })
    expect(await stage.server.backend.answer!(program.handle, mailbox, 'yes')).toBe(true)
    expect(await stage.server.exit(program)).toMatchObject({ code: 6 })
    expect(await stage.harness.read(stage.file('answer'))).toBe('yes')
  })

  it('goes on to tell titles, also what changed meanwhile', async (context) => {
    needsTo(context, stage, 'titles')
    const title = (text: string) => `printf '\\033]2;${text}\\007'; `
    const script = `${title('one')} ${wait('go')} ${title('two')} : >over; ${wait('go2')} ${title('three')} exec cat`
    const program = await stage.server.sh(script, { titles: true })
    const silent = await stage.server.sh(script)
    const last = () => {
      const sight = stage.server.sights(program).at(-1)
      return sight?.type === 'title' ? sight.title : undefined
    }
    await until(() => last() === 'one', { what: 'the first title' })
    const before = stage.server
    await stage.restart(async () => {
      await stage.harness.write(stage.file('go'), '')
      await exists('over')
    })
    // As the list tells it: nothing else is known of a session whose server was killed.
    for (const { id, handle } of await stage.server.backend.list())
      await stage.server.follow({ id, handle, name: '' }, before.cursor({ id }))
    await until(() => last() === 'two', { what: 'the second title' })
    await stage.harness.write(stage.file('go2'), '')
    await until(() => last() === 'three', { what: 'the third title' })
    expect(stage.server.types(program)).toEqual(['title', 'title'])
    expect(stage.server.types(silent)).toEqual([])
  })

  it('follows a session once, however often it is told to', async () => {
    const program = await stage.server.sh(`${wait('go')} exit 3`)
    const last = stage.server
    await stage.restart()
    await Promise.all([1, 2, 3].map(() => stage.server.follow(program, last.cursor(program))))
    await stage.harness.write(stage.file('go'), '')
    await stage.server.exit(program)
    await stage.server.follow(program, last.cursor(program))
    await stage.server.left()
    expect(stage.server.types(program).filter((type) => type === 'exited')).toHaveLength(stage.server.types(program).length)
  })

  it('finds many that ended meanwhile', async () => {
    const script = `${wait('go')} exit "$1"`
    const programs = await Promise.all(
      Array.from({ length: stage.harness.many ?? 30 }, (_, i) => stage.server.sh(script, { args: [`${i}`] })),
    )
    const last = stage.server
    await stage.restart(() => stage.harness.write(stage.file('go'), ''))
    await Promise.all(programs.map((program) => stage.server.follow(program, last.cursor(program))))
    const exits = await Promise.all(programs.map((program) => stage.server.exit(program)))
    expect(exits.map(({ code }) => code)).toEqual(programs.map((_, i) => i))
    for (const program of programs) expect(stage.server.types(program)).toEqual(['exited'])
    await stage.server.left()
  })

  it('reports nothing after it was closed', async () => {
    const program = await stage.server.sh(`${wait('go')} : >over; exit 0`)
    const { reports } = stage.server
    await stage.server.backend.close()
    const count = reports.length
    await stage.harness.write(stage.file('go'), '')
    await exists('over')
    stage.server = await serve(stage.harness)
    await stage.server.follow(program, 0)
    await stage.server.exit(program)
    expect(reports).toHaveLength(count)
  })
}
