import { describe, expect, it } from 'vitest'
import { iso, needsTo, type Known, type Stage } from './stage.ts'
import { until } from './wait.ts'

export function titles(stage: Stage): void {
  describe('tells the title of a terminal', () => {
    const titles = (program: Known) => stage.server.sights(program).flatMap((sight) => (sight.type === 'title' ? [sight.title] : []))
    const told = (program: Known, title: string) => until(() => titles(program).at(-1) === title, { what: `the title "${title}"` })
    const titled = (script: string, args: readonly string[] = []) =>
      stage.server.sh(`title() { printf '\\033]2;%s\\007' "$1"; }; next() { read -r line; }; ${script}`, { titles: true, args })

    it('whenever it changes', async (context) => {
      needsTo(context, stage, 'titles')
      const program = await titled('title one; next; title two; next; title one; next; title ""; next; title last; exec cat')
      for (const title of ['one', 'two', 'one', '', 'last']) {
        await told(program, title)
        if (title !== 'last') await stage.server.backend.send(program.handle, [{ type: 'key', key: 'Enter' }])
      }
      const all = titles(program)
      expect(all.slice(all.indexOf('one'))).toEqual(['one', 'two', 'one', '', 'last'])
      for (const sight of stage.server.sights(program)) if (sight.type === 'title') expect(sight.at).toMatch(iso)
      expect(stage.server.types(program)[0]).toBe('launched')
      await stage.server.backend.stop(program.handle, 1000)
      expect(stage.server.types(program).at(-1)).toBe('exited')
    })

    it('not when it is set again to what it is', async (context) => {
      needsTo(context, stage, 'titles')
      const program = await titled('for i in 1 2 3 4 5 6 7 8 9; do title same; sleep 0.03; done; title other; exec cat')
      await told(program, 'other')
      expect(titles(program).filter((title) => title === 'same')).toHaveLength(1)
      await stage.server.backend.stop(program.handle, 1000)
    })

    it('the last of many, whatever of the others', async (context) => {
      needsTo(context, stage, 'titles')
      const program = await titled('i=0; while [ $i -lt 500 ]; do i=$((i + 1)); title "⠂ $i"; done; exec cat')
      await told(program, '⠂ 500')
      const numbers = titles(program).flatMap((title) => (title.startsWith('⠂ ') ? [Number(title.slice(2))] : []))
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
      await stage.server.backend.stop(program.handle, 1000)
    })

    it('with everything that another program may do something with', async (context) => {
      needsTo(context, stage, 'titles')
      const texts = [
        '✳ ünï 日本語 👍',
        `#{pane_id} #(touch ${stage.file('touched')}) #[fg=red] ##`,
        `it's "quoted" \\ \\033 \\n $HOME \`touch ${stage.file('touched')}\` %end 1 1 1 ;`,
        '%exit',
        '  two  blanks',
        'x'.repeat(200),
      ]
      const program = await titled('for t; do title "$t"; next; done; exec cat', texts)
      // tmux 3.7 keeps a title's #( out, 3.4 and 3.7 escape $ and backslashes: what is said stays.
      const said = (text: string | undefined) => text?.replace(/[^\p{L}\p{N}\p{So}]/gu, '')
      for (const text of texts) {
        await until(() => said(titles(program).at(-1)) === said(text), { what: `the title "${text}"` })
        await stage.server.backend.send(program.handle, [{ type: 'key', key: 'Enter' }])
      }
      await stage.server.backend.stop(program.handle, 1000)
      expect(await stage.harness.read(stage.file('touched'))).toBeNull()
    })

    it('in one line, whatever control characters are in it', async (context) => {
      needsTo(context, stage, 'titles')
      const program = await titled(`title "$(printf 'a\\tb\\001c\\nd\\re')"; exec cat`)
      const title = await until(() => titles(program).find((title) => title.startsWith('a')), { what: 'the title' })
      expect(title.replace(/\s|\\[0-7]{3}/g, '')).toBe('abcde')
      // The next one is told all the same, and the session lives on.
      const next = await titled('title next; exec cat')
      await told(next, 'next')
      for (const each of [program, next]) await stage.server.backend.stop(each.handle, 1000)
    })

    it('only where that was asked for', async (context) => {
      needsTo(context, stage, 'titles')
      const silent = await stage.server.sh(`printf '\\033]2;one\\007shown'; exec cat`)
      await stage.server.shows(silent, 'shown')
      const program = await titled('title two; exec cat')
      await told(program, 'two')
      expect(stage.server.types(silent)).toEqual(['launched'])
      for (const each of [silent, program]) await stage.server.backend.stop(each.handle, 1000)
    })
  })
}
