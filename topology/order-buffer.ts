// Keeps records until the watermark passes them, and hands them on in the order key: with `clock: data` all of them, with
// `clock: wall` those that timers have emitted.
// OB1: a record is handed on with the watermark at - 1: every record before its time has been, whatever the partitions.
// OB2: what is held is state; what comes and goes between two commits never reaches RocksDB (state/order-queue.ts).

import type { Rec } from '../operators/operator.ts'
import type { OrderQueue } from '../state/store.ts'

/** Records handed on at once: bounds the memory of a jump of the watermark. */
const RELEASE_MAX = 1_024

export class OrderBuffer {
  readonly #queue: OrderQueue

  constructor(queue: OrderQueue) {
    this.#queue = queue
  }

  hold(record: Rec<unknown>): void {
    const { at, rank, type, id, number, late, value } = record
    this.#queue.push({ at, rank, type, id, number }, JSON.stringify([late ? 1 : 0, value]))
  }

  /** Order time of the first that is held up to `watermark`; null: nothing is. */
  async next(watermark: number): Promise<number | null> {
    if (this.#queue.needsRefill) await this.#queue.refill()
    const first = this.#queue.peek()
    return first === null || first.key.at > watermark ? null : first.key.at
  }

  /** The next records at or before `watermark`, in order; empty when there are no more. */
  async release(watermark: number): Promise<Rec<unknown>[]> {
    const records: Rec<unknown>[] = []
    while (records.length < RELEASE_MAX && (await this.next(watermark)) !== null) {
      const { key, value: text } = this.#queue.pop()
      const { at, type, id, number } = key
      const rank = key.rank as Rec<unknown>['rank']
      const [late, value] = JSON.parse(text) as [0 | 1, unknown]
      records.push({ value, at, watermark: at - 1, late: late === 1, rank, type, id, number, input: records.length })
    }
    return records
  }
}
