import type { Launch } from '../../runtime/types.ts'

/** A guard that takes longer is given up, and agents carry the tool out then. It takes milliseconds. */
export const guardSeconds = 30

/**
 * Runs the guards of a launch one after another, for agents whose hooks have to be the same for every session: `sh
 * guards.sh <payload`. The first that forbids the tool has the word.
 */
export function guardFiles({ guards }: Pick<Launch, 'guards'>): Record<string, string> {
  if (guards.length === 0) return {}
  return {
    'guards.sh': `\
instar_payload=$(cat)
for instar_guard in ${guards.map((name) => `'${name.replaceAll("'", `'\\''`)}'`).join(' ')}; do
  printf '%s\\n' "$instar_payload" | sh "\${0%/*}/$instar_guard"
  [ $? -ne 2 ] || exit 2
done
exit 0
`,
  }
}
