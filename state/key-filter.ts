// "Was this key put away?" without asking the backend: for the keys that a cache evicted, millions of them in the end.
// A chain of Bloom filters (state/bloom.ts), each with room for as many keys as all before it, so that a few of them and two
// bytes a key are enough however many there will be. It only grows; it goes as a whole.

import { BloomFilter } from './bloom.ts'

/** Room taken per key: 18 bits instead of the 12 of a BloomFilter, for a false "maybe" in 1 of 2,000 questions of one filter. */
const ROOM_PER_KEY = 1.5

export class KeyFilter {
  readonly #filters: BloomFilter[] = []
  #count = 0
  /** Keys that the newest filter still takes. */
  #room = 0

  /** Keys added. */
  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#filters.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  add(keys: readonly string[]): void {
    if (keys.length > this.#room) {
      this.#room = Math.max(keys.length, this.#count)
      this.#filters.push(new BloomFilter(this.#room * ROOM_PER_KEY))
    }
    const newest = this.#filters.at(-1)
    for (const key of keys) newest!.add(hash(key, FIRST), hash(key, SECOND))
    this.#room -= keys.length
    this.#count += keys.length
  }

  /** false: surely not among the keys. */
  mayHave(key: string): boolean {
    if (this.#count === 0) return false
    const h1 = hash(key, FIRST)
    const h2 = hash(key, SECOND)
    for (let i = this.#filters.length - 1; i >= 0; i--) if (this.#filters[i]!.mayHave(h1, h2)) return true
    return false
  }
}

const FIRST = 0x811c9dc5
const SECOND = 0x9747b28c

/** FNV-1a over the UTF-16 units, finished as MurmurHash3 does: a filter takes the top bits, which FNV alone leaves poor. */
function hash(key: string, seed: number): number {
  let h = seed
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}
