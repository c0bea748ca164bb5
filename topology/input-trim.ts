// Trims a task's input (protocol.md, section 7): what no recovery needs any more makes room for what comes.
// IT1: nothing at or above the position of a commit that is flushed to files is trimmed: a cut write-ahead log falls back to
//      such a commit, and the message at its position proves that the stream is still the same.
// IT2: nothing at or above the last frame of any numbered writer: its owner recovers from it.
// IT3: a writer that was never heard stops all trimming.
// IT4: it is time when what would be trimmed is worth it, whoever has held that up: where all writers wait for room, what they
//      have sent last may be all that still comes.

import type { Log } from '../log/log.ts'
import type { Backend } from '../state/backend.ts'
import type { CommitRecord } from './commit-record.ts'

/** Bytes of input between two trims: each flushes the state, which costs a file. */
export const TRIM_BYTES = 64 * 1024 * 1024

/** Places that are known of what lies between two trims: how much a trim would bring is told to a sixteenth. */
const PLACES = 16

export class InputTrim {
  readonly #log: Log
  readonly #backend: Backend
  readonly #stream: string
  readonly #everyBytes: number
  /** Of all messages applied so far, and of those that the last trim was for. */
  #appliedBytes = 0
  #trimmedBytes = 0
  /** Of commits since: where they stood, and the bytes up to there; the newest one last. */
  #places: { readonly seq: number; readonly bytes: number }[] = []
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
    this.#stoodAt(record.position.seq, bytes)
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

  #stoodAt(seq: number, bytes: number): void {
    const [before, last] = this.#places.slice(-2)
    if (last !== undefined && last.bytes - before!.bytes < this.#everyBytes / PLACES) this.#places.pop()
    this.#places.push({ seq, bytes })
  }

  /** Bytes up to the lowest that is needed. What is applied but not committed does not count: a trim cannot reach it. */
  get #freeBytes(): number {
    return this.#places.findLast(({ seq }) => seq <= this.#lowest)?.bytes ?? 0
  }

  /** IT4. */
  get #isDue(): boolean {
    return this.#freeBytes - this.#trimmedBytes >= this.#everyBytes
  }

  /** Again after a trim, if it has become time meanwhile: where the writers wait for room, no further commit would say so. */
  async #trimWhileDue(): Promise<void> {
    while (this.#isDue) {
      const bytes = this.#freeBytes
      await this.#trim(this.#lowest)
      this.#trimmedBytes = bytes
      this.#places = this.#places.filter((place) => place.bytes > bytes)
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
