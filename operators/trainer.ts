// The trainer: rows that teach become models, and models that are found sound become versions (docs/model-loop.md).
// TR1: its state, and so its versions, follow from the rows in their order and their times, however they came in slices; a restart at
//      any row goes on to the bit (operators/trainer-state.ts).
// TR2: at each multiple of the period of event time a candidate is made of what was learned, if anything was since the last; it leaves
//      a record, published or refused with the reason. Equal rows give equal bytes.
// TR3: a row that the fallback scored teaches nothing and is in no metric, but for touches that came before a version could have scored
//      them (TS5, operators/trainer-state.ts): of those everything is learned, as nobody else could have answered.
// TR4: of C rows nothing is learned that D did not say; refunds (R) change nothing of whether a touch converts; of M rows those that
//      converted say how often. What is incomplete is not used.
// Which sums and gates: operators/trainer-gates.ts. Who brings a version to those that score: topology/feedback.ts, model-keeper.ts.

import { createHash } from 'node:crypto'
import { assert } from '../log/errors.ts'
import { exportOnnx } from '../ml/onnx-export.ts'
import { FEATURES_RELEASE, schemaHash } from '../ml/touch-features.ts'
import type { ModelRecord, ModelVersion, TrainingRow } from './model-records.ts'
import { emittedBy, type FiredTimer, type Operator, type OperatorContext, RANK, type TimerCause } from './operator.ts'
import { metricsOf, noSums, type Refusal, refusedBy, tooFew, weightNormOf } from './trainer-gates.ts'
import { checkTrainerSettings, type TrainerSettings } from './trainer-settings.ts'
import { CHECKPOINT, type Head, ROWS, Trained } from './trainer-state.ts'

/** Asks the runtime that will score whether a file is sound; null: it is. A function of the bytes. */
export type CandidateCheck = (bytes: Uint8Array) => Promise<Refusal | null>

/** Timers, in the order in which they fire: what was gathered is learned before a candidate is made of it. */
const KINDS = { lot: 'lot', candidate: 'candidate' } as const

/** `bytes` null: there were too few rows to make one. */
interface Candidate {
  readonly bytes: Uint8Array | null
  readonly weightNorm: number
  readonly refusal: Refusal | null
}

/** Learns rows, publishes versions to `output` and to the next stage. */
export function trainer(
  settings: TrainerSettings,
  output: string,
  check: CandidateCheck,
): Operator<TrainingRow, ModelRecord> {
  checkTrainerSettings(settings)
  const { periodMs, mode, start, ...others } = settings
  /** By the stores that they are kept in: tasks share their operators, and a task that begins again has other stores. */
  const trainedIn = new WeakMap<object, Trained>()
  const prepared = new WeakMap<Trained, Candidate>()
  const taught = modelled(settings)

  function trainedOf(ctx: OperatorContext): Trained {
    const store = ctx.keyed(CHECKPOINT.name)
    const trained = trainedIn.get(store) ?? new Trained(settings)
    trainedIn.set(store, trained)
    return trained
  }

  function setTimers(at: number, cause: TimerCause, ctx: OperatorContext): void {
    const dueMs = Math.ceil(at / periodMs) * periodMs
    for (const kind of mode === 'recurring' ? [KINDS.lot, KINDS.candidate] : [KINDS.candidate])
      ctx.setTimer({ dueMs, kind, key: '', payload: null }, cause)
  }

  return {
    name: 'trainer',
    version: 3,
    settings: { ...others, periodMs, mode, start: start.map(({ window, sha256 }) => [window, sha256]), output },
    stores: [CHECKPOINT, ROWS],
    timers: { kinds: Object.values(KINDS), delayMinMs: periodMs },
    keys: (_, ctx) => trainedOf(ctx).want(ctx),
    process(batch, ctx) {
      const trained = trainedOf(ctx)
      trained.open(ctx)
      for (const rec of batch) {
        const why = taught(rec.value, trained.head)
        ctx.count(`training_rows_${why}`)
        if (why !== 'used') continue
        // The first candidate has learned for a period at least.
        if (trained.head.rows === 0) setTimers(rec.at + periodMs, rec, ctx)
        trained.take({ at: rec.at, row: rec.value }, ctx)
      }
      trained.keep(ctx)
      return []
    },
    timerKeys: (_, ctx) => trainedOf(ctx).want(ctx),
    prepareTimer({ kind }, ctx) {
      const trained = trainedOf(ctx)
      trained.open(ctx)
      if (kind !== KINDS.candidate || !isAsked(trained, ctx)) return null
      const candidate = candidateOf(trained, settings)
      prepared.set(trained, candidate)
      // What is refused already need not be asked.
      if (candidate.refusal !== null || candidate.bytes === null) return null
      return check(candidate.bytes).then((refusal) => {
        prepared.set(trained, { ...candidate, refusal })
      })
    },
    onTimer(timer, ctx) {
      // Nothing that comes would be scored by it, and time would not end.
      if (ctx.drainedAt !== null) return []
      const trained = trainedOf(ctx)
      if (timer.kind === KINDS.lot) {
        trained.endLot()
        trained.checkpoint(ctx)
        return []
      }
      setTimers(timer.dueMs + 1, { at: timer.dueMs, rank: RANK.timer, number: timer.number, late: false }, ctx)
      if (!isAsked(trained, ctx)) return []
      const candidate = prepared.get(trained)
      assert(candidate !== undefined, 'a candidate is prepared before its timer fires')
      prepared.delete(trained)
      const record = decided(trained, candidate, timer, settings, ctx)
      trained.checkpoint(ctx)
      ctx.count(`models_${record.kind}`)
      ctx.emit(output, record, { input: 0 })
      return [emittedBy(timer, record, { type: 'model', id: '' })]
    },
  }
}

/** Whether a row is used, and why not (TR3, TR4). */
function modelled({ windows }: TrainerSettings) {
  const isOurs = ({ window }: TrainingRow['lanes'][number]): boolean => windows.configured.includes(window)
  return ({ kind, complete, version, touchTimeMs, lanes }: TrainingRow, { firstScoredMs }: Head) => {
    if (kind === 'C' || kind === 'R') return 'silent'
    if (!complete) return 'incomplete'
    if (!lanes.some((lane) => isOurs(lane) && (kind !== 'M' || lane.y === 1))) return 'silent'
    return version === 0 && firstScoredMs !== null && touchTimeMs >= firstScoredMs ? 'fallback' : 'used'
  }
}

/** TR2. */
const isAsked = ({ head }: Trained, { drainedAt }: OperatorContext): boolean =>
  drainedAt === null && head.rows > head.asked

/** The version that scores at a time, as far as rows tell: what scored the newest touch, unless that came before the last one held. */
function liveAt({ published, scored }: Head): number {
  if (published === null || (scored !== null && scored.timeMs >= published.from)) return scored?.version ?? 0
  return published.version
}

/** TR2. What was learned so far as a file, and what the gates say against it. */
function candidateOf(trained: Trained, settings: TrainerSettings): Candidate {
  const { head, models } = trained
  const { goal, vector, gates } = settings
  const few = tooFew(gates, head.sums)
  if (few !== null) return { bytes: null, weightNorm: 0, refusal: few }
  const forms = models.forms()
  const facts = {
    ...{ ...(goal !== undefined && { goal }), features: FEATURES_RELEASE, vector, fallback: models.fallback.table() },
    ...{ version: (head.published?.version ?? 0) + 1, parent: liveAt(head), learned: head.rows },
  }
  const bytes = exportOnnx(forms, facts, trained.golden())
  return { bytes, weightNorm: weightNormOf(forms), refusal: refusedBy(gates, head.sums, forms) }
}

/** Publishes a candidate or says why not; sums begin anew, unless there were too few. */
function decided(
  trained: Trained,
  { bytes, weightNorm, refusal }: Candidate,
  { dueMs: at }: FiredTimer,
  { vector, activationDelayMs }: TrainerSettings,
  ctx: OperatorContext,
): ModelRecord {
  const { head } = trained
  const { rows, firstMs, lastMs, sums } = head
  const sha256 = bytes === null ? '' : createHash('sha256').update(bytes).digest('hex')
  const version: Omit<ModelVersion, 'version'> = {
    ...{
      parent: liveAt(head),
      sha256,
      bytes: bytes?.length ?? 0,
      schema: schemaHash({ features: FEATURES_RELEASE, vector }),
    },
    ...{ rows, firstMs, lastMs, metrics: metricsOf(sums, weightNorm) },
  }
  head.asked = rows
  if (refusal?.reason !== 'too few rows') head.sums = noSums()
  if (refusal !== null) return { kind: 'refused', at, ...refusal, ...version }
  assert(bytes !== null, 'what passes is there')
  const from = at + activationDelayMs
  const number = (head.published?.version ?? 0) + 1
  trained.published(number, from)
  assert(ctx.blob(bytes) === sha256, 'a file is kept under its hash')
  return { kind: 'published', at, from, ...version, version: number }
}
