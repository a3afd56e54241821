import { describe, expect, it, type TestContext } from 'vitest'
import { iso, needs, type Program, type Server, type Stage } from './stage.ts'
import { until } from './wait.ts'

export function signals(stage: Stage): void {
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
      const program = await hooked(stage.server, 'for i in 0 1 2; do $hook "Event$i" <"$dir/p$i"; done', files)
      await stage.server.exit(program)
      expect(stage.server.signals(program)).toEqual(
        payloads.map((payload, i) => ({ event: `Event${i}`, payload: JSON.parse(payload) as unknown, at: expect.stringMatching(iso) })),
      )
    })

    it('without a payload, and with one of several lines', async () => {
      const payload = { a: ['several', 'lines'], b: { c: 1 } }
      const program = await hooked(stage.server, '$hook Empty </dev/null; $hook Pretty <"$dir/pretty"; $hook Last <"$dir/pretty"', {
        pretty: JSON.stringify(payload, null, 2),
      })
      await stage.server.exit(program)
      expect(stage.server.signals(program)).toMatchObject([
        { event: 'Empty', payload: null },
        { event: 'Pretty', payload },
        { event: 'Last', payload },
      ])
    })

    it('one that makes no sense harms none of the others', async () => {
      const program = await hooked(stage.server, 'echo "no json" | $hook Odd; echo "{}" | $hook Even; exit 3')
      expect(await stage.server.exit(program)).toMatchObject({ code: 3 })
      expect(stage.server.signals(program).at(-1)).toMatchObject({ event: 'Even', payload: {} })
    })

    it('twenty at once, none lost and none torn', async () => {
      const long = 'x'.repeat(2900)
      const script = `i=0; while [ $i -lt 20 ]; do i=$((i + 1))
        case $i in *[02468]) pad=$(cat "$dir/long") ;; *) pad=$(cat "$dir/longer") ;; esac
        printf '{"n":%d,"pad":"%s"}' $i "$pad" | $hook Many & done; wait`
      const program = await hooked(stage.server, script, { long, longer: long.repeat(20) })
      await stage.server.exit(program)
      const payloads = stage.server.signals(program).map(({ payload }) => payload as { n: number; pad: string })
      expect(payloads.map(({ n }) => n).sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
      for (const { n, pad } of payloads) expect(pad).toHaveLength(n % 2 === 0 ? 2900 : 58_000)
    })

    it('while it runs, before it ends', async () => {
      const program = await hooked(stage.server, 'echo "{}" | $hook Early; exec cat')
      await until(() => stage.server.signals(program).length === 1, { what: 'the signal' })
      expect(stage.server.types(program)).toEqual(['launched', 'signal'])
      await stage.server.backend.stop(program.handle, 1000)
    })
  })
}

export function answers(stage: Stage): void {
  describe('answers a hook that waits', () => {
    /** Starts a program whose `$ask` asks and waits, and prints the answer. */
    const asks = (script: string, payload: unknown = { which: 'one' }) =>
      stage.server.sh(`dir=$1; ask="sh $dir/hook.sh Ask wait"; payload=$dir/payload; ${script}`, {
        args: (id) => [stage.server.backend.directory(id)],
        files: { payload: JSON.stringify(payload) },
      })
    const mailboxes = (program: Program, count = 1) =>
      until(
        () => {
          const found = stage.server.signals(program).flatMap(({ mailbox }) => mailbox ?? [])
          return found.length === count && found
        },
        { what: `${count} hooks to wait` },
      )
    const answering = (context: TestContext) => needs(context, stage.server.backend.answer, 'the backend cannot answer hooks')

    it.for([
      ['a word', 'yes'],
      ['JSON', '{"it\'s":"\\"quoted\\" $HOME `x` %s \\\\ ünï 日本語 👍"}'],
      ['lines', 'two\nlines\n\n'],
      ['more than a pipe holds', 'x€'.repeat(100_000)],
    ] as const)('with %s', async ([, text], context) => {
      const answer = answering(context)
      const program = await asks('$ask <$payload >answer; echo "$?" >code')
      const [mailbox] = await mailboxes(program)
      expect(stage.server.signals(program)).toEqual([{ event: 'Ask', payload: { which: 'one' }, at: expect.stringMatching(iso), mailbox }])
      expect(await answer(program.handle, mailbox!, text)).toBe(true)
      expect(await stage.written(program, 'answer')).toBe(text)
      expect(await stage.written(program, 'code')).toBe('0\n')
    })

    it('with nothing: it prints nothing, and is released', async (context) => {
      const answer = answering(context)
      const program = await asks('$ask <$payload >released; echo "$?" >code')
      expect(await answer(program.handle, (await mailboxes(program))[0]!, '')).toBe(true)
      expect([await stage.written(program, 'released'), await stage.written(program, 'code')]).toEqual(['', '0\n'])
    })

    it('that was told more than fits into a line', async (context) => {
      const answer = answering(context)
      const payload = { long: '日x'.repeat(2000) }
      const program = await asks('$ask <$payload >long', payload)
      const [mailbox] = await mailboxes(program)
      expect(stage.server.signals(program)[0]).toMatchObject({ payload })
      expect(await answer(program.handle, mailbox!, 'to the long one')).toBe(true)
      expect(await stage.written(program, 'long')).toBe('to the long one')
    })

    it('and is slow to read more than a pipe holds', async (context) => {
      const answer = answering(context)
      const program = await asks('$ask <$payload | { dd bs=1 count=10 2>/dev/null; sleep 0.5; cat; } >slow')
      const text = '0123456789'.repeat(50_000)
      expect(await answer(program.handle, (await mailboxes(program))[0]!, text)).toBe(true)
      expect(await stage.written(program, 'slow')).toBe(text)
    })

    it('each with its own answer, when several wait', async (context) => {
      const answer = answering(context)
      const program = await asks('for i in 1 2 3 4; do $ask <$payload >"several-$i" & done; wait')
      const all = await mailboxes(program, 4)
      expect(new Set(all).size).toBe(4)
      const taken = await Promise.all(all.map((mailbox) => answer(program.handle, mailbox, `for ${mailbox}`)))
      expect(taken).toEqual([true, true, true, true])
      await stage.server.exit(program)
      const said = await Promise.all([1, 2, 3, 4].map((i) => stage.harness.read(stage.file(`several-${i}`))))
      expect(said.toSorted()).toEqual(all.map((mailbox) => `for ${mailbox}`).toSorted())
    })

    it('once: the second answer is too late', async (context) => {
      const answer = answering(context)
      const program = await asks('$ask <$payload >once; exec cat')
      const [mailbox] = await mailboxes(program)
      expect(await answer(program.handle, mailbox!, 'first')).toBe(true)
      expect(await answer(program.handle, mailbox!, 'second')).toBe(false)
      await until(async () => (await stage.harness.read(stage.file('once'))) === 'first', { what: 'the answer' })
      await stage.server.backend.stop(program.handle, 1000)
      expect(await answer(program.handle, mailbox!, 'third')).toBe(false)
      expect(await stage.harness.read(stage.file('once'))).toBe('first')
    })

    it('but not one that was given up', async (context) => {
      const answer = answering(context)
      const program = await asks(
        '$ask <$payload >given-up & until [ -e give-up ]; do sleep 0.02; done; kill -9 $!; wait $!; : >gave-up; exec cat',
      )
      const [mailbox] = await mailboxes(program)
      await stage.harness.write(stage.file('give-up'), '')
      await until(async () => (await stage.harness.read(stage.file('gave-up'))) !== null, { what: 'the end of the hook' })
      expect(await answer(program.handle, mailbox!, 'too late')).toBe(false)
      expect(await answer(program.handle, mailbox!, 'too late')).toBe(false)
      expect(await stage.harness.read(stage.file('given-up'))).toBe('')
      await stage.server.backend.stop(program.handle, 1000)
    })

    it.for([
      ['has ended', 'kill -9 $!; exit 0'],
      ['was killed', 'kill -9 $! $$'],
    ] as const)('nor one of a program that %s', async ([name, end], context) => {
      const answer = answering(context)
      const go = `go ${name}`.replaceAll(' ', '-')
      const program = await asks(`$ask <$payload & echo $! >"${go}-hook"; until [ -e ${go} ]; do sleep 0.02; done; ${end}`)
      const [mailbox] = await mailboxes(program)
      await stage.harness.write(stage.file(go), '')
      await stage.server.exit(program)
      // Its end may be known a moment before that of the hook, which was killed with it.
      const pid = (await stage.harness.read(stage.file(`${go}-hook`)))!.trim()
      await until(async () => (await stage.running(program, [pid])) === '', { what: 'the end of the hook' })
      expect(await answer(program.handle, mailbox!, 'too late')).toBe(false)
    })

    it('nor one that never waited', async (context) => {
      const answer = answering(context)
      const program = await stage.server.sh(`echo '{}' | sh "$1/hook.sh" Ask; exec cat`, {
        args: (id) => [stage.server.backend.directory(id)],
      })
      await until(() => stage.server.signals(program).length === 1, { what: 'the signal' })
      expect(stage.server.signals(program)[0]).not.toHaveProperty('mailbox')
      const names = [
        '1-1',
        '',
        '.',
        '..',
        '/',
        '/etc/passwd',
        '../signals.jsonl',
        '1-1/../../signals.jsonl',
        stage.file('never'),
        '1-1\n',
        '*',
      ]
      for (const name of names) expect([name, await answer(program.handle, name, 'for nobody')]).toEqual([name, false])
      await stage.harness.write(stage.file('never'), 'as it was')
      expect(await answer(program.handle, stage.file('never'), 'for nobody')).toBe(false)
      expect(await stage.harness.read(stage.file('never'))).toBe('as it was')
      expect(await stage.harness.read(`${stage.server.backend.directory(program.id)}/hook.sh`)).not.toBeNull()
      await stage.server.backend.stop(program.handle, 1000)
    })
  })
}
