/** What `instar` is where there are neither files nor processes, such as in a Cloudflare Worker: everything that runs on Web-standard APIs alone. */
export { createApp, type App, type AppOptions } from './app.ts'
export { claude, type ClaudeOptions } from './plugins/agents/claude.ts'
export { codex, type CodexOptions } from './plugins/agents/codex.ts'
export { gemini, geminiHooks, type GeminiOptions } from './plugins/agents/gemini.ts'
export { opencode, type OpencodeOptions } from './plugins/agents/opencode.ts'
export { shell } from './plugins/agents/shell.ts'
export {
  guard,
  type GuardOptions,
  type GuardOwnRule,
  type GuardRule,
  type GuardSpawnOptions,
  type GuardWhen,
} from './plugins/hooks/guard/guard.ts'
export { badge } from './plugins/functions/badge.ts'
export { chat, type ChatOptions } from './plugins/functions/chat.ts'
export { remote, type RemoteOptions } from './plugins/backends/remote/remote.ts'
export type * from './runtime/agent.ts'
export type * from './runtime/backend.ts'
export { defineConfig, type BackendFactory, type BackendState, type Config, type Limits } from './runtime/config.ts'
export { defineHook } from './runtime/hook.ts'
export { definePlugin, type LazyPlugin, type Plugin, type PluginContext } from './runtime/plugin.ts'
export type * from './runtime/hook.ts'
export { errorStatus, InstarError, type ErrorCode } from './runtime/error.ts'
export type { Receipt } from './runtime/deliveries.ts'
export type { Input } from './runtime/inbox.ts'
export { openOnce, type Once } from './runtime/once.ts'
export { createRuntime, type ListedBackend, type Runtime, type RuntimeOptions } from './runtime/runtime.ts'
export { openStore, type Store } from './runtime/store.ts'
export type * from './runtime/types.ts'
export type { Wait, Waited } from './runtime/wait.ts'
export { default as memory } from 'unstorage/drivers/memory'
export type { ListedAgent } from './runtime/availability.ts'
export type { ListedTerminal, ListedTerminals } from './runtime/terminals.ts'
