import { definePlugin, type Plugin } from '../../runtime/plugin.ts'
import type { Status } from '../../runtime/types.ts'

const colours: Readonly<Record<Status, string>> = {
  starting: '#888',
  running: '#1a73c9',
  idle: '#4c9a2a',
  waiting: '#b7791f',
  completed: '#4c9a2a',
  error: '#c5362b',
  killed: '#666',
}

/** `GET /plugins/badge/<session>.svg`: a session's status as a picture; `?label=` says something else than its name. */
export const badge = ({ name = 'badge' }: { name?: string } = {}): Plugin =>
  definePlugin({
    name,
    fetch(request, { get, has }) {
      const { pathname, searchParams } = new URL(request.url)
      const ref = /^\/([a-z0-9-]{1,63})\.svg$/.exec(pathname)?.[1]
      if (request.method !== 'GET' || ref === undefined) return new Response('GET /<session>.svg\n', { status: 404 })
      const session = has(ref) ? get(ref) : null
      const label = (searchParams.get('label') ?? ref).slice(0, 100)
      const [status, colour] = session ? [session.status, colours[session.status]] : ['unknown', '#888']
      return new Response(picture(label, status, colour), {
        status: session ? 200 : 404,
        headers: {
          'content-type': 'image/svg+xml; charset=utf-8',
          'cache-control': 'no-store',
          'content-security-policy': "default-src 'none'",
        },
      })
    },
  })

/** What a character of 11 px takes, about. */
const characterPx = 6.6

function picture(label: string, status: string, colour: string): string {
  const [left, right] = [label, status].map((text) => Math.round([...text].length * characterPx) + 14) as [number, number]
  const words = (x: number, text: string) =>
    `<text x="${x}" y="14" textLength="${Math.round([...text].length * characterPx)}">${escaped(text)}</text>`
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${left + right}" height="20" role="img" aria-label="${escaped(label)}: ${escaped(status)}">
<rect width="${left}" height="20" fill="#444"/><rect x="${left}" width="${right}" height="20" fill="${colour}"/>
<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">${words(7, label)}${words(left + 7, status)}</g>
</svg>
`
}

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
