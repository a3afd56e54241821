/** Tells every listener in order. A listener must not throw and does not wait. */
export interface Bus<T> {
  emit(value: T): void
  /** Returns the function that stops listening. */
  on(listener: (value: T) => void): () => void
}

export function createBus<T>(): Bus<T> {
  const listeners = new Set<(value: T) => void>()
  return {
    emit(value) {
      for (const listener of listeners) listener(value)
    },
    on(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

/** Resolves with the first value that `wanted` takes; with null after `ms`, or when `signal` is aborted. */
export function first<T>(bus: Bus<T>, wanted: (value: T) => boolean, ms: number, signal?: AbortSignal): Promise<T | null> {
  return new Promise((resolve) => {
    const finish = (value: T | null) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', giveUp)
      off()
      resolve(value)
    }
    const giveUp = () => finish(null)
    const timer = setTimeout(giveUp, ms)
    const off = bus.on((value) => {
      if (wanted(value)) finish(value)
    })
    signal?.addEventListener('abort', giveUp)
    if (signal?.aborted) giveUp()
  })
}
