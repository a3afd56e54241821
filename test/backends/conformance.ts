import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, type TestContext } from 'vitest'
import { InstarError } from '../../src/runtime/error.ts'
import type { Backend } from '../../src/runtime/backend.ts'
import type { Command, Exit, Handle, Keystroke, Report, Sight, Signal } from '../../src/runtime/types.ts'
import { pass, until } from '../support/wait.ts'

/**
 * What every backend has to do, told with real programs of a few lines of sh. It knows a backend by its contract only;
 * what a backend does not offer is skipped, with the reason.
 *
 *   backendConformance('podman', async () => ({ backend: () => podman()(place), directory, read, write, cleanup }))
 */
export interface Harness {
  /** A new backend on this place that nobody has opened. The second one is what a server makes after a restart. */
  backend(): Backend
  /** An empty directory where the programs run, theirs to write to. Absolute. */
  readonly directory: string
  /** A file there as text; null when there is none. */
  read(path: string): Promise<string | null>
  write(path: string, text: string): Promise<void>
  /** Makes a terminal on the backend's terminal server that is not the backend's. Needed where `terminals` is offered. */
  intrude?(name: string): Promise<void>
  /** What the backend cannot do that has no verb of its own, with the reason. */
  readonly cannot?: Readonly<Partial<Record<'titles' | 'styles' | 'environments', string>>>
  /** Ends everything that runs there, also after a failure. Called after every backend is closed. */
  cleanup(): Promise<void>
}

/** Everything a shell, a terminal and tmux may do something with when they should not. Who runs what stands in there makes the file `touched`. */
export const nasty = (touched: string): readonly string[] => [
  '',
  ' ',
  '  two  blanks  ',
  "it's",
  '"quoted"',
  `'"'"'`,
  'end;',
  ';',
  '\\;',
  ';;',
  '#{pane_id}',
  `#(touch ${touched})`,
  '##',
  '#',
  '#[fg=red]',
  '$HOME',
  '${HOME}',
  `$(touch ${touched})`,
  `\`touch ${touched}\``,
  '$$',
  'two\nlines',
  '\n',
  'newline at the end\n',
  '\ttabs\t',
  'carriage\rreturn',
  '\x1b[31m',
  '\x01\x7f',
  'ünï 日本語 👍',
  '%',
  '%s %d %%',
  '%1',
  '~',
  '~root',
  '-',
  '--',
  '-n',
  '--help',
  '*',
  '[a-z]?',
  '{a,b}',
  '!!',
  '& true',
  '|| true',
  `> ${touched}`,
  `; touch ${touched} ;`,
  `' ; run-shell 'touch ${touched}' ; '`,
  `" ; run-shell "touch ${touched}`,
  '(',
  '\\',
  '\\n\\',
  '@instar_id=x',
  '=name:',
  'x'.repeat(100_000),
]

/** What a terminal and a shell set for themselves. */
const ambient = ['TERM', 'COLORTERM', 'PWD', 'OLDPWD', 'SHLVL', '_']
const path = '/usr/local/bin:/usr/bin:/bin'

export function backendConformance(name: string, open: () => Promise<Harness>): void {
  describe(`${name}, as every backend,`, () => {
    let harness: Harness
    let server: Server

    beforeAll(async () => {
      process.env['INSTAR_CONFORMANCE_SECRET'] = 'not-for-programs'
      harness = await open()
      server = await serve(harness)
    })
    afterAll(async () => {
      delete process.env['INSTAR_CONFORMANCE_SECRET']
      await server?.backend.close()
      await harness?.cleanup()
    })

    const file = (name: string) => `${harness.directory}/${name}`
    /** What a program wrote, once it has ended well. */
    async function written(program: Program, name: string): Promise<string> {
      expect(await server.exit(program)).toMatchObject({ code: 0, signal: null })
      return (await harness.read(file(name))) ?? ''
    }

    describe('starts a program', () => {
      it('says that it can', async () => {
        expect(await server.backend.check()).toMatchObject({ ok: true, detail: expect.any(String) })
      })

      it('and has reported that before start resolves', async () => {
        const program = await server.sh('exec sleep 60')
        expect(server.sights(program)).toEqual([{ type: 'launched', at: expect.stringMatching(iso) }])
        expect(JSON.parse(JSON.stringify(program.handle))).toEqual(program.handle)
        await server.backend.stop(program.handle, 1000)
      })

      it('in a terminal of the size that was asked for', async () => {
        const program = await server.sh('[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && [ -n "$TERM" ] && stty size', {
          size: { cols: 123, rows: 37 },
        })
        expect(await server.exit(program)).toMatchObject({ code: 0 })
        expect(await server.screen(program)).toBe('37 123')
      })

      it('with the environment of the command and no other', async () => {
        const env = { PATH: path, HOME: '/nowhere', ONE: '1', EMPTY: '' }
        const program = await server.run(['env'], { env, size: { cols: 400, rows: 50 } })
        await server.exit(program)
        expect(environmentIn(await server.screen(program))).toEqual(env)
      })

      it('with nothing of its server in an environment that names nothing', async () => {
        const program = await server.run(['/usr/bin/env'], { env: {}, size: { cols: 400, rows: 50 } })
        await server.exit(program)
        expect(environmentIn(await server.screen(program))).toEqual({})
      })

      it('with the exact values of its environment', async () => {
        const texts = nasty(file('touched')).filter((text) => text.length < 1000)
        const env = { PATH: path, ...Object.fromEntries(texts.map((text, i) => [`V${i}`, text])) }
        const print = texts.map((_, i) => `"$V${i}"`).join(' ')
        const program = await server.sh(`printf '%s\\0' ${print} >values`, { env })
        expect((await written(program, 'values')).split('\0').slice(0, -1)).toEqual(texts)
        expect(await harness.read(file('touched'))).toBeNull()
      })

      it('with its exact arguments', async () => {
        const program = await server.sh(`printf '%s\\0' "$@" >arguments`, { args: nasty(file('touched')) })
        expect((await written(program, 'arguments')).split('\0').slice(0, -1)).toEqual(nasty(file('touched')))
        expect(await harness.read(file('touched'))).toBeNull()
      })

      it('in its directory, whatever that is called', async () => {
        const names = ['plain', "it's", '"', `#(touch ${file('touched')})`, '#{pane_id}', '$HOME;', '%H', '-p', 'two\nlines', '日本語 👍']
        const maker = await server.sh('for d; do mkdir -p -- "./$d" || exit; done', { args: names })
        expect(await server.exit(maker)).toMatchObject({ code: 0 })
        for (const each of names) {
          const program = await server.sh(`printf '%s' "$PWD" >"$1"`, { cwd: file(each), args: [file('where')] })
          expect(await written(program, 'where')).toBe(file(each))
        }
        expect(await harness.read(file('touched'))).toBeNull()
      })

      it('with its files in a directory that nobody else can read', async () => {
        const files = { 'notes.txt': 'two\nlines #(touch touched) $HOME', 'empty.json': '' }
        const program = await server.sh('cd "$1" && cat notes.txt && ls -ld . notes.txt empty.json | cut -c1-10', {
          files,
          args: (id) => [server.backend.directory(id)],
        })
        await server.exit(program)
        expect((await server.screen(program)).split('\n')).toEqual([
          'two',
          'lines #(touch touched) $HOMEdrwx------',
          '-rw-------',
          '-rw-------',
        ])
      })

      it('thirty of them at once', async () => {
        const programs = await Promise.all(Array.from({ length: 30 }, (_, i) => server.sh(`echo "I am $1"; exit "$1"`, { args: [`${i}`] })))
        const exits = await Promise.all(programs.map((program) => server.exit(program)))
        expect(exits.map(({ code }) => code)).toEqual(programs.map((_, i) => i))
        const screens = await Promise.all(programs.map((program) => server.screen(program)))
        expect(screens).toEqual(programs.map((_, i) => `I am ${i}`))
        for (const program of programs) expect(server.types(program)).toEqual(['launched', 'exited'])
      })

      it('by names of which one begins with the other', async () => {
        const [one, ten] = [await server.sh('exec cat >one', { name: 'a-1' }), await server.sh('exec cat >ten', { name: 'a-10' })]
        await server.backend.send(ten.handle, line('for ten'))
        await server.backend.send(one.handle, line('for one'))
        await until(async () => (await harness.read(file('one'))) === 'for one\n', { what: 'the text for a-1' })
        await server.backend.stop(one.handle, 1000)
        expect(await server.ids()).toContain(ten.id)
        await server.backend.send(ten.handle, line('again'))
        await until(async () => (await harness.read(file('ten'))) === 'for ten\nagain\n', { what: 'the texts for a-10' })
        await server.backend.stop(ten.handle, 1000)
      })

      it('by the name of one that has ended', async () => {
        const first = await server.sh('exit 1', { name: 'again' })
        expect(await server.exit(first)).toMatchObject({ code: 1 })
        const second = await server.sh('exit 2', { name: 'again' })
        expect(await server.exit(second)).toMatchObject({ code: 2 })
        expect(await server.exit(first)).toMatchObject({ code: 1 })
      })

      it('but not by the name of one that runs, which stays as it is', async () => {
        const first = await server.sh('exec cat', { name: 'taken' })
        const second = server.sh('exec cat', { name: 'taken' })
        await expect(second).rejects.toThrow(InstarError)
        await expect(second).rejects.toMatchObject({ code: 'name_in_use' })
        expect(await server.ids()).toContain(first.id)
        await server.backend.send(first.handle, line('still here'))
        await server.shows(first, 'still here\nstill here')
        await server.backend.stop(first.handle, 1000)
      })
    })

    describe('tells how a program ended', () => {
      it.each([0, 1, 5, 126, 127, 143, 255])('exit %i', async (code) => {
        const exit = await server.exit(await server.sh(`exit ${code}`))
        expect(exit).toEqual({ code, signal: null, reason: null, at: expect.stringMatching(iso) })
        expect(Math.abs(Date.parse(exit.at) - Date.now())).toBeLessThan(5000)
      })

      it.each(['KILL', 'TERM', 'INT', 'SEGV', 'HUP'])('SIG%s', async (signal) => {
        expect(await server.exit(await server.sh(`kill -${signal} $$`))).toMatchObject({ code: null, signal: `SIG${signal}`, reason: null })
      })

      it.each([path, '/nowhere', ''])('a program that there is not on the PATH "%s"', async (path) => {
        const program = await server.run(['instar-no-such-program', 'x'], { env: { PATH: path } })
        const exit = await server.exit(program)
        expect(exit).toMatchObject({ code: 127, signal: null, reason: expect.stringContaining('instar-no-such-program') })
        expect(server.types(program)).toEqual(['exited'])
        expect(await server.screen(program)).toContain('instar-no-such-program')
      })

      it('a file that is no program', async () => {
        await harness.write(file('text'), 'not a program\n')
        const program = await server.run([file('text')])
        expect(await server.exit(program)).toMatchObject({ code: expect.toSatisfy((code) => code === 126 || code === 127), signal: null })
        expect(await server.screen(program)).toContain(file('text'))
      })

      it.each(['nowhere', "it's nowhere", '"', '#(touch TOUCHED)', '$(touch TOUCHED)', '-'])(
        'a directory that there is not: %s',
        async (name) => {
          const cwd = file(`no/${name.replace('TOUCHED', file('touched'))}`)
          const program = await server.sh('echo I ran', { cwd })
          expect(await server.exit(program)).toMatchObject({ code: 126, signal: null, reason: expect.stringContaining(cwd) })
          expect(server.types(program)).toEqual(['exited'])
          expect(await server.screen(program)).not.toContain('I ran')
          expect(await harness.read(file('touched'))).toBeNull()
        },
      )

      it('with what it left behind still running', async () => {
        const program = await server.sh('sleep 3 & exit 4')
        expect(await server.exit(program)).toMatchObject({ code: 4 })
      })
    })

    describe('shows the screen', () => {
      it('of a program that wrote 5000 lines and ended at once', async () => {
        const program = await server.run(['awk', 'BEGIN { for (i = 1; i <= 5000; i++) print "line", i }'])
        expect(await server.exit(program)).toMatchObject({ code: 0 })
        expect(await server.screen(program, 5000)).toBe(numbered(1, 5000))
      })

      it('of a program that wrote 100 KB in one line and ended at once', async () => {
        const program = await server.run(['awk', 'BEGIN { for (i = 0; i < 20000; i++) printf "%05d", i; exit 3 }'])
        expect(await server.exit(program)).toMatchObject({ code: 3 })
        const text = (await server.screen(program, 5000)).replaceAll('\n', '')
        expect(text).toBe(Array.from({ length: 20_000 }, (_, i) => String(i).padStart(5, '0')).join(''))
      })

      it('to the exact number of lines, before and after the end', async () => {
        const program = await server.sh('awk "BEGIN { for (i = 1; i <= 300; i++) print \\"line\\", i }"; exec cat')
        await server.shows(program, 'line 300')
        const looks = async () => {
          for (const lines of [1, 5, 100, 299]) {
            expect(await server.backend.capture(program.handle, lines)).toEqual({ text: numbered(301 - lines, 300), truncated: true })
          }
          for (const lines of [300, 301, 5000]) {
            expect(await server.backend.capture(program.handle, lines)).toEqual({ text: numbered(1, 300), truncated: false })
          }
        }
        await looks()
        await server.backend.stop(program.handle, 1000)
        await looks()
      })

      it('without blank lines at its end, and with those inside', async () => {
        const program = await server.sh(`printf '\\n  one\\n\\n\\ntwo  three\\n\\n   \\n\\n'; exec cat`)
        const text = '\n  one\n\n\ntwo  three'
        await server.shows(program, 'three')
        expect(await server.backend.capture(program.handle, 4)).toEqual({ text: text.slice(1), truncated: true })
        expect(await server.backend.capture(program.handle, 5)).toEqual({ text, truncated: false })
        await server.backend.stop(program.handle, 1000)
        expect(await server.backend.capture(program.handle, 5)).toEqual({ text, truncated: false })
      })

      it('that is empty', async () => {
        const program = await server.sh('exec sleep 60')
        expect(await server.backend.capture(program.handle, 100)).toEqual({ text: '', truncated: false })
        await server.backend.stop(program.handle, 1000)
        expect(await server.backend.capture(program.handle, 100)).toEqual({ text: '', truncated: false })
      })

      it('with its styles when they are asked for, as long as it runs', async (context) => {
        needsTo(context, harness, 'styles')
        const program = await server.sh(
          `printf '\\033[31mred\\033[0m plain \\033[1;2mdim\\033[0m\\n\\033[7m \\033[0m\\033[38;5;174mnumbered \\\\ 日本\\033[0m\\n\\nlast'; exec cat`,
        )
        await server.shows(program, 'last')
        const text = 'red plain dim\n numbered \\ 日本\n\nlast'
        const sgr = /\x1b\[[0-9;]*m/g
        for (const lines of [1, 2, 4, 5, 100]) {
          const plain = await server.backend.capture(program.handle, lines)
          expect(plain).toEqual({ text: text.split('\n').slice(-lines).join('\n'), truncated: lines < 4 })
          const styled = await server.backend.capture(program.handle, lines, { styles: true })
          expect({ ...styled, text: styled.text.replace(sgr, '') }).toEqual(plain)
        }
        const { text: styled } = await server.backend.capture(program.handle, 100, { styles: true })
        expect(styled).toMatch(/\x1b\[31mred\x1b\[(?:0|39)?m plain \x1b\[(?:0;)?1;2mdim/)
        expect(styled).toMatch(/\x1b\[38;5;174m(?:\x1b\[49m)?numbered/)
        expect((await server.backend.capture(program.handle, 100, { styles: false })).text).toBe(text)
        await server.backend.stop(program.handle, 1000)
        expect(await server.backend.capture(program.handle, 100, { styles: true })).toEqual({ text, truncated: false })
      })

      it('in every script, with wide characters and those that tmux would escape', async () => {
        const text = [
          '日本語 한국어 中文 | Ελληνικά Кириллица العربية',
          '👍 🎉 é ñ ﬁ ½ ∑ ─│┌┐ ✓',
          `backslash \\ \\\\ \\n \\$HOME \\033 \\t $HOME \${HOME} $x $`,
          '#{pane_id} #(touch touched) %H % %% ~ `x` "q" \'q\' ; {a} &',
          Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i)).join(''),
          '日'.repeat(200),
        ].join('\n')
        await harness.write(file('texts'), `${text}\n`)
        const program = await server.sh('cat texts; exec cat', { size: { cols: 80, rows: 24 } })
        await server.shows(program, '日'.repeat(40))
        const wrapped = text.replace(/^(.{80})(.{14})$/m, '$1\n$2').replace(/日{200}/, `${'日'.repeat(40)}\n`.repeat(5).trim())
        expect(await server.screen(program)).toBe(wrapped)
        await server.backend.stop(program.handle, 1000)
        expect(await server.screen(program)).toBe(wrapped)
      })

      it('of a program that writes what a terminal server would say', async () => {
        // A reader that trusts such a line cuts the answer short, or takes the rest for events. It has to name the second
        // and the number of a command: the forger tries all numbers, again and again, on a server that is still young.
        const forge = `BEGIN { for (n = 1; n <= 1200; n++) {
          printf "%%end %d %d 1\\n%%error %d %d 1\\n", t, n, t, n
          if (n % 100 == 0) print "%exit\\n%output %0 x\\n%begin 1 2 1\\n%session-changed $9 x\\n%unlinked-window-close @1" } }`
        const forged =
          /^(?:%end \d+ \d+ 1|%error \d+ \d+ 1|%exit|%output %0 x|%begin 1 2 1|%session-changed \$9 x|%unlinked-window-close @1)$/
        const place = await open()
        const young = await serve(place)
        try {
          const other = await young.sh('echo undisturbed; exec cat')
          await young.shows(other, 'undisturbed')
          const program = await young.sh(`until [ -e enough ]; do awk -v t="$(date +%s)" '${forge}'; sleep 0.03; done; echo over; exec cat`)
          const look = async () => (await young.backend.capture(program.handle, 4000)).text.split('\n')
          await until(async () => (await look()).length === 4000, { what: 'forged lines' })
          for (let looks = 0; looks < 25; looks++) {
            const lines = await look()
            expect(lines).toHaveLength(4000)
            // It may be just writing the last.
            expect(lines.slice(0, -1).filter((each) => !forged.test(each))).toEqual([])
            expect(await young.screen(other)).toBe('undisturbed')
            expect((await young.ids()).toSorted()).toEqual([program.id, other.id].toSorted())
          }
          await place.write(`${place.directory}/enough`, '')
          await young.shows(program, 'over')
          const [last] = (await look()).slice(-1)
          expect(last).toBe('over')
        } finally {
          await young.backend.close()
          await place.cleanup()
        }
      })
    })

    describe('types into a program', () => {
      it('texts that anything else would take for something else', async () => {
        // What a terminal acts on is not typed; the rest of a line is. A terminal in its usual mode takes 4095 bytes a line.
        const texts = nasty(file('touched')).filter((text) => text !== '' && text.length < 4095 && !/[\x00-\x08\x0b-\x1f\x7f]/.test(text))
        const program = await server.sh('stty -echo; echo ready; exec cat >typed')
        await server.shows(program, 'ready')
        for (const text of texts) await server.backend.send(program.handle, line(text))
        await server.backend.send(program.handle, [{ type: 'key', key: 'C-d' }])
        expect(await written(program, 'typed')).toBe(texts.map((text) => `${text}\n`).join(''))
        expect(await harness.read(file('touched'))).toBeNull()
      })

      it('a line of 4000 bytes', async () => {
        const text = 'äb'.repeat(1334).slice(0, 2666)
        const program = await server.sh('exec cat >typed')
        await server.backend.send(program.handle, [...line(text), { type: 'key', key: 'C-d' }])
        expect(await written(program, 'typed')).toBe(`${text}\n`)
      })

      it('64 KiB of many lines, in one piece', async () => {
        const text = Array.from({ length: 1024 }, (_, i) => `${i} ${'.'.repeat(62 - String(i).length)}`).join('\n')
        expect(text).toHaveLength(65_535)
        const program = await server.sh('exec cat >typed')
        await server.backend.send(program.handle, [...line(text), { type: 'key', key: 'C-d' }])
        expect(await written(program, 'typed')).toBe(`${text}\n`)
      })

      it('a text without its control characters, and lines that end as they do elsewhere', async () => {
        const program = await server.sh('stty -echo; echo ready; exec cat >typed')
        await server.shows(program, 'ready')
        await server.backend.send(program.handle, line('a\x1b[201~b\x07c\x03\x04\x16\x7fd\u009b31me\r\nf\rg'))
        await server.backend.send(program.handle, [{ type: 'key', key: 'C-d' }])
        expect(await written(program, 'typed')).toBe('a[201~bcd31me\nf\ng\n')
      })

      it('a text of which nothing is left, which is nothing', async () => {
        const program = await server.sh('exec cat >typed')
        await server.backend.send(program.handle, [...line(''), ...line('\x1b'), { type: 'key', key: 'C-d' }])
        expect(await written(program, 'typed')).toBe('\n\n')
      })

      it('a paste, marked as one for a program that asks for that, which it cannot leave', async () => {
        const script = `stty raw -echo; printf '\\033[?2004hready'; dd bs=1 count=24 of=typed 2>/dev/null`
        const program = await server.sh(script)
        await server.shows(program, 'ready')
        await server.backend.send(program.handle, line('pasted\x1b[201~'))
        expect(await written(program, 'typed')).toBe('\x1b[200~pasted[201~\x1b[201~\r')
      })

      it('an Enter that does not come in one read with a paste that shows late', async () => {
        const script = `stty raw -echo; echo ready; dd bs=100 count=1 of=first 2>/dev/null; sleep 0.3; cat first; dd bs=100 count=1 of=second 2>/dev/null`
        const program = await server.sh(script)
        await server.shows(program, 'ready')
        const text = 'a text that shows late'
        await server.backend.send(program.handle, [
          { type: 'paste', text },
          { type: 'visible', text },
          { type: 'key', key: 'Enter' },
        ])
        expect([await written(program, 'first'), await written(program, 'second')]).toEqual([text, '\r'])
      })

      it('with a pause, for a program that would take what follows for a part of what it got', async () => {
        const program = await server.sh(
          'stty raw -echo; echo ready; dd bs=100 count=1 of=before 2>/dev/null; dd bs=100 count=1 of=after 2>/dev/null',
        )
        await server.shows(program, 'ready')
        const began = Date.now()
        await server.backend.send(program.handle, [
          { type: 'paste', text: 'a text' },
          { type: 'pause', ms: 300 },
          { type: 'key', key: 'Enter' },
        ])
        expect(Date.now() - began).toBeGreaterThanOrEqual(300)
        expect([await written(program, 'before'), await written(program, 'after')]).toEqual(['a text', '\r'])
      })

      it('and does not wait for ever for a text that never shows', async () => {
        const program = await server.sh('stty -echo; echo ready; exec cat >typed')
        await server.shows(program, 'ready')
        const text = 'a text that never shows'
        await server.backend.send(program.handle, [
          { type: 'paste', text },
          { type: 'visible', text },
          { type: 'key', key: 'Enter' },
          { type: 'key', key: 'C-d' },
        ])
        expect(await written(program, 'typed')).toBe(`${text}\n`)
      })

      it('keys', async () => {
        const program = await server.sh(`trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done`)
        await server.shows(program, 'ready')
        await server.backend.send(program.handle, [{ type: 'key', key: 'C-c' }])
        expect(await server.exit(program)).toMatchObject({ code: 9 })
        expect(await server.screen(program)).toContain('interrupted')
      })

      it.each([
        ';',
        'Enter ; run-shell "touch TOUCHED"',
        "' ; run-shell 'touch TOUCHED",
        '#(touch TOUCHED)',
        "'",
        '"',
        '{',
        '#{pane_id}',
        '-X',
        '\n',
      ])('a key that is none, which is no command either: %j', async (name) => {
        const touched = `touched-${crypto.randomUUID()}`
        const key = name.replace('TOUCHED', file(touched))
        const program = await server.sh('exec cat >typed')
        await server.backend
          .send(program.handle, [{ type: 'key', key }])
          .catch((error: unknown) => expect(error).toBeInstanceOf(InstarError))
        await server.backend.send(program.handle, [
          { type: 'key', key: 'Enter' },
          { type: 'key', key: 'C-d' },
        ])
        await written(program, 'typed')
        // What tmux runs it does not wait for.
        await pass(50)
        expect(await harness.read(file(touched))).toBeNull()
      })

      it('but not into one that has ended, and nothing breaks', async () => {
        const bystander = await server.sh('exec cat')
        const program = await server.sh('exit 0')
        await server.exit(program)
        for (const stroke of [...line('too late'), { type: 'paste', text: '' }] as const) {
          await expect(server.backend.send(program.handle, [stroke])).rejects.toMatchObject({ name: 'InstarError', code: 'session_ended' })
        }
        await server.backend.send(bystander.handle, line('still here'))
        await server.shows(bystander, 'still here\nstill here')
        await server.backend.stop(bystander.handle, 1000)
      })

      it('nor into one that ends while it is typed into', async () => {
        for (let round = 0; round < 10; round++) {
          const program = await server.sh(`read -r first; exit 3`)
          let ended = false
          for (let i = 0; i < 200 && !ended; i++) {
            const sends = await Promise.allSettled([1, 2, 3].map(() => server.backend.send(program.handle, line('x'))))
            for (const send of sends) {
              if (send.status === 'fulfilled') continue
              expect(send.reason).toMatchObject({ name: 'InstarError', code: 'session_ended' })
              ended = true
            }
          }
          expect(await server.exit(program)).toMatchObject({ code: 3 })
        }
        const program = await server.sh('exit 4')
        expect(await server.exit(program)).toMatchObject({ code: 4 })
      })
    })

    describe('stops a program', () => {
      it('that ends when it is asked to', async () => {
        const program = await server.sh(`trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done`)
        await server.shows(program, 'ready')
        const began = Date.now()
        await server.backend.stop(program.handle, 10_000)
        expect(Date.now() - began).toBeLessThan(5000)
        expect(server.sights(program).at(-1)).toMatchObject({ type: 'exited', exit: { code: 0, signal: null } })
        expect(await server.screen(program)).toMatch(/^ready\n.*bye$/s)
      })

      it('that ignores every request', async () => {
        const program = await server.sh(`trap '' TERM HUP INT; echo ready; while :; do sleep 0.05; done`)
        await server.shows(program, 'ready')
        await server.backend.stop(program.handle, 300)
        expect(server.sights(program).at(-1)).toMatchObject({ type: 'exited', exit: { code: null, signal: 'SIGKILL' } })
      })

      it('with everything that it started', async () => {
        const tree = `note() { echo $$ >>"$1"; }
          setsid sh -c 'trap "" HUP; echo $$ >>tree; sleep 59 & echo $! >>tree; wait' &
          nohup sleep 59 >/dev/null 2>&1 & echo $! >>tree
          sh -c 'echo $$ >>tree; sleep 59 & echo $! >>tree; exec sleep 59' & echo $$ >>tree; wait`
        const program = await server.sh(tree)
        const pids = await until(
          async () => ((await harness.read(file('tree')))?.match(/\d+\n/g)?.length === 6 ? harness.read(file('tree')) : null),
          {
            what: 'the tree',
          },
        )
        await server.backend.stop(program.handle, 500)
        expect(await running(pids.trim().split('\n'))).toBe('')
      })

      it('with what it starts when it is asked to end', async () => {
        const program = await server.sh(
          `trap 'nohup sleep 59 >/dev/null 2>&1 & echo $! >late; exit 0' TERM; echo ready; while :; do sleep 0.05; done`,
        )
        await server.shows(program, 'ready')
        await server.backend.stop(program.handle, 500)
        expect(await running([(await harness.read(file('late')))!.trim()])).toBe('')
      })

      /** Starts a process that nothing ties to the program any more but its environment; its pid goes to a file. */
      const stray = (name: string) =>
        `(setsid sh -c 'echo $$ >"$0.new"; mv "$0.new" "$0"; exec sleep 59' ${name} </dev/null >/dev/null 2>&1 &); until [ -e ${name} ]; do sleep 0.02; done; `
      const carrying = (script: string) => {
        const id = crypto.randomUUID()
        return server.run(['sh', '-c', script], { id, env: { PATH: path, INSTAR_SESSION_ID: id } })
      }
      const pidIn = async (name: string) => {
        await until(async () => (await harness.read(file(name))) !== null, { what: `the file ${name}` })
        return (await harness.read(file(name)))!.trim()
      }

      it('with what has left its process tree and carries its id, and nothing of another session', async (context) => {
        needsTo(context, harness, 'environments')
        const program = await carrying(`${stray('stray-1')} ${stray('stray-2')} exec sleep 59`)
        const other = await carrying(`${stray('stray-other')} exec sleep 59`)
        const pids = [await pidIn('stray-1'), await pidIn('stray-2')]
        const [bystander] = [await pidIn('stray-other')]
        expect(await running([...pids, bystander!])).toBe([...pids, bystander].toSorted((a, b) => Number(a) - Number(b)).join('\n'))
        await server.backend.stop(program.handle, 1000)
        expect(await running([...pids, bystander!])).toBe(bystander)
        await server.backend.stop(other.handle, 1000)
        expect(await running([bystander!])).toBe('')
      })

      it('also such a one that ignores every request', async (context) => {
        needsTo(context, harness, 'environments')
        const program = await carrying(
          `(setsid sh -c 'trap "" TERM HUP INT; echo $$ >stray-deaf; while :; do sleep 0.05; done' </dev/null >/dev/null 2>&1 &); exec sleep 59`,
        )
        const pid = await pidIn('stray-deaf')
        await server.backend.stop(program.handle, 300)
        expect(await running([pid])).toBe('')
      })

      it('whose program was killed: what that had started is ended, and what it started elsewhere', async (context) => {
        needsTo(context, harness, 'environments')
        const program = await carrying(`${stray('stray-killed')} sleep 59 & echo $! >child-killed; kill -KILL $$`)
        const other = await carrying(`${stray('stray-beside')} exec sleep 59`)
        expect(await server.exit(program)).toMatchObject({ code: null, signal: 'SIGKILL' })
        const pids = [await pidIn('stray-killed'), await pidIn('child-killed')]
        const bystander = await pidIn('stray-beside')
        await until(async () => (await running(pids)) === '', { what: 'the end of what it had started' })
        expect(await running([bystander])).toBe(bystander)
        await server.backend.stop(other.handle, 1000)
      })

      it('twice, at once and again after the end', async () => {
        const program = await server.sh('exec sleep 60')
        await Promise.all([server.backend.stop(program.handle, 1000), server.backend.stop(program.handle, 1000)])
        await server.backend.stop(program.handle, 1000)
        expect(server.types(program)).toEqual(['launched', 'exited'])
        await server.left()
      })

      it('that has just been started', async () => {
        const programs = await Promise.all(
          Array.from({ length: 5 }, async () => {
            const program = await server.sh('exec sleep 60')
            await server.backend.stop(program.handle, 1000)
            return program
          }),
        )
        for (const program of programs) expect(server.types(program)).toEqual(['launched', 'exited'])
      })

      it('and removes what is left, also again, also what never was', async () => {
        const program = await server.sh('echo here; exit 0')
        await server.exit(program)
        await server.backend.remove(program.id)
        await server.backend.remove(program.id)
        await server.backend.remove(crypto.randomUUID())
        const look = await server.sh('[ -e "$1" ]', { args: [server.backend.directory(program.id)] })
        expect(await server.exit(look)).toMatchObject({ code: 1 })
      })

      /** Those of some processes that run; one that has ended and that nobody collected does not. */
      async function running(pids: readonly string[]): Promise<string> {
        const script = `ps -A -o pid= -o stat= | while read -r pid stat; do case $stat in Z*) ;; *) for p; do [ "$p" = "$pid" ] && echo "$p"; done ;; esac; done; exit 0`
        const look = await server.sh(script, { args: pids })
        await server.exit(look)
        return server.screen(look)
      }
    })

    describe('hears what an agent says of itself through hook.sh', () => {
      /** Starts a program that has `$hook` to call and payloads to give. */
      const hooked = (on: Server, script: string, files: Record<string, string> = {}) =>
        on.sh(`dir=$1; hook="sh $1/hook.sh"; ${script}`, { args: (id) => [on.backend.directory(id)], files })

      it('short and long, with every character', async () => {
        const payloads = [
          '{}',
          '{"a":"it\'s \\"quoted\\" \\\\ $HOME `x` %s #{x} ünï 日本語 👍"}',
          JSON.stringify({ long: '日x'.repeat(20_000) }),
        ]
        const files = Object.fromEntries(payloads.map((payload, i) => [`p${i}`, payload]))
        const program = await hooked(server, 'for i in 0 1 2; do $hook "Event$i" <"$dir/p$i"; done', files)
        await server.exit(program)
        expect(server.signals(program)).toEqual(
          payloads.map((payload, i) => ({ event: `Event${i}`, payload: JSON.parse(payload) as unknown, at: expect.stringMatching(iso) })),
        )
      })

      it('without a payload, and with one of several lines', async () => {
        const payload = { a: ['several', 'lines'], b: { c: 1 } }
        const program = await hooked(server, '$hook Empty </dev/null; $hook Pretty <"$dir/pretty"; $hook Last <"$dir/pretty"', {
          pretty: JSON.stringify(payload, null, 2),
        })
        await server.exit(program)
        expect(server.signals(program)).toMatchObject([
          { event: 'Empty', payload: null },
          { event: 'Pretty', payload },
          { event: 'Last', payload },
        ])
      })

      it('one that makes no sense harms none of the others', async () => {
        const program = await hooked(server, 'echo "no json" | $hook Odd; echo "{}" | $hook Even; exit 3')
        expect(await server.exit(program)).toMatchObject({ code: 3 })
        expect(server.signals(program).at(-1)).toMatchObject({ event: 'Even', payload: {} })
      })

      it('twenty at once, none lost and none torn', async () => {
        const long = 'x'.repeat(2900)
        const script = `i=0; while [ $i -lt 20 ]; do i=$((i + 1))
          case $i in *[02468]) pad=$(cat "$dir/long") ;; *) pad=$(cat "$dir/longer") ;; esac
          printf '{"n":%d,"pad":"%s"}' $i "$pad" | $hook Many & done; wait`
        const program = await hooked(server, script, { long, longer: long.repeat(20) })
        await server.exit(program)
        const payloads = server.signals(program).map(({ payload }) => payload as { n: number; pad: string })
        expect(payloads.map(({ n }) => n).sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
        for (const { n, pad } of payloads) expect(pad).toHaveLength(n % 2 === 0 ? 2900 : 58_000)
      })

      it('while it runs, before it ends', async () => {
        const program = await hooked(server, 'echo "{}" | $hook Early; exec cat')
        await until(() => server.signals(program).length === 1, { what: 'the signal' })
        expect(server.types(program)).toEqual(['launched', 'signal'])
        await server.backend.stop(program.handle, 1000)
      })
    })

    describe('answers a hook that waits', () => {
      /** Starts a program whose `$ask` asks and waits, and prints the answer. */
      const asks = (script: string, payload: unknown = { which: 'one' }) =>
        server.sh(`dir=$1; ask="sh $dir/hook.sh Ask wait"; payload=$dir/payload; ${script}`, {
          args: (id) => [server.backend.directory(id)],
          files: { payload: JSON.stringify(payload) },
        })
      const mailboxes = (program: Program, count = 1) =>
        until(
          () => {
            const found = server.signals(program).flatMap(({ mailbox }) => mailbox ?? [])
            return found.length === count && found
          },
          { what: `${count} hooks to wait` },
        )
      const answering = (context: TestContext) => needs(context, server.backend.answer, 'the backend cannot answer hooks')

      it.for([
        ['a word', 'yes'],
        ['JSON', '{"it\'s":"\\"quoted\\" $HOME `x` %s \\\\ ünï 日本語 👍"}'],
        ['lines', 'two\nlines\n\n'],
        ['more than a pipe holds', 'x€'.repeat(100_000)],
      ] as const)('with %s', async ([, text], context) => {
        const answer = answering(context)
        const program = await asks('$ask <$payload >answer; echo "$?" >code')
        const [mailbox] = await mailboxes(program)
        expect(server.signals(program)).toEqual([{ event: 'Ask', payload: { which: 'one' }, at: expect.stringMatching(iso), mailbox }])
        expect(await answer(program.handle, mailbox!, text)).toBe(true)
        expect(await written(program, 'answer')).toBe(text)
        expect(await written(program, 'code')).toBe('0\n')
      })

      it('with nothing: it prints nothing, and is released', async (context) => {
        const answer = answering(context)
        const program = await asks('$ask <$payload >released; echo "$?" >code')
        expect(await answer(program.handle, (await mailboxes(program))[0]!, '')).toBe(true)
        expect([await written(program, 'released'), await written(program, 'code')]).toEqual(['', '0\n'])
      })

      it('that was told more than fits into a line', async (context) => {
        const answer = answering(context)
        const payload = { long: '日x'.repeat(2000) }
        const program = await asks('$ask <$payload >long', payload)
        const [mailbox] = await mailboxes(program)
        expect(server.signals(program)[0]).toMatchObject({ payload })
        expect(await answer(program.handle, mailbox!, 'to the long one')).toBe(true)
        expect(await written(program, 'long')).toBe('to the long one')
      })

      it('and is slow to read more than a pipe holds', async (context) => {
        const answer = answering(context)
        const program = await asks('$ask <$payload | { dd bs=1 count=10 2>/dev/null; sleep 0.5; cat; } >slow')
        const text = '0123456789'.repeat(50_000)
        expect(await answer(program.handle, (await mailboxes(program))[0]!, text)).toBe(true)
        expect(await written(program, 'slow')).toBe(text)
      })

      it('each with its own answer, when several wait', async (context) => {
        const answer = answering(context)
        const program = await asks('for i in 1 2 3 4; do $ask <$payload >"several-$i" & done; wait')
        const all = await mailboxes(program, 4)
        expect(new Set(all).size).toBe(4)
        const taken = await Promise.all(all.map((mailbox) => answer(program.handle, mailbox, `for ${mailbox}`)))
        expect(taken).toEqual([true, true, true, true])
        await server.exit(program)
        const said = await Promise.all([1, 2, 3, 4].map((i) => harness.read(file(`several-${i}`))))
        expect(said.toSorted()).toEqual(all.map((mailbox) => `for ${mailbox}`).toSorted())
      })

      it('once: the second answer is too late', async (context) => {
        const answer = answering(context)
        const program = await asks('$ask <$payload >once; exec cat')
        const [mailbox] = await mailboxes(program)
        expect(await answer(program.handle, mailbox!, 'first')).toBe(true)
        expect(await answer(program.handle, mailbox!, 'second')).toBe(false)
        await until(async () => (await harness.read(file('once'))) === 'first', { what: 'the answer' })
        await server.backend.stop(program.handle, 1000)
        expect(await answer(program.handle, mailbox!, 'third')).toBe(false)
        expect(await harness.read(file('once'))).toBe('first')
      })

      it('but not one that was given up', async (context) => {
        const answer = answering(context)
        const program = await asks(
          '$ask <$payload >given-up & until [ -e give-up ]; do sleep 0.02; done; kill -9 $!; wait $!; : >gave-up; exec cat',
        )
        const [mailbox] = await mailboxes(program)
        await harness.write(file('give-up'), '')
        await until(async () => (await harness.read(file('gave-up'))) !== null, { what: 'the end of the hook' })
        expect(await answer(program.handle, mailbox!, 'too late')).toBe(false)
        expect(await answer(program.handle, mailbox!, 'too late')).toBe(false)
        expect(await harness.read(file('given-up'))).toBe('')
        await server.backend.stop(program.handle, 1000)
      })

      it.for([
        ['has ended', 'kill -9 $!; exit 0'],
        ['was killed', 'kill -9 $! $$'],
      ] as const)('nor one of a program that %s', async ([name, end], context) => {
        const answer = answering(context)
        const go = `go ${name}`.replaceAll(' ', '-')
        const program = await asks(`$ask <$payload & until [ -e ${go} ]; do sleep 0.02; done; ${end}`)
        const [mailbox] = await mailboxes(program)
        await harness.write(file(go), '')
        await server.exit(program)
        expect(await answer(program.handle, mailbox!, 'too late')).toBe(false)
      })

      it('nor one that never waited', async (context) => {
        const answer = answering(context)
        const program = await server.sh(`echo '{}' | sh "$1/hook.sh" Ask; exec cat`, { args: (id) => [server.backend.directory(id)] })
        await until(() => server.signals(program).length === 1, { what: 'the signal' })
        expect(server.signals(program)[0]).not.toHaveProperty('mailbox')
        const names = ['1-1', '', '.', '..', '/', '/etc/passwd', '../signals.jsonl', '1-1/../../signals.jsonl', file('never'), '1-1\n', '*']
        for (const name of names) expect([name, await answer(program.handle, name, 'for nobody')]).toEqual([name, false])
        await harness.write(file('never'), 'as it was')
        expect(await answer(program.handle, file('never'), 'for nobody')).toBe(false)
        expect(await harness.read(file('never'))).toBe('as it was')
        const look = await server.sh('cd "$1" && [ -e signals.jsonl ] || [ -e hook.sh ]', { args: [server.backend.directory(program.id)] })
        expect(await server.exit(look)).toMatchObject({ code: 0 })
        await server.backend.stop(program.handle, 1000)
      })
    })

    describe('reads on in a file', () => {
      const tailing = (context: TestContext) => needs(context, server.backend.tail, 'the backend cannot read on in a file')
      const append = async (script: string, args: readonly string[] = []) =>
        expect(await server.exit(await server.sh(script, { args }))).toMatchObject({ code: 0 })
      /** Follows a file, and keeps what is told. */
      async function follow(context: TestContext, name: string, cursor = 0) {
        const told: string[] = []
        const cursors: number[] = []
        const tail = await tailing(context)(file(name), cursor, (lines, at) => {
          expect(lines.length).toBeGreaterThan(0)
          told.push(...lines)
          cursors.push(at)
        })
        return { told, cursors, tail }
      }

      it('what is there, and what is added', async (context) => {
        tailing(context)
        await harness.write(file('lines'), 'one\n\n日本\n')
        const { told, cursors, tail } = await follow(context, 'lines')
        expect(told).toEqual(['one', '', '日本'])
        expect(cursors.at(-1)).toBe(12)
        await append('echo four >>lines')
        await until(() => told.length === 4, { what: 'the fourth line' })
        await append('printf "five\\r\\n  six\\n" >>lines')
        await until(() => told.length === 6, { what: 'the sixth line' })
        expect(told.slice(3)).toEqual(['four', 'five\r', '  six'])
        expect(cursors.at(-1)).toBe(29)
        tail.close()
        const again = await follow(context, 'lines', 12)
        expect(again.told).toEqual(['four', 'five\r', '  six'])
        again.tail.close()
        const nothing = await follow(context, 'lines', 29)
        expect(nothing.told).toEqual([])
        nothing.tail.close()
      })

      it('a line only when it is complete', async (context) => {
        tailing(context)
        await harness.write(file('incomplete'), 'one\ntw')
        const { told, cursors, tail } = await follow(context, 'incomplete')
        expect([told, cursors]).toEqual([['one'], [4]])
        await append('printf o >>incomplete')
        await tail.catchUp()
        expect(told).toEqual(['one'])
        await append('printf "\\nthree" >>incomplete')
        await tail.catchUp()
        expect([told, cursors]).toEqual([
          ['one', 'two'],
          [4, 8],
        ])
        tail.close()
      })

      it('lines of more than 1 MiB, and many bytes of short ones', async (context) => {
        tailing(context)
        const lines = [
          'x'.repeat(3_000_000),
          'short',
          '日'.repeat(1_000_000),
          '',
          ...Array.from({ length: 200_000 }, (_, i) => `line ${i} ü`),
        ]
        await harness.write(file('big'), `${lines.join('\n')}\n`)
        const { told, cursors, tail } = await follow(context, 'big')
        expect(told.length).toBe(lines.length)
        expect(told.every((line, i) => line === lines[i])).toBe(true)
        expect(cursors.at(-1)).toBe(Buffer.byteLength(lines.join('\n')) + 1)
        await append(`awk 'BEGIN { for (i = 0; i < 2000000; i++) printf "y"; print "" }' >>big; echo after >>big`)
        await until(() => told.at(-1) === 'after', { what: 'the last line' })
        expect(told.at(-2)).toBe('y'.repeat(2_000_000))
        tail.close()
      })

      it('many lines that are added one by one, each once and in order', async (context) => {
        tailing(context)
        await harness.write(file('many'), '')
        const { told, cursors, tail } = await follow(context, 'many')
        await append('i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); echo "line $i" >>many; done')
        await until(() => told.length >= 3000, { what: 'all lines' })
        expect(told.join('\n')).toBe(numbered(1, 3000))
        expect(cursors).toEqual(cursors.toSorted((a, b) => a - b))
        tail.close()
      })

      it('up to now when that is asked for', async (context) => {
        tailing(context)
        await harness.write(file('now'), '')
        const { told, tail } = await follow(context, 'now')
        for (let i = 1; i <= 20; i++) {
          await harness.write(file('now'), `${numbered(1, i)}\n`)
          await Promise.all([tail.catchUp(), tail.catchUp()])
          expect(told).toHaveLength(i)
        }
        tail.close()
      })

      it('and tells nothing more once it is closed', async (context) => {
        tailing(context)
        await harness.write(file('closed'), 'one\n')
        const { told, tail } = await follow(context, 'closed')
        const other = await follow(context, 'closed')
        tail.close()
        tail.close()
        await append('echo two >>closed')
        await until(() => other.told.length === 2, { what: 'the second line' })
        await tail.catchUp()
        expect(told).toEqual(['one'])
        other.tail.close()
      })

      it('but in none that there is not', async (context) => {
        const tail = tailing(context)
        let told = 0
        for (const path of [file('no-such-file'), file('no/such/file'), `${file('lines')}/x`])
          await expect(tail(path, 0, () => told++)).rejects.toThrow(Error)
        expect(told).toBe(0)
      })
    })

    describe('tells the title of a terminal', () => {
      const titles = (program: Known) => server.sights(program).flatMap((sight) => (sight.type === 'title' ? [sight.title] : []))
      const told = (program: Known, title: string) => until(() => titles(program).at(-1) === title, { what: `the title "${title}"` })
      const titled = (script: string, args: readonly string[] = []) =>
        server.sh(`title() { printf '\\033]2;%s\\007' "$1"; }; next() { read -r line; }; ${script}`, { titles: true, args })

      it('whenever it changes', async (context) => {
        needsTo(context, harness, 'titles')
        const program = await titled('title one; next; title two; next; title one; next; title ""; next; title last; exec cat')
        for (const title of ['one', 'two', 'one', '', 'last']) {
          await told(program, title)
          if (title !== 'last') await server.backend.send(program.handle, [{ type: 'key', key: 'Enter' }])
        }
        const all = titles(program)
        expect(all.slice(all.indexOf('one'))).toEqual(['one', 'two', 'one', '', 'last'])
        for (const sight of server.sights(program)) if (sight.type === 'title') expect(sight.at).toMatch(iso)
        expect(server.types(program)[0]).toBe('launched')
        await server.backend.stop(program.handle, 1000)
        expect(server.types(program).at(-1)).toBe('exited')
      })

      it('not when it is set again to what it is', async (context) => {
        needsTo(context, harness, 'titles')
        const program = await titled('for i in 1 2 3 4 5 6 7 8 9; do title same; sleep 0.03; done; title other; exec cat')
        await told(program, 'other')
        expect(titles(program).filter((title) => title === 'same')).toHaveLength(1)
        await server.backend.stop(program.handle, 1000)
      })

      it('the last of many, whatever of the others', async (context) => {
        needsTo(context, harness, 'titles')
        const program = await titled('i=0; while [ $i -lt 500 ]; do i=$((i + 1)); title "⠂ $i"; done; exec cat')
        await told(program, '⠂ 500')
        const numbers = titles(program).flatMap((title) => (title.startsWith('⠂ ') ? [Number(title.slice(2))] : []))
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
        await server.backend.stop(program.handle, 1000)
      })

      it('with everything that another program may do something with', async (context) => {
        needsTo(context, harness, 'titles')
        const texts = [
          '✳ ünï 日本語 👍',
          `#{pane_id} #(touch ${file('touched')}) #[fg=red] ##`,
          `it's "quoted" \\ \\033 \\n $HOME \`touch ${file('touched')}\` %end 1 1 1 ;`,
          '%exit',
          '  two  blanks',
          'x'.repeat(200),
        ]
        const program = await titled('for t; do title "$t"; next; done; exec cat', texts)
        // tmux 3.7 keeps a title's #( out, 3.4 and 3.7 escape $ and backslashes: what is said stays.
        const said = (text: string | undefined) => text?.replace(/[^\p{L}\p{N}\p{So}]/gu, '')
        for (const text of texts) {
          await until(() => said(titles(program).at(-1)) === said(text), { what: `the title "${text}"` })
          await server.backend.send(program.handle, [{ type: 'key', key: 'Enter' }])
        }
        await server.backend.stop(program.handle, 1000)
        expect(await harness.read(file('touched'))).toBeNull()
      })

      it('in one line, whatever control characters are in it', async (context) => {
        needsTo(context, harness, 'titles')
        const program = await titled(`title "$(printf 'a\\tb\\001c\\nd\\re')"; exec cat`)
        const title = await until(() => titles(program).find((title) => title.startsWith('a')), { what: 'the title' })
        expect(title.replace(/\s|\\[0-7]{3}/g, '')).toBe('abcde')
        // The next one is told all the same, and the session lives on.
        const next = await titled('title next; exec cat')
        await told(next, 'next')
        for (const each of [program, next]) await server.backend.stop(each.handle, 1000)
      })

      it('only where that was asked for', async (context) => {
        needsTo(context, harness, 'titles')
        const silent = await server.sh(`printf '\\033]2;one\\007shown'; exec cat`)
        await server.shows(silent, 'shown')
        const program = await titled('title two; exec cat')
        await told(program, 'two')
        expect(server.types(silent)).toEqual(['launched'])
        for (const each of [silent, program]) await server.backend.stop(each.handle, 1000)
      })
    })

    describe('lists', () => {
      it('what runs, and nothing that has ended', async () => {
        const [runs, ended] = [await server.sh('exec cat'), await server.sh('exit 0')]
        await server.exit(ended)
        await server.left(runs)
        expect(await server.backend.list()).toEqual([{ id: runs.id, handle: runs.handle }])
        expect(server.backend.attach(runs.handle)).toContain(runs.name)
        await server.backend.stop(runs.handle, 1000)
      })

      it('also the terminals of others', async (context) => {
        const terminals = needs(context, server.backend.terminals, 'the backend does not list terminals')
        const ours = await server.sh('exec cat')
        await harness.intrude!('a-stranger')
        const listed = await terminals()
        expect(listed).toContainEqual({ name: ours.name, id: ours.id, createdAt: expect.stringMatching(iso), attached: false })
        expect(listed).toContainEqual({ name: 'a-stranger', id: null, createdAt: expect.stringMatching(iso), attached: false })
        expect(JSON.stringify(await server.backend.list())).not.toContain('a-stranger')
        await server.backend.stop(ours.handle, 1000)
        expect((await terminals()).map(({ name }) => name)).toContain('a-stranger')
      })
    })

    it('reported nothing of the above twice, out of order or after its end', async () => {
      await server.left()
      for (const id of new Set(server.reports.map((report) => report.id))) {
        const types = server.types({ id })
        expect(types.filter((type) => type === 'launched').length).toBeLessThanOrEqual(1)
        expect(types.indexOf('launched')).toBeLessThanOrEqual(0)
        expect(types.indexOf('exited')).toBe(types.length - 1)
        const cursors = server.reports.filter((report) => report.id === id).map(({ cursor }) => cursor)
        expect(cursors).toEqual(cursors.toSorted((a, b) => a - b))
        for (const report of server.reports) expect(report.sights.length).toBeGreaterThan(0)
      }
    })
  })

  describe(`${name}, as every backend after a restart of its server,`, () => {
    let harness: Harness
    let server: Server

    beforeEach(async () => {
      harness = await open()
      server = await serve(harness)
    })
    afterEach(async () => {
      await server?.backend.close()
      await harness?.cleanup()
    })

    /** The server ends; what `meanwhile` does nobody sees; another server begins on the same place. */
    async function restart(meanwhile: () => Promise<void> = async () => {}): Promise<void> {
      await server.backend.close()
      await meanwhile()
      server = await serve(harness)
    }
    const file = (name: string) => `${harness.directory}/${name}`
    const exists = (name: string) => until(async () => (await harness.read(file(name))) !== null, { what: `the file ${name}` })
    const wait = (name: string) => `until [ -e ${name} ]; do sleep 0.02; done; `

    it('lists the sessions of the last one, and reports nothing of them by itself', async () => {
      const programs = [await server.sh('exec cat', { name: 'b-1' }), await server.sh('exec cat', { name: 'b-10' })]
      await restart()
      const list = (await server.backend.list()).toSorted((a, b) => (a.handle['name']! < b.handle['name']! ? -1 : 1))
      expect(list).toEqual(programs.map(({ id, handle }) => ({ id, handle })))
      expect(server.reports).toEqual([])
    })

    it('goes on with a session: nothing is reported again, and everything works', async () => {
      const program = await server.sh('echo before; exec cat')
      await server.shows(program, 'before')
      const last = server
      await restart()
      await server.follow(program, last.cursor(program))
      expect(await server.screen(program)).toBe('before')
      await server.backend.send(program.handle, line('after'))
      await server.shows(program, 'before\nafter\nafter')
      expect(server.reports).toEqual([])
      await within(server.backend.stop(program.handle, 1000), 'the stop')
      expect(server.types(program)).toEqual(['exited'])
      expect(await server.screen(program)).toBe('before\nafter\nafter')
      await server.left()
    })

    it('stops what it has only just taken over', async () => {
      const program = await server.sh(`trap '' TERM HUP; while :; do sleep 0.05; done`)
      const last = server
      await restart()
      await server.follow(program, last.cursor(program))
      await within(server.backend.stop(program.handle, 100), 'the stop')
      expect(server.sights(program)).toMatchObject([{ type: 'exited', exit: { code: null, signal: 'SIGKILL' } }])
    })

    it('types into and reads what it has only just taken over', async () => {
      const program = await server.sh('echo ready; exec cat')
      await server.shows(program, 'ready')
      const last = server
      await restart()
      await server.follow(program, last.cursor(program))
      await server.backend.send(program.handle, line('at once'))
      await server.shows(program, 'at once\nat once')
    })

    it('reports what happened meanwhile, once, in order and with its time', async () => {
      const program = await server.sh(
        `hook="sh $1/hook.sh"; echo '{"n":1}' | $hook One; ${wait('go')} echo '{"n":2}' | $hook Two; $hook Three <"$1/long"; echo last words; : >over; exit 42`,
        { args: (id) => [server.backend.directory(id)], files: { long: JSON.stringify({ long: 'x'.repeat(5000) }) } },
      )
      await until(() => server.signals(program).length === 1, { what: 'the first signal' })
      const last = server
      let endedAt = 0
      await restart(async () => {
        await harness.write(file('go'), '')
        await exists('over')
        endedAt = Date.now()
        await pass(2000)
      })
      await server.follow(program, last.cursor(program))
      const { at } = await server.exit(program)
      expect(Math.abs(Date.parse(at) - endedAt)).toBeLessThan(1000)
      expect(server.sights(program)).toMatchObject([
        { type: 'signal', signal: { event: 'Two', payload: { n: 2 } } },
        { type: 'signal', signal: { event: 'Three', payload: { long: 'x'.repeat(5000) } } },
        { type: 'exited', exit: { code: 42, signal: null, reason: null } },
      ])
      expect(await server.screen(program)).toBe('last words')
      await server.left()
    })

    it.each(['KILL', 'TERM', 'SEGV'])('reports a program that SIG%s ended meanwhile', async (signal) => {
      const program = await server.sh(`${wait('go')} echo last words; : >over; kill -${signal} $$`)
      const last = server
      await restart(async () => {
        await harness.write(file('go'), '')
        await exists('over')
      })
      await server.follow(program, last.cursor(program))
      expect(await server.exit(program)).toMatchObject({ code: null, signal: `SIG${signal}`, reason: null })
      expect(server.types(program)).toEqual(['exited'])
      expect(await server.screen(program)).toBe('last words')
    })

    it('reports what comes over many restarts, each once', async () => {
      const program = await server.sh(
        `hook="sh $1/hook.sh"; for i in 1 2 3 4 5 6; do until [ -e go$i ]; do sleep 0.02; done; echo $i | $hook E; : >sent$i; done; exit 6`,
        {
          args: (id) => [server.backend.directory(id)],
        },
      )
      const heard: unknown[] = []
      for (let i = 1; i <= 6; i++) {
        const last = server
        // Every other one while nobody is there.
        const go = async () => {
          await harness.write(file(`go${i}`), '')
          await exists(`sent${i}`)
        }
        if (i % 2 === 0) await go()
        const said = server
        if (i % 2 === 0) await until(() => said.signals(program).length > 0, { what: 'the signal' })
        await restart(i % 2 === 0 ? undefined : go)
        await server.follow(program, last.cursor(program))
        heard.push(...said.signals(program).map(({ payload }) => payload))
      }
      expect(await server.exit(program)).toMatchObject({ code: 6 })
      heard.push(...server.signals(program).map(({ payload }) => payload))
      expect(heard).toEqual([1, 2, 3, 4, 5, 6])
    })

    it('reports everything again from the beginning to who knows nothing, with the times of then', async () => {
      const program = await server.sh(`hook="sh $1/hook.sh"; ${wait('go')} echo 1 | $hook One; ${wait('go2')} exit 7`, {
        args: (id) => [server.backend.directory(id)],
      })
      const before = server.sights(program)
      await pass(1500)
      await harness.write(file('go'), '')
      await until(() => server.signals(program).length === 1, { what: 'the signal' })
      const signal = server.signals(program)
      await pass(1500)
      await restart(async () => {
        await harness.write(file('go2'), '')
      })
      await server.follow(program, 0)
      const exit = await server.exit(program)
      expect(exit).toMatchObject({ code: 7 })
      expect(server.types(program)).toEqual(['launched', 'signal', 'exited'])
      const times = server
        .sights(program)
        .map((sight) => Date.parse(sight.type === 'launched' ? sight.at : sight.type === 'signal' ? sight.signal.at : 0 + exit.at))
      expect(times).toEqual(times.toSorted((a, b) => a - b))
      const launchedAt = before.find((sight) => sight.type === 'launched')!.at
      expect(Math.abs(times[0]! - Date.parse(launchedAt))).toBeLessThan(1000)
      expect(Math.abs(times[1]! - Date.parse(signal[0]!.at))).toBeLessThan(1000)
    })

    it('answers a hook that waits since before', async (context) => {
      needs(context, server.backend.answer, 'the backend cannot answer hooks')
      const script = `echo '{}' | sh "$1/hook.sh" Ask wait >answer; exit 5`
      const program = await server.sh(script, { args: (id) => [server.backend.directory(id)] })
      const mailbox = await until(() => server.signals(program)[0]?.mailbox, { what: 'the hook' })
      const last = server
      await restart()
      await server.follow(program, last.cursor(program))
      expect(await server.backend.answer!(program.handle, mailbox, 'after the restart')).toBe(true)
      expect(await server.exit(program)).toMatchObject({ code: 5 })
      expect(await harness.read(file('answer'))).toBe('after the restart')
    })

    it('hears of a hook that began to wait meanwhile', async (context) => {
      needs(context, server.backend.answer, 'the backend cannot answer hooks')
      const script = `${wait('go')} echo '{}' | sh "$1/hook.sh" Ask wait >answer; exit 6`
      const program = await server.sh(script, { args: (id) => [server.backend.directory(id)] })
      const last = server
      await restart(() => harness.write(file('go'), ''))
      await server.follow(program, last.cursor(program))
      const mailbox = await until(() => server.signals(program)[0]?.mailbox, { what: 'the hook' })
      expect(await server.backend.answer!(program.handle, mailbox, 'yes')).toBe(true)
      expect(await server.exit(program)).toMatchObject({ code: 6 })
      expect(await harness.read(file('answer'))).toBe('yes')
    })

    it('goes on to tell titles, also what changed meanwhile', async (context) => {
      needsTo(context, harness, 'titles')
      const title = (text: string) => `printf '\\033]2;${text}\\007'; `
      const script = `${title('one')} ${wait('go')} ${title('two')} : >over; ${wait('go2')} ${title('three')} exec cat`
      const program = await server.sh(script, { titles: true })
      const silent = await server.sh(script)
      const last = () => {
        const sight = server.sights(program).at(-1)
        return sight?.type === 'title' ? sight.title : undefined
      }
      await until(() => last() === 'one', { what: 'the first title' })
      const before = server
      await restart(async () => {
        await harness.write(file('go'), '')
        await exists('over')
      })
      // As the list tells it: nothing else is known of a session whose server was killed.
      for (const { id, handle } of await server.backend.list()) await server.follow({ id, handle, name: '' }, before.cursor({ id }))
      await until(() => last() === 'two', { what: 'the second title' })
      await harness.write(file('go2'), '')
      await until(() => last() === 'three', { what: 'the third title' })
      expect(server.types(program)).toEqual(['title', 'title'])
      expect(server.types(silent)).toEqual([])
    })

    it('reports the end again to who had not kept it', async () => {
      const program = await server.sh('echo last words; exit 8')
      const exit = await server.exit(program)
      await restart()
      await server.follow(program, 0)
      expect(await server.exit(program)).toEqual(exit)
      expect(server.types(program)).toEqual(['launched', 'exited'])
      expect(await server.screen(program)).toBe('last words')
    })

    it.each([
      ['never resolves', () => new Promise<void>(() => {})],
      ['rejects', () => Promise.reject(new Error('the disk is full'))],
    ])('still has the session whose end was not kept, because the report %s', async (_, safe) => {
      await server.backend.close()
      server = await serve(harness, safe)
      const program = await server.sh('echo last words; exit 9')
      await server.exit(program)
      expect(await server.screen(program)).toBe('last words')
      // Not even that it had begun was kept: then the list has to tell.
      await within(restart(), 'the restart')
      const sighting = (await server.backend.list()).find(({ id }) => id === program.id)!
      await server.follow({ ...program, handle: sighting.handle }, 0)
      expect(await server.exit(program)).toMatchObject({ code: 9 })
      expect(server.types(program)).toEqual(['launched', 'exited'])
      expect(await server.backend.capture(sighting.handle, 10)).toEqual({ text: 'last words', truncated: false })
      await server.left()
      const again = await server.sh('exit 0', { name: program.name })
      expect(await server.exit(again)).toMatchObject({ code: 0 })
    })

    it('reports a session of which nothing is left as gone, with the reason', async () => {
      const program = await server.sh('exit 0')
      await server.exit(program)
      await server.left()
      await server.backend.remove(program.id)
      await restart()
      await server.follow(program, 1)
      expect(await server.exit(program)).toMatchObject({ code: null, signal: null, reason: expect.any(String) })
      await within(server.backend.stop(program.handle, 1000), 'the stop')
    })

    it('follows a session once, however often it is told to', async () => {
      const program = await server.sh(`${wait('go')} exit 3`)
      const last = server
      await restart()
      await Promise.all([1, 2, 3].map(() => server.follow(program, last.cursor(program))))
      await harness.write(file('go'), '')
      await server.exit(program)
      await server.follow(program, last.cursor(program))
      await server.left()
      expect(server.types(program).filter((type) => type === 'exited')).toHaveLength(server.types(program).length)
    })

    it('finds thirty that ended meanwhile', async () => {
      const script = `${wait('go')} exit "$1"`
      const programs = await Promise.all(Array.from({ length: 30 }, (_, i) => server.sh(script, { args: [`${i}`] })))
      const last = server
      await restart(() => harness.write(file('go'), ''))
      await Promise.all(programs.map((program) => server.follow(program, last.cursor(program))))
      const exits = await Promise.all(programs.map((program) => server.exit(program)))
      expect(exits.map(({ code }) => code)).toEqual(programs.map((_, i) => i))
      for (const program of programs) expect(server.types(program)).toEqual(['exited'])
      await server.left()
    })

    it('reports nothing after it was closed', async () => {
      const program = await server.sh(`${wait('go')} : >over; exit 0`)
      const { reports } = server
      await server.backend.close()
      const count = reports.length
      await harness.write(file('go'), '')
      await exists('over')
      server = await serve(harness)
      await server.follow(program, 0)
      await server.exit(program)
      expect(reports).toHaveLength(count)
    })
  })
}

// ---- a server, as far as a backend sees one --------------------------------------------------------------------------

interface Program {
  readonly id: string
  readonly name: string
  readonly handle: Handle
}

interface Options extends Partial<Omit<Command, 'argv'>> {
  readonly name?: string
  readonly args?: readonly string[] | ((id: string) => readonly string[])
}

type Known = Pick<Program, 'id'>

interface Server {
  readonly backend: Backend
  readonly reports: readonly Report[]
  run(argv: Command['argv'], options?: Omit<Options, 'args'> & { readonly id?: string }): Promise<Program>
  /** Runs a script with `args` as its `$1`, `$2`, … in the harness's directory. */
  sh(script: string, options?: Options): Promise<Program>
  follow(program: Program, cursor: number): Promise<void>
  sights(program: Known): readonly Sight[]
  types(program: Known): readonly Sight['type'][]
  signals(program: Known): readonly Signal[]
  /** What a store would keep. */
  cursor(program: Known): number
  /** Waits for the end. */
  exit(program: Known): Promise<Exit>
  screen(program: Program, lines?: number): Promise<string>
  /** Waits until the screen holds a text. */
  shows(program: Program, text: string): Promise<void>
  /** The sessions that the backend lists. */
  ids(): Promise<string[]>
  /** Waits until it lists these and no other: a terminal may outlive the report of its end, until that is safe. */
  left(...programs: readonly Program[]): Promise<void>
}

let count = 0

async function serve(harness: Harness, safe: () => Promise<void> = async () => {}): Promise<Server> {
  const backend = harness.backend()
  const reports: Report[] = []
  const stored = new Map<string, number>()
  await backend.open((report) => {
    reports.push(report)
    return safe()
  })
  const of = ({ id }: Known) => reports.filter((report) => report.id === id)
  const server: Server = {
    backend,
    reports,
    async run(argv, { id = crypto.randomUUID(), name = `program-${count++}`, ...rest } = {}) {
      const defaults = { env: { PATH: path }, cwd: harness.directory, files: {}, size: { cols: 160, rows: 48 } }
      return { id, name, handle: await backend.start(id, name, { ...defaults, ...rest, argv }) }
    },
    sh(script, { args = [], ...rest } = {}) {
      const id = crypto.randomUUID()
      return server.run(['sh', '-c', script, 'sh', ...(typeof args === 'function' ? args(id) : args)], { ...rest, id })
    },
    follow: ({ id, handle }, cursor) => {
      stored.set(id, cursor)
      return backend.follow({ id, handle: JSON.parse(JSON.stringify(handle)) as Handle }, cursor)
    },
    sights: (program) => of(program).flatMap(({ sights }) => sights),
    types: (program) => server.sights(program).map(({ type }) => type),
    signals: (program) => server.sights(program).flatMap((sight) => (sight.type === 'signal' ? [sight.signal] : [])),
    cursor: (program) => of(program).at(-1)?.cursor ?? stored.get(program.id) ?? 0,
    exit: (program) =>
      until(() => server.sights(program).flatMap((sight) => (sight.type === 'exited' ? [sight.exit] : []))[0], {
        what: 'the end of a program',
      }),
    screen: async ({ handle }, lines = 100) => (await backend.capture(handle, lines)).text,
    shows: async (program, text) => {
      let screen = ''
      await until(async () => (screen = await server.screen(program)).includes(text), { what: `the screen to show ${text}` }).catch(
        (error: unknown) => {
          throw new Error(`the screen shows:\n${screen}`, { cause: error })
        },
      )
    },
    ids: async () => (await backend.list()).map(({ id }) => id),
    async left(...programs) {
      const wanted = programs.map(({ id }) => id).toSorted()
      await until(async () => (await server.ids()).toSorted().join() === wanted.join(), { what: `${wanted.length} sessions to be left` })
    },
  }
  return server
}

const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const line = (text: string): Keystroke[] => [
  { type: 'paste', text },
  { type: 'key', key: 'Enter' },
]

const numbered = (first: number, last: number): string => Array.from({ length: last - first + 1 }, (_, i) => `line ${first + i}`).join('\n')

function environmentIn(text: string): Record<string, string> {
  const entries = text.split('\n').map((each) => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)] as const)
  return Object.fromEntries(entries.filter(([name]) => !ambient.includes(name)))
}

/** A promise that must not be waited for in vain. */
async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  let settled = false
  promise.then(
    () => (settled = true),
    () => (settled = true),
  )
  await until(() => settled, { what })
  return promise
}

/** Skips a test with a reason where a backend cannot do what it is about. */
function needs<T>(context: TestContext, verb: T, reason: string): NonNullable<T> {
  if (verb === undefined) context.skip(reason)
  return verb!
}

/** The same, for what has no verb of its own. */
function needsTo(context: TestContext, { cannot = {} }: Harness, what: keyof NonNullable<Harness['cannot']>): void {
  if (cannot[what] !== undefined) context.skip(cannot[what])
}
