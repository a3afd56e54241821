import { agentConformance } from '../../src/conformance.ts'
import { claude } from '../../src/plugins/agents/claude.ts'
import { codex } from '../../src/plugins/agents/codex.ts'
import { gemini } from '../../src/plugins/agents/gemini.ts'
import { opencode } from '../../src/plugins/agents/opencode.ts'
import { shell } from '../../src/plugins/agents/shell.ts'

const claudeEvents = [
  'SessionStart',
  'UserPromptSubmit',
  'PreToolUse',
  'PermissionRequest',
  'PostToolUse',
  'Notification',
  'Stop',
  'SessionEnd',
]

agentConformance('claude', () => claude(), { events: claudeEvents })
agentConformance('codex', () => codex(), { events: [...claudeEvents, 'PreCompact'] })
agentConformance('gemini', () => gemini(), {
  events: ['SessionStart', 'BeforeAgent', 'AfterAgent', 'BeforeModel', 'BeforeTool', 'AfterTool', 'Notification'],
})
agentConformance('opencode', () => opencode(), {
  events: ['session.status', 'session.idle', 'permission.asked', 'question.asked', 'message.updated'],
})
agentConformance('shell', () => shell())
