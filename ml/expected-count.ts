// How many conversions a touch will have, beside the probability that it has any:
//   E[count] = p E[count | it converts],  the second factor a mean by key drawn to the mean of all, as ml/counter.ts draws rates:
//   (conversions of the key + m c) / (converted touches of the key + m),  c: the mean of all, m: pseudo-touches.
// EC1: it learns from mature rows alone, as counts grow until the window ends; it is at least 1, as is every count that it learns.

import { assert } from '../log/errors.ts'
import { BLOCK_CELLS, Parameters } from './parameters.ts'
import type { Rows } from './rows.ts'
import { checkTableBits } from './table.ts'

export interface ExpectedCountSettings {
  readonly counts: 'by-key'
  /** Which feature of a row is its key, from 0. */
  readonly place: number
  readonly pseudoTouches: number
  readonly bits: number
}

/** 20, as for rates: what an advertiser's converted touches have to outweigh. */
export const EXPECTED_COUNT: ExpectedCountSettings = { counts: 'by-key', place: 0, pseudoTouches: 20, bits: 12 }

/** Mean conversions of a touch that converts: of all, and by place of its key. */
export interface CountMeans {
  readonly all: number
  readonly means: Float32Array
}

const HEAD = { touches: 0, conversions: 1 } as const

export class ExpectedCount {
  readonly settings: ExpectedCountSettings
  readonly parameters: Parameters
  readonly #mask: number

  constructor(settings: ExpectedCountSettings) {
    checkTableBits(settings.bits)
    assert(settings.pseudoTouches > 0, 'a mean is drawn to that of all')
    this.settings = settings
    this.parameters = new Parameters(2 * 2 ** settings.bits)
    this.#mask = 2 ** settings.bits - 1
  }

  /** Expected conversions of a row that converts with probability p. */
  expect(rows: Rows, row: number, p: number): number {
    const { cells } = this.parameters
    const all = this.#all
    const cell = this.#cellOf(rows, row)
    if (cell === null) return p * all
    const { pseudoTouches } = this.settings
    return (p * (cells[cell + 1]! + pseudoTouches * all)) / (cells[cell]! + pseudoTouches)
  }

  /** Its means, for a file. */
  means(): CountMeans {
    const { cells } = this.parameters
    const all = this.#all
    const { pseudoTouches, bits, place } = this.settings
    assert(place === 0, 'the key of a mean is the first feature of its row')
    const means = Float32Array.from({ length: 2 ** bits }, (_, i) => {
      const cell = BLOCK_CELLS + 2 * i
      return (cells[cell + 1]! + pseudoTouches * all) / (cells[cell]! + pseudoTouches)
    })
    return { all, means }
  }

  /** Mean of all converted touches; before the first: one conversion of one touch. */
  get #all(): number {
    const { cells } = this.parameters
    return (cells[HEAD.conversions]! + 1) / (cells[HEAD.touches]! + 1)
  }

  /** A converted touch is mature: it had so many conversions. */
  learn(rows: Rows, row: number, conversions: number): void {
    assert(conversions >= 1, 'who converts has a conversion')
    this.parameters.add(HEAD.touches, 1)
    this.parameters.add(HEAD.conversions, conversions)
    const cell = this.#cellOf(rows, row)
    if (cell === null) return
    this.parameters.add(cell, 1)
    this.parameters.add(cell + 1, conversions)
  }

  #cellOf({ starts, keys }: Rows, row: number): number | null {
    const at = starts[row]! + this.settings.place
    return at < starts[row + 1]! ? BLOCK_CELLS + 2 * (keys[at]! & this.#mask) : null
  }
}
