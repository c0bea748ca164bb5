// When a line of the generated world is due, and the lines that are due now in batches that one request may carry.
// PC1: lines keep their order; a batch is never larger than either limit, but for a single line that is larger alone.

import type { Arrival } from './scene.ts'

export interface BatchLimits {
  readonly events: number
  readonly bytes: number
}

export class Paced {
  readonly #minutes: Iterator<readonly Arrival[]>
  readonly #speed: number
  #minute: readonly Arrival[] = []
  #at = 0

  constructor(minutes: Iterable<readonly Arrival[]>, speed: number) {
    this.#minutes = minutes[Symbol.iterator]()
    this.#speed = speed
  }

  /** Milliseconds after the start at which the next line is due; null: no more lines. */
  nextDueMs(): number | null {
    while (this.#at === this.#minute.length) {
      const { done, value } = this.#minutes.next()
      if (done) return null
      this.#minute = value
      this.#at = 0
    }
    return this.#minute[this.#at]!.atMs / this.#speed
  }

  /** The lines due at this time, as many as one batch may have; empty if none is. */
  take(elapsedMs: number, limits: BatchLimits): string[] {
    const lines: string[] = []
    let bytes = 0
    for (;;) {
      const dueMs = this.nextDueMs()
      if (dueMs === null || dueMs > elapsedMs || lines.length === limits.events) return lines
      const { text } = this.#minute[this.#at]!
      // Every line is ASCII: characters are bytes. One more is the line end.
      bytes += text.length + 1
      if (lines.length > 0 && bytes > limits.bytes) return lines
      lines.push(text)
      this.#at++
    }
  }
}
