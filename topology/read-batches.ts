// Reads that are asked for in one turn of the event loop are answered together: one message to another thread, and of one
// task and snapshot one read of RocksDB. Under load that is most of what a read costs; a read that is alone waits for nothing.
// RB1: an answer is the one that the read alone would have got: its snapshot is taken after it was asked for, and what goes
//      wrong with one is said to that one.
// How many may be under way is bounded in topology/host-reads.ts.

import { errorOf, type Failure } from './host-messages.ts'

/** What a read of several came to. */
export type BatchResult<Outcome> = Outcome | { readonly kind: 'failed'; readonly failure: Failure }

interface Asked<Ask, Outcome> {
  readonly ask: Ask
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (error: unknown) => void
}

export class ReadBatches<Ask, Outcome extends { readonly kind: string }> {
  readonly #readAll: (asks: readonly Ask[]) => Promise<readonly BatchResult<Outcome>[]>
  #asked: Asked<Ask, Outcome>[] = []

  /** `readAll`: one result for each, in their order. A throw is the answer to all of them. */
  constructor(readAll: (asks: readonly Ask[]) => Promise<readonly BatchResult<Outcome>[]>) {
    this.#readAll = readAll
  }

  read(ask: Ask): Promise<Outcome> {
    if (this.#asked.length === 0) setImmediate(() => void this.#answer())
    return new Promise((resolve, reject) => this.#asked.push({ ask, resolve, reject }))
  }

  async #answer(): Promise<void> {
    const asked = this.#asked
    this.#asked = []
    try {
      const results = await this.#readAll(asked.map(({ ask }) => ask))
      for (const [i, { resolve, reject }] of asked.entries()) {
        const result = results[i]!
        if (isFailed(result)) reject(errorOf(result.failure))
        else resolve(result)
      }
    } catch (error) {
      for (const { reject } of asked) reject(error)
    }
  }
}

const isFailed = (result: {
  readonly kind: string
}): result is { readonly kind: 'failed'; readonly failure: Failure } => result.kind === 'failed'
