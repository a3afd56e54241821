import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/requirements.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The real agents depend on a machine's load in ways of their own; vitest shows what needed a second try.
    retry: 1,
    // Two at a time: every file starts real tmux servers, and the agents take 250 MB each.
    maxWorkers: 2,
  },
})
