// "Was this key put away?" without asking the backend: a Bloom filter of a known number of keys, 10 bits and 7 probes each
// (false "maybe" in 1 % of the questions). For keys that a cache evicted; it is filled once and goes as a whole.

const BITS_PER_KEY = 10
const PROBES = 7

export class KeyFilter {
  readonly #words: Int32Array
  readonly #bits: number

  constructor(keys: Iterable<string>, count: number) {
    this.#words = new Int32Array(Math.max(1, Math.ceil((count * BITS_PER_KEY) / 32)))
    this.#bits = this.#words.length * 32
    for (const key of keys) this.#add(key)
  }

  /** false: surely not among the keys. */
  mayHave(key: string): boolean {
    const [first, step] = hashes(key)
    for (let i = 0, at = first; i < PROBES; i++, at = (at + step) >>> 0) {
      const bit = at % this.#bits
      if ((this.#words[bit >>> 5]! & (1 << (bit & 31))) === 0) return false
    }
    return true
  }

  #add(key: string): void {
    const [first, step] = hashes(key)
    for (let i = 0, at = first; i < PROBES; i++, at = (at + step) >>> 0) {
      const bit = at % this.#bits
      this.#words[bit >>> 5]! |= 1 << (bit & 31)
    }
  }
}

/** Two hashes of a key's UTF-16 units (FNV-1a with two primes), for double hashing. */
function hashes(key: string): [first: number, step: number] {
  let a = 0x811c9dc5
  let b = 0x9747b28c
  for (let i = 0; i < key.length; i++) {
    const unit = key.charCodeAt(i)
    a = Math.imul(a ^ unit, 0x01000193)
    b = Math.imul(b ^ unit, 0x5bd1e995)
  }
  a ^= a >>> 15
  b ^= b >>> 13
  return [a >>> 0, (b | 1) >>> 0]
}
