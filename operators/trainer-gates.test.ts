// Each gate: what it refuses, and that it refuses nothing else; the sums beside whole labels.

import { describe, expect, it } from 'vitest'
import { hashNumber } from '../ml/hash.ts'
import { NO_CALIBRATION, type WindowForm } from '../ml/onnx-export.ts'
import { ALONE } from '../ml/windows.ts'
import { addTo, GATES, type Gates, metricsOf, noSums, refusedBy, type Sums, tooFew } from './trainer-gates.ts'

const FORM: WindowForm = {
  ...{ name: 'w', ...ALONE, calibration: NO_CALIBRATION, form: { bias: -2, weights: new Float32Array([3, 4]) } },
  counts: { all: 1, means: new Float32Array([1, 1]) },
}
const forms = (form: Partial<WindowForm['form']>): WindowForm[] => [FORM, { ...FORM, form: { ...FORM.form, ...form } }]

/** Touches of rate `rate`, all known at once, of which p ± spread was said by the trainer, in turn, and `live` by a version. */
function sumsOf({ touches = 10_000, rate = 0.1, p: mean = 0.1, spread = 0, live = null as number | null }): Sums {
  const sums = noSums()
  for (let i = 0; i < touches; i++) {
    const p = mean + (i % 2 === 0 ? spread : -spread)
    addTo(sums, { isTouch: true, y: i < touches * rate ? 1 : 0, p, live, f: p, late: 0 })
  }
  return sums
}
const reason = (sums: Sums, of: readonly WindowForm[] = [FORM], gates: Gates = GATES) =>
  (tooFew(gates, sums) ?? refusedBy(gates, sums, of))?.reason ?? 'passes'

describe('a candidate', () => {
  it('passes with sound sums and weights, with a live version beside it or without', () => {
    expect(reason(sumsOf({}))).toBe('passes')
    expect(reason(sumsOf({ live: 0.1 }))).toBe('passes')
  })

  it('is refused for a number that is none, wherever it is', () => {
    const bad = [Number.NaN, Number.POSITIVE_INFINITY]
    for (const value of bad) {
      expect(reason(sumsOf({}), forms({ bias: value }))).toBe('not a number')
      expect(reason(sumsOf({}), forms({ weights: new Float32Array([0, value]) }))).toBe('not a number')
      expect(reason(sumsOf({}), [{ ...FORM, calibration: { a: 1, b: value } }])).toBe('not a number')
      expect(reason(sumsOf({}), [{ ...FORM, counts: { all: value, means: new Float32Array(2) } }])).toBe('not a number')
      expect(reason(sumsOf({}), [{ ...FORM, counts: { all: 1, means: new Float32Array([value]) } }])).toBe(
        'not a number',
      )
    }
  })

  it('is refused for the norm of the weights of any window', () => {
    const gates = { ...GATES, weightNormMax: 5 }
    expect(reason(sumsOf({}), [FORM], gates)).toBe('passes')
    expect(reason(sumsOf({}), forms({ weights: new Float32Array([3, 4.01]) }), gates)).toBe('weight norm')
    expect(reason(sumsOf({}), forms({ weights: new Float32Array(2 ** 18).fill(4.01) }))).toBe('weight norm')
  })

  it('is refused for too few touches or positives, and for none', () => {
    expect(reason(sumsOf({ touches: 1_000 }))).toBe('passes')
    expect(reason(sumsOf({ touches: 999 }))).toBe('too few rows')
    expect(reason(sumsOf({ touches: 2_000, rate: 0.01, p: 0.01 }))).toBe('passes')
    expect(reason(sumsOf({ touches: 1_900, rate: 0.01, p: 0.01 }))).toBe('too few rows')
    expect(reason(noSums())).toBe('too few rows')
  })

  it('is refused for its calibration, both ways, as far as chance does not explain it', () => {
    // Of 1,000 positives chance makes 6 %.
    expect(reason(sumsOf({ p: 0.116 }))).toBe('passes')
    expect(reason(sumsOf({ p: 0.119 }))).toBe('calibration')
    expect(reason(sumsOf({ p: 0.085 }))).toBe('passes')
    expect(reason(sumsOf({ p: 0.083 }))).toBe('calibration')
    // Of 100,000 next to nothing.
    expect(reason(sumsOf({ touches: 1_000_000, p: 0.109 }))).toBe('passes')
    expect(reason(sumsOf({ touches: 1_000_000, p: 0.112 }))).toBe('calibration')
    // Twice the rate is seen with as few positives as a candidate needs.
    const fewest = { touches: 2_000, rate: 0.01, p: 0.01 }
    expect(sumsOf(fewest).positives).toBe(GATES.positivesMin)
    expect(reason(sumsOf({ ...fewest, p: 0.02 }))).toBe('calibration')
  })

  it('is refused for entropy above that of the live version on the same rows, by more than half a percent', () => {
    const rise = (spread: number) => {
      const { ownLoss, liveLoss } = sumsOf({ spread, live: 0.1 })
      return ownLoss / liveLoss - 1
    }
    const [less, more] = [0.016, 0.019]
    expect([rise(less) > 0.003, rise(less) < 0.005, rise(more) > 0.005, rise(more) < 0.007]).not.toContain(false)
    expect(reason(sumsOf({ spread: less, live: 0.1 }))).toBe('passes')
    expect(reason(sumsOf({ spread: more, live: 0.1 }))).toBe('normalised entropy')
    // A version that was worse hinders nobody, and rows that no version scored compare nothing.
    expect(reason(sumsOf({ p: 0.1, live: 0.3 }))).toBe('passes')
  })
})

describe('sums', () => {
  it('TG2: of O and D rows are those of the touches themselves, though some convert late', () => {
    const [p, late, touches] = [0.2, 0.4, 200_000]
    const [sums, whole] = [noSums(), noSums()]
    for (let i = 0; i < touches; i++) {
      const u = (of: number) => (hashNumber(i, of) >>> 0) / 2 ** 32
      const y = u(1) < p ? 1 : 0
      const isLate = u(2) < late
      const row = { p, live: null, f: p, late }
      addTo(whole, { ...row, isTouch: true, y, late: 0 })
      addTo(sums, { ...row, isTouch: true, y: y === 1 && !isLate ? 1 : 0 })
      if (y === 1 && isLate) addTo(sums, { ...row, isTouch: false, y: 1 })
    }
    expect([sums.touches, sums.positives]).toEqual([touches, whole.positives])
    const [told, known] = [metricsOf(sums, 0), metricsOf(whole, 0)]
    expect(told.calibration).toBeCloseTo(known.calibration!, 2)
    expect(told.normalisedEntropy).toBeCloseTo(known.normalisedEntropy!, 2)
    expect(told.normalisedEntropy).toBeCloseTo(1, 2)
  })

  it('of rows of one kind have no entropy, and of no positives no calibration', () => {
    expect(metricsOf(sumsOf({ rate: 0 }), 0)).toMatchObject({ normalisedEntropy: null, calibration: null })
    expect(metricsOf(sumsOf({ rate: 1 }), 0)).toMatchObject({ normalisedEntropy: null, positives: 10_000 })
  })
})
