import type { Health } from '../../../runtime/backend.ts'
import { InstarError, stateOf } from '../../../runtime/error.ts'
import type { Place } from '../place.ts'
import { versionNumber } from './protocol.ts'

/** tmux 3.1 has no `new-session -e`, no filters and no exit status hook that we could build on. */
export const oldestVersion = 302

/** Whether there is a tmux in a place that could hold sessions. */
export async function tmuxHealth(place: Place, program: string): Promise<Health> {
  const reached = await place.check()
  if (!reached.ok) return reached
  const machine = reached.detail
  const cannot = (problem: string): Health => ({ ok: false, reason: `${program} on ${machine} ${problem}` })
  try {
    const { code, stdout } = await place.run([program, '-V'], { timeoutMs: 5000 })
    const version = stdout.replace(/^tmux /, '').trim()
    if (code !== 0 || version === '') return cannot('does not answer as tmux does')
    if (versionNumber(version) >= oldestVersion) return { ok: true, detail: `tmux ${version}` }
    return cannot(`is version ${version}, which is too old: install tmux 3.2 or newer`)
  } catch (error) {
    if (error instanceof InstarError && error.code === 'backend_unavailable') return { ok: false, reason: error.message }
    const isMissing = error instanceof InstarError && error.data['missing'] === true
    if (!isMissing) return cannot(`cannot be run: ${stateOf(error)}`)
    return { ok: false, reason: `${program} is not installed on ${machine}: apt-get install tmux, or brew install tmux` }
  }
}
