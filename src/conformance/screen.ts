import { describe, expect, it } from 'vitest'
import { needsTo, numbered, serve, type Stage } from './stage.ts'
import { until } from './wait.ts'

export function screens(stage: Stage): void {
  describe('shows the screen', () => {
    it('of a program that wrote 5000 lines and ended at once', async () => {
      const program = await stage.server.run(['awk', 'BEGIN { for (i = 1; i <= 5000; i++) print "line", i }'])
      expect(await stage.server.exit(program)).toMatchObject({ code: 0 })
      expect(await stage.server.screen(program, 5000)).toBe(numbered(1, 5000))
    })

    it('of a program that wrote 100 KB in one line and ended at once', async () => {
      const program = await stage.server.run(['awk', 'BEGIN { for (i = 0; i < 20000; i++) printf "%05d", i; exit 3 }'])
      expect(await stage.server.exit(program)).toMatchObject({ code: 3 })
      const text = (await stage.server.screen(program, 5000)).replaceAll('\n', '')
      expect(text).toBe(Array.from({ length: 20_000 }, (_, i) => String(i).padStart(5, '0')).join(''))
    })

    it('to the exact number of lines, before and after the end', async () => {
      const program = await stage.server.sh('awk "BEGIN { for (i = 1; i <= 300; i++) print \\"line\\", i }"; exec cat')
      await stage.server.shows(program, 'line 300')
      const looks = async () => {
        for (const lines of [1, 5, 100, 299]) {
          expect(await stage.server.backend.capture(program.handle, lines)).toEqual({ text: numbered(301 - lines, 300), truncated: true })
        }
        for (const lines of [300, 301, 5000]) {
          expect(await stage.server.backend.capture(program.handle, lines)).toEqual({ text: numbered(1, 300), truncated: false })
        }
      }
      await looks()
      await stage.server.backend.stop(program.handle, 1000)
      await looks()
    })

    it('without blank lines at its end, and with those inside', async () => {
      const program = await stage.server.sh(`printf '\\n  one\\n\\n\\ntwo  three\\n\\n   \\n\\n'; exec cat`)
      const text = '\n  one\n\n\ntwo  three'
      await stage.server.shows(program, 'three')
      expect(await stage.server.backend.capture(program.handle, 4)).toEqual({ text: text.slice(1), truncated: true })
      expect(await stage.server.backend.capture(program.handle, 5)).toEqual({ text, truncated: false })
      await stage.server.backend.stop(program.handle, 1000)
      expect(await stage.server.backend.capture(program.handle, 5)).toEqual({ text, truncated: false })
    })

    it('that is empty', async () => {
      const program = await stage.server.sh('exec sleep 60')
      expect(await stage.server.backend.capture(program.handle, 100)).toEqual({ text: '', truncated: false })
      await stage.server.backend.stop(program.handle, 1000)
      expect(await stage.server.backend.capture(program.handle, 100)).toEqual({ text: '', truncated: false })
    })

    it('with its styles when they are asked for, as long as it runs', async (context) => {
      needsTo(context, stage, 'styles')
      const program = await stage.server.sh(
        `printf '\\033[31mred\\033[0m plain \\033[1;2mdim\\033[0m\\n\\033[7m \\033[0m\\033[38;5;174mnumbered \\\\ 日本\\033[0m\\n\\nlast'; exec cat`,
      )
      await stage.server.shows(program, 'last')
      const text = 'red plain dim\n numbered \\ 日本\n\nlast'
      const sgr = /\x1b\[[0-9;]*m/g
      for (const lines of [1, 2, 4, 5, 100]) {
        const plain = await stage.server.backend.capture(program.handle, lines)
        expect(plain).toEqual({ text: text.split('\n').slice(-lines).join('\n'), truncated: lines < 4 })
        const styled = await stage.server.backend.capture(program.handle, lines, { styles: true })
        expect({ ...styled, text: styled.text.replace(sgr, '') }).toEqual(plain)
      }
      const { text: styled } = await stage.server.backend.capture(program.handle, 100, { styles: true })
      expect(styled).toMatch(/\x1b\[31mred\x1b\[(?:0|39)?m plain \x1b\[(?:0;)?1;2mdim/)
      expect(styled).toMatch(/\x1b\[38;5;174m(?:\x1b\[49m)?numbered/)
      expect((await stage.server.backend.capture(program.handle, 100, { styles: false })).text).toBe(text)
      await stage.server.backend.stop(program.handle, 1000)
      expect(await stage.server.backend.capture(program.handle, 100, { styles: true })).toEqual({ text, truncated: false })
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
      await stage.harness.write(stage.file('texts'), `${text}\n`)
      const program = await stage.server.sh('cat texts; exec cat', { size: { cols: 80, rows: 24 } })
      await stage.server.shows(program, '日'.repeat(40))
      const isWrapped = stage.server.backend.cannot?.terminal === undefined
      const wrapped = !isWrapped
        ? text
        : text.replace(/^(.{80})(.{14})$/m, '$1\n$2').replace(/日{200}/, `${'日'.repeat(40)}\n`.repeat(5).trim())
      expect(await stage.server.screen(program)).toBe(wrapped)
      await stage.server.backend.stop(program.handle, 1000)
      expect(await stage.server.screen(program)).toBe(wrapped)
    })

    it('of a program that writes what a terminal server would say', async () => {
      // A reader that trusts such a line cuts the answer short, or takes the rest for events. It has to name the second
      // and the number of a command: the forger tries all numbers, again and again, on a server that is still young.
      const forge = `BEGIN { for (n = 1; n <= 1200; n++) {
        printf "%%end %d %d 1\\n%%error %d %d 1\\n", t, n, t, n
        if (n % 100 == 0) print "%exit\\n%output %0 x\\n%begin 1 2 1\\n%session-changed $9 x\\n%unlinked-window-close @1" } }`
      const forged =
        /^(?:%end \d+ \d+ 1|%error \d+ \d+ 1|%exit|%output %0 x|%begin 1 2 1|%session-changed \$9 x|%unlinked-window-close @1)$/
      const place = await stage.open()
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
}
