// One smoothed counter: the rate of each key, drawn towards the rate of all as if it had seen so many rows at that rate before.
//   p = (positives of the key + m g) / (rows of the key + m),  g: the rate of all, m: pseudo-rows
// (the posterior mean under a Beta(m g, m (1 - g)) prior). The key is one feature of the row: the one at `place`.
// Two keys that meet in the table share a rate.

import { assert } from '../log/errors.ts'
import { HALF_A_ROW } from './base-rate.ts'
import { checkWeight, type Model } from './model.ts'
import { BLOCK_CELLS, Parameters } from './parameters.ts'
import type { Rows } from './rows.ts'
import { checkTableBits } from './table.ts'

export interface CounterSettings {
  readonly model: 'counter'
  /** Which feature of a row is its key, from 0; a row that has none is at the rate of all. */
  readonly place: number
  readonly pseudoRows: number
  /** The table has 2^bits keys. */
  readonly bits: number
}

/** 20: the baseline that issue 6 measures models against. */
export const COUNTER: CounterSettings = { model: 'counter', place: 0, pseudoRows: 20, bits: 16 }

const HEAD = { learned: 0, weight: 1, positive: 2 } as const

export class Counter implements Model {
  readonly settings: CounterSettings
  readonly parameters: Parameters
  readonly #mask: number

  constructor(settings: CounterSettings) {
    const { bits, pseudoRows, place } = settings
    checkTableBits(bits)
    assert(pseudoRows > 0 && Number.isSafeInteger(place) && place >= 0, 'a counter has pseudo-rows and a place')
    this.settings = settings
    this.parameters = new Parameters(2 * 2 ** bits)
    this.#mask = 2 ** bits - 1
  }

  get learned(): number {
    return this.parameters.cells[HEAD.learned]!
  }

  predict(rows: Rows, out: Float64Array): void {
    for (let row = 0; row < rows.count; row++) out[row] = this.predictOne(rows, row)
  }

  predictOne(rows: Rows, row: number): number {
    const { cells } = this.parameters
    const all = (cells[HEAD.positive]! + HALF_A_ROW) / (cells[HEAD.weight]! + 2 * HALF_A_ROW)
    const cell = this.#cellOf(rows, row)
    if (cell === null) return all
    const { pseudoRows } = this.settings
    return (cells[cell + 1]! + pseudoRows * all) / (cells[cell]! + pseudoRows)
  }

  learn(rows: Rows, row: number, y: 0 | 1, weight: number, said = this.predictOne(rows, row)): number {
    checkWeight(weight)
    const { parameters } = this
    parameters.add(HEAD.learned, 1)
    parameters.add(HEAD.weight, weight)
    parameters.add(HEAD.positive, weight * y)
    const cell = this.#cellOf(rows, row)
    if (cell === null) return said
    parameters.add(cell, weight)
    parameters.add(cell + 1, weight * y)
    return said
  }

  /** Where weight and positives of a row's key are. */
  #cellOf({ starts, keys }: Rows, row: number): number | null {
    const at = starts[row]! + this.settings.place
    return at < starts[row + 1]! ? BLOCK_CELLS + 2 * (keys[at]! & this.#mask) : null
  }
}
