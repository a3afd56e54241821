import { execa } from 'execa'
import { textsHere } from '../../src/plugins/backends/here/texts.ts'
import type { Hook, HookContext, HookPlace } from '../../src/runtime/hook.ts'
import type { Handle, Launch } from '../../src/runtime/types.ts'
import { sampleSession } from './session.ts'

/** What a hook of a test is given: `project` is where the session runs, on this machine or what counts as another. */
export interface HookSetting<Options, Kept> extends Partial<Omit<HookContext<Options, Kept>, 'place'>> {
  readonly project: string
  readonly isHere?: boolean
  /** What is other than there. */
  readonly place?: Partial<HookPlace>
}

export const sampleLaunch: Launch = {
  id: sampleSession().id,
  name: 'a',
  prompt: 'go',
  resume: null,
  model: null,
  cwd: '/',
  env: {},
  args: [],
  size: { cols: 160, rows: 48 },
  instructions: [],
  areInstructionsKnown: false,
  files: {},
  guards: [],
}

/** The programs of another place are this machine's, run by hand. */
export const placeAt = (project: string, isHere: boolean): HookPlace => ({
  backend: 'local',
  isHere,
  project,
  canRun: true,
  read: textsHere,
  async run([program, ...args], { cwd = '/', env, input } = {}) {
    const { exitCode, stdout, stderr } = await execa(program, args, {
      cwd,
      ...(env ? { env } : {}),
      input: input ?? '',
      reject: false,
      stripFinalNewline: false,
    })
    return { code: exitCode ?? 255, stdout, stderr }
  },
})

/** Runs a hook by itself; resolves to the launch that it made, or rejects with what it threw. */
export async function throughHook<Options, Kept>(
  hook: Hook<Options, Kept>,
  { project, isHere = true, place, ...more }: HookSetting<Options, Kept>,
  inside: (launch: Launch) => Promise<void> = async () => {},
): Promise<Launch> {
  let made: Launch | null = null
  const handle: Handle = {}
  await hook.launch(
    { ...sampleLaunch, cwd: project },
    async (launch) => {
      made = launch
      await inside(launch)
      return handle
    },
    {
      options: undefined,
      before: undefined,
      session: sampleSession({ cwd: project }),
      place: { ...placeAt(project, isHere), ...place },
      directory: project,
      reads: { files: [], imports: false },
      runsGuards: true,
      redact: (text) => text,
      keep: async () => {},
      signal: new AbortController().signal,
      ...more,
    },
  )
  return made!
}
