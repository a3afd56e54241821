import { describe, expect, it } from 'vitest'
import { InstarError } from '../runtime/error.ts'
import { environmentIn, iso, line, nasty, needsTo, path, type Stage } from './stage.ts'
import { until } from './wait.ts'

export function starts(stage: Stage): void {
  describe('starts a program', () => {
    it('says that it can', async () => {
      expect(await stage.server.backend.check()).toMatchObject({ ok: true, detail: expect.any(String) })
    })

    it('and has reported that before start resolves', async () => {
      const program = await stage.server.sh('exec sleep 60')
      expect(stage.server.sights(program)).toEqual([{ type: 'launched', at: expect.stringMatching(iso) }])
      expect(JSON.parse(JSON.stringify(program.handle))).toEqual(program.handle)
      await stage.server.backend.stop(program.handle, 1000)
    })

    it('in a terminal of the size that was asked for', async (context) => {
      needsTo(context, stage, 'terminal')
      const program = await stage.server.sh('[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && [ -n "$TERM" ] && stty size', {
        size: { cols: 123, rows: 37 },
      })
      expect(await stage.server.exit(program)).toMatchObject({ code: 0 })
      expect(await stage.server.screen(program)).toBe('37 123')
    })

    it('with the environment of the command and no other', async () => {
      const env = { PATH: path, HOME: '/nowhere', ONE: '1', EMPTY: '' }
      const program = await stage.server.run(['env'], { env, size: { cols: 400, rows: 50 } })
      await stage.server.exit(program)
      expect(environmentIn(await stage.server.screen(program))).toEqual(env)
    })

    it('with nothing of its server in an environment that names nothing', async () => {
      const program = await stage.server.run(['/usr/bin/env'], { env: {}, size: { cols: 400, rows: 50 } })
      await stage.server.exit(program)
      expect(environmentIn(await stage.server.screen(program))).toEqual({})
    })

    it('with the exact values of its environment', async () => {
      const texts = nasty(stage.file('touched')).filter((text) => text.length < 1000)
      const env = { PATH: path, ...Object.fromEntries(texts.map((text, i) => [`V${i}`, text])) }
      const print = texts.map((_, i) => `"$V${i}"`).join(' ')
      const program = await stage.server.sh(`printf '%s\\0' ${print} >values`, { env })
      expect((await stage.written(program, 'values')).split('\0').slice(0, -1)).toEqual(texts)
      expect(await stage.harness.read(stage.file('touched'))).toBeNull()
    })

    it('with its exact arguments', async () => {
      const program = await stage.server.sh(`printf '%s\\0' "$@" >arguments`, { args: nasty(stage.file('touched')) })
      expect((await stage.written(program, 'arguments')).split('\0').slice(0, -1)).toEqual(nasty(stage.file('touched')))
      expect(await stage.harness.read(stage.file('touched'))).toBeNull()
    })

    it('in its directory, whatever that is called', async () => {
      const names = [
        'plain',
        "it's",
        '"',
        `#(touch ${stage.file('touched')})`,
        '#{pane_id}',
        '$HOME;',
        '%H',
        '-p',
        'two\nlines',
        '日本語 👍',
      ]
      const maker = await stage.server.sh('for d; do mkdir -p -- "./$d" || exit; done', { args: names })
      expect(await stage.server.exit(maker)).toMatchObject({ code: 0 })
      for (const each of names) {
        const program = await stage.server.sh(`printf '%s' "$PWD" >"$1"`, { cwd: stage.file(each), args: [stage.file('where')] })
        expect(await stage.written(program, 'where')).toBe(stage.file(each))
      }
      expect(await stage.harness.read(stage.file('touched'))).toBeNull()
    })

    it('with its files in a directory that nobody else can read', async () => {
      const files = { 'notes.txt': 'two\nlines #(touch touched) $HOME', 'empty.json': '' }
      const program = await stage.server.sh('cd "$1" && cat notes.txt && ls -ld . notes.txt empty.json | cut -c1-10', {
        files,
        args: (id) => [stage.server.backend.directory(id)],
      })
      await stage.server.exit(program)
      expect((await stage.server.screen(program)).split('\n')).toEqual([
        'two',
        'lines #(touch touched) $HOMEdrwx------',
        '-rw-------',
        '-rw-------',
      ])
    })

    it('many of them at once', async () => {
      const programs = await Promise.all(
        Array.from({ length: stage.harness.many ?? 30 }, (_, i) => stage.server.sh(`echo "I am $1"; exit "$1"`, { args: [`${i}`] })),
      )
      const exits = await Promise.all(programs.map((program) => stage.server.exit(program)))
      expect(exits.map(({ code }) => code)).toEqual(programs.map((_, i) => i))
      const screens = await Promise.all(programs.map((program) => stage.server.screen(program)))
      expect(screens).toEqual(programs.map((_, i) => `I am ${i}`))
      for (const program of programs) expect(stage.server.types(program)).toEqual(['launched', 'exited'])
    })

    it('by names of which one begins with the other', async () => {
      const [one, ten] = [await stage.server.sh('exec cat >one', { name: 'a-1' }), await stage.server.sh('exec cat >ten', { name: 'a-10' })]
      await stage.server.backend.send(ten.handle, line('for ten'))
      await stage.server.backend.send(one.handle, line('for one'))
      await until(async () => (await stage.harness.read(stage.file('one'))) === 'for one\n', { what: 'the text for a-1' })
      await stage.server.backend.stop(one.handle, 1000)
      expect(await stage.server.ids()).toContain(ten.id)
      await stage.server.backend.send(ten.handle, line('again'))
      await until(async () => (await stage.harness.read(stage.file('ten'))) === 'for ten\nagain\n', { what: 'the texts for a-10' })
      await stage.server.backend.stop(ten.handle, 1000)
    })

    it('by the name of one that has ended', async () => {
      const first = await stage.server.sh('exit 1', { name: 'again' })
      expect(await stage.server.exit(first)).toMatchObject({ code: 1 })
      const second = await stage.server.sh('exit 2', { name: 'again' })
      expect(await stage.server.exit(second)).toMatchObject({ code: 2 })
      expect(await stage.server.exit(first)).toMatchObject({ code: 1 })
    })

    it('but not by the name of one that runs, which stays as it is', async () => {
      const first = await stage.server.sh('exec cat', { name: 'taken' })
      const second = stage.server.sh('exec cat', { name: 'taken' })
      await expect(second).rejects.toThrow(InstarError)
      await expect(second).rejects.toMatchObject({ code: 'name_in_use' })
      expect(await stage.server.ids()).toContain(first.id)
      await stage.server.backend.send(first.handle, line('still here'))
      await stage.server.shows(first, stage.echo('still here'))
      await stage.server.backend.stop(first.handle, 1000)
    })
  })
}

export function ends(stage: Stage): void {
  describe('tells how a program ended', () => {
    it.each([0, 1, 5, 126, 127, 143, 255])('exit %i', async (code) => {
      const exit = await stage.server.exit(await stage.server.sh(`exit ${code}`))
      expect(exit).toEqual({ code, signal: null, reason: null, at: expect.stringMatching(iso) })
      expect(Math.abs(Date.parse(exit.at) - Date.now())).toBeLessThan(5000)
    })

    it.each(['KILL', 'TERM', 'INT', 'SEGV', 'HUP'])('SIG%s', async (signal) => {
      expect(await stage.server.exit(await stage.server.sh(`kill -${signal} $$`))).toMatchObject({
        code: null,
        signal: `SIG${signal}`,
        reason: null,
      })
    })

    it.each([path, '/nowhere', ''])('a program that there is not on the PATH "%s"', async (path) => {
      const program = await stage.server.run(['instar-no-such-program', 'x'], { env: { PATH: path } })
      const exit = await stage.server.exit(program)
      expect(exit).toMatchObject({ code: 127, signal: null, reason: expect.stringContaining('instar-no-such-program') })
      expect(stage.server.types(program)).toEqual(['exited'])
      expect(await stage.server.screen(program)).toContain('instar-no-such-program')
    })

    it('a file that is no program', async () => {
      await stage.harness.write(stage.file('text'), 'not a program\n')
      const program = await stage.server.run([stage.file('text')])
      expect(await stage.server.exit(program)).toMatchObject({
        code: expect.toSatisfy((code) => code === 126 || code === 127),
        signal: null,
      })
      expect(await stage.server.screen(program)).toContain(stage.file('text'))
    })

    it.each(['nowhere', "it's nowhere", '"', '#(touch TOUCHED)', '$(touch TOUCHED)', '-'])(
      'a directory that there is not: %s',
      async (name) => {
        const cwd = stage.file(`no/${name.replace('TOUCHED', stage.file('touched'))}`)
        const program = await stage.server.sh('echo I ran', { cwd })
        expect(await stage.server.exit(program)).toMatchObject({ code: 126, signal: null, reason: expect.stringContaining(cwd) })
        expect(stage.server.types(program)).toEqual(['exited'])
        expect(await stage.server.screen(program)).not.toContain('I ran')
        expect(await stage.harness.read(stage.file('touched'))).toBeNull()
      },
    )

    it('with what it left behind still running', async () => {
      const program = await stage.server.sh('sleep 3 & exit 4')
      expect(await stage.server.exit(program)).toMatchObject({ code: 4 })
    })
  })
}
