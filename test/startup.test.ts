import { afterAll, beforeAll, expect, test } from 'vitest'
import { shell } from '../src/plugins/agents/shell.ts'
import type { Agent } from '../src/runtime/agent.ts'
import type { Event } from '../src/runtime/types.ts'
import { testApp, type TestApp } from './support/app.ts'
import { until } from './support/wait.ts'

/** A program that no hook tells of: only its screen shows how it is. */
const silent: Agent = {
  ...shell(),
  read: () => null,
  startup: {
    afterMs: 100,
    read(screen, at): Event {
      const evidence = { source: 'screen', rule: 'what the screen shows', at } as const
      if (screen.includes('READY')) return { type: 'rested', evidence }
      const kind = screen.includes('Trust?') ? 'trust' : 'question'
      return { type: 'asked', waiting: { kind, message: screen }, evidence }
    },
  },
}

let app: TestApp
beforeAll(async () => {
  app = await testApp({ agents: { silent } })
})
afterAll(() => app?.close())

/** What a session came to be, one status after another, until it is one that was waited for. */
async function course(name: string, prompt: string, last: string): Promise<string[]> {
  await app.runtime.spawn({ name, prompt })
  await until(() => app.runtime.get(name).status === last, { what: `${name} to be ${last}`, timeout: 20_000 })
  const { trail } = app.runtime.explain(name)
  return trail.map(({ status }) => status).filter((status, index, all) => status !== all[index - 1])
}

test.concurrent('a program that is still drawing, or has not begun to, asks for nothing', async () => {
  const drawing =
    'sleep 0.7; i=0; while [ $i -lt 12 ]; do i=$((i + 1)); echo "line $i, Trust?"; sleep 0.2; done; clear; echo READY; exec cat'
  expect(await course('slow', drawing, 'idle')).toEqual(['starting', 'idle'])
})

test.concurrent('a dialog is told once it stands still', async () => {
  const dialog = 'sleep 1.2; echo; echo "Trust?"; exec cat'
  expect(await course('dialog', dialog, 'waiting')).toEqual(['starting', 'waiting'])
  expect(app.runtime.get('dialog').waiting).toMatchObject({ kind: 'trust', message: expect.stringContaining('Trust?') })
})

test.concurrent('what nobody recognizes is told, too, when nothing else comes', async () => {
  expect(await course('unknown', 'echo "Which one?"; exec cat', 'waiting')).toEqual(['starting', 'waiting'])
  expect(app.runtime.get('unknown').waiting).toMatchObject({ kind: 'question', message: expect.stringContaining('Which one?') })
})
