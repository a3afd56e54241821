import { claude, defineConfig, shell, tmux } from 'instar'

export default defineConfig({
  backends: { local: tmux() },
  agents: { claude: claude(), shell: shell() },
  limits: { maxSessions: 50 },
})
