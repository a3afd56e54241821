import { defineCommand } from 'citty'

export default defineCommand({
  meta: { name: 'server', description: 'Start, stop and look at the server of a project' },
  subCommands: {
    start: async () => (await import('./server-start.ts')).default,
    stop: async () => (await import('./server-stop.ts')).default,
    status: async () => (await import('./server-status.ts')).default,
  },
})
