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

/** Resolves with the first value that `wanted` takes, or null after `ms`. */
export function first<T>(bus: Bus<T>, wanted: (value: T) => boolean, ms: number): Promise<T | null> {
  return new Promise((resolve) => {
    const finish = (value: T | null) => {
      clearTimeout(timer)
      off()
      resolve(value)
    }
    const timer = setTimeout(() => finish(null), ms)
    const off = bus.on((value) => {
      if (wanted(value)) finish(value)
    })
  })
}
