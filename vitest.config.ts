import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/requirements.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Two at a time: every file starts real tmux servers, and the agents take 250 MB each.
    maxWorkers: 2,
    // Real programs on a machine that may be busy: what needs a second try is named, and one that fails twice is a failure.
    retry: process.env['CI'] ? 1 : 0,
  },
})
