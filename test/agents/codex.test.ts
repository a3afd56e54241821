import { codexHarness } from '../support/codex.ts'
import { agentSuite } from './suite.ts'

agentSuite(codexHarness())
