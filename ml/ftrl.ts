// Logistic regression over hashed features, learned online by FTRL-proximal with a rate for each coordinate (McMahan et al.,
// "Ad click prediction: a view from the trenches", KDD 2013, algorithm 1). For each feature i of a row, x its value, ω its weight:
//   w_i = 0 where |z_i| <= λ1, else -(z_i - sgn(z_i) λ1) / ((β + √n_i) / α + λ2)
//   p = 1 / (1 + e^-(bias + Σ w_i x_i)),  g_i = ω (p - y) x_i
//   σ_i = (√(n_i + g_i²) - √n_i) / α,  z_i += g_i - σ_i w_i,  n_i += g_i²
// FT1: the table keeps (z, √n), so that a prediction takes no root, and a row that has a place twice learns both with what is there.
// FT2: the bias is a coordinate of its own that no λ draws to 0, or rare positives would be promised too often.
// FT3: values and weights have limits (ml/rows.ts, ml/model.ts) within which nothing here overflows.

import { assert } from '../log/errors.ts'
import { sigmoid } from './logistic.ts'
import { checkWeight, type Model } from './model.ts'
import type { LinearForm } from './onnx-export.ts'
import { BLOCK_CELLS, Parameters } from './parameters.ts'
import { ROW_FEATURES_MAX, type Rows } from './rows.ts'
import { checkTableBits } from './table.ts'

export interface FtrlSettings {
  readonly model: 'ftrl'
  /** How fast a coordinate learns at first, and how soon that slows down. */
  readonly alpha: number
  readonly beta: number
  /** Drawn to 0: coordinates whose |z| stays below l1 have no weight; l2 shrinks the others. */
  readonly l1: number
  readonly l2: number
  /** The table has 2^bits coordinates. */
  readonly bits: number
}

/** Chosen on the first half of the ad clicks that docs/models.md judges by their second, among values that keep the order of its policies. */
export const FTRL: FtrlSettings = { model: 'ftrl', alpha: 0.3, beta: 0.1, l1: 0, l2: 0.1, bits: 18 }

const HEAD = { learned: 0, biasZ: 1, biasRoot: 2 } as const
/** Pairs of a block. */
const PAIR_SHIFT = Math.log2(BLOCK_CELLS / 2)

export class Ftrl implements Model {
  readonly settings: FtrlSettings
  readonly parameters: Parameters
  readonly #mask: number
  /** Weights of the row that was asked about last: those of the one that is being learned. */
  readonly #weights = new Float64Array(ROW_FEATURES_MAX)

  constructor(settings: FtrlSettings) {
    const { alpha, beta, l1, l2, bits } = settings
    checkTableBits(bits)
    assert(alpha > 0 && beta > 0 && l1 >= 0 && l2 >= 0, 'rates are above 0, penalties at least 0')
    this.settings = settings
    this.parameters = new Parameters(2 * 2 ** bits)
    this.#mask = 2 ** bits - 1
  }

  get learned(): number {
    return this.parameters.cells[HEAD.learned]!
  }

  predict(rows: Rows, out: Float64Array): void {
    for (let row = 0; row < rows.count; row++) out[row] = sigmoid(this.#logit(rows, row))
  }

  predictOne(rows: Rows, row: number): number {
    return sigmoid(this.#logit(rows, row))
  }

  learn(rows: Rows, row: number, y: 0 | 1, weight: number, said?: number): number {
    const { cells, dirty } = this.parameters
    const { keys, values, starts } = rows
    const perAlpha = 1 / this.settings.alpha
    checkWeight(weight)
    const p = said ?? sigmoid(this.#logit(rows, row))
    const slope = weight * (p - y)
    const weights = this.#weights
    const mask = this.#mask
    const start = starts[row]!
    const end = starts[row + 1]!
    for (let j = start; j < end; j++) {
      const place = keys[j]! & mask
      const cell = BLOCK_CELLS + 2 * place
      const root = cells[cell + 1]!
      const g = slope * values[j]!
      const grown = Math.sqrt(root * root + g * g)
      cells[cell] = cells[cell]! + g - (grown - root) * perAlpha * weights[j - start]!
      cells[cell + 1] = grown
      dirty[1 + (place >>> PAIR_SHIFT)] = 1
    }
    this.#learnBias(slope)
    return p
  }

  /** What it says, as a sum: for a file. Weights in single precision. */
  linearForm(): LinearForm {
    const { cells } = this.parameters
    const { alpha, beta, l1, l2, bits } = this.settings
    const weights = new Float32Array(2 ** bits)
    for (let place = 0; place < weights.length; place++) {
      const cell = BLOCK_CELLS + 2 * place
      const z = cells[cell]!
      if (Math.abs(z) > l1) weights[place] = (Math.sign(z) * l1 - z) / ((beta + cells[cell + 1]!) / alpha + l2)
    }
    return { bias: this.#bias(), weights }
  }

  /** FT2. */
  #learnBias(slope: number): void {
    const { parameters } = this
    const root = parameters.cells[HEAD.biasRoot]!
    const grown = Math.sqrt(root * root + slope * slope)
    const bias = this.#bias()
    parameters.add(HEAD.learned, 1)
    parameters.add(HEAD.biasZ, slope - ((grown - root) / this.settings.alpha) * bias)
    parameters.set(HEAD.biasRoot, grown)
  }

  #bias(): number {
    const { cells } = this.parameters
    const { alpha, beta } = this.settings
    return (-cells[HEAD.biasZ]! * alpha) / (beta + cells[HEAD.biasRoot]!)
  }

  /** Bias and weights times values of a row; the weights stay in #weights for who learns it. */
  #logit({ starts, keys, values }: Rows, row: number): number {
    const { cells } = this.parameters
    const { alpha, beta, l1, l2 } = this.settings
    const perAlpha = 1 / alpha
    const ridge = beta * perAlpha + l2
    const weights = this.#weights
    const mask = this.#mask
    const start = starts[row]!
    const end = starts[row + 1]!
    let logit = this.#bias()
    for (let j = start; j < end; j++) {
      const cell = BLOCK_CELLS + 2 * (keys[j]! & mask)
      const z = cells[cell]!
      let w = 0
      if (z > l1) w = (l1 - z) / (cells[cell + 1]! * perAlpha + ridge)
      else if (z < -l1) w = (-l1 - z) / (cells[cell + 1]! * perAlpha + ridge)
      weights[j - start] = w
      logit += w * values[j]!
    }
    return logit
  }
}
