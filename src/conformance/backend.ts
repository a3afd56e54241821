import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { perishes, remembers } from './gone.ts'
import { answers, signals } from './hooks.ts'
import { types } from './input.ts'
import { lists } from './list.ts'
import { ends, starts } from './programs.ts'
import { survives } from './restart.ts'
import { reads } from './read.ts'
import { runs } from './run.ts'
import { screens } from './screen.ts'
import { createStage, serve, type Harness } from './stage.ts'
import { stops } from './stop.ts'
import { tails } from './tail.ts'
import { titles } from './title.ts'

/** A machine under load is slow. */
const timeout = 60_000

/**
 * What every backend has to do, told with real programs of a few lines of sh.
 *
 *   backendConformance('podman', async () => ({ backend: () => podman()(place), directory, read, write, cleanup }))
 */
export function backendConformance(name: string, open: () => Promise<Harness>): void {
  describe(`${name}, as every backend,`, { timeout }, () => {
    const stage = createStage(open)

    beforeAll(async () => {
      process.env['INSTAR_CONFORMANCE_SECRET'] = 'not-for-programs'
      stage.harness = await open()
      stage.server = await serve(stage.harness)
    }, timeout)
    afterAll(async () => {
      delete process.env['INSTAR_CONFORMANCE_SECRET']
      await stage.server?.backend.close()
      await stage.harness?.cleanup()
    }, timeout)

    starts(stage)
    ends(stage)
    screens(stage)
    types(stage)
    stops(stage)
    signals(stage)
    answers(stage)
    tails(stage)
    titles(stage)
    lists(stage)
    runs(stage)
    reads(stage)

    it('reported nothing of the above twice, out of order or after its end', async () => {
      await stage.server.left()
      for (const id of new Set(stage.server.reports.map((report) => report.id))) {
        const types = stage.server.types({ id })
        expect(types.filter((type) => type === 'launched').length).toBeLessThanOrEqual(1)
        expect(types.indexOf('launched')).toBeLessThanOrEqual(0)
        expect(types.indexOf('exited')).toBe(types.length - 1)
        const cursors = stage.server.reports.filter((report) => report.id === id).map(({ cursor }) => cursor)
        expect(cursors).toEqual(cursors.toSorted((a, b) => a - b))
        for (const report of stage.server.reports) expect(report.sights.length).toBeGreaterThan(0)
      }
    })
  })

  describe(`${name}, as every backend after a restart of its server,`, { timeout }, () => {
    const stage = createStage(open)

    beforeEach(async () => {
      stage.harness = await open()
      stage.server = await serve(stage.harness)
    }, timeout)
    afterEach(async () => {
      await stage.server?.backend.close()
      await stage.harness?.cleanup()
    }, timeout)

    remembers(stage)
    const whyNot = () => stage.server.backend.cannot?.survive
    describe('with sessions that outlive it,', () => {
      beforeEach(({ skip }) => skip(whyNot() !== undefined, whyNot()))
      survives(stage)
    })
    describe('with sessions that end with it,', () => {
      beforeEach(({ skip }) => skip(whyNot() === undefined, 'its sessions outlive the server'))
      perishes(stage)
    })
  })
}
