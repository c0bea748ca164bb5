// Settings that may change under an open server, in the form in which they are used.

/** What settings are made into, made again when they are others. `make` throws where they cannot be used: now, at first. */
export function madeOf<S, T>(settings: () => S, make: (settings: S) => T): () => T {
  let of = settings()
  let made = make(of)
  return () => {
    const now = settings()
    if (now !== of) {
      made = make(now)
      of = now
    }
    return made
  }
}
