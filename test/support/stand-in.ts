import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What the stand-ins for the APIs of models have in common. */
export interface StandIn {
  readonly server: Server
  readonly url: string
  close(): Promise<void>
}

export async function openStandIn(answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>): Promise<StandIn> {
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error as Error))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    server,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

export function json(response: ServerResponse, status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

/** A call that a text asks for: `[bash COMMAND]` or `[tool NAME JSON]`. */
export type Mark = { readonly command: string } | { readonly tool: string; readonly json: string }

/** The calls that a text asks for, in their order, and what it says besides. */
export function marksIn(text: string): { calls: Mark[]; rest: string } {
  const calls: Mark[] = []
  let rest = ''
  let place = 0
  for (const found of text.matchAll(/\[bash ([^\]]*)\]|\[tool (\w+) (?=\{)/g)) {
    if (found.index < place) continue
    const [mark, command, tool = ''] = found
    rest += text.slice(place, found.index)
    place = found.index + mark.length
    if (command !== undefined) calls.push({ command })
    else {
      const end = endOfJson(text, place)
      calls.push({ tool, json: text.slice(place, end) })
      place = end + 1
    }
  }
  return { calls, rest: rest + text.slice(place) }
}

/** The place after the JSON object that begins there and is followed by `]`. */
export function endOfJson(text: string, begin: number): number {
  for (let end = text.indexOf('}]', begin); end >= 0; end = text.indexOf('}]', end + 1)) {
    try {
      JSON.parse(text.slice(begin, end + 1))
      return end + 1
    } catch {
      // That one stands inside of it.
    }
  }
  throw new Error(`no JSON object at ${text.slice(begin, begin + 40)}`)
}

/** What a text is streamed in; of an empty one, an empty piece. */
export const piecesOf = (text: string): readonly string[] => text.match(/[\s\S]{1,20}/g) ?? ['']

/** A model takes its time; this is that time, not a wait for something. */
export async function pause(ms: number): Promise<void> {
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms))
}

export const randomId = (): string => Math.random().toString(36).slice(2).padEnd(12, '0')
