import { geminiHarness } from '../support/gemini.ts'
import { agentSuite } from './suite.ts'

agentSuite(geminiHarness())
