// ONNX files, written and read by the real runtime: equal to the arithmetic in double, and refused where they are not what they say.

import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FTRL, Ftrl } from '../../ml/ftrl.ts'
import { LEAST_P, LOGIT_CUT, sigmoid } from '../../ml/logistic.ts'
import {
  answerOf,
  type CalibrationLine,
  exportOnnx,
  type GoldenRow,
  type LinearForm,
  NO_CALIBRATION,
  type WindowForm,
} from '../../ml/onnx-export.ts'
import { FEATURES_RELEASE } from '../../ml/touch-features.ts'
import { ALONE, TOUCH_KINDS, type TouchKind } from '../../ml/windows.ts'
import { learnAll, learntRow, rowsOf } from '../../test/conformance/models.ts'
import {
  changed,
  coupled,
  coupledCounts,
  doubled,
  floatBytes,
  initializer,
  keepDimensions,
  setFloats,
} from '../../test/models/sound-model.ts'
import { GOLDEN_ERROR_MAX, OnnxModel, type Refusal } from './onnx-model.ts'

const BITS = 8
const FACTS = {
  ...{ features: FEATURES_RELEASE, vector: null, version: 0, parent: 0, learned: 3 },
  fallback: { pseudoTouches: 20, base: [10, 1], keys: [] },
}
const GOLDEN = {
  rows: rowsOf([
    { keys: [1, -2, 3], values: [1, 1, 0.5] },
    { keys: [4], values: [2] },
    { keys: [], values: [] },
  ]),
  kinds: ['click', 'impression', 'click'] as const,
}
const countedMore = (row: GoldenRow): GoldenRow => ({ ...row, count: row.count.map((count) => 1.01 * count) })
const LOW_KEYS = { rows: rowsOf([{ keys: [1, 2], values: [1, 1] }]), kinds: ['click'] as const }
const NO_COUNTS = { all: 1, means: new Float32Array(2).fill(1) }
const clicks = (rows: { readonly count: number }): TouchKind[] => Array.from({ length: rows.count }, () => 'click')
const alone = (form: LinearForm, calibration: CalibrationLine = NO_CALIBRATION): WindowForm[] => [
  { name: '7d_click', ...ALONE, form, calibration, counts: NO_COUNTS },
]

function taught(): Ftrl {
  const model = new Ftrl({ ...FTRL, bits: BITS, l1: 0 })
  const row = (keys: number[], y: 0 | 1) => ({ keys, values: keys.map(() => 1), y, weight: 1 })
  learnAll(
    model,
    Array.from({ length: 60 }, (_, i) => [row([1, 4], 1), row([-2, 3], 0), row([i, 9], i % 3 === 0 ? 1 : 0)]).flat(),
  )
  return model
}

/** Of more features than the runtime's sums are wide. */
const longRow = fc.array(fc.integer(), { minLength: 1, maxLength: 200 }).map((keys) => ({
  ...{ keys, values: keys.map((key) => (key % 7) / 3), y: 0 as const, weight: 1 },
}))

const sound = (): Uint8Array => exportOnnx(alone(taught().linearForm()), FACTS, GOLDEN)

async function reasonOf(bytes: Uint8Array | null, sha256?: string): Promise<string> {
  try {
    await (await OnnxModel.load(bytes, sha256)).close()
    return 'loaded'
  } catch (error) {
    const { code, numbers } = error as { code: string; numbers: Record<string, unknown> }
    return code === 'MODEL_REFUSED' ? String(numbers.reason) : String(error)
  }
}

describe('a file', () => {
  it('says what the model says, of any rows in any batch', async () => {
    const trained = taught()
    const model = await OnnxModel.load(sound())
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(learntRow, longRow), { minLength: 1, maxLength: 20 }), async (list) => {
        const rows = rowsOf(list)
        const { p } = await model.score(rows, clicks(rows))
        const expected = new Float64Array(rows.count)
        trained.predict(rows, expected)
        for (const [i, value] of p.entries()) expect(Math.abs(value - expected[i]!)).toBeLessThan(GOLDEN_ERROR_MAX)
        for (const [i, row] of list.entries()) expect((await model.score(rowsOf([row]), ['click'])).p[0]).toBe(p[i])
      }),
      { numRuns: 60 },
    )
    await model.close()
  })

  it('OM2: gives a row the same bits alone and among others, however many features each has', async () => {
    const weights = Float32Array.from({ length: 2 ** BITS }, (_, i) => Math.sin(i * i))
    const model = await OnnxModel.load(exportOnnx(alone({ bias: -0.7, weights }), FACTS, GOLDEN))
    const lists = Array.from({ length: 60 }, (_, i) => {
      const keys = Array.from({ length: i < 40 ? 5 : i }, (_, j) => 7 * i + j * j)
      return { keys, values: keys.map(() => 1) }
    })
    const few = await model.score(rowsOf(lists.slice(0, 40)), clicks({ count: 40 }))
    const all = await model.score(rowsOf(lists), clicks({ count: lists.length }))
    expect(all.p.slice(0, 40)).toEqual(few.p)
    for (const [i, row] of lists.entries()) expect((await model.score(rowsOf([row]), ['click'])).p[0]).toBe(all.p[i])
    await model.close()
  })

  it('has calibration inside, and cuts logits where single precision ends', async () => {
    const calibration = { a: 40, b: -3 }
    const model = await OnnxModel.load(exportOnnx(alone(taught().linearForm(), calibration), FACTS, GOLDEN))
    const { p, logit } = await model.score(
      rowsOf([...Array(9).keys()].map((k) => ({ keys: [1, 4, k], values: [9, 9, 1] }))),
      clicks({ count: 9 }),
    )
    expect(logit).toContain(LOGIT_CUT)
    for (const value of p) expect(value > 0 && value < 1).toBe(true)
    await model.close()
  })

  it('is the same bytes for the same model, and others for others', () => {
    expect(Buffer.from(sound()).equals(sound())).toBe(true)
    const other = exportOnnx(alone(taught().linearForm(), { a: 1, b: 0.1 }), FACTS, GOLDEN)
    expect(Buffer.from(sound()).equals(other)).toBe(false)
  })
})

describe('a file of several windows', () => {
  // Windows: two within each other for clicks, the second within the third for both kinds; the first names no impressions.
  const within = [
    { name: 'short', click: [0], impression: null },
    { name: 'long', click: [0, 1], impression: [1] },
    { name: 'widest', click: [0, 1, 2], impression: [1, 2] },
  ]
  const windows: WindowForm[] = within.map((window, i) => ({
    ...window,
    form: { bias: -1 - i, weights: Float32Array.from({ length: 2 ** BITS }, (_, k) => Math.sin((3 + i) * k * k)) },
    calibration: { a: 1 + i / 10, b: i / 7 },
    counts: { all: 1.5 + i, means: Float32Array.from({ length: 16 }, (_, k) => 1 + ((i + k) % 5)) },
  }))

  it('OX5: says what this program says in double, never less of a window than of one within it, nothing of those that a kind has not', async () => {
    const model = await OnnxModel.load(exportOnnx(windows, FACTS, GOLDEN))
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.oneof(learntRow, longRow), fc.constantFrom(...TOUCH_KINDS)), {
          minLength: 1,
          maxLength: 9,
        }),
        async (list) => {
          const rows = rowsOf(list.map(([row]) => ({ ...row, values: row.keys.map(() => 1) })))
          const { p, count } = await model.score(
            rows,
            list.map(([, kind]) => kind),
          )
          list.forEach(([, kind], row) => {
            const told = answerOf(windows, kind, rows, row)
            const at = (window: number) => p[3 * row + window]!
            for (const [window, { [kind]: own }] of within.entries()) {
              expect(Math.abs(at(window) - told.p[window]!)).toBeLessThan(GOLDEN_ERROR_MAX)
              expect(Math.abs(count[3 * row + window]! - told.count[window]!)).toBeLessThan(5 * GOLDEN_ERROR_MAX)
              for (const inner of own ?? []) expect(at(window)).toBeGreaterThanOrEqual(at(inner))
            }
            if (kind === 'impression') expect(Math.abs(at(0) - LEAST_P)).toBeLessThan(1e-7)
          })
        },
      ),
      { numRuns: 60 },
    )
    await model.close()
  })

  it('OM2: gives a row the same bits alone and among others', async () => {
    const model = await OnnxModel.load(exportOnnx(windows, FACTS, GOLDEN))
    const lists = Array.from({ length: 70 }, (_, i) => {
      const keys = Array.from({ length: i < 40 ? 7 : i }, (_, j) => 7 * i + j * j)
      return { keys, values: keys.map((key) => (key % 3) / 7) }
    })
    const all = await model.score(rowsOf(lists), clicks({ count: lists.length }))
    const few = await model.score(rowsOf(lists.slice(0, 33)), clicks({ count: 33 }))
    expect(all.p.slice(0, 99)).toEqual(few.p)
    for (const [i, row] of lists.entries())
      expect((await model.score(rowsOf([row]), ['click'])).p).toEqual(all.p.slice(3 * i, 3 * i + 3))
    await model.close()
  })

  it('expects as many conversions as all have where a row has no advertiser', async () => {
    const model = await OnnxModel.load(exportOnnx(windows, FACTS, GOLDEN))
    const { p, count } = await model.score(rowsOf([{ keys: [], values: [] }]), ['click'])
    for (const i of [0, 1, 2]) expect(count[i]! / p[i]!).toBeCloseTo(1.5 + i, 5)
    expect(p[2]).toBeCloseTo(sigmoid(Math.max(-1, 1.1 * -2 + 1 / 7, 1.2 * -3 + 2 / 7)), 6)
    await model.close()
  })
})

describe('a file is refused', () => {
  const bad: readonly (readonly [Refusal, string, () => Uint8Array | null, sha256?: string])[] = [
    ['missing', 'that is not there', () => null],
    ['hash', 'whose bytes are others than were named', sound, createHash('sha256').update('another').digest('hex')],
    ['hash', 'that is cut', () => sound().subarray(0, 900), createHash('sha256').update(sound()).digest('hex')],
    ['format', 'that is cut, of which nobody knows the hash', () => sound().subarray(0, 900)],
    [
      'format',
      'whose golden rows cannot be read',
      () => changed(sound(), (_, manifest) => ({ ...manifest, golden: [{ ...manifest.golden[0], input: '////' }] })),
    ],
    ['format', 'that is no ONNX file', () => Buffer.from('{"model": 1}')],
    [
      'schema',
      'of other features',
      () => changed(sound(), (_, manifest) => ({ ...manifest, features: FEATURES_RELEASE + 1 })),
    ],
    [
      'not a number',
      'that is certain, and so near to what it says',
      () => {
        const certain = alone({ ...taught().linearForm(), bias: 1e3 })
        return changed(exportOnnx(certain, FACTS, GOLDEN), (model) => setFloats(model, 'most', [1e3]))
      },
    ],
    ['not a number', 'with counts that are none', () => changed(sound(), (model) => setFloats(model, 'mean', [1 / 0]))],
    ['not a number', 'with NaN', () => changed(sound(), (model) => setFloats(model, 'bias', [Number.NaN]))],
    [
      'not a number',
      'with Infinity',
      () =>
        changed(sound(), (model) => {
          setFloats(model, 'a', [0])
          setFloats(model, 'bias', [Number.POSITIVE_INFINITY])
        }),
    ],
    [
      'shape',
      'whose table is smaller than it says',
      () =>
        changed(sound(), (model) => {
          Object.assign(initializer(model, 'weights'), { dims: [1, 2], rawData: floatBytes([1, 2]) })
        }),
    ],
    [
      'shape',
      'whose table has not its last place, which no golden row reads',
      () =>
        changed(exportOnnx(alone(taught().linearForm()), FACTS, LOW_KEYS), (model) => {
          const weights = taught().linearForm().weights.subarray(0, -1)
          Object.assign(initializer(model, 'weights'), { dims: [1, weights.length], rawData: floatBytes(weights) })
        }),
    ],
    ['shape', 'whose p is of another type', () => changed(sound(), doubled)],
    [
      'shape',
      'that names more windows than it answers for',
      () => changed(sound(), (_, manifest) => ({ ...manifest, windows: [...manifest.windows, ...manifest.windows] })),
    ],
    ['shape', 'whose p has a dimension more', () => changed(sound(), keepDimensions)],
    [
      'golden',
      'that says other probabilities than its golden rows have',
      () => changed(sound(), (model) => setFloats(model, 'bias', [0.25])),
    ],
    [
      'golden',
      'that says other counts than its golden rows have',
      () => changed(sound(), (_, manifest) => ({ ...manifest, golden: manifest.golden.map(countedMore) })),
    ],
    ['golden', 'without golden rows', () => changed(sound(), (_, manifest) => ({ ...manifest, golden: [] }))],
    [
      'batch',
      'whose rows depend on each other: they are put on a grid as wide as the largest of the batch',
      () => changed(sound(), coupled),
    ],
    ['batch', 'whose counts depend on each other', () => changed(sound(), coupledCounts('all'))],
    ['batch', 'a row of which gets another count alone', () => changed(sound(), coupledCounts('least'))],
    ['batch', 'whose rows count more beside one that is far off', () => changed(sound(), coupledCounts('far off'))],
  ]

  for (const [reason, which, bytes, sha256] of bad)
    it(`${reason}: ${which}`, async () => expect(await reasonOf(bytes(), sha256)).toBe(reason))

  it('and a sound one is not', async () => {
    expect(await reasonOf(sound())).toBe('loaded')
    expect(await reasonOf(sound(), createHash('sha256').update(sound()).digest('hex'))).toBe('loaded')
  })
})
