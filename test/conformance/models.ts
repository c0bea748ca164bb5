// What every model must do, whatever it is (ML1 to ML3 of ml/model.ts). Run by ml/models.test.ts on each model and some of its settings.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Model, WEIGHT_MAX } from '../../ml/model.ts'
import { createModel, loadParts, type ModelSettings, saveParts } from '../../ml/models.ts'
import { FEATURE_VALUE_MAX, Rows } from '../../ml/rows.ts'

/** One row to learn. */
export interface LearntRow {
  readonly keys: readonly number[]
  readonly values: readonly number[]
  readonly y: 0 | 1
  readonly weight: number
}

/** Few keys, so that they meet; some negative, as hashes are. */
const feature = fc.tuple(
  fc.oneof(fc.integer({ min: -3, max: 3 }), fc.integer()),
  fc.oneof(fc.constant(1), fc.double({ min: -5, max: 5, noNaN: true })),
)
export const learntRow: fc.Arbitrary<LearntRow> = fc
  .tuple(
    fc.array(feature, { maxLength: 6 }),
    fc.constantFrom(0 as const, 1 as const),
    fc.constantFrom(1, 1, 0, 0.25, 3.5),
  )
  .map(([features, y, weight]) => ({
    ...{ keys: features.map(([key]) => key), values: features.map(([, value]) => value) },
    ...{ y, weight },
  }))
const learntRows = fc.array(learntRow, { minLength: 1, maxLength: 60 })

export function rowsOf(list: readonly Pick<LearntRow, 'keys' | 'values'>[]): Rows {
  const rows = new Rows()
  for (const { keys, values } of list) rows.push(keys, values)
  return rows
}

/** Learns rows one after the other; gives what was said of each before. */
export function learnAll(model: Model, list: readonly LearntRow[]): number[] {
  const rows = rowsOf(list)
  return list.map(({ y, weight }, row) => model.learn(rows, row, y, weight))
}

const ABOUT = { window: 'w' }
const bytesOf = (model: Model): Buffer => Buffer.from(saveParts(ABOUT, { model }))

function reopened(model: Model, settings: ModelSettings): Model {
  const next = createModel(settings)
  loadParts(bytesOf(model), ABOUT, { model: next })
  return next
}

/** The same by blocks, as a keyed store would keep them: only those that changed are carried over. */
function carriedOver(model: Model, kept: Map<number, Uint8Array>, settings: ModelSettings): Model {
  for (const block of model.parameters.takeDirty()) kept.set(block, model.parameters.read(block))
  const next = createModel(settings)
  for (const [block, bytes] of kept) next.parameters.write(block, bytes)
  return next
}

export function modelConformance(settings: ModelSettings): void {
  it('says finite probabilities within (0, 1), and one without rows', () => {
    fc.assert(
      fc.property(learntRows, (list) => {
        const model = createModel(settings)
        const said = learnAll(model, list)
        const rows = rowsOf([{ keys: [], values: [] }, ...list])
        const out = new Float64Array(rows.count)
        model.predict(rows, out)
        for (const p of [...said, ...out]) expect(p > 0 && p < 1).toBe(true)
        expect(model.learned).toBe(list.length)
      }),
    )
  })

  it('ML1: equal rows make it equal to the bit', () => {
    fc.assert(
      fc.property(learntRows, (list) => {
        const [one, other] = [createModel(settings), createModel(settings)]
        expect(learnAll(one, list)).toEqual(learnAll(other, list))
        expect(bytesOf(one).equals(bytesOf(other))).toBe(true)
      }),
    )
  })

  it('ML2: what it says of a row does not depend on the others of its batch, and changes nothing', () => {
    fc.assert(
      fc.property(learntRows, learntRows, (learnt, asked) => {
        const model = createModel(settings)
        learnAll(model, learnt)
        const before = bytesOf(model)
        const rows = rowsOf(asked)
        const out = new Float64Array(rows.count)
        model.predict(rows, out)
        asked.forEach((row, i) => {
          expect(model.predictOne(rows, i)).toBe(out[i])
          expect(model.predictOne(rowsOf([row]), 0)).toBe(out[i])
        })
        expect(bytesOf(model).equals(before)).toBe(true)
      }),
    )
  })

  it('says before it learns a row just what it would have said', () => {
    fc.assert(
      fc.property(learntRows, (list) => {
        const [model, told] = [createModel(settings), createModel(settings)]
        const rows = rowsOf(list)
        list.forEach(({ y, weight }, row) => {
          const p = model.predictOne(rows, row)
          expect(model.learn(rows, row, y, weight)).toBe(p)
          // Told what it has said, it learns the same.
          expect(told.learn(rows, row, y, weight, told.predictOne(rows, row))).toBe(p)
        })
        expect(bytesOf(told).equals(bytesOf(model))).toBe(true)
      }),
    )
  })

  it('ML3: saved and loaded between any two rows, whole or by changed blocks, it is the model that never was', () => {
    fc.assert(
      fc.property(learntRows, fc.array(fc.nat(60), { maxLength: 4 }), (list, cuts) => {
        const whole = createModel(settings)
        const said = learnAll(whole, list)
        let [saved, carried] = [createModel(settings), createModel(settings)]
        const kept = new Map<number, Uint8Array>()
        const rows = rowsOf(list)
        list.forEach(({ y, weight }, row) => {
          if (cuts.includes(row)) {
            saved = reopened(saved, settings)
            carried = carriedOver(carried, kept, settings)
          }
          expect(saved.learn(rows, row, y, weight)).toBe(said[row])
          expect(carried.learn(rows, row, y, weight)).toBe(said[row])
        })
        expect(bytesOf(saved).equals(bytesOf(whole))).toBe(true)
        expect(bytesOf(carried).equals(bytesOf(whole))).toBe(true)
      }),
    )
  })

  it('refuses a weight that is none, and keeps nothing of it; takes the largest values and weights', () => {
    const model = createModel(settings)
    const rows = rowsOf([{ keys: [1], values: [FEATURE_VALUE_MAX] }])
    const before = bytesOf(model)
    for (const weight of [Number.NaN, -1, WEIGHT_MAX + 1, Number.POSITIVE_INFINITY])
      expect(() => model.learn(rows, 0, 1, weight)).toThrow(/weight/)
    expect(bytesOf(model).equals(before)).toBe(true)
    for (let i = 0; i < 20; i++) model.learn(rows, 0, i % 2 === 0 ? 1 : 0, WEIGHT_MAX)
    expect(model.parameters.cells.every(Number.isFinite)).toBe(true)
    expect(model.predictOne(rows, 0)).toBeGreaterThan(0)
  })

  it('learns: of rows that are all alike it says their rate, in the end', () => {
    const model = createModel(settings)
    const list = Array.from({ length: 4_000 }, (_, i) => ({
      keys: [7],
      values: [1],
      y: i % 4 === 0 ? 1 : 0,
      weight: 1,
    }))
    const said = learnAll(model, list as LearntRow[])
    expect(said.at(-1)).toBeCloseTo(0.25, 1)
  })
}
