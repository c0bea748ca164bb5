// The hash that gives a feature its place in a table, and a block of parameters its check. Of our own, because a model that is read
// years later must find its parameters where they were: the golden values in the test may never change.
// H1: the same text and seed give the same 32 bits on every machine; all bits of them depend on all bits of the text.

/** Of MurmurHash3 x86 32 (Appleby, public domain). */
const C1 = 0xcc9e2d51
const C2 = 0x1b873593

const rotated = (x: number, by: number): number => (x << by) | (x >>> (32 - by))

const mixed = (h: number, k: number): number =>
  (Math.imul(rotated(h ^ Math.imul(rotated(Math.imul(k, C1), 15), C2), 13), 5) + 0xe6546b64) | 0

function finished(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** Hash of a text, unit by unit (UTF-16), as a signed 32-bit number; different seeds give independent ones. */
export const hashText = (text: string, seed: number): number => finished(hashBegun(text, seed | 0) ^ text.length)

/** Of texts that begin alike: `hashEnded(hashBegun(a, seed), a.length, b)` is `hashText(a + b, seed)`. */
export function hashBegun(text: string, h: number): number {
  for (let i = 0; i < text.length; i++) h = mixed(h, text.charCodeAt(i))
  return h
}

export const hashEnded = (begun: number, length: number, text: string): number =>
  finished(hashBegun(text, begun) ^ (length + text.length))

/** Hash of bytes, byte by byte, as a signed 32-bit number. */
export function hashBytes(bytes: Uint8Array, seed: number): number {
  let h = seed | 0
  for (const byte of bytes) h = mixed(h, byte)
  return finished(h ^ bytes.length)
}

/** Hash of a whole number under a seed: the random number of a place, which needs no state. */
export const hashNumber = (n: number, seed: number): number => finished(mixed(mixed(seed | 0, n | 0), n / 2 ** 32))
