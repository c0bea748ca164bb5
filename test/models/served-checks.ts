// What is held against a run that served models while it learned them (test/models/served-world.ts): how good what was served was, that
// its versions were trained on the rows that it logged, and that scores are what the versions' files say.
// SE1: entropy and calibration are by what touches will have done when all windows are over, which the world knows.

import { openBroker } from '../../cli/broker.ts'
import { type Figures, figuresOfRows } from '../../ml/evaluation.ts'
import { FTRL } from '../../ml/ftrl.ts'
import { Rows } from '../../ml/rows.ts'
import { touchKeys } from '../../ml/touch-features.ts'
import type { ModelRecord } from '../../operators/model-records.ts'
import { FALLBACK_VERSION } from '../../operators/scorer.ts'
import { GOLDEN_ERROR_MAX, OnnxModel } from '../../topology/models/onnx-model.ts'
import { modelBucketName } from '../../topology/streams.ts'
import { DAY_MS, DAYS, type World } from './drift-world.ts'
import { saidBy, stepsOf } from './policies.ts'
import type { Retrained } from './retrained.ts'
import { FIRST_MS, factsOf, type ServedRun, WINDOW } from './served-world.ts'

const WEEK_MS = 7 * DAY_MS
/** Of row P3 of what issue 6 is built on. */
const FALL_MIN = 0.1
const CALIBRATION = { min: 0.95, max: 1.05 }
/** Scores asked of their files. */
const SAMPLE = 1_000
/** Namespace of a run that names none. */
const NAMESPACE = 'run'

export interface Span {
  readonly name: string
  readonly served: Figures
  readonly truth: Figures
  /** By elapsed-time sampling, calibrated, without a stream around it (test/models/drift.ts). */
  readonly policy: Figures
}

export interface Quality {
  /** Touches before the first version, then weeks of those that versions scored. */
  readonly weeks: readonly Span[]
  readonly secondHalf: Span
  /** Touches of the second half that rates answered for. */
  readonly fallbackLate: number
  /** How much lower the entropy of what is served is in the second half than at the cold start, as a share of that. */
  readonly fall: number
  /** The same, beside what was said at the cold start of the same touches of the second half: the world's rate falls as well. */
  readonly fallOfSame: number
  /** Of what the truth tells in the second half beyond a rate alone (entropy 1), the share that is served. */
  readonly told: number
  readonly faults: readonly string[]
}

const isMain = (version: string): boolean => version !== String(FALLBACK_VERSION)

/** How good what was served was. */
export function qualityOf({ world, scores }: Pick<ServedRun, 'world' | 'scores'>): Quality {
  const { timesMs, converted: y, truth } = world
  const p = Float64Array.from(scores, (score) => score.p[WINDOW]!)
  const policy = saidBy(world, stepsOf(world), FTRL, 'elapsed-time').served
  const span = (name: string, rows: readonly number[]): Span => {
    const of = (said: Float64Array) => figuresOfRows({ p: said, y }, rows)
    return { name, served: of(p), truth: of(truth), policy: of(policy) }
  }
  const touches = [...timesMs.keys()]
  const main = touches.filter((i) => isMain(scores[i]!.version))
  const first = main[0] ?? touches.length
  const weeks = Map.groupBy(main, (i) => Math.floor(timesMs[i]! / WEEK_MS))
  const isLate = (i: number) => timesMs[i]! >= (DAYS * DAY_MS) / 2
  const cold = span('cold start', touches.slice(0, first))
  const secondHalf = span('second half', main.filter(isLate))
  const unlearned = figuresOfRows({ p: p.map(() => p[0]!), y }, main.filter(isLate))
  const { normalisedEntropy: entropy, calibration } = secondHalf.served
  const fall = 1 - entropy / cold.served.normalisedEntropy
  const fallOfSame = 1 - entropy / unlearned.normalisedEntropy
  return {
    weeks: [cold, ...[...weeks].map(([week, rows]) => span(`week ${week + 1}`, rows))],
    ...{ secondHalf, fallbackLate: touches.filter((i) => isLate(i) && !isMain(scores[i]!.version)).length },
    ...{ fall, fallOfSame, told: (1 - entropy) / (1 - secondHalf.truth.normalisedEntropy) },
    // Turned around, so that NaN is a fault.
    faults: [
      ...(fall >= FALL_MIN && fallOfSame >= FALL_MIN
        ? []
        : [`the entropy of what is served falls by ${fall}, of the same touches ${fallOfSame}, not ${FALL_MIN}`]),
      ...(calibration >= CALIBRATION.min && calibration <= CALIBRATION.max
        ? []
        : [`calibration of the second half is ${calibration}`]),
    ],
  }
}

/** Whether the trainer, outside the stream, decides as it did in it; says what differs. */
export function trainingFaults(models: readonly ModelRecord[], again: Pick<Retrained, 'models'>): readonly string[] {
  const text = (record: ModelRecord | undefined) =>
    record === undefined ? 'nothing' : `${record.kind} ${record.at} ${record.sha256}`
  const published = models.filter(({ kind }) => kind === 'published').length
  return [
    ...(published > 0 ? [] : ['no version was published']),
    ...Array.from({ length: Math.max(models.length, again.models.length) }, (_, i) => i)
      .filter((i) => text(models[i]) !== text(again.models[i]))
      .map((i) => `candidate ${i + 1}: ${text(models[i])} in the run, ${text(again.models[i])} from its rows`),
  ]
}

/** Whether each touch was scored by the newest version that held when it came; says which were not. */
export function liveFaults({
  world,
  scores,
  models,
}: Pick<ServedRun, 'world' | 'scores' | 'models'>): readonly string[] {
  const published = models.filter((model) => model.kind === 'published')
  return [...scores.entries()].flatMap(([i, { version }]) => {
    const live = published.findLast(({ from }) => from <= FIRST_MS + world.timesMs[i]!)?.version ?? FALLBACK_VERSION
    return String(live) === version ? [] : [`touch ${i} was scored by version ${version}, not ${live}`]
  })
}

export interface Asked {
  /** Scores that were asked of their files, and those of them whose file the run's bucket still had. */
  readonly scores: number
  readonly inBucket: number
  readonly differMost: number
  readonly faults: readonly string[]
}

/** Touches that versions scored, evenly over all of them: what the file of each says of it. `kept`: in the bucket; `files`: made again. */
export async function askedOfFiles(
  { world, scores, models }: Pick<ServedRun, 'world' | 'scores' | 'models'>,
  kept: ReadonlyMap<string, Uint8Array>,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<Asked> {
  const main = [...scores.keys()].filter((i) => isMain(scores[i]!.version))
  const sample = main.filter(
    (_, i) => Math.floor((i * SAMPLE) / main.length) !== Math.floor(((i - 1) * SAMPLE) / main.length),
  )
  const faults: string[] = []
  let [inBucket, differMost] = [0, 0]
  for (const [version, touches] of Map.groupBy(sample, (i) => scores[i]!.version)) {
    const record = models.find((model) => model.kind === 'published' && String(model.version) === version)
    const bytes = kept.get(record?.sha256 ?? '') ?? files.get(record?.sha256 ?? '')
    if (record === undefined || bytes === undefined) {
      faults.push(`version ${version} has no file`)
      continue
    }
    if (kept.has(record.sha256)) inBucket += touches.length
    const model = await OnnxModel.load(bytes, record.sha256)
    const rows = new Rows()
    for (const i of touches) rows.push(keysOf(world, i))
    const { p, count } = await model.score(
      rows,
      touches.map(() => 'click'),
    )
    await model.close()
    for (const [place, i] of touches.entries()) {
      for (const [own, said] of [
        [scores[i]!.p[WINDOW]!, p[place]!],
        [scores[i]!.expected[WINDOW]!, count[place]!],
      ] as const) {
        const off = Math.abs(own - said)
        differMost = Math.max(differMost, off)
        if (!(off <= GOLDEN_ERROR_MAX)) faults.push(`touch ${i}: ${own} served, ${said} by version ${version}`)
      }
    }
  }
  return { scores: sample.length, inBucket, differMost, faults }
}

/** Files in the bucket of the run's log, by SHA-256: those of the newest versions. */
export async function keptFiles({ data }: Pick<ServedRun, 'data'>): Promise<Map<string, Uint8Array>> {
  const options = { nats: undefined, storeDir: `${data}/nats`, name: 'served', mappings: {}, say: () => undefined }
  const broker = await openBroker(options)
  try {
    const bucket = modelBucketName(NAMESPACE)
    const kept = new Map<string, Uint8Array>()
    for (const name of await broker.log.blobNames(bucket)) kept.set(name, (await broker.log.getBlob(bucket, name))!)
    return kept
  } finally {
    await broker.close()
  }
}

/** As the scorer reads a touch of the world. */
function keysOf(world: World, i: number): number[] {
  return touchKeys({ ...factsOf(world, i), type: 'click', timeMs: FIRST_MS + world.timesMs[i]! })
}
