// Reads that are asked for in one turn of the event loop are answered together: one message to another thread, and of one
// task and snapshot one read of RocksDB. Under load that is most of what a read costs; a read that is alone waits for nothing.
// RB1: an answer is the one that the read alone would have got: its snapshot is taken after it was asked for, and what goes
//      wrong with one is said to that one.
// How many may be under way is bounded in topology/host-reads.ts.

import type { TaskRead, TaskReadOutcome } from './host.ts'
import { errorOf, type Failure } from './host-messages.ts'

/** What a read of several came to. */
export type TaskReadResult = TaskReadOutcome | { readonly kind: 'failed'; readonly failure: Failure }

interface Asked {
  readonly ask: TaskRead
  readonly resolve: (outcome: TaskReadOutcome) => void
  readonly reject: (error: unknown) => void
}

export class ReadBatches {
  readonly #readAll: (asks: readonly TaskRead[]) => Promise<readonly TaskReadResult[]>
  #asked: Asked[] = []

  /** `readAll`: one result for each, in their order. A throw is the answer to all of them. */
  constructor(readAll: (asks: readonly TaskRead[]) => Promise<readonly TaskReadResult[]>) {
    this.#readAll = readAll
  }

  read(ask: TaskRead): Promise<TaskReadOutcome> {
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
        if (result.kind === 'failed') reject(errorOf(result.failure))
        else resolve(result)
      }
    } catch (error) {
      for (const { reject } of asked) reject(error)
    }
  }
}
