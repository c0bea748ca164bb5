// What a model is: something that gives each row a probability and learns from rows, one after the other.
// ML1: what it says and learns depends on its settings and the rows so far, nothing else: neither on clock nor chance, nor on how
//      rows came in batches. Equal settings and rows give equal parameters, to the bit.
// ML2: a row's probability is finite, within (0, 1), and that of the row alone.
// ML3: its state is `parameters`; saved, loaded and gone on with, it is the model that was never saved.
// test/conformance/models.ts holds every model to that. What it learns from, and with which weight, is ml/feedback.ts's.

import { assert } from '../log/errors.ts'
import type { Parameters } from './parameters.ts'
import type { Rows } from './rows.ts'

export interface Model {
  /** Plain data that makes an equal model without parameters (ml/models.ts). */
  readonly settings: { readonly model: string }
  readonly parameters: Parameters
  /** Rows learned, whatever their weight. */
  readonly learned: number
  /** Probability of y = 1 for each of the rows, into `out`. */
  predict(rows: Rows, out: Float64Array): void
  /** The same of one row. */
  predictOne(rows: Rows, row: number): number
  /**
   * Learns one row with a weight from 0 to WEIGHT_MAX; gives the probability that it had before. `said`: what predictOne() has just
   * said of this row, as the last thing that was asked of the model; it is not computed again.
   */
  learn(rows: Rows, row: number, y: 0 | 1, weight: number, said?: number): number
}

/** Weights correct for sampling and delay; one as large as this would be one row that outweighs a month of others. */
export const WEIGHT_MAX = 1_000

/** A weight outside its range is a bug of whoever computed it: NaN would stay in the parameters for ever. */
export function checkWeight(weight: number): void {
  assert(weight >= 0 && weight <= WEIGHT_MAX, `a row is learned with a weight from 0 to ${WEIGHT_MAX}`)
}
