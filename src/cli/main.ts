#!/usr/bin/env node
import { stripVTControlCharacters } from 'node:util'
import { defineCommand, renderUsage, runCommand, runMain, type CommandDef } from 'citty'
import { SettingsError } from '../entry/settings.ts'
import { InstarError } from '../runtime/error.ts'
import { version } from '../runtime/version.ts'
import { UsageError } from './command.ts'
import { detailsOf, plain } from './print.ts'

// A bare object, because citty looks names up with `in`.
const subCommands: Record<string, () => Promise<CommandDef>> = {
  __proto__: null as never,
  init: async () => (await import('./init.ts')).default,
  server: async () => (await import('./server.ts')).default,
  executor: async () => (await import('./executor.ts')).default,
  spawn: async () => (await import('./spawn.ts')).default,
  doctor: async () => (await import('./doctor.ts')).default,
  ls: async () => (await import('./ls.ts')).default,
  output: async () => (await import('./output.ts')).default,
  send: async () => (await import('./send.ts')).default,
  wait: async () => (await import('./wait.ts')).default,
  prompts: async () => (await import('./prompts.ts')).default,
  answer: async () => (await import('./answer.ts')).default,
  interrupt: async () => (await import('./interrupt.ts')).default,
  messages: async () => (await import('./messages.ts')).default,
  resume: async () => (await import('./resume.ts')).default,
  attach: async () => (await import('./attach.ts')).default,
  diff: async () => (await import('./diff.ts')).default,
  finish: async () => (await import('./finish.ts')).default,
  kill: async () => (await import('./kill.ts')).default,
  agents: async () => (await import('./agents.ts')).default,
  backends: async () => (await import('./backends.ts')).default,
  welcome: async () => (await import('./welcome.ts')).default,
}

const main = defineCommand({
  meta: { name: 'instar', version, description: 'Runs coding agents in the background' },
  subCommands,
  default: 'welcome',
})

for (const stream of [process.stdout, process.stderr]) {
  // Whoever reads it has seen enough, as in `instar ls | head -1`. A server goes on without.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    if (!process.argv.includes('--foreground')) process.exit(0)
  })
}

const rawArgs = process.argv.slice(2)
try {
  if (wantsText(rawArgs)) await runMain(main, { rawArgs: upToWords(rawArgs), showUsage: showHelp })
  else await runCommand(main, { rawArgs })
} catch (error) {
  process.exitCode = report(error)
}

/** One line for what a person can mend, with what it is about below it, a stack for the rest. */
function report(error: unknown): number {
  const usage = error instanceof UsageError || (error instanceof Error && error.name === 'CLIError')
  if (usage) return say(`${error.message} (see: instar ${[...knownWord(), '--help'].join(' ')})`, 2)
  if (error instanceof InstarError) return say(error.message, 1, detailsOf(error.data))
  if (error instanceof SettingsError) return say(error.message, 1)
  console.error(error)
  return 1
}

function say(message: string, code: number, details: readonly string[] = []): number {
  console.error([plain(message), ...details.map((line) => `  ${plain(line)}`)].join('\n'))
  return code
}

function knownWord(): string[] {
  return rawArgs.slice(0, 1).filter((word) => word in subCommands)
}

/** Help and version are citty's own. */
function wantsText(args: readonly string[]): boolean {
  return upToWords(args).some((arg) => arg === '--help' || arg === '-h') || (args.length === 1 && /^(?:--version|-v)$/.test(args[0]!))
}

/** What stands before `--`. */
function upToWords(args: readonly string[]): string[] {
  return args.includes('--') ? args.slice(0, args.indexOf('--')) : [...args]
}

async function showHelp(command: CommandDef<any>, parent?: CommandDef<any>): Promise<void> {
  // citty knows one level up only.
  const above = parent && parent !== main ? { meta: { name: 'instar server' } } : parent
  const text = (await renderUsage(command, above)).replace(/ +$/gm, '')
  console.log(process.stdout.isTTY ? text : stripVTControlCharacters(text))
}
