// Which records are scored, in which order, and what is said of them; models are real in topology/models/onnx-model.test.ts.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Chain } from '../log/frame.ts'
import { packKeys } from '../ml/packed-rows.ts'
import { touchKeys } from '../ml/touch-features.ts'
import { recordOf } from '../test/operator-harness.ts'
import type { OperatorContext } from './operator.ts'
import { inSingle } from './scored.ts'
import { type Asked, type ScoreRecord, type ScoringModels, scorer } from './scorer.ts'
import type { Touch } from './touch.ts'

/** Says of each touch how many it has scored before, that it expects twice that, and nothing of the second window. */
function countingModels(): ScoringModels & { readonly batches: number[] } {
  const batches: number[] = []
  let scored = 0
  return {
    windows: ['7d_click', '1d_view'],
    settings: {},
    batches,
    answer(asked) {
      batches.push(asked.length)
      const answer = (n: number) => ({ version: 3, name: 'v', p: [n / 64, 0], expected: [n / 32, 0], refused: [] })
      return Promise.resolve(asked.map(() => answer(++scored)))
    },
  }
}

const ad = { advertiser: 'a', campaign: 'c', ad: 'd', clickId: null, vector: null }
/** Every other value is no touch; the second touch is nobody's. */
const VALUES: readonly (Touch | { readonly id: string })[] = ['e0', 'x', 'e2', 'y', 'e4'].map((id, i) =>
  i % 2 === 1
    ? { id }
    : { kind: 'touch', type: i === 2 ? 'impression' : 'click', id, timeMs: 5 + i, user: i === 2 ? '' : `u${i}`, ...ad },
)

/** Batches one after the other; gives what was emitted, with the place of its cause, and what goes on. */
async function scored(models: ScoringModels, ...batches: (typeof VALUES)[]) {
  const operator = scorer(models, 'scores', (value: (typeof VALUES)[number]) =>
    'kind' in value ? { touch: value, values: {} } : null,
  )
  const emitted: (ScoreRecord & { readonly input: number })[] = []
  const counts: string[] = []
  const context = {
    emitJson: (_: string, json: string, { input }: { input: number }) => emitted.push({ ...JSON.parse(json), input }),
    count: (name: string) => counts.push(name),
  } as unknown as OperatorContext
  const out = []
  for (const values of batches) {
    const batch = values.map((value, input) => ({ ...recordOf(value, { time: 5 }), input }))
    await operator.prepare!(batch, context)
    out.push(...operator.process(batch, context))
  }
  expect(counts).toEqual(emitted.map(() => 'scores'))
  return { emitted, out }
}

it('touches are, each with its own score, once a batch; nobody has no name', async () => {
  const models = countingModels()
  const score = (event_id: string, user_id: string | null, p: number, input: number) => ({
    ...{ event_id, user_id, model_version: 'v', p: { '7d_click': p }, expected: { '7d_click': 2 * p }, input },
  })
  const { emitted, out } = await scored(models, VALUES)
  expect(emitted.map(({ fingerprint, ...record }) => record)).toEqual([
    score('e0', 'u0', 1 / 64, 0),
    score('e2', null, 2 / 64, 2),
    score('e4', 'u4', 3 / 64, 4),
  ])
  expect(models.batches).toEqual([3])
  for (const [i, { value, input }] of out.entries()) {
    expect(input).toBe(2 * i)
    const touch = VALUES[2 * i] as Touch
    const keys = packKeys(touchKeys(touch))
    expect(value).toEqual({ ...touch, scored: { version: 3, p: [(i + 1) / 64, 0], input: keys } })
  }
})

it('a batch without any asks nothing, and is told no scores of the one before', async () => {
  const models = countingModels()
  const { emitted } = await scored(models, VALUES, VALUES.slice(1, 2), VALUES.slice(4))
  expect(emitted.map(({ p }) => p['7d_click'])).toEqual([1, 2, 3, 4].map((n) => n / 64))
  expect(models.batches).toEqual([3, 1])
})

it('SC3: two tasks that prepare before either processes are told their own scores', async () => {
  const operator = scorer(countingModels(), 'scores', (touch: Touch) => ({ touch, values: {} }))
  const emitted: number[] = []
  const context = {
    emitJson: (_: string, json: string) => emitted.push(64 * JSON.parse(json).p['7d_click']),
    count: () => {},
  } as unknown as OperatorContext
  const touches = VALUES.filter((value) => 'kind' in value)
  const batches = [touches, touches.slice(1)].map((values) => values.map((value) => recordOf(value, { time: 5 })))
  await Promise.all(batches.map((batch) => operator.prepare!(batch, context)))
  for (const batch of batches.toReversed()) operator.process(batch, context)
  expect(emitted).toEqual([4, 5, 1, 2, 3])
})

it('a record says what was read, whoever it is of and in whatever order it was read', async () => {
  const fingerprintOf = async (touch: Touch, values: Readonly<Record<string, number>> = {}) => {
    const operator = scorer(countingModels(), 'scores', () => ({ touch, values }))
    const records: ScoreRecord[] = []
    const context = { emitJson: (_: string, json: string) => records.push(JSON.parse(json)), count: () => {} }
    const batch = [recordOf(touch, { time: 5 })]
    await operator.prepare!(batch, context as unknown as OperatorContext)
    operator.process(batch, context as unknown as OperatorContext)
    return records[0]!.fingerprint
  }
  const touch = VALUES[0] as Touch
  const own = await fingerprintOf(touch, { a: 1, b: 2 })
  expect(own).toMatch(/^[0-9a-f]{16}$/)
  expect(await fingerprintOf({ ...touch, user: 'other', id: 'other' }, { b: 2, a: 1 })).toBe(own)
  for (const other of [{ a: 1, b: 3 }, { a: 1 }]) expect(await fingerprintOf(touch, other)).not.toBe(own)
  expect(await fingerprintOf({ ...touch, ad: 'y' }, { a: 1, b: 2 })).not.toBe(own)
})

it('models are asked of what was read, at the time at which the touch is processed', async () => {
  const found: Asked[] = []
  const models: ScoringModels = {
    ...{ windows: [], settings: {} },
    async answer(asked) {
      found.push(...asked)
      return asked.map(() => ({ version: 1, name: '1', p: [], expected: [], refused: [] }))
    },
  }
  const touch = VALUES[0] as Touch
  const values = { 'ad.clicks_1h': 7 }
  const operator = scorer(models, 'scores', () => ({ touch, values }))
  // It came late: what holds when it is scored is not what held at its own time.
  await operator.prepare!([recordOf(touch, { time: touch.timeMs, watermark: 70 })], {} as OperatorContext)
  expect(found).toEqual([{ touch, keys: touchKeys(touch, values), at: 71 }])
  expect(touchKeys(touch, values)).not.toEqual(touchKeys(touch))
})

it('what is approximate of a record is what models say of probabilities, and what shadows say; the rest is exact', async () => {
  const exactOf = async (models: ScoringModels, touch: Touch, shadows: readonly ScoringModels[] = []) => {
    const operator = scorer(models, 'scores', () => ({ touch, values: {} }), shadows)
    const texts: string[] = []
    const context = { emitJson: (_: string, json: string) => texts.push(json), count: () => {} } as unknown
    const batch = [recordOf(touch, { time: 5 })]
    await operator.prepare!(batch, context as OperatorContext)
    operator.process(batch, context as OperatorContext)
    const chain = Chain.start('ad', 'scores')
    chain.add(Buffer.from(texts[0]!), 0, Buffer.byteLength(texts[0]!))
    return chain.hex
  }
  const says = (p: number, expected: number, name = 'v'): ScoringModels => ({
    ...{ windows: ['w'], settings: {} },
    answer: async (asked) => asked.map(() => ({ version: 1, name, p: [p], expected: [expected], refused: [] })),
  })
  const [touch, other] = [VALUES[0] as Touch, VALUES[4] as Touch]
  const exact = await exactOf(says(0.25, 0.5), touch)
  expect(await exactOf(says(0.2500001, 0.5), touch)).toBe(exact)
  expect(await exactOf(says(0.25, 0.5000001), touch)).toBe(exact)
  expect(await exactOf(says(0.25, 0.5, 'w'), touch)).not.toBe(exact)
  expect(await exactOf(says(0.25, 0.5), other)).not.toBe(exact)
  const beside = await exactOf(says(0.25, 0.5), touch, [says(0.1, 0.2)])
  expect(await exactOf(says(0.25, 0.5), touch, [says(0.3, 0.4)])).toBe(beside)
})

it('whatever decides scores is in its settings, and so in the fingerprint of the plan', () => {
  const models = (settings: string, ...windows: string[]): ScoringModels => ({ ...countingModels(), settings, windows })
  const settings = (...[own, ...shadows]: [ScoringModels, ...ScoringModels[]]) =>
    JSON.stringify(scorer(own, 'scores', () => null, shadows).settings)
  const all = [
    settings(models('a', 'w')),
    settings(models('b', 'w')),
    settings(models('a', 'v')),
    settings(models('a', 'w'), models('a', 'w')),
    settings(models('a', 'w'), models('b', 'w')),
  ]
  expect(new Set(all).size).toBe(all.length)
})

it('what is only looked at is published beside, and does nothing else, also where it fails; what answered instead of what is counted', async () => {
  const saying = (name: string, version: number, refused: string[]): ScoringModels => ({
    ...{ windows: ['w'], settings: name },
    async answer(asked) {
      const answer = (p: number) => ({ version, name, p: [p], expected: [p + version], refused })
      return asked.map((_, i) => answer(version / 8 + (i + 1) / 64))
    },
  })
  const touches = VALUES.filter((value) => 'kind' in value)
  const run = async (shadows: readonly ScoringModels[]) => {
    const operator = scorer(
      saying('file', 0, ['golden', 'hash']),
      'scores',
      (touch: Touch) => ({ touch, values: {} }),
      shadows,
    )
    const records: ScoreRecord[] = []
    const counts: string[] = []
    const context = {
      emitJson: (_: string, json: string) => records.push(JSON.parse(json)),
      count: (name: string) => counts.push(name),
    } as unknown as OperatorContext
    const batch = touches.map((touch) => recordOf(touch, { time: 5 }))
    await operator.prepare!(batch, context)
    return { out: operator.process(batch, context).map(({ value }) => value), records, counts }
  }
  const looked = [saying('another', 0, []), saying('2', 2, []), saying('3', 3, ['schema'])]
  const [alone, beside] = [await run([]), await run(looked)]
  expect(alone.records.map(({ model_version }) => model_version)).toEqual(touches.map(() => '0'))
  expect([beside.out, beside.counts]).toEqual([alone.out, alone.counts])
  const said = (name: string, version: number, i: number) => {
    const w = version / 8 + (i + 1) / 64
    return { model_version: name, p: { w }, expected: { w: w + version } }
  }
  const shadows = (i: number) => [said('another', 0, i), said('2', 2, i), said('3', 3, i)]
  expect(beside.records).toEqual(alone.records.map((record, i) => ({ ...record, shadows: shadows(i) })))
  const failing: ScoringModels = { ...saying('4', 4, []), answer: () => Promise.reject(new Error('no memory')) }
  const failed = await run([failing, saying('3', 3, [])])
  expect(failed.out).toEqual(alone.out)
  expect(failed.records).toEqual(alone.records.map((record, i) => ({ ...record, shadows: [said('3', 3, i)] })))
  expect(failed.counts.filter((name) => name !== 'shadows_failed')).toEqual(alone.counts)
  expect(failed.counts.length).toBe(alone.counts.length + touches.length)
  const each = ['scores', 'scores_fallback', 'model_refused golden', 'model_refused hash']
  expect(alone.counts).toEqual(touches.flatMap(() => each))
})

it('a score has as many digits as single precision tells apart, rounded as text rounds them', () => {
  expect(inSingle(1 / 3)).toBe(0.333333343)
  expect(Math.fround(inSingle(1 / 3))).toBe(Math.fround(1 / 3))
  const isAsText = (p: number): void => {
    expect(inSingle(p)).toBe(Number(Math.fround(p).toPrecision(9)))
  }
  // Of all numbers from 1e-13 to 1e-2 those that stand so near to a half of the last digit that their product with 1e13 and more is one.
  for (const near of [4.500175055e-5, 7.157173465e-11, 5.997332405e-12, 3.723566865e-13, 1.241188955e-13])
    isAsText(near)
  const any = fc.oneof(fc.float(), fc.double({ min: 0, max: 1 }), fc.double({ min: 0, max: 20 }))
  fc.assert(fc.property(any, isAsText), { numRuns: 5_000 })
})
