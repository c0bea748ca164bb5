// The model that knows no features: everybody converts at the rate of all rows so far. Its normalised entropy is 1 by
// definition where the rate stands still; a model that does not beat it has learned nothing.

import { checkWeight, type Model } from './model.ts'
import { Parameters } from './parameters.ts'
import type { Rows } from './rows.ts'

export interface BaseRateSettings {
  readonly model: 'base-rate'
}

export const BASE_RATE: BaseRateSettings = { model: 'base-rate' }

const CELL = { learned: 0, weight: 1, positive: 2 } as const
/** Half a row of each kind before the first (Krichevsky and Trofimov 1981): no rate is ever 0 or 1. */
export const HALF_A_ROW = 0.5

export class BaseRate implements Model {
  readonly settings: BaseRateSettings
  readonly parameters = new Parameters(0)

  constructor(settings: BaseRateSettings) {
    this.settings = settings
  }

  get learned(): number {
    return this.parameters.cells[CELL.learned]!
  }

  /** (positives + 1/2) / (rows + 1), both by weight. */
  get rate(): number {
    const { cells } = this.parameters
    return (cells[CELL.positive]! + HALF_A_ROW) / (cells[CELL.weight]! + 2 * HALF_A_ROW)
  }

  predict(rows: Rows, out: Float64Array): void {
    out.fill(this.rate, 0, rows.count)
  }

  predictOne(): number {
    return this.rate
  }

  learn(_rows: Rows, _row: number, y: 0 | 1, weight: number): number {
    checkWeight(weight)
    const p = this.rate
    this.parameters.add(CELL.learned, 1)
    this.parameters.add(CELL.weight, weight)
    this.parameters.add(CELL.positive, weight * y)
    return p
  }
}
