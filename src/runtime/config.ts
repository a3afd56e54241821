import type { Driver, Storage } from 'unstorage'
import type { Agent } from './agent.ts'
import type { Backend } from './backend.ts'
import type { Hook } from './hook.ts'
import type { LazyPlugin, Plugin } from './plugin.ts'

/** What `instar.config.ts` may say. Plugins are values; the first backend and the first agent are the defaults. */
export interface Config {
  /** By the name that `backend` in a spawn request uses. Default: `local`, this machine's tmux. */
  readonly backends?: Readonly<Record<string, Backend | BackendFactory>>
  /** By the name that `agent` in a spawn request uses. Default: `claude`, `codex`, `gemini`, `opencode` and `shell`. */
  readonly agents?: Readonly<Record<string, Agent>>
  /** What wraps every launch, outermost first. Default: `defaultHooks()`, which are `inherit`, `identity`, `guard` and `worktree`; on an edge runtime none. */
  readonly hooks?: readonly Hook[]
  /** What brings several of these in one piece, or answers requests below `/plugins/<name>`. A function is loaded at the first request. */
  readonly plugins?: readonly (Plugin | LazyPlugin)[]
  /** Where sessions' records are kept: a driver of unstorage's, or a storage made of one. Default: files in the state directory. */
  readonly storage?: Storage | Driver
  readonly limits?: Partial<Limits>
  /** What a session does when its agent's usage limit ends: `resume` tells the agent to go on, `wait` leaves that to a person. Default `wait`. */
  readonly onLimit?: 'wait' | 'resume'
  /** Default 4040. */
  readonly port?: number
  /** Default 127.0.0.1. Anything that is not loopback has to be said here, in the environment or by a flag. */
  readonly host?: string
  /** Further values of the Host header to answer to, such as `instar.example.com`. Loopback names are always answered. */
  readonly allowedHosts?: readonly string[]
  /** Where sessions in containers and on other machines reach this server, such as `https://instar.example.com`. Without it they cannot. */
  readonly url?: string
  /** Further variables of the server's environment that every session may see. `*` at the end matches any rest. */
  readonly environment?: readonly string[]
}

/** A backend that needs a place for its files. */
export type BackendFactory = (state: BackendState) => Backend

export interface BackendState {
  /** Where it may keep files; made when missing. */
  readonly directory: string
  /** A short name that no other project uses, such as for `tmux -L`. */
  readonly socket: string
  /** Its own part of where the server's records are kept. Not given by a host that keeps no records. */
  readonly storage?: Storage
  /** The project's directory: where sessions run when a request does not say. */
  readonly project?: string
  /** Where the server keeps everything, also its token: no session that is kept in needs to see it. */
  readonly kept?: string
  /** Says something in the log of the server. Default: nowhere. */
  readonly log?: (message: string, data?: Record<string, unknown>) => void
}

export interface Limits {
  /** Live sessions at a time; a spawn beyond it is answered with 429. Default 50. */
  readonly maxSessions: number
  /** How long a program that is asked to end may take before it is killed, in milliseconds. Default 5000. */
  readonly graceMs: number
  /** How many generations of sessions may follow one that has no parent. Default 3. */
  readonly maxDepth: number
  /** How many live children a session may have; a spawn beyond it is answered with 429. Default 20. */
  readonly maxChildren: number
}

export const defaultLimits: Limits = { maxSessions: 50, graceMs: 5000, maxDepth: 3, maxChildren: 20 }

/** The names that a server answers to, besides those of loopback and of where it listens. */
export const configuredHosts = ({ allowedHosts = [], url }: Config): string[] => [...allowedHosts, ...(url ? [new URL(url).hostname] : [])]

/** Checks the types of a config, and gives it back. */
export const defineConfig = (config: Config): Config => config

/** The common variables that a program needs to work for its user. Credentials are not among them. */
const commonEnvironment = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LANGUAGE', 'LC_*', 'TZ', 'TMPDIR']

type Names = readonly string[] | undefined

/** The part of the server's environment that a session on this machine may see. Pure. */
export const inheritedEnvironment = (
  environment: Readonly<Record<string, string | undefined>>,
  ...allowed: readonly Names[]
): Record<string, string> => allowedOf(environment, commonEnvironment, ...allowed)

/** The variables with one of the names. */
export function allowedOf(environment: Readonly<Record<string, string | undefined>>, ...allowed: readonly Names[]): Record<string, string> {
  const names = allowed.flatMap((list) => list ?? [])
  const isAllowed = (name: string) => names.some((each) => (each.endsWith('*') ? name.startsWith(each.slice(0, -1)) : name === each))
  return Object.fromEntries(
    Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined && isAllowed(entry[0])),
  )
}
