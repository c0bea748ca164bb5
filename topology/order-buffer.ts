// `clock: data`: keeps records until the watermark passes them, and hands them on in the order key.
// OB1: a record is handed on with the watermark at - 1: every record before its time has been, whatever the partitions.
// OB2: what is held is state; what comes and goes between two commits never reaches RocksDB (state/order-queue.ts).

import type { Rec } from '../operators/operator.ts'
import type { OrderQueue } from '../state/store.ts'

/** Order of what stands at the same time: control, records, what timers emit (protocol.md, section 8). */
export const RANK = { control: 0, record: 1, timer: 2 } as const

/** Records handed on at once: bounds the memory of a jump of the watermark. */
const RELEASE_MAX = 1_024

export class OrderBuffer {
  readonly #queue: OrderQueue

  constructor(queue: OrderQueue) {
    this.#queue = queue
  }

  hold(record: Rec<unknown>): void {
    const { at, type, id, number, late, value } = record
    this.#queue.push({ at, rank: RANK.record, type, id, number }, JSON.stringify([late ? 1 : 0, value]))
  }

  /** Whether something is held at or before `watermark`. */
  async ready(watermark: number): Promise<boolean> {
    if (this.#queue.needsRefill) await this.#queue.refill()
    const first = this.#queue.peek()
    return first !== null && first.key.at <= watermark
  }

  /** The next records at or before `watermark`, in order; empty when there are no more. */
  async release(watermark: number): Promise<Rec<unknown>[]> {
    const records: Rec<unknown>[] = []
    while (records.length < RELEASE_MAX && (await this.ready(watermark))) {
      const { key, value: text } = this.#queue.pop()
      const { at, type, id, number } = key
      const [late, value] = JSON.parse(text) as [0 | 1, unknown]
      records.push({ value, at, watermark: at - 1, late: late === 1, type, id, number, input: records.length })
    }
    return records
  }
}
