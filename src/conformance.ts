/** The suites that plugins have to pass; `instar/conformance`. They need vitest, which whoever runs them has. */
export { agentConformance, type AgentSamples } from './conformance/agent.ts'
export { backendConformance } from './conformance/backend.ts'
export type { Harness } from './conformance/stage.ts'
export { hammer, storageConformance, type StorageHarness } from './conformance/storage.ts'
