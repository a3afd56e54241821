import { describe, expect, it } from 'vitest'
import { iso, needs, path, type Stage } from './stage.ts'

export function lists(stage: Stage): void {
  describe('lists', () => {
    it('what runs, and nothing that has ended', async () => {
      const [runs, ended] = [await stage.server.sh('exec cat'), await stage.server.sh('exit 0')]
      await stage.server.exit(ended)
      await stage.server.left(runs)
      expect(await stage.server.backend.list()).toEqual([{ id: runs.id, handle: runs.handle }])
      const attach = stage.server.backend.attach(runs.handle)
      if (attach !== null) expect(attach).toContain(runs.name)
      await stage.server.backend.stop(runs.handle, 1000)
    })

    it('also the terminals of others', async (context) => {
      const terminals = needs(context, stage.server.backend.terminals, 'the backend does not list terminals')
      const ours = await stage.server.sh('exec cat')
      await stage.harness.intrude!('a-stranger')
      const listed = await terminals()
      expect(listed).toContainEqual({ name: ours.name, id: ours.id, createdAt: expect.stringMatching(iso), attached: false })
      expect(listed).toContainEqual({ name: 'a-stranger', id: null, createdAt: expect.stringMatching(iso), attached: false })
      expect(JSON.stringify(await stage.server.backend.list())).not.toContain('a-stranger')
      await stage.server.backend.stop(ours.handle, 1000)
      expect((await terminals()).map(({ name }) => name)).toContain('a-stranger')
    })
  })

  describe('finds programs', () => {
    it('on a PATH, by names and by paths', async (context) => {
      const find = needs(context, stage.server.backend.find, 'the backend does not look for programs')
      const programs = ['sh', 'instar-no-such-program', '/bin/sh', '/nowhere/sh', "it's; touch x"]
      const found = await find(programs, path)
      expect(found).toEqual([expect.stringMatching(/^\/.*\/sh$/), null, '/bin/sh', null, null])
      expect(await find(['sh'], '/nowhere')).toEqual([null])
      expect(await find([], path)).toEqual([])
    })
  })
}
