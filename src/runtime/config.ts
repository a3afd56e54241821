import type { Storage } from 'unstorage'
import type { Agent } from './agent.ts'
import type { Backend } from './backend.ts'

/** What `instar.config.ts` may say. Plugins are values; the first backend and the first agent are the defaults. */
export interface Config {
  /** By the name that `backend` in a spawn request uses. Default: `local`, this machine's tmux. */
  readonly backends?: Readonly<Record<string, Backend | BackendFactory>>
  /** By the name that `agent` in a spawn request uses. Default: `claude`, `codex`, `gemini`, `opencode` and `shell`. */
  readonly agents?: Readonly<Record<string, Agent>>
  /** Where sessions' records are kept. Default: files in the state directory. */
  readonly storage?: Storage
  readonly limits?: Partial<Limits>
  /** What a session does when its agent's usage limit ends: `resume` tells the agent to go on, `wait` leaves that to a person. Default `wait`. */
  readonly onLimit?: 'wait' | 'resume'
  /** Default 4040. */
  readonly port?: number
  /** Default 127.0.0.1. Anything that is not loopback has to be said here, in the environment or by a flag. */
  readonly host?: string
  /** Further values of the Host header to answer to, such as `instar.example.com`. Loopback names are always answered. */
  readonly allowedHosts?: readonly string[]
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
}

export interface Limits {
  /** Live sessions at a time; a spawn beyond it is answered with 429. Default 50. */
  readonly maxSessions: number
  /** How long a program that is asked to end may take before it is killed, in milliseconds. Default 5000. */
  readonly graceMs: number
}

export const defaultLimits: Limits = { maxSessions: 50, graceMs: 5000 }

/** Checks the types of a config, and gives it back. */
export const defineConfig = (config: Config): Config => config

/** The common variables that a program needs to work for its user. Credentials are not among them. */
const commonEnvironment = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LANGUAGE', 'LC_*', 'TZ', 'TMPDIR']

/** The part of the server's environment that a session may see. Pure. */
export function inheritedEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  ...allowed: readonly (readonly string[] | undefined)[]
): Record<string, string> {
  const names = [commonEnvironment, ...allowed].flatMap((list) => list ?? [])
  const isAllowed = (name: string) => names.some((each) => (each.endsWith('*') ? name.startsWith(each.slice(0, -1)) : name === each))
  return Object.fromEntries(
    Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined && isAllowed(entry[0])),
  )
}
