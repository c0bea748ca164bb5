// Trims a task's input (protocol.md, section 7): what no recovery needs any more makes room for what comes.
// IT1: nothing at or above the position of a commit that is flushed to files is trimmed: a cut write-ahead log falls back to
//      such a commit, and the message at its position proves that the stream is still the same.
// IT2: nothing at or above the last frame of any numbered writer: its owner recovers from it.
// IT3: a writer that was never heard stops all trimming.

import type { Log } from '../log/log.ts'
import type { Backend } from '../state/backend.ts'
import type { CommitRecord } from './commit-record.ts'

/** Bytes of input between two trims: each flushes the state, which costs a file. */
export const TRIM_BYTES = 64 * 1024 * 1024

export class InputTrim {
  readonly #log: Log
  readonly #backend: Backend
  readonly #stream: string
  readonly #everyBytes: number
  /** Of all messages applied so far, of those that the newest commit covers, and of those at the last trim. */
  #appliedBytes = 0
  #committedBytes = 0
  #trimmedBytes = 0
  /** By the newest commit. */
  #lowest = 0
  #running: Promise<void> | null = null
  #trimmed = 0

  constructor(log: Log, backend: Backend, stream: string, everyBytes: number) {
    this.#log = log
    this.#backend = backend
    this.#stream = stream
    this.#everyBytes = everyBytes
  }

  /** A message that takes so many bytes of the stream's room (storedBytes) is applied, all of it. */
  applied(bytes: number): void {
    this.#appliedBytes += bytes
  }

  /** At a cut: what its commit covers, for committed(). */
  get appliedBytes(): number {
    return this.#appliedBytes
  }

  /** After a commit was written: trims when it is time, beside the next commits. Failures are left to the next commit. */
  committed(record: Pick<CommitRecord, 'position' | 'writers'>, bytes: number): void {
    this.#lowest = lowestNeeded(record)
    this.#committedBytes = bytes
    if (this.#running !== null || !this.#isDue) return
    this.#running = this.#trimWhileDue()
      .catch(() => {})
      .finally(() => {
        this.#running = null
      })
  }

  /** Waits for a trim that is under way. */
  async settled(): Promise<void> {
    await this.#running
  }

  /** What is applied but not committed does not count: a trim cannot reach it, and nobody would ask again. */
  get #isDue(): boolean {
    return this.#committedBytes - this.#trimmedBytes >= this.#everyBytes
  }

  /** Again after a trim, if it has become time meanwhile: where the writers wait for room, no further commit would say so. */
  async #trimWhileDue(): Promise<void> {
    while (this.#isDue) {
      const bytes = this.#committedBytes
      await this.#trim(this.#lowest)
      this.#trimmedBytes = bytes
    }
  }

  async #trim(below: number): Promise<void> {
    if (below <= this.#trimmed) return
    await this.#backend.flush()
    await this.#log.trim(this.#stream, below)
    this.#trimmed = below
  }
}

/** The lowest sequence that a recovery may ask for (IT1 to IT3). */
export function lowestNeeded({ position, writers }: Pick<CommitRecord, 'position' | 'writers'>): number {
  return Math.min(position.seq, ...Object.values(writers).map(({ seq }) => seq))
}
