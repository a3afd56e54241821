/** What a person can get wrong in a project's files or in the environment: shown as one line, without a stack. */
export class SettingsError extends Error {}
