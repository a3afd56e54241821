import { claudeHarness } from '../support/claude.ts'
import { agentSuite } from './suite.ts'

agentSuite(claudeHarness('2.1.330'))
