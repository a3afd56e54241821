import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Backend } from '../../runtime/backend.ts'
import type { BackendFactory } from '../../runtime/config.ts'
import { stateOf } from '../../runtime/error.ts'
import type { Place, PlacedFactory } from './place.ts'

/** Something that was looked at. Without what is `needed` no session starts; without the rest something else cannot be done. */
export interface Finding {
  readonly what: string
  readonly ok: boolean
  readonly needed: boolean
  /** What was found, or what is missing and what to do. */
  readonly detail: string
}

interface Program {
  readonly name: string
  readonly needed: boolean
  readonly advice: string
}

const own: readonly Program[] = [
  { name: 'ps', needed: true, advice: 'sessions could not be ended: apt-get install procps' },
  { name: 'tar', needed: false, advice: 'projects cannot be carried there: apt-get install tar' },
  { name: 'git', needed: false, advice: 'sessions cannot get a worktree of their own: apt-get install git' },
]
const agents: readonly Program[] = [
  { name: 'claude', needed: false, advice: 'npm install -g @anthropic-ai/claude-code' },
  { name: 'codex', needed: false, advice: 'npm install -g @openai/codex' },
  { name: 'gemini', needed: false, advice: 'npm install -g @google/gemini-cli' },
  { name: 'opencode', needed: false, advice: 'npm install -g opencode-ai' },
]

/** Looks at what a backend needs where it runs its sessions. Beside a server that uses it, and without a trace there. */
export async function examine(backend: Backend | BackendFactory): Promise<Finding[]> {
  const directory = await mkdtemp(join(tmpdir(), 'instar-doctor-'))
  const state = { directory, socket: `instar-doctor-${randomBytes(4).toString('hex')}` }
  try {
    if (typeof backend !== 'function') return [await health(backend)]
    // One after the other: what the first leaves there the second clears away.
    const made = backend(state)
    const { place = null, isBoxed = false } = backend as Partial<PlacedFactory>
    const first = await examineMade(made, isBoxed).finally(() => made.close())
    return place === null ? first : [...first, ...(await examinePlace(place(state), isBoxed ? own : [...own, ...agents]))]
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function health(backend: Backend): Promise<Finding> {
  const found = await backend.check()
  return { what: 'sessions', needed: true, ok: found.ok, detail: found.ok ? found.detail : found.reason }
}

/** With what is in its boxes, where it has some. */
async function examineMade(backend: Backend, isBoxed: boolean): Promise<Finding[]> {
  const healthy = await health(backend)
  return isBoxed && healthy.ok ? [healthy, ...(await examineBox(backend))] : [healthy]
}

async function examineBox({ environment, find }: Backend): Promise<Finding[]> {
  try {
    const { PATH = '' } = await environment!()
    const [sh, ...paths] = await find!(['sh', ...agents.map(({ name }) => name)], PATH)
    const found = agents.map(({ name, needed, advice }, i) => {
      const path = paths[i]
      return { what: name, needed, ok: !!path, detail: path ? `${path} in the image` : `it is not on the PATH of the image: RUN ${advice}` }
    })
    return [{ what: 'sh', needed: true, ok: true, detail: `${sh ?? 'it is'} in the image` }, ...found]
  } catch (error) {
    return [{ what: 'sh', needed: true, ok: false, detail: stateOf(error) }]
  }
}

async function examinePlace(place: Place, programs: readonly Program[]): Promise<Finding[]> {
  try {
    await place.open({ files: {} })
    if (!(await place.check()).ok) return []
    const script = 'for name; do printf "%s\\t%s\\n" "$name" "$(command -v "$name")"; done'
    const { stdout } = await place.run(['sh', '-c', script, 'sh', ...programs.map(({ name }) => name)])
    const found = new Map(stdout.split('\n').map((row) => row.split('\t') as [string, string]))
    const findings = programs.map(({ name, needed, advice }) => {
      const path = found.get(name) ?? ''
      return { what: name, needed, ok: path !== '', detail: path || `it is not on the PATH of a login: ${advice}` }
    })
    const ahead = Math.round(place.aheadMs() / 1000)
    if (ahead !== 0) {
      const detail = `it is ${Math.abs(ahead)} s ${ahead > 0 ? 'ahead of' : 'behind'} this machine's: set it, or what agents say of times is off`
      findings.push({ what: 'clock', needed: false, ok: false, detail })
    }
    // One that was made for this look alone.
    if (place.path('.').includes('instar-doctor-') && !place.isHere) await place.files.remove(place.path(''))
    return findings
  } finally {
    await place.close()
  }
}
