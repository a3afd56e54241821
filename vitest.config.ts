import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/requirements.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two at a time: every file starts real tmux servers, and the agents take 250 MB each.
    maxWorkers: 2,
  },
})
