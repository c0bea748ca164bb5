// Seeded randomness for generators: the same seed gives the same bytes on every machine.
// Not here: anything for cryptography.

/** A stream of pseudo-random numbers and what generators draw from it. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** Uniform in [0, 1): mulberry32, 2^32 long, which is enough for a test file. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from 0 to below `limit`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  /** One of the items, each equally likely. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** A rank from 0 to below `count`, the k-th about 1/k as likely as the first (Zipf, exponent 1, as exp of a uniform). */
  zipf(count: number): number {
    return Math.floor((count + 1) ** this.next()) - 1
  }

  /** A waiting time with this mean (exponential). */
  wait(mean: number): number {
    return -mean * Math.log(1 - this.next())
  }

  /** The same with the first `head` ranks about equally likely: nobody alone has a tenth of everything. */
  zipfFromHead(count: number, head: number): number {
    return Math.min(count - 1, Math.floor(head * ((count / head + 1) ** this.next() - 1)))
  }
}

/** A uniform number in [0, 1) that belongs to (seed, index, trait): what a user is, kept nowhere (murmur3's finaliser). */
export function traitOf(seed: number, index: number, trait: number): number {
  let mixed =
    Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(index + 1, 0xcc9e2d51) ^ Math.imul(trait + 1, 0x1b873593)
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
}
