// The trainer on rows of a small world: what it publishes and refuses, that it goes on to the bit wherever it is stopped, and what it
// does not learn. Files are asked by the real runtime. Its gates, one by one: operators/trainer-gates.test.ts.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { hashNumber } from '../ml/hash.ts'
import { MODEL_DEFAULTS, saveParts } from '../ml/models.ts'
import { goldenRowsOf, manifestIn } from '../ml/onnx-export.ts'
import { unpackRow } from '../ml/packed-rows.ts'
import { Predictor } from '../ml/progressive.ts'
import { Rows } from '../ml/rows.ts'
import { FEATURES_RELEASE, touchKeys } from '../ml/touch-features.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { runStage, type StageOutcome, type StageRunOptions, type StageStep } from '../test/stage-harness.ts'
import { ADS, FIRST_MS, factsOf, rateOf, type TaughtWorld, taughtRows } from '../test/taught-rows.ts'
import { candidateRefusal, GOLDEN_ERROR_MAX, OnnxModel } from '../topology/models/onnx-model.ts'
import { ATTRIBUTION_DEFAULT } from './attribution-settings.ts'
import { MODELS, type ModelRecord, type TrainingRow } from './model-records.ts'
import { modelWindows } from './model-windows.ts'
import type { Rec } from './operator.ts'
import { type CandidateCheck, trainer } from './trainer.ts'
import type { Sums } from './trainer-gates.ts'
import { TRAINER, type TrainerSettings } from './trainer-settings.ts'
import { LAYERS_KEPT, Trained } from './trainer-state.ts'

const DAY_MS = 86_400_000
const SETTINGS: TrainerSettings = {
  ...{ ...TRAINER, windows: modelWindows(ATTRIBUTION_DEFAULT), model: { ...MODEL_DEFAULTS.ftrl, bits: 8 } },
  ...{ settledRows: 60, keptRowsMax: 50, gates: { ...TRAINER.gates, rowsMin: 50, positivesMin: 5 } },
}
/** Windows' rates as a version that knows nothing else would say them. */
const P = [0.15, 0.15, 0.15, 0.15, 0.15]
/** Candidates are made from the end of the second day on; each holds ten minutes later. */
const liveAt = (timeMs: number): number => Math.max(0, Math.floor((timeMs - FIRST_MS - 600_000) / DAY_MS) - 1)
const WORLD: TaughtWorld = {
  ...{ touches: 480, seed: 5, everyMs: 900_000 },
  scoredBy: (timeMs) => ({ version: liveAt(timeMs), p: P }),
}
const UNTIL_MS = FIRST_MS + 6.2 * DAY_MS
const rowsIn = (world: TaughtWorld) => taughtRows(world).filter(({ at }) => at < UNTIL_MS)
const rowsOfWorld = rowsIn(WORLD)

interface Ran extends StageOutcome {
  readonly models: readonly ModelRecord[]
}

const run = (rows: readonly Rec<TrainingRow>[], ...others: Settings) => runSteps(rows, ...others)

type Settings = [settings?: Partial<TrainerSettings>, options?: StageRunOptions & { readonly check?: CandidateCheck }]

async function runSteps(steps: readonly StageStep[], ...[settings = {}, options = {}]: Settings): Promise<Ran> {
  const { check = candidateRefusal, ...others } = options
  const outcome = await runStage(() => [trainer({ ...SETTINGS, ...settings }, MODELS, check)], steps, {
    ...{ outputs: [MODELS], ...others },
  })
  return { ...outcome, models: outcome.emitted[MODELS] as ModelRecord[] }
}

const whole = await run(rowsOfWorld)
const scratch = mkdtempSync(join(tmpdir(), 'holdfast-trainer-'))
afterAll(() => rmSync(scratch, { recursive: true }))

describe('versions', () => {
  it('TR2: come at multiples of the period, in a row, with their files, to the output and to the next stage', () => {
    const { models, out, blobs, counts } = whole
    const published = models.filter((model) => model.kind === 'published')
    expect(published.length).toBeGreaterThanOrEqual(3)
    // The first multiple at least a period after the first row, and every one of those after it.
    expect(models.map(({ at }) => at)).toEqual(models.map((_, i) => FIRST_MS + (i + 2) * DAY_MS))
    expect(out.map(({ value, at }) => [value, at])).toEqual(models.map((model) => [model, model.at]))
    expect(counts).toMatchObject({ models_published: published.length })
    for (const [
      i,
      { version, parent, sha256, bytes, from, at, rows, firstMs, lastMs, schema },
    ] of published.entries()) {
      expect([version, parent, from]).toEqual([i + 1, i, at + 600_000])
      expect(blobs.get(sha256)!.length).toBe(bytes)
      const before = rowsOfWorld.filter((row) => row.at <= at && isTaught(row.value))
      expect([rows, firstMs, lastMs]).toEqual([before.length, before[0]!.at, before.at(-1)!.at])
      expect(manifestIn(blobs.get(sha256)!)).toMatchObject({ version, parent, schema, learned: rows })
    }
    expect(blobs.size).toBe(published.length)
  })

  it('say of a touch what the state that made them says, within 1e-6, and in order of windows that contain each other', async () => {
    const last = whole.models.findLast(({ kind }) => kind === 'published')!
    const bytes = whole.blobs.get(last.sha256)!
    const manifest = manifestIn(bytes)!
    expect(manifest.windows.map(({ name }) => name)).toEqual(ATTRIBUTION_DEFAULT.windows.map(({ name }) => name))
    const { rows, kinds } = goldenRowsOf(manifest)
    expect(rows.count).toBe(17)
    const model = await OnnxModel.load(bytes, last.sha256)
    const { p } = await model.score(rows, kinds)
    const told = manifest.golden.flatMap((row) => row.p)
    for (const [i, one] of told.entries()) expect(Math.abs(one - p[i]!)).toBeLessThan(GOLDEN_ERROR_MAX)
    for (const [row, kind] of kinds.entries())
      for (const [outer, { [kind]: within }] of manifest.windows.entries())
        for (const inner of within ?? []) expect(p[5 * row + outer]!).toBeGreaterThanOrEqual(p[5 * row + inner]!)
    await model.close()
  })

  it('say the rates that touches have, late conversions and all', async () => {
    // Nobody has scored them: what is told of versions' words here is not theirs, and calibration would follow it (TS4).
    const scoredBy: TaughtWorld['scoredBy'] = () => ({ version: 0, p: P })
    const world = { ...WORLD, touches: 6_000, everyMs: 86_400, scoredBy }
    const rows = rowsIn(world)
    const { models, blobs } = await run(rows, { model: { ...MODEL_DEFAULTS.ftrl, bits: 12 }, settledRows: 1_000 })
    const last = models.findLast(({ kind }) => kind === 'published')!
    const model = await OnnxModel.load(blobs.get(last.sha256)!)
    const asked = new Rows()
    const hours = Array.from({ length: 24 }, (_, hour) => FIRST_MS + hour * 3_600_000)
    for (let ad = 0; ad < ADS; ad++)
      for (const timeMs of hours) asked.push(touchKeys({ ...factsOf(ad), type: 'click', timeMs }))
    const kinds = Array.from({ length: asked.count }, () => 'click' as const)
    const { p } = await model.score(asked, kinds)
    // Within 7 days of a click all come that come.
    const said = Array.from({ length: ADS }, (_, ad) => sum(hours.map((_, hour) => p[5 * (24 * ad + hour) + 1]!)) / 24)
    const rates = said.map((_, ad) => rateOf(ad))
    expect(Math.abs(sum(said) / sum(rates) - 1)).toBeLessThan(0.15)
    for (const [ad, rate] of rates.entries()) expect(Math.abs(said[ad]! - rate)).toBeLessThan(0.02 + 0.25 * rate)
    await model.close()
  })

  it('are not made of nothing new, nor at a drain', async () => {
    const first = rowsOfWorld.filter(({ at }) => at < FIRST_MS + DAY_MS)
    const { models } = await run([...first], {}, { drain: FIRST_MS + 30 * DAY_MS })
    expect(models).toEqual([])
    const later = { ...rowsOfWorld.at(-1)!, at: FIRST_MS + 40 * DAY_MS, watermark: FIRST_MS + 40 * DAY_MS - 1 }
    const gap = await run([...first, later])
    expect(gap.models.map(({ at }) => at)).toEqual([FIRST_MS + 2 * DAY_MS])
    const after = { ...later, at: FIRST_MS + 42 * DAY_MS, watermark: FIRST_MS + 42 * DAY_MS - 1, number: 9e6 }
    const twice = await run([...first, later, after])
    expect(twice.models.map(({ at }) => at)).toEqual([FIRST_MS + 2 * DAY_MS, FIRST_MS + 40 * DAY_MS])
  })

  it('have as parent the one that scored the newest touch, once touches came that it could have scored', async () => {
    const scoredBy = (version: number) => (timeMs: number) => ({
      version: timeMs < FIRST_MS + 2.1 * DAY_MS ? 0 : version,
      p: P,
    })
    const parents = async (version: number) =>
      (await run(rowsIn({ ...WORLD, scoredBy: scoredBy(version) }))).models.map(({ parent }) => parent)
    // Somebody went on to version 9 by hand: what rows say counts.
    expect((await parents(9)).slice(0, 3)).toEqual([0, 9, 9])
  })

  it('begin with what a file has learned, and keep that where no row comes to it', async () => {
    const { windows } = SETTINGS.windows
    const window = '1d_view'
    const predictor = new Predictor(SETTINGS.model, 'elapsed-time', windows[3]!)
    const rows = new Rows()
    unpackRow(rowsOfWorld.find(({ value }) => value.input !== null)!.value.input!, rows)
    for (let i = 0; i < 400; i++) predictor.learner.told('O', rows, 0, 1)
    const about = { window, policy: 'elapsed-time', featuresRelease: FEATURES_RELEASE }
    const start = [{ window, sha256: 'x', bytes: saveParts(about, predictor.parts) }]
    const clicks = rowsOfWorld.filter(({ value }) => value.touchType === 'click').slice(0, 120)
    const warm = await run(clicks, { start }, { recordsPerSlice: 9, restartEvery: 2 })
    expect(warm).toEqual(await run(clicks, { start }))
    // Each block that the file has is there, beside those that rows have made.
    const keys = ({ dump }: Ran) => dump.flatMap((line) => line.match(/"1d_view (model|late) \d+/)?.[0] ?? [])
    expect(keys(warm).length).toBeGreaterThan(2)
    expect(keys(await run(clicks))).toEqual([])
    await expect(run(clicks, { start: [{ ...start[0]!, window: '1d_click' }] })).rejects.toThrow(/asked for/)
    await expect(run(clicks, { start: [{ ...start[0]!, window: 'none' }] })).rejects.toThrow(/no window none/)
  })
})

const isTaught = ({ kind, lanes }: TrainingRow): boolean => kind !== 'M' || lanes.some(({ y }) => y === 1)

describe('TR1: a trainer that is stopped', () => {
  it.each([1, 7, 128])('between slices of %i rows at most is the one that never was, to the bit', async (most) => {
    for (const mode of ['online', 'recurring'] as const) {
      const rows = rowsOfWorld.slice(0, most === 1 ? 300 : rowsOfWorld.length)
      const restartEvery = { 1: 37, 7: 11 }[most] ?? 1
      const cut = await run(rows, { mode }, { sliceMax: 5, recordsPerSlice: most, restartEvery })
      expect(cut).toEqual(await run(rows, { mode }))
    }
  })

  it('at random rows, on RocksDB, as well', async () => {
    const options = (seed: number): StageRunOptions => ({
      backend: () => openRocksBackend(join(scratch, String(seed))),
      ...{
        recordsPerSlice: 20 + ((hashNumber(seed, 9) >>> 0) % 90),
        restartEvery: 1 + ((hashNumber(seed, 10) >>> 0) % 4),
      },
    })
    for (const seed of [1, 2]) expect(await run(rowsOfWorld, {}, options(seed))).toEqual(whole)
  })

  it('between two timers of one moment as well', async () => {
    for (const mode of ['online', 'recurring'] as const) {
      const steps = rowsOfWorld.flatMap((rec) => [rec.watermark, rec])
      const cut = await runSteps(steps, { mode }, { restartBetweenTimers: true })
      expect(cut).toEqual(await run(rowsOfWorld, { mode }))
    }
  })

  it('keeps its versions whatever the checkpoints', async () => {
    for (const keptRowsMax of [7, 100_000]) {
      const other = await run(rowsOfWorld, { keptRowsMax }, { recordsPerSlice: 40, restartEvery: 3 })
      expect([other.models, other.blobs]).toEqual([whole.models, whole.blobs])
    }
  })
})

describe('recurring', () => {
  it('learns the rows of a period at its end, in an order that the seed decides', async () => {
    const [one, again, other] = await Promise.all(
      [1, 1, 2].map((seed) => run(rowsOfWorld, { mode: 'recurring', seed, keptRowsMax: 10_000 })),
    )
    expect(again).toEqual(one)
    expect(other!.models.map(({ sha256 }) => sha256)).not.toEqual(one!.models.map(({ sha256 }) => sha256))
    // Rows of the first period were said before anything was learned of them.
    const online = whole.models[0]!
    expect(one!.models[0]!.rows).toBe(online.rows)
    expect(one!.models[0]!.metrics.touches).toBeLessThan(online.metrics.touches)
  })

  it('learns what it has gathered where that becomes too much', async () => {
    const few = await run(rowsOfWorld, { mode: 'recurring', keptRowsMax: 10 })
    const many = await run(rowsOfWorld, { mode: 'recurring', keptRowsMax: 10_000 })
    expect(few.models[0]!.metrics.touches).toBeGreaterThan(many.models[0]!.metrics.touches)
  })
})

it('TS4: calibration is fitted to what versions said of touches, and knows the newest of them', async () => {
  const offsetWith = async (said: number): Promise<number> => {
    const scoredBy: TaughtWorld['scoredBy'] = (timeMs) => ({ version: liveAt(timeMs), p: P.map(() => said) })
    const gates = { ...SETTINGS.gates, calibration: [0.01, 100], entropyRise: 100 } as const
    const rows = rowsIn({ ...WORLD, touches: 6_000, everyMs: 86_400, scoredBy })
    const { models, blobs } = await run(rows, { gates })
    const { windows } = manifestIn(blobs.get(models.findLast(({ kind }) => kind === 'published')!.sha256)!)!
    return windows[1]!.calibration.b
  }
  // Whoever promised more has to promise less.
  expect(await offsetWith(0.4)).toBeLessThan((await offsetWith(0.1)) - 0.5)
  const trained = new Trained(SETTINGS)
  for (let version = 1; version <= LAYERS_KEPT + 1; version++) trained.published(version, 100 * version)
  expect([trained.head.layers.length, trained.head.layers[0]!.version]).toEqual([LAYERS_KEPT, 2])
})

describe('what is not learned', () => {
  const versions = (ran: Ran) => ran.models.map(({ sha256 }) => sha256)
  const with_ = (rows: readonly Rec<TrainingRow>[], more: readonly Rec<TrainingRow>[]) =>
    [...rows, ...more].sort((a, b) => a.at - b.at || a.number - b.number)
  const also = (change: (row: TrainingRow) => TrainingRow | null) =>
    rowsOfWorld.flatMap((rec): Rec<TrainingRow>[] => {
      const value = rec.value.kind === 'O' ? change(rec.value) : null
      return value === null ? [] : [{ ...rec, value, number: rec.number + 1e6 }]
    })

  it('TR4: incomplete rows, corrections, refunds, and M rows of touches that did not convert', async () => {
    for (const [name, change] of [
      ['incomplete', (row: TrainingRow) => ({ ...row, complete: false })],
      ['silent', (row: TrainingRow) => ({ ...row, kind: 'C' as const })],
      ['silent', (row: TrainingRow) => ({ ...row, kind: 'R' as const })],
      [
        'silent',
        (row: TrainingRow) => (row.lanes.some(({ y }) => y === 1) ? null : { ...row, kind: 'M' as const, input: null }),
      ],
    ] as const) {
      const more = also(change)
      const ran = await run(with_(rowsOfWorld, more))
      expect(versions(ran)).toEqual(versions(whole))
      const had = whole.counts[`training_rows_${name}`] ?? 0
      expect(ran.counts[`training_rows_${name}`]).toBe(had + more.length)
    }
  })

  it('TR3: rows that the fallback scored since a version did; before that all of them teach', async () => {
    const more = rowsOfWorld.flatMap((rec): Rec<TrainingRow>[] =>
      rec.value.version === 0 ? [] : [{ ...rec, value: { ...rec.value, version: 0 }, number: rec.number + 1e6 }],
    )
    const beside = await run(with_(rowsOfWorld, more))
    expect(versions(beside)).toEqual(versions(whole))
    expect(beside.counts.training_rows_fallback).toBe(more.filter(({ value }) => isTaught(value)).length)
    expect(whole.counts.training_rows_fallback).toBeUndefined()
    // Nobody could have scored them: a published version that does not come to score must not end all learning.
    const never = await run(rowsIn({ ...WORLD, scoredBy: () => ({ version: 0, p: P }) }))
    expect(never.models.length).toBe(whole.models.length)
    expect(never.models.at(-1)!.rows).toBe(whole.models.at(-1)!.rows)
  })

  it.each([
    ['first of those that a version scored', 0.1],
    ['behind others', 4],
  ])('TS5: nothing more where a touch comes days late, %s', async (_, hoursLater) => {
    const heldFrom = FIRST_MS + 2 * DAY_MS + 600_000
    const at = heldFrom + hoursLater * 3_600_000
    const late = rowsOfWorld.find(({ value }) => value.kind === 'O' && value.touchTimeMs > FIRST_MS + 0.5 * DAY_MS)!
    const value = { ...late.value, version: 1, p: P, touchId: 'late' }
    const { counts } = await run(with_(rowsOfWorld, [{ ...late, at, watermark: at - 1, value, number: 1e6 }]))
    const isOfBefore = ({ at: each, value }: Rec<TrainingRow>) => each > at && value.kind === 'D' && value.version === 0
    expect(rowsOfWorld.filter(isOfBefore).length).toBeGreaterThan(3)
    expect(counts).toMatchObject({ training_rows_used: whole.counts.training_rows_used! + 1 })
    expect(counts.training_rows_fallback).toBeUndefined()
  })

  it('TS3: a row before it is scored: turned around, its label changes nothing that is said of it', async () => {
    const place = rowsOfWorld.findIndex(
      ({ value: { kind, touchType }, at }) => kind === 'O' && touchType === 'click' && at > FIRST_MS + 1.5 * DAY_MS,
    )
    const [before, rec] = [rowsOfWorld.slice(0, place), rowsOfWorld[place]!]
    const labelled = (y: 0 | 1) => {
      const lanes = rec.value.lanes.map((lane) => ({ ...lane, y, count: y }))
      return { ...rec, value: { ...rec.value, lanes } }
    }
    const [none, negative, positive] = [
      ...[await sumsAfter(before), await sumsAfter([...before, labelled(0)])],
      await sumsAfter([...before, labelled(1)]),
    ] as [Sums, Sums, Sums]
    const p = ({ said, weight }: Sums) => (said - none.said) / (weight - none.weight)
    expect([negative.touches - none.touches, positive.positives - none.positives]).toEqual([1, 1])
    expect(p(positive)).toBeCloseTo(p(negative), 9)
    expect(p(positive)).toBeGreaterThan(0)
    // Learned afterwards, it does change what is said of the same touch.
    const twice = await sumsAfter([...before, labelled(1), { ...labelled(1), number: rec.number + 1e6 }])
    expect(twice.said - positive.said).toBeGreaterThan(p(positive) * 1.05)
  })
})

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

/** The sums that are kept after rows. */
async function sumsAfter(rows: readonly Rec<TrainingRow>[]): Promise<Sums> {
  const { dump } = await run(rows, { keptRowsMax: 1 })
  const head = dump.map((line) => JSON.parse(line) as string[]).find(([, , key]) => key === 'head')!
  return JSON.parse(Buffer.from(head.at(-1)!, 'base64').toString('utf8')).sums
}

describe('a candidate that is refused', () => {
  it('leaves a record that says why, no file, and the version number for the next', async () => {
    let asked = 0
    const check: CandidateCheck = async () => (++asked === 2 ? { reason: 'golden', detail: 'row 3' } : null)
    // Of versions that rows tell of the first goes on to score.
    const scoredBy: TaughtWorld['scoredBy'] = (timeMs) => ({ version: Math.min(1, liveAt(timeMs)), p: P })
    const { models, blobs } = await run(rowsIn({ ...WORLD, scoredBy }), {}, { check })
    expect(models[1]).toMatchObject({ kind: 'refused', reason: 'golden', detail: 'row 3', parent: 1 })
    expect(blobs.has(models[1]!.sha256)).toBe(false)
    const published = models.filter((model) => model.kind === 'published')
    expect(published.map(({ version, parent }) => [version, parent]).slice(0, 2)).toEqual([
      [1, 0],
      [2, 1],
    ])
  })

  it('for too few rows is judged by all of them next time', async () => {
    const gates = { ...SETTINGS.gates, rowsMin: 150 }
    const { models } = await run(rowsOfWorld, { gates })
    expect(models[0]).toMatchObject({ kind: 'refused', reason: 'too few rows', sha256: '', bytes: 0 })
    expect(models[1]!.metrics.touches).toBeGreaterThan(models[0]!.metrics.touches)
  })
})
