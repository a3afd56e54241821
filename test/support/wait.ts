export { pass, until, type Patience } from '../../src/conformance/wait.ts'
