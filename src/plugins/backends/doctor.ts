import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Backend } from '../../runtime/backend.ts'
import type { BackendFactory } from '../../runtime/config.ts'
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
/** Those of a container are in its image. */
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
    const findings = [await health(made).finally(() => made.close())]
    if ('place' in backend) {
      const { place, isBoxed } = backend as PlacedFactory
      findings.push(...(await examinePlace(place(state), isBoxed ? own : [...own, ...agents])))
    }
    return findings
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function health(backend: Backend): Promise<Finding> {
  const found = await backend.check()
  return { what: 'sessions', needed: true, ok: found.ok, detail: found.ok ? found.detail : found.reason }
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
