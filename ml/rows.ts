// Rows of features as models read them: lists of (key, value), one behind the other in typed arrays.
// RW1: a key is the 32-bit hash of a feature's name and value; which place that is in a table is the model's matter, by masking.
// RW2: no row has more than ROW_FEATURES_MAX features, and no value is NaN or beyond FEATURE_VALUE_MAX: what is absent has no feature.

import { assert } from '../log/errors.ts'
import { hashBegun, hashEnded } from './hash.ts'

/** More than any declared set of features has, lists counted one by one; a longer row is cut by whoever makes it. */
export const ROW_FEATURES_MAX = 4_096
/** Far above any scaled number, and its square times any weight far below what a double holds. */
export const FEATURE_VALUE_MAX = 1e12
/** Between the name and the value of a feature: no id holds a control character. */
const BETWEEN = '\u001f'
const FIRST_ROOM = 1_024

/** Key of a feature that is one of many values, such as an id. The value of the feature is then 1. */
export const featureKey = (name: string, value: string, seed: number): number => featureKeys(name, seed)(value)

/** The same of many values. */
export function featureKeys(name: string, seed: number): (value: string) => number {
  const head = name + BETWEEN
  const begun = hashBegun(head, seed | 0)
  return (value) => hashEnded(begun, head.length, value)
}

export class Rows {
  /** Row i has the places from starts[i] to starts[i + 1], excluded. */
  starts = new Int32Array(FIRST_ROOM)
  keys = new Int32Array(FIRST_ROOM)
  values = new Float64Array(FIRST_ROOM)
  #count = 0

  get count(): number {
    return this.#count
  }

  /** Adds a row; returns its number. `values` not given: 1 for each key. */
  push(keys: ArrayLike<number>, values?: ArrayLike<number>): number {
    assert(keys.length <= ROW_FEATURES_MAX, 'a row has too many features')
    const start = this.starts[this.#count]!
    const end = start + keys.length
    if (end > this.keys.length) {
      this.keys = roomier(this.keys, new Int32Array(2 * end))
      this.values = roomier(this.values, new Float64Array(2 * end))
    }
    if (this.#count + 2 > this.starts.length) this.starts = roomier(this.starts, new Int32Array(2 * this.starts.length))
    for (let j = 0; j < keys.length; j++) {
      const value = values === undefined ? 1 : values[j]!
      assert(Math.abs(value) <= FEATURE_VALUE_MAX, 'the value of a feature is a number within its limit')
      this.keys[start + j] = keys[j]!
      this.values[start + j] = value
    }
    this.starts[++this.#count] = end
    return this.#count - 1
  }

  clear(): void {
    this.#count = 0
  }
}

function roomier<T extends Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}
