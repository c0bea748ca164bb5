// Looks of a node at a registry: each second, and at once when something was appended there.
// NL1: one look at a time: a broker that is away is asked by one. News that come meanwhile are looked for after it.

export class NodeLooks {
  readonly #look: () => Promise<void>
  #isLooking = false
  #hasNews = false

  /** @param look throws nothing that the world can do */
  constructor(look: () => Promise<void>) {
    this.#look = look
  }

  /** One look, unless there is one. */
  async look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      do {
        this.#hasNews = false
        await this.#look()
      } while (this.#hasNews)
    } finally {
      this.#isLooking = false
    }
  }

  /** Something was appended. */
  readonly news = (): void => {
    this.#hasNews = true
    void this.look()
  }
}
