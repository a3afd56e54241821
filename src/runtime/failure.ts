/** Why a `fetch` has failed, in a few words: what the runtimes say is meant for programmers, and none says it in the same place. */
export function failureIn(error: unknown): string {
  const { cause, code, message } = error as { cause?: { code?: string; message?: string }; code?: unknown; message: string }
  // Bun: the code is the error's own, and the message advises programmers.
  const known = cause?.code ?? (typeof code === 'string' ? code : undefined)
  // Deno: "error sending request for url (http://…): client error (Connect): tcp connect error: Connection refused (os error 111)".
  const said = known ?? (cause?.message ?? message).replace(/^error sending request\b.*: client error \(\w+\): /, '')
  const [, words] = table.find(([pattern]) => pattern.test(said)) ?? [null, said]
  return isCertificate.test(said) ? `its certificate is not accepted: ${said}` : words
}

const isCertificate = /CERT|UNABLE_TO_VERIFY|certificate/

const table: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED|Connection refused/, 'nothing listens there'],
  [/ECONNRESET|EPIPE|UND_ERR_SOCKET|reset by peer|closed before message|reading a body|Network connection lost/, 'the connection broke'],
  [/ENOTFOUND|EAI_AGAIN|dns error|DNS lookup/, 'no such host is known'],
  [/EHOSTUNREACH|ENETUNREACH|unreachable/, 'no network leads there'],
  [/TIMEDOUT|TIMEOUT|timed out/, 'it took too long'],
  [/ERR_SSL|EPROTO|corrupt message/, 'what answers speaks no TLS'],
  [/^HPE_|HTTP version|HTTP\/1\.1 protocol|Malformed_HTTP/, 'what answers speaks no HTTP'],
]
