import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, type TestContext } from 'vitest'
import { inherit } from '../plugins/hooks/inherit/inherit.ts'
import type { Backend } from '../runtime/backend.ts'
import type { HookContext, HookPlace } from '../runtime/hook.ts'
import type { Launch, Session } from '../runtime/types.ts'
import { nasty, needs, type Stage } from './stage.ts'

/** What hooks ask of a backend. */
export function runs(stage: Stage): void {
  const run = (context: TestContext): NonNullable<Backend['run']> => {
    const { backend } = stage.server
    needs(context, backend.run, 'it runs nothing outside of sessions')
    return (argv, options) => backend.run!(argv, options)
  }

  describe('runs programs outside of sessions', () => {
    it('and tells what they wrote and how they ended', async (context) => {
      const script = 'echo out; printf "no newline"; echo err >&2; exit 7'
      expect(await run(context)(['sh', '-c', script])).toEqual({ code: 7, stdout: 'out\nno newline', stderr: 'err\n' })
      expect(await run(context)(['sh', '-c', 'kill -9 $$'])).toMatchObject({ code: 137, stdout: '' })
      expect(await run(context)(['true'])).toEqual({ code: 0, stdout: '', stderr: '' })
    })

    it('with every argument as it is', async (context) => {
      const words = nasty(stage.file('touched-by-run'))
      const { stdout } = await run(context)(['sh', '-c', 'for word do printf "%s\\037" "$word"; done', 'sh', ...words])
      expect(stdout.split('\x1f').slice(0, -1)).toEqual(words)
      expect(await stage.harness.read(stage.file('touched-by-run'))).toBeNull()
    })

    it('with the bytes they are given to read, and none when they are given none', async (context) => {
      const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) % 256)
      const sum = bytes.reduce((total, byte) => total + byte, 0)
      const count = `od -An -v -tu1 | awk '{ for (i = 1; i <= NF; i++) sum += $i; n += NF } END { print n + 0, sum + 0 }'`
      expect((await run(context)(['sh', '-c', count], { input: bytes })).stdout.trim()).toBe(`${bytes.length} ${sum}`)
      expect((await run(context)(['sh', '-c', count])).stdout.trim()).toBe('0 0')
      expect((await run(context)(['cat'], { input: "ünï it's\n" })).stdout).toBe("ünï it's\n")
      // One that does not read it is no failure.
      expect(await run(context)(['sh', '-c', 'exit 3'], { input: bytes })).toMatchObject({ code: 3 })
    })

    it('in the directory and with the environment that they are given, and nothing of the server’s', async (context) => {
      const { stdout } = await run(context)(['sh', '-c', 'pwd -P; printf "<%s>" "$GIVEN"; env'], {
        cwd: stage.harness.directory,
        env: { GIVEN: `it's $HOME\nhere` },
      })
      expect(stdout).toContain(`/${stage.harness.directory.split('/').at(-1)}\n`)
      expect(stdout).toContain(`<it's $HOME\nhere>`)
      expect(stdout).toMatch(/^PATH=/m)
      expect(stdout).not.toContain('not-for-programs')
      expect((await run(context)(['pwd'])).stdout).toBe('/\n')
    })

    it('that write much', async (context) => {
      const { stdout } = await run(context)(['awk', 'BEGIN { for (i = 0; i < 400000; i++) printf "%09d\\n", i }'])
      expect(stdout).toHaveLength(4_000_000)
      expect(stdout.slice(-10)).toBe('000399999\n')
    })

    it('not for ever, and not when nobody waits any more', async (context) => {
      await expect(run(context)(['sleep', '60'], { timeoutMs: 300 })).rejects.toThrow()
      const gone = new AbortController()
      const running = run(context)(['sleep', '60'], { signal: gone.signal })
      gone.abort()
      await expect(running).rejects.toThrow()
    })

    it('and says when there is no such program', async (context) => {
      const outcome = await run(context)(['instar-no-such-program']).catch(() => ({ code: 127 }))
      expect(outcome.code).toBe(127)
    })
  })

  describe('has a project', () => {
    it('carried to where a session runs, which finds it there', async (context) => {
      const { backend } = stage.server
      const there = run(context)
      const source = await mkdtemp(join(tmpdir(), 'instar-carried-'))
      try {
        await mkdir(join(source, '.claude'))
        await writeFile(join(source, 'CLAUDE.md'), 'as it was here')
        await writeFile(join(source, '.claude/hook.sh'), '#!/bin/sh\necho "it runs"\n')
        await chmod(join(source, '.claude/hook.sh'), 0o755)
        const id = crypto.randomUUID()
        const cwd = stage.file('carried project')
        const project = backend.project?.(id, cwd) ?? cwd
        const place: HookPlace = {
          backend: 'it',
          isHere: backend.isHere === true,
          canRun: true,
          project,
          run: there,
          read: async (...given) => (await backend.read?.(...given)) ?? null,
        }
        const told = { place, session: { id, cwd: source } as Session, directory: source, reads: { files: [], imports: false } }
        const given: unknown = { ...told, options: undefined, keep: async () => {}, signal: AbortSignal.timeout(30_000) }
        await inherit().launch({} as Launch, async () => ({}), given as HookContext<never, never>)
        const program = await stage.server.run(['sh', '-c', 'cat CLAUDE.md; echo; ./.claude/hook.sh'], { id, cwd })
        await stage.server.exit(program)
        expect(await stage.server.screen(program)).toBe('as it was here\nit runs')
      } finally {
        await rm(source, { recursive: true, force: true })
      }
    })
  })
}
