// A heap of entries by order key, in memory. Four children a node, and the times beside the entries in one typed array:
// a step down compares four neighbouring numbers and looks at an entry only where times are equal.
// No two entries may have the same order key (asserted where the heap meets them).

import { assert } from '../log/errors.ts'
import { compareOrderKeys } from './key-layout.ts'
import type { OrderKey } from './store.ts'

const CHILDREN = 4
const CAPACITY_MIN = 64

export class OrderHeap<E extends { readonly key: OrderKey }> {
  #ats = new Float64Array(CAPACITY_MIN)
  #entries: E[] = []

  get size(): number {
    return this.#entries.length
  }

  peek(): E | undefined {
    return this.#entries[0]
  }

  /** The entries in no particular order. */
  values(): readonly E[] {
    return this.#entries
  }

  push(entry: E): void {
    const place = this.#entries.length
    if (place === this.#ats.length) this.#grow(place * 2)
    this.#entries.push(entry)
    this.#up(place, entry)
  }

  pop(): E | undefined {
    const least = this.#entries[0]
    const last = this.#entries.pop()
    if (last !== undefined && this.#entries.length > 0) this.#down(0, last)
    return least
  }

  /** Replaces the content. */
  reset(entries: E[]): void {
    this.#entries = entries
    if (entries.length > this.#ats.length) this.#grow(entries.length)
    for (let i = 0; i < entries.length; i++) this.#ats[i] = entries[i]!.key.at
    for (let i = Math.floor((entries.length - 2) / CHILDREN); i >= 0; i--) this.#down(i, entries[i]!)
  }

  #grow(capacity: number): void {
    const ats = new Float64Array(Math.max(capacity, CAPACITY_MIN))
    ats.set(this.#ats)
    this.#ats = ats
  }

  #up(from: number, entry: E): void {
    const ats = this.#ats
    const entries = this.#entries
    const { at } = entry.key
    let place = from
    while (place > 0) {
      const parent = (place - 1) >> 2
      const parentAt = ats[parent]!
      if (parentAt < at || (parentAt === at && before(entries[parent]!, entry))) break
      ats[place] = parentAt
      entries[place] = entries[parent]!
      place = parent
    }
    ats[place] = at
    entries[place] = entry
  }

  #down(from: number, entry: E): void {
    const ats = this.#ats
    const entries = this.#entries
    const size = entries.length
    const { at } = entry.key
    let place = from
    while (true) {
      const first = place * CHILDREN + 1
      if (first >= size) break
      const end = Math.min(first + CHILDREN, size)
      let least = first
      for (let child = first + 1; child < end; child++) {
        const x = ats[child]!
        const y = ats[least]!
        if (x < y || (x === y && before(entries[child]!, entries[least]!))) least = child
      }
      const leastAt = ats[least]!
      if (at < leastAt || (at === leastAt && before(entry, entries[least]!))) break
      ats[place] = leastAt
      entries[place] = entries[least]!
      place = least
    }
    ats[place] = at
    entries[place] = entry
  }
}

function before(a: { readonly key: OrderKey }, b: { readonly key: OrderKey }): boolean {
  const order = compareOrderKeys(a.key, b.key)
  assert(order !== 0, `two entries with one order key: ${JSON.stringify(a.key)}`)
  return order < 0
}
