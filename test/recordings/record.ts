import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { claudeApp, claudePackages, type ClaudeApp, type ClaudeVersion } from '../support/claude.ts'
import { until } from '../support/wait.ts'

/**
 * Makes claude-<version>-<what>.txt again, from the real programs: `npx tsx test/recordings/record.ts [WHAT …]`. Each is
 * what `tmux capture-pane -e -p` says. Times, and the words that claude takes at random, differ from one run to the next.
 */
interface Recording {
  /** Which user it is: one who allows everything, one who is asked, one with a subscription, or a directory that is not trusted. */
  readonly user: 'bold' | 'careful' | 'subscribed' | 'new'
  readonly prompt: string
  /** What happens first. */
  readonly before?: (session: Session) => Promise<unknown>
  /** What the screen holds when it is the one that is wanted. */
  readonly shows: RegExp
}
interface Session {
  input(text: string, submit?: boolean): Promise<unknown>
  press(...keys: string[]): Promise<unknown>
  shows(text: RegExp): Promise<string>
}

const idle = /heard: hello[^]*✻ .* for \d+s/
const busy = /esc to interrupt/
const slow = '[slow 60000] a long answer that takes its time and is not waited for'
const question = {
  question: 'Which colour?',
  header: 'Colour',
  multiSelect: false,
  options: [
    { label: 'Blue', description: 'like the sky' },
    { label: 'Green', description: 'like the grass' },
  ],
}

const recordings: Readonly<Record<string, Recording>> = {
  fresh: { user: 'bold', prompt: '', shows: /^❯/m },
  idle: { user: 'bold', prompt: 'hello', shows: idle },
  draft: {
    user: 'bold',
    prompt: 'hello',
    before: async ({ shows, input }) => [await shows(idle), await input('a text that a person has left', false)],
    shows: /has left/,
  },
  'draft-lines': {
    user: 'bold',
    prompt: 'hello',
    before: async ({ shows, input }) => [await shows(idle), await input('one line\n\n  and a third, indented', false)],
    shows: /third, indented/,
  },
  'draft-long': {
    user: 'bold',
    prompt: 'hello',
    before: async ({ shows, input }) => [await shows(idle), await input(`${'word '.repeat(40)}end`, false)],
    shows: /word end/,
  },
  'draft-shell': {
    user: 'bold',
    prompt: 'hello',
    before: async ({ shows, press }) => [await shows(idle), await press('!'), await shows(/shell mode/), await press('l', 's')],
    shows: /ls/,
  },
  'draft-busy': {
    user: 'bold',
    prompt: slow,
    before: async ({ shows, input }) => [await shows(busy), await input('and this, later', false)],
    shows: /and this, later/,
  },
  busy: { user: 'bold', prompt: slow, shows: /↓ \d+ tokens[^]*esc to interrupt/ },
  queued: {
    user: 'bold',
    prompt: slow,
    before: async ({ shows, input }) => [await shows(busy), await input('this comes after it')],
    shows: /this comes after it/,
  },
  interrupted: {
    user: 'bold',
    prompt: 'hello',
    before: async ({ shows, input, press }) => [
      await shows(idle),
      await input(slow),
      await shows(/↓ \d+ tokens/),
      await press('Escape'),
    ],
    shows: /Interrupted/,
  },
  'interrupted-early': {
    user: 'bold',
    prompt: 'hello',
    before: async ({ shows, input, press }) => [
      await shows(idle),
      await input('[think 60000] comes back'),
      await shows(busy),
      await press('Escape'),
    ],
    // Both versions bring the text back.
    shows: /─\n❯\s\[think 60000\] comes back\s*\n─/,
  },
  permission: { user: 'careful', prompt: '[bash touch asked]', shows: /Esc to cancel/ },
  question: { user: 'careful', prompt: `[tool AskUserQuestion ${JSON.stringify({ questions: [question] })}]`, shows: /Esc to cancel/ },
  questions: {
    user: 'careful',
    prompt: `[tool AskUserQuestion ${JSON.stringify({ questions: [question, { ...question, question: 'Which other?', header: 'Other' }] })}]`,
    shows: /Esc to cancel/,
  },
  trust: { user: 'new', prompt: 'hello', shows: /Enter to confirm/ },
  limit: { user: 'subscribed', prompt: '[limit 7200]', shows: /resets/ },
}

const wanted = process.argv.slice(2)
for (const version of Object.keys(claudePackages) as ClaudeVersion[]) {
  for (const [what, recording] of Object.entries(recordings)) {
    if (wanted.length > 0 && !wanted.includes(what)) continue
    const app = await appFor(version, recording.user)
    try {
      const screen = await record(app, recording)
      // Where it ran is another directory each time, with a name of the same length.
      const text = screen.replaceAll(app.project, app.project.replace(/instar-app-\w{6}/, 'instar-app-record')).trimEnd()
      await writeFile(join(import.meta.dirname, `claude-${version}-${what}.txt`), `${text}\n`)
      console.log(version, what)
    } catch (error) {
      console.error(version, what, error)
      process.exitCode = 1
    } finally {
      await app.close()
    }
  }
}

function appFor(version: ClaudeVersion, user: Recording['user']): Promise<ClaudeApp> {
  const asks = { permissionMode: version === '2.1.197' ? 'default' : 'manual', sandbox: false }
  if (user === 'careful') return claudeApp(version, asks)
  if (user === 'new') return claudeApp(version, { trust: false })
  return claudeApp(version, {}, { subscription: user === 'subscribed' })
}

async function record(app: ClaudeApp, { prompt, before, shows: last }: Recording): Promise<string> {
  const screen = () => app.tmux('capture-pane', '-e', '-p', '-t', '=recorded:')
  const shows = (text: RegExp) =>
    until(
      async () => {
        const found = await screen()
        return text.test(found.replaceAll(/\x1b\[[0-9;]*m/g, '')) && found
      },
      { timeout: 20_000, what: `${text} on the screen` },
    ).catch(async (error: unknown) => {
      throw new Error(`the screen shows:\n${await screen()}`, { cause: error })
    })
  await app.runtime.spawn({ name: 'recorded', prompt, size: { cols: 100, rows: 40 } })
  await before?.({
    shows,
    input: (text, submit = true) => app.runtime.input('recorded', submit ? { text } : { text, submit }),
    press: (...keys) => app.tmux('send-keys', '-t', '=recorded:', ...keys),
  })
  await shows(last)
  // All of it is drawn when a second look shows the same, but for what moves.
  await until(async () => still(await screen()) === still(await screen()), { what: 'the screen to be drawn' })
  return shows(last)
}

/** A screen without its digits and spinners. */
function still(screen: string): string {
  return screen.replaceAll(/\x1b\[[0-9;]*m|[^\p{L}\n─❯]/gu, '')
}
