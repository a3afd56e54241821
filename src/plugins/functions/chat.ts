import * as v from 'valibot'
import { InstarError } from '../../runtime/error.ts'
import { definePlugin, type Plugin, type PluginContext } from '../../runtime/plugin.ts'
import type { SpawnRequest } from '../../runtime/types.ts'

export interface ChatOptions {
  /** Where it answers. Default `chat`. */
  readonly name?: string
  /** What every session is spawned with, such as its agent, its backend and its directory. */
  readonly spawn?: Partial<Omit<SpawnRequest, 'name' | 'prompt' | 'resume'>>
}

const message = v.object(
  {
    text: v.pipe(v.string('must be a string'), v.trim(), v.minLength(1, 'must not be empty')),
    /** What belongs together, such as a thread's id; one session answers to it. */
    thread: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(200)), 'main'),
    user: v.optional(v.pipe(v.string(), v.maxLength(200))),
  },
  'must be there: send {"text": …} in JSON, or a form',
)

/**
 * A webhook for chat programs. `POST /plugins/chat` with `{text, thread?, user?}`, in JSON or as a form, spawns a session for a
 * thread, or sends to the one that the thread has; `GET /plugins/chat?thread=…` is what it shows now.
 */
export const chat = ({ name = 'chat', spawn = {} }: ChatOptions = {}): Plugin =>
  definePlugin({
    name,
    async fetch(request, context) {
      if (request.method === 'GET') return show(await sessionName(name, new URL(request.url).searchParams.get('thread') ?? 'main'), context)
      if (request.method !== 'POST') return reply(405, { text: 'Send a message with POST' })
      const parsed = v.safeParse(message, await bodyOf(request))
      if (!parsed.success) {
        const [issue] = parsed.issues
        return reply(400, { text: `Cannot read the message: ${v.getDotPath(issue) ?? 'it'} ${issue.message}` })
      }
      const { text, thread, user } = parsed.output
      const ref = await sessionName(name, thread)
      const isLive = () => context.has(ref) && context.get(ref).endedAt === null
      if (!isLive()) {
        try {
          const session = await context.spawn({
            ...spawn,
            name: ref,
            prompt: text,
            labels: { ...spawn.labels, thread, ...(user ? { user } : {}) },
          })
          return reply(201, { text: `${ref} has begun`, session: ref, status: session.status })
        } catch (error) {
          // Another message of the thread was quicker.
          if (!(error instanceof InstarError) || error.code !== 'name_in_use') throw error
        }
      }
      const { stage } = await context.input(ref, { text })
      return reply(200, { text: `${ref} has it`, session: ref, stage })
    },
  })

async function show(ref: string, { has, get, output, prompts }: PluginContext): Promise<Response> {
  if (!has(ref)) return reply(404, { text: 'Nothing was said in this thread yet' })
  const { status } = get(ref)
  const { text } = await output(ref, 40)
  return reply(200, { text, session: ref, status, prompts: prompts(ref) })
}

/** JSON whatever its type is said to be: `curl -d` calls everything a form. */
async function bodyOf(request: Request): Promise<unknown> {
  const text = await request.text()
  try {
    return JSON.parse(text) as unknown
  } catch {
    const isForm = /^application\/x-www-form-urlencoded\b/.test(request.headers.get('content-type') ?? '')
    return isForm ? Object.fromEntries(new URLSearchParams(text)) : null
  }
}

/** The same for the same thread, whatever characters it has. */
async function sessionName(plugin: string, thread: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(thread)))
  return `${plugin}-${Array.from(bytes.slice(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('')}`
}

const reply = (status: number, body: { readonly text: string } & Record<string, unknown>): Response => Response.json(body, { status })
