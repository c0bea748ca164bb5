// How a command ends before its work is done: by Ctrl-C or SIGTERM, or because it has become pointless.
// EE1: the first signal asks the work to end in good order.
// EE2: a second one, or GRACE_MS without an end, abandons it there and then: a task that waits for the broker or for room
//      cannot finish its commit. That loses nothing, since every commit is made to survive a kill.

/** Interrupted by a signal: nothing is lost, and nothing is finished. */
export class Interrupted extends Error {}

/** Less than the 10 s that containers are given between SIGTERM and SIGKILL. */
const GRACE_MS = 5_000
/** npm passes on the Ctrl-C that the terminal has sent to all its processes already. */
const ECHO_MS = 300

export class EarlyEnd {
  /** Rejects when the work is abandoned; what still waits then ends with the process. */
  readonly abandoned: Promise<never>
  readonly #reject: (error: Error) => void
  #asked: (() => void) | null = null
  #requestedAt: number | null = null
  #grace: NodeJS.Timeout | undefined
  /** What to say: how to go on. */
  readonly #words: string

  constructor(words: string) {
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => {})
    this.abandoned = promise
    this.#reject = reject
    this.#words = words
    process.on('SIGINT', this.#onSignal).on('SIGTERM', this.#onSignal)
  }

  get requested(): boolean {
    return this.#requestedAt !== null
  }

  /** Between two steps that cannot be asked to end. */
  throwIfRequested(): void {
    if (this.requested) throw this.interrupted()
  }

  interrupted(): Interrupted {
    return new Interrupted(this.#words)
  }

  /** From now on a signal calls `asked`; at once if one has come. */
  whenRequested(asked: () => void): void {
    this.#asked = asked
    if (this.requested) asked()
  }

  /** Gives the work up, whatever it waits for; what does not wait is asked to end, too. */
  abandon(error: Error): void {
    this.#asked?.()
    this.#reject(error)
  }

  /** Signals end the process again, as they do by default. */
  close(): void {
    clearTimeout(this.#grace)
    process.off('SIGINT', this.#onSignal).off('SIGTERM', this.#onSignal)
  }

  #onSignal = (): void => {
    const now = performance.now()
    if (this.#requestedAt === null) {
      this.#requestedAt = now
      this.#grace = setTimeout(() => this.abandon(this.interrupted()), GRACE_MS)
      this.#asked?.()
    } else if (now - this.#requestedAt > ECHO_MS) this.abandon(this.interrupted())
  }
}
