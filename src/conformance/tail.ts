import { describe, expect, it, type TestContext } from 'vitest'
import { needs, numbered, type Stage } from './stage.ts'
import { until } from './wait.ts'

export function tails(stage: Stage): void {
  describe('reads on in a file', () => {
    const tailing = (context: TestContext) => needs(context, stage.server.backend.tail, 'the backend cannot read on in a file')
    const append = async (script: string, args: readonly string[] = []) =>
      expect(await stage.server.exit(await stage.server.sh(script, { args }))).toMatchObject({ code: 0 })
    /** Follows a file, and keeps what is told. */
    async function follow(context: TestContext, name: string, cursor = 0) {
      const told: string[] = []
      const cursors: number[] = []
      const tail = await tailing(context)(stage.file(name), cursor, (lines, at) => {
        expect(lines.length).toBeGreaterThan(0)
        told.push(...lines)
        cursors.push(at)
      })
      return { told, cursors, tail }
    }

    it('what is there, and what is added', async (context) => {
      tailing(context)
      await stage.harness.write(stage.file('lines'), 'one\n\n日本\n')
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
      await stage.harness.write(stage.file('incomplete'), 'one\ntw')
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
      await stage.harness.write(stage.file('big'), `${lines.join('\n')}\n`)
      const { told, cursors, tail } = await follow(context, 'big')
      expect(told.length).toBe(lines.length)
      expect(told.every((line, i) => line === lines[i])).toBe(true)
      expect(cursors.at(-1)).toBe(Buffer.byteLength(lines.join('\n')) + 1)
      await append(`dd if=/dev/zero bs=1000 count=2000 2>/dev/null | tr '\\0' y >>big; echo >>big; echo after >>big`)
      await until(() => told.at(-1) === 'after', { what: 'the last line' })
      expect(told.at(-2)).toBe('y'.repeat(2_000_000))
      tail.close()
    })

    it('many lines that are added one by one, each once and in order', async (context) => {
      tailing(context)
      await stage.harness.write(stage.file('many'), '')
      const { told, cursors, tail } = await follow(context, 'many')
      await append('i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); echo "line $i" >>many; done')
      await until(() => told.length >= 3000, { what: 'all lines' })
      expect(told.join('\n')).toBe(numbered(1, 3000))
      expect(cursors).toEqual(cursors.toSorted((a, b) => a - b))
      tail.close()
    })

    it('up to now when that is asked for', async (context) => {
      tailing(context)
      await stage.harness.write(stage.file('now'), '')
      const { told, tail } = await follow(context, 'now')
      for (let i = 1; i <= 20; i++) {
        await stage.harness.write(stage.file('now'), `${numbered(1, i)}\n`)
        await Promise.all([tail.catchUp(), tail.catchUp()])
        expect(told).toHaveLength(i)
      }
      tail.close()
    })

    it('and tells nothing more once it is closed', async (context) => {
      tailing(context)
      await stage.harness.write(stage.file('closed'), 'one\n')
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
      for (const path of [stage.file('no-such-file'), stage.file('no/such/file'), `${stage.file('lines')}/x`])
        await expect(tail(path, 0, () => told++)).rejects.toThrow(Error)
      expect(told).toBe(0)
    })
  })
}
