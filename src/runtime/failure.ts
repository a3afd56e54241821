/** Why a `fetch` has failed, in a few words of the runtime, none of which says it in the same place. */
export function failureIn(error: unknown): string {
  const { cause, code, message } = error as { cause?: { code?: string; message?: string }; code?: unknown; message: string }
  // Bun: the code is the error's own, and the message advises programmers.
  const known = cause?.code ?? (typeof code === 'string' ? code : undefined)
  // Deno: "error sending request for url (http://…): client error (Connect): tcp connect error: Connection refused (os error 111)".
  return known ?? (cause?.message ?? message).replace(/^error sending request\b.*: client error \(\w+\): /, '')
}
