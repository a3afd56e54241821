/** One line of JSON on standard error, or where the platform keeps what is said there. */
export function log(message: string, data: Record<string, unknown> = {}): void {
  console.error(JSON.stringify({ at: new Date().toISOString(), message, ...data }))
}
