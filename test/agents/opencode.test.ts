import { opencodeHarness } from '../support/opencode.ts'
import { agentSuite } from './suite.ts'

agentSuite(opencodeHarness())
