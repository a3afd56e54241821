import type { Backend, Sighting } from '../../../runtime/backend.ts'
import type { Command } from '../../../runtime/types.ts'
import type { Box } from '../box.ts'
import { findIn } from '../find.ts'
import type { Place } from '../place.ts'
import type { SessionDirectory } from '../directory.ts'
import { handleOf, type Client, type Row } from './terminal.ts'
import type { Tracked } from './tracked.ts'

/** What a backend offers of where its programs run: of the box where there is one; the place is only that of its terminal. */
export function surroundings(
  place: Place,
  box: Box | null,
  directoryOf: (id: string) => SessionDirectory,
): Pick<Backend, 'isHere' | 'run' | 'read' | 'find' | 'environment' | 'project'> {
  const { isHere } = place
  const run: Backend['run'] = (argv, options) => place.run(argv, options)
  const read: Backend['read'] = (directory, names, options) => place.files.texts(directory, names, options)
  if (!box) return { isHere, run, read, find: findIn(place), ...(place.environment ? { environment: () => place.environment!() } : {}) }
  const carried = box.project ? { project: (id: string) => box.project!(directoryOf(id).path()) } : {}
  return { isHere, run, read, find: box.find, environment: () => box.environment(), ...carried }
}

/** How soon a terminal that has died again is replaced again. */
const enterAgainMs = 1000
const enteredAt = new WeakMap<Tracked, number>()

/** Another terminal for a session whose box goes on without the one it had; false when it has ended. Its client is who finds out how the box is. */
export async function enterAgain(
  session: Tracked,
  pane: string | null,
  client: () => Promise<Client>,
  make: (client: Client, session: Tracked, how: Pick<Command, 'size' | 'titles'>) => Promise<Pick<Row, 'pane' | 'pid'>>,
): Promise<boolean> {
  const terminal = (await session.directory.exit()) ? null : await session.directory.terminal()
  if (!terminal) return false
  session.entering++
  try {
    const connected = await client()
    if (pane !== null) await connected.control.run(['kill-session', '-t', pane])
    await new Promise((resolve) => setTimeout(resolve, (enteredAt.get(session) ?? 0) + enterAgainMs - Date.now()).unref())
    enteredAt.set(session, Date.now())
    Object.assign(session, await make(connected, session, terminal))
    return true
  } finally {
    session.entering++
  }
}

/** Sessions whose box goes on, or has ended, with nobody in front of it. One that never began is what a killed server left, and is removed. */
export async function withoutTerminal(
  box: Box,
  isKnown: (id: string) => boolean,
  directoryOf: (id: string) => SessionDirectory,
): Promise<Sighting[]> {
  const rest = (await box.list()).filter(({ id }) => !isKnown(id))
  const found = rest.map(async ({ id, name, hasBegun }) => {
    const directory = directoryOf(id)
    const terminal = await directory.terminal()
    if (hasBegun && terminal) return [{ id, handle: handleOf(id, name, terminal.titles) }]
    await box.remove({ id, name, directory: directory.path() })
    return []
  })
  return (await Promise.all(found)).flat()
}
