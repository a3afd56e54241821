import { describe, expect, it } from 'vitest'
import { InstarError } from '../runtime/error.ts'
import { line, nasty, needsTo, type Stage } from './stage.ts'
import { pass } from './wait.ts'

export function types(stage: Stage): void {
  /** What Enter is to a program that reads every key itself. */
  const enter = () => (stage.server.backend.cannot?.terminal === undefined ? '\r' : '\n')

  describe('types into a program', () => {
    it('texts that anything else would take for something else', async () => {
      // What a terminal acts on is not typed; the rest of a line is. A terminal in its usual mode takes 4095 bytes a line.
      const texts = nasty(stage.file('touched')).filter(
        (text) => text !== '' && text.length < 4095 && !/[\x00-\x08\x0b-\x1f\x7f]/.test(text),
      )
      const program = await stage.server.sh('stty -echo; echo ready; exec cat >typed')
      await stage.server.shows(program, 'ready')
      for (const text of texts) await stage.server.backend.send(program.handle, line(text))
      await stage.server.backend.send(program.handle, [{ type: 'key', key: 'C-d' }])
      expect(await stage.written(program, 'typed')).toBe(texts.map((text) => `${text}\n`).join(''))
      expect(await stage.harness.read(stage.file('touched'))).toBeNull()
    })

    it('a line of 4000 bytes', async () => {
      const text = 'äb'.repeat(1334).slice(0, 2666)
      const program = await stage.server.sh('exec cat >typed')
      await stage.server.backend.send(program.handle, [...line(text), { type: 'key', key: 'C-d' }])
      expect(await stage.written(program, 'typed')).toBe(`${text}\n`)
    })

    it('64 KiB of many lines, in one piece', async () => {
      const text = Array.from({ length: 1024 }, (_, i) => `${i} ${'.'.repeat(62 - String(i).length)}`).join('\n')
      expect(text).toHaveLength(65_535)
      const program = await stage.server.sh('exec cat >typed')
      await stage.server.backend.send(program.handle, [...line(text), { type: 'key', key: 'C-d' }])
      expect(await stage.written(program, 'typed')).toBe(`${text}\n`)
    })

    it('a text without its control characters, and lines that end as they do elsewhere', async () => {
      const program = await stage.server.sh('stty -echo; echo ready; exec cat >typed')
      await stage.server.shows(program, 'ready')
      await stage.server.backend.send(program.handle, line('a\x1b[201~b\x07c\x03\x04\x16\x7fd\u009b31me\r\nf\rg'))
      await stage.server.backend.send(program.handle, [{ type: 'key', key: 'C-d' }])
      expect(await stage.written(program, 'typed')).toBe('a[201~bcd31me\nf\ng\n')
    })

    it('a text of which nothing is left, which is nothing', async () => {
      const program = await stage.server.sh('exec cat >typed')
      await stage.server.backend.send(program.handle, [...line(''), ...line('\x1b'), { type: 'key', key: 'C-d' }])
      expect(await stage.written(program, 'typed')).toBe('\n\n')
    })

    it('a paste, marked as one for a program that asks for that, which it cannot leave', async (context) => {
      needsTo(context, stage, 'terminal')
      const script = `stty raw -echo; printf '\\033[?2004hready'; dd bs=1 count=24 of=typed 2>/dev/null`
      const program = await stage.server.sh(script)
      await stage.server.shows(program, 'ready')
      await stage.server.backend.send(program.handle, line('pasted\x1b[201~'))
      expect(await stage.written(program, 'typed')).toBe('\x1b[200~pasted[201~\x1b[201~\r')
    })

    it('an Enter that does not come in one read with a paste that shows late', async () => {
      const script = `stty raw -echo; echo ready; dd bs=100 count=1 of=first 2>/dev/null; sleep 0.3; cat first; dd bs=100 count=1 of=second 2>/dev/null`
      const program = await stage.server.sh(script)
      await stage.server.shows(program, 'ready')
      const text = 'a text that shows late'
      await stage.server.backend.send(program.handle, [
        { type: 'paste', text },
        { type: 'visible', text },
        { type: 'key', key: 'Enter' },
      ])
      expect([await stage.written(program, 'first'), await stage.written(program, 'second')]).toEqual([text, enter()])
    })

    it('with a pause, for a program that would take what follows for a part of what it got', async () => {
      const program = await stage.server.sh(
        'stty raw -echo; echo ready; dd bs=100 count=1 of=before 2>/dev/null; dd bs=100 count=1 of=after 2>/dev/null',
      )
      await stage.server.shows(program, 'ready')
      const began = Date.now()
      await stage.server.backend.send(program.handle, [
        { type: 'paste', text: 'a text' },
        { type: 'pause', ms: 300 },
        { type: 'key', key: 'Enter' },
      ])
      expect(Date.now() - began).toBeGreaterThanOrEqual(300)
      expect([await stage.written(program, 'before'), await stage.written(program, 'after')]).toEqual(['a text', enter()])
    })

    it('and does not wait for ever for a text that never shows', async () => {
      const program = await stage.server.sh('stty -echo; echo ready; exec cat >typed')
      await stage.server.shows(program, 'ready')
      const text = 'a text that never shows'
      await stage.server.backend.send(program.handle, [
        { type: 'paste', text },
        { type: 'visible', text },
        { type: 'key', key: 'Enter' },
        { type: 'key', key: 'C-d' },
      ])
      expect(await stage.written(program, 'typed')).toBe(`${text}\n`)
    })

    it('keys', async () => {
      const program = await stage.server.sh(`trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done`)
      await stage.server.shows(program, 'ready')
      await stage.server.backend.send(program.handle, [{ type: 'key', key: 'C-c' }])
      expect(await stage.server.exit(program)).toMatchObject({ code: 9 })
      expect(await stage.server.screen(program)).toContain('interrupted')
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
      const key = name.replace('TOUCHED', stage.file(touched))
      const program = await stage.server.sh('exec cat >typed')
      await stage.server.backend
        .send(program.handle, [{ type: 'key', key }])
        .catch((error: unknown) => expect(error).toBeInstanceOf(InstarError))
      await stage.server.backend.send(program.handle, [
        { type: 'key', key: 'Enter' },
        { type: 'key', key: 'C-d' },
      ])
      await stage.written(program, 'typed')
      // What tmux runs it does not wait for.
      await pass(50)
      expect(await stage.harness.read(stage.file(touched))).toBeNull()
    })

    it('but not into one that has ended, and nothing breaks', async () => {
      const bystander = await stage.server.sh('exec cat')
      const program = await stage.server.sh('exit 0')
      await stage.server.exit(program)
      for (const stroke of [...line('too late'), { type: 'paste', text: '' }] as const) {
        await expect(stage.server.backend.send(program.handle, [stroke])).rejects.toMatchObject({
          name: 'InstarError',
          code: 'session_ended',
        })
      }
      await stage.server.backend.send(bystander.handle, line('still here'))
      await stage.server.shows(bystander, stage.echo('still here'))
      await stage.server.backend.stop(bystander.handle, 1000)
    })

    it('nor into one that ends while it is typed into', async () => {
      for (let round = 0; round < (stage.harness.many ?? 30) / 3; round++) {
        const program = await stage.server.sh(`read -r first; exit 3`)
        let ended = false
        for (let i = 0; i < 200 && !ended; i++) {
          const sends = await Promise.allSettled([1, 2, 3].map(() => stage.server.backend.send(program.handle, line('x'))))
          for (const send of sends) {
            if (send.status === 'fulfilled') continue
            expect(send.reason).toMatchObject({ name: 'InstarError', code: 'session_ended' })
            ended = true
          }
        }
        expect(await stage.server.exit(program)).toMatchObject({ code: 3 })
      }
      const program = await stage.server.sh('exit 4')
      expect(await stage.server.exit(program)).toMatchObject({ code: 4 })
    })
  })
}
