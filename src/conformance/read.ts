import { describe, expect, it, type TestContext } from 'vitest'
import type { Backend } from '../runtime/backend.ts'
import { needs, type Stage } from './stage.ts'

/** What hooks read of a project. */
export function reads(stage: Stage): void {
  const read = (context: TestContext): NonNullable<Backend['read']> => {
    const { backend } = stage.server
    needs(context, backend.read, 'it reads no files outside of sessions')
    return (directory, names, options) => backend.read!(directory, names, options)
  }
  const limits = { maxBytes: 1000, outside: false }
  const text = (text: string) => ({ state: 'read', text, bytes: new TextEncoder().encode(text).length })
  const make = async (script: string) => expect(await stage.server.exit(await stage.server.sh(script))).toMatchObject({ code: 0 })

  describe('reads text files of a directory', () => {
    it('in the order in which they are asked for, as they are', async (context) => {
      const there = read(context)
      await make(`mkdir -p "some texts/-in it's"; cd 'some texts'; printf 'ünï\\n\\n' >-n; : >empty; printf 'it\\r\\nis' >"-in it's/é"`)
      const directory = stage.file('some texts')
      expect(await there(directory, ["-in it's/é", 'none', '-n', 'empty', '-in it’s/é', 'empty/x'], limits)).toEqual([
        text('it\r\nis'),
        { state: 'missing' },
        text('ünï\n\n'),
        text(''),
        { state: 'missing' },
        { state: 'missing' },
      ])
      expect(await there(directory, [], limits)).toEqual([])
      expect(await there(stage.file('no such directory'), ['a'], limits)).toBeNull()
      expect(await there(`${directory}/empty`, ['a'], limits)).toBeNull()
    })

    it('and says which it does not take', async (context) => {
      const there = read(context)
      await make(`mkdir -p problems/directory; cd problems; mkfifo fifo; printf 'h\\351' >latin; printf 'a\\000b' >zero
        awk 'BEGIN { while (i++ < 1001) printf "a" }' >big; ln -s loop loop; ln -s ../outside out; echo o >../outside; ln -s directory/../latin.txt in; echo i >latin.txt`)
      const names = ['directory', 'fifo', 'latin', 'zero', 'big', 'loop', 'out', 'in']
      const found = async (outside: boolean) => {
        const all = (await there(stage.file('problems'), names, { ...limits, outside }))!
        return all.map((each) => (each.state === 'refused' ? each.problem : each.state === 'read' ? each.text : null))
      }
      const same = ['is a directory, not a file', 'is not a regular file', 'is not UTF-8 text', 'is not UTF-8 text']
      const big = 'has 1001 bytes, and 1000 is the limit'
      const leaves = expect.stringMatching(/^is a symbolic link to \/.*\/outside, outside of the project$/) as string
      expect(await found(false)).toEqual([...same, big, null, leaves, 'i\n'])
      expect(await found(true)).toEqual([...same, big, null, 'o\n', 'i\n'])
    })
  })
}
