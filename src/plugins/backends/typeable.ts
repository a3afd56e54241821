/** A text without what a terminal would act on: it could leave the bracketed paste, or press a key. */
export function typeable(text: string): string {
  return text.replace(/\r\n?/g, '\n').replace(/[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f]/g, '')
}

/** How long a text that was typed may take to show. */
export const visibleTimeoutMs = 2000

/** Whether a screen shows the end of a text that was typed, or that it took one. */
export function isVisible(screen: string, text: string): boolean {
  return squeeze(screen).includes(squeeze(typeable(text)).slice(-12)) || /\[Pasted/i.test(squeeze(screen))
}

const squeeze = (text: string): string => text.replace(/\s+/g, '')
