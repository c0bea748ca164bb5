// The order of steps, and that nothing of a touch is in its own score; bins of windows beside what they promise.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { rowsOf } from '../test/conformance/models.ts'
import { HazardBins } from './hazard.ts'
import { loadParts, MODEL_DEFAULTS, MODEL_NAMES, saveParts } from './models.ts'
import { type BinStep, inOrder, Predictor, SETTLED_ROWS, type Step, validate, validateBins } from './progressive.ts'

const DAY_MS = 86_400_000
const rows = rowsOf([
  { keys: [1], values: [1] },
  { keys: [1], values: [1] },
])
const steps: Step[] = [
  { timeMs: 5, told: 'M', touch: 0, y: 1 },
  { timeMs: 5, told: 'touch', touch: 1, y: 0 },
  { timeMs: 1, told: 'touch', touch: 0, y: 0 },
]

describe('progressive validation', () => {
  it('PV1, PV2: a touch comes before what becomes known in its millisecond, whatever the order of collecting', () => {
    expect(inOrder([...steps]).map(({ told, touch }) => `${told} ${touch}`)).toEqual(['touch 0', 'touch 1', 'M 0'])
    expect(inOrder([...steps].reverse())).toEqual(inOrder([...steps]))
  })

  const saidOf = (y: 0 | 1, later: number) => {
    const predictor = new Predictor(MODEL_DEFAULTS.counter, 'wait', { horizonMs: DAY_MS })
    const told = steps.map((step) => ({ ...step, y, timeMs: step.told === 'M' ? step.timeMs : step.timeMs + later }))
    const timesMs = Float64Array.from([1 + later, 5 + later])
    return validate(inOrder(told), { rows, timesMs, matureConversions: Float64Array.from([3, 0]) }, predictor)
  }

  it('what a touch turns out to be changes no score up to its own, and the next ones', () => {
    expect(saidOf(0, 0)).toEqual(saidOf(1, 0))
    // Both touches after the M row: what is said of them knows it.
    const [never, did] = [saidOf(0, 10), saidOf(1, 10)]
    expect(did.scores[1]).toBeGreaterThan(never.scores[1]!)
    expect(did.expected[1]! / did.served[1]!).toBeGreaterThan(1.5)
    expect(never.expected[1]).toBe(never.served[1])
  })

  it('PV3: touches are calibrated once the model has learned enough rows', () => {
    const touches = SETTLED_ROWS + 500
    const many = rowsOf(Array.from({ length: touches }, () => ({ keys: [1], values: [1] })))
    const timesMs = Float64Array.from({ length: touches }, (_, i) => DAY_MS + i)
    const all = inOrder(
      Array.from(timesMs).flatMap((timeMs, touch): Step[] => [
        { timeMs, told: 'touch', touch, y: 0 },
        { timeMs, told: 'O', touch, y: 1 },
      ]),
    )
    const predictor = new Predictor(MODEL_DEFAULTS['base-rate'], 'elapsed-time', { horizonMs: DAY_MS })
    validate(all, { rows: many, timesMs, matureConversions: new Float64Array(touches) }, predictor)
    // Only the touches after that are in the layer's counts: each of rate 1, so what it expects is what it knows.
    const counted = predictor.calibration.parameters.cells.slice(512).reduce((sum, n) => sum + (n > 0 ? n : 0), 0)
    expect(counted).toBeGreaterThanOrEqual(3 * 499)
    expect(counted).toBeLessThan(3 * 502 + 20 * 502)
  })
})

it('a predictor that is saved and loaded between two lots of touches is the one that never was', () => {
  const lot = (from: number): { steps: Step[]; touches: Parameters<typeof validate>[1] } => {
    const touches = 6_000
    const timesMs = Float64Array.from({ length: touches }, (_, i) => from * DAY_MS + 20 * i)
    const keys = Array.from({ length: touches }, (_, i) => ({ keys: [i % 7, 100 + (i % 3)], values: [1, 1] }))
    const steps = Array.from(timesMs).flatMap((timeMs, touch): Step[] => {
      const y = touch % 7 === 0 && touch % 2 === 0 ? 1 : 0
      const late: Step[] = y === 1 && touch % 4 === 0 ? [{ timeMs: timeMs + 2, told: 'D', touch, y: 1 }] : []
      const O: Step = { timeMs: timeMs + 1, told: 'O', touch, y: late.length > 0 ? 0 : y }
      return [{ timeMs, told: 'touch', touch, y: 0 }, O, ...late, { timeMs: timeMs + DAY_MS, told: 'M', touch, y }]
    })
    const matureConversions = new Float64Array(touches).fill(2)
    return { steps: inOrder(steps), touches: { rows: rowsOf(keys), timesMs, matureConversions } }
  }
  const fresh = () => new Predictor({ ...MODEL_DEFAULTS.ftrl, bits: 8 }, 'elapsed-time', { horizonMs: DAY_MS })
  const whole = fresh()
  for (const days of [10, 12]) validate(lot(days).steps, lot(days).touches, whole)
  const bytes = saveParts({}, whole.parts)
  const resumed = fresh()
  loadParts(bytes, {}, resumed.parts)
  const [one, other] = [whole, resumed].map((predictor) => validate(lot(15).steps, lot(15).touches, predictor))
  expect(other).toEqual(one)
  expect(one!.served).not.toEqual(one!.scores)
  expect(one!.expected).not.toEqual(one!.served)
  expect(saveParts({}, resumed.parts)).toEqual(saveParts({}, whole.parts))
})

describe('bins of windows', () => {
  it('HZ1: whatever was learned, a longer window has at least the probability of a shorter one', () => {
    const binStep = fc.record({
      ...{ timeMs: fc.nat(100), told: fc.constantFrom('touch' as const, 'M' as const), touch: fc.nat(1) },
      ...{
        bin: fc.nat(3),
        before: fc.constantFrom(0 as const, 1 as const),
        y: fc.constantFrom(0 as const, 1 as const),
      },
    })
    fc.assert(
      fc.property(fc.constantFrom(...MODEL_NAMES), fc.array(binStep, { maxLength: 40 }), (name, drawn) => {
        const said = validateBins(inOrder(drawn as BinStep[]), rows, new HazardBins(MODEL_DEFAULTS[name], 4))
        for (const touch of [0, 1])
          for (const bin of [1, 2, 3]) expect(said[bin]![touch]).toBeGreaterThanOrEqual(said[bin - 1]![touch]!)
      }),
      { numRuns: 40 },
    )
  })

  it('HZ2: a head learns from touches that were at risk in its bin; together they say the rates of the windows', () => {
    const bins = new HazardBins(MODEL_DEFAULTS['base-rate'], 3)
    expect(bins.isTrained).toBe(false)
    // Of 1,000 touches 100 convert in the first bin, 200 in the second, none in the third.
    for (let i = 0; i < 1_000; i++) {
      const at = i < 100 ? 0 : i < 300 ? 1 : 3
      for (const bin of [0, 1, 2]) {
        const [before, now] = [at < bin ? 1 : 0, at <= bin ? 1 : 0] as const
        bins.mature(bin, rows, 0, { before, now })
      }
    }
    expect(bins.heads.map(({ learned }) => learned)).toEqual([1_000, 900, 700])
    const out = new Float64Array(3)
    bins.score(rows, 0, out)
    expect(out[0]).toBeCloseTo(0.1, 2)
    expect(out[1]).toBeCloseTo(0.3, 2)
    expect(out[2]).toBeCloseTo(0.3, 2)
    expect(Object.keys(bins.parts)).toEqual(['bin 0', 'bin 1', 'bin 2'])
  })
})
