import type { Found } from '../../runtime/backend.ts'

/** Why a file is not taken. */
export type Problem = 'directory' | 'special' | 'outside' | 'big' | 'unreadable' | 'binary'

/** `what` is where a link leads, how big it is, or what the system says. */
export function refused(problem: Problem, what = '', maxBytes = 0): Found {
  const words: Readonly<Record<Problem, string>> = {
    directory: 'is a directory, not a file',
    special: 'is not a regular file',
    outside: `is a symbolic link to ${what}, outside of the project`,
    big: `has ${what} bytes, and ${maxBytes} is the limit`,
    unreadable: `cannot be read: ${what}`,
    binary: 'is not UTF-8 text',
  }
  return { state: 'refused', problem: words[problem] }
}

export function foundText(bytes: Uint8Array): Found {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return text.includes('\0') ? refused('binary') : { state: 'read', text, bytes: bytes.length }
  } catch {
    return refused('binary')
  }
}
