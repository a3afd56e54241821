/** The user that owns nothing. */
const nobody = 65534

/** Does something as a user who may not read everything: root reads also what nobody may. Other users do it as they are. */
export async function withoutRoot<T>(task: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return task()
  process.seteuid!(nobody)
  try {
    return await task()
  } finally {
    process.seteuid!(0)
  }
}
