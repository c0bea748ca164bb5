// Runs a chain of operators as one stage: through the real pipeline, on the stores of a task over a simulated disk, with caches of
// a few entries. For operators that set timers, and for what several operators do together.
// SH1: nothing that it says may depend on sliceMax, recordsPerSlice or restartEvery: compare runs that differ in these (sameHoweverCut).
// One operator alone, and which keys it touches: test/operator-harness.ts. Whole topologies: test/simulation/.

import fc from 'fast-check'
import { expect } from 'vitest'
import { assert } from '../log/errors.ts'
import { joinRecords } from '../log/frame.ts'
import type { Operator, OperatorContext, OperatorSettings, Rec } from '../operators/operator.ts'
import type { Backend } from '../state/backend.ts'
import { MemoryDisk } from '../state/memory-backend.ts'
import { TaskState } from '../state/task-state.ts'
import { type Stream, topology } from '../topology/dsl.ts'
import { type KeptBlobs, Outgoing } from '../topology/outgoing.ts'
import { HELD, Pipeline, TIMERS } from '../topology/pipeline.ts'
import type { StagePlan } from '../topology/plan.ts'
import { Tally } from '../topology/tally.ts'

// biome-ignore lint/suspicious/noExplicitAny: a chain of several types; a joint that does not fit shows when it runs
type Chain = readonly Operator<any, any>[]
/** A record with the watermark before it (below its own time), or a watermark that the input passes. */
export type StageStep = Rec<unknown> | number

export interface StageRunOptions {
  /** Names of the outputs that the operators emit to. */
  readonly outputs?: readonly string[]
  /** Records of one batch of the pipeline, at most. */
  readonly sliceMax?: number
  /** Records that the pipeline gets at once. Not given: all up to the next watermark. */
  readonly recordsPerSlice?: number
  /** After so many slices: commit, close, and open again with new operators. Not given: never. */
  readonly restartEvery?: number
  /** Also commit, close and open again after each batch of timers on the way to a watermark, as a task may (T6, topology/task.ts). */
  readonly restartBetweenTimers?: boolean
  /** The input ends: all timers fire, and operators are told this drainedAt. Not given: it only pauses. */
  readonly drain?: number
  /** What operators are told by configured(). Not given: what they were made with holds. */
  readonly configured?: (at: number) => OperatorSettings
  /** What operators are told by model(). Not given: there is none. */
  readonly model?: OperatorContext['model']
  /** Files that are kept already, by SHA-256 (hex); those that operators keep come to them. Not given: none. */
  readonly blobs?: KeptBlobs
  /** Opens what the state is in, again after each restart. Not given: a simulated disk. */
  readonly backend?: () => Promise<Backend>
}

export interface StageOutcome {
  /** What came out at the last operator. */
  readonly out: readonly Rec<unknown>[]
  /** By output. */
  readonly emitted: Readonly<Record<string, readonly unknown[]>>
  readonly counts: Readonly<Record<string, number>>
  readonly highs: Readonly<Record<string, number>>
  /** Files that were kept, by SHA-256 (hex). */
  readonly blobs: KeptBlobs
  /** What is left in the stores, timers as well, with their settings, as lines of text. */
  readonly dump: readonly string[]
}

/** So small that entries leave memory all the time. */
const SMALL = { keyedCacheEntries: 4, queueMemoryEntries: 8 }

/** `chain` makes the operators, anew after each restart: what they keep outside their stores is lost. */
export async function runStage(
  chain: () => Chain,
  steps: readonly StageStep[],
  options: StageRunOptions = {},
): Promise<StageOutcome> {
  const run = new StageRun(chain, options)
  await run.open()
  for (const slice of slicesOf(steps, options.recordsPerSlice ?? steps.length)) await run.slice(slice)
  if (options.drain !== undefined) await run.drain(options.drain)
  return run.outcome()
}

/** Of random input: enough for every edge of the small settings that tests of operators have. */
const RUNS = 30

/** Runs random records at once, and in slices with commits and restarts: all has to be the same (SH1), and right, as `judge` finds. */
export async function sameHoweverCut<T>(
  chain: () => Chain,
  randomRecords: fc.Arbitrary<readonly Rec<T>[]>,
  drain: number,
  judge: (outcome: StageOutcome, records: readonly Rec<T>[]) => void,
): Promise<void> {
  const sizes = [fc.constantFrom(1, 7), fc.constantFrom(1, 3)] as const
  await fc.assert(
    fc.asyncProperty(randomRecords, ...sizes, async (records, recordsPerSlice, restartEvery) => {
      const whole = await runStage(chain, records, { drain })
      const cut = await runStage(chain, records, { drain, recordsPerSlice, sliceMax: 5, restartEvery })
      expect(cut).toEqual(whole)
      judge(cut, records)
    }),
    { numRuns: RUNS },
  )
}

/** Records in groups; a watermark stands alone. */
function* slicesOf(steps: readonly StageStep[], recordsMax: number): Iterable<number | Rec<unknown>[]> {
  let group: Rec<unknown>[] = []
  let passed = Number.NEGATIVE_INFINITY
  for (const step of steps) {
    const watermark = typeof step === 'number' ? step : step.watermark
    assert(watermark >= passed, 'a watermark never goes back')
    passed = watermark
    if (typeof step !== 'number') {
      assert(step.at > step.watermark, 'no record comes at or before the watermark')
      group.push({ ...step, input: group.length })
    }
    if (group.length < recordsMax && typeof step !== 'number') continue
    if (group.length > 0) yield group
    group = []
    if (typeof step === 'number') yield step
  }
  if (group.length > 0) yield group
}

class StageRun {
  readonly #chain: () => Chain
  readonly #o: StageRunOptions
  readonly #disk = new MemoryDisk()
  readonly #out: Rec<unknown>[] = []
  readonly #emitted: Record<string, unknown[]>
  #state!: TaskState
  #tally!: Tally
  #outgoing!: Outgoing
  #pipeline!: Pipeline
  readonly #blobs: Map<string, Uint8Array>
  #slices = 0

  constructor(chain: () => Chain, options: StageRunOptions) {
    this.#chain = chain
    this.#o = options
    this.#blobs = new Map(options.blobs)
    this.#emitted = Object.fromEntries((options.outputs ?? []).map((name) => [name, []]))
  }

  async open(): Promise<void> {
    const stage = stageOf([...this.#chain(), collector(this.#out)], Object.keys(this.#emitted))
    const backend = this.#o.backend === undefined ? this.#disk.open() : await this.#o.backend()
    this.#state = await TaskState.open(backend, [...stage.stores, HELD, TIMERS], SMALL)
    const { meta } = this.#state
    this.#tally = new Tally(meta === null ? undefined : JSON.parse(meta))
    this.#outgoing = new Outgoing('data', { partition: 0, partitions: 1 }, stage.exchanges, stage.outputs)
    this.#pipeline = new Pipeline({
      ...{ stage, state: this.#state, tally: this.#tally, outgoing: this.#outgoing },
      sliceMax: this.#o.sliceMax ?? 128,
      pause: async () => {},
      position: () => ({}),
      configured: this.#o.configured ?? (() => null),
      seenAfter: () => -1,
      model: this.#o.model ?? (() => null),
      blobOf: async (sha256) => this.#blobs.get(sha256) ?? null,
    })
  }

  async slice(slice: number | Rec<unknown>[]): Promise<void> {
    if (typeof slice === 'number') await this.#passTime(slice)
    else await this.#pipeline.run(slice)
    if (++this.#slices % (this.#o.restartEvery ?? Number.POSITIVE_INFINITY) !== 0) return
    await this.#restart()
  }

  async #passTime(watermark: number): Promise<void> {
    if (this.#o.restartBetweenTimers !== true) return this.#pipeline.passTime(watermark)
    const stop = new Error('stopped between timers')
    const make = () => Promise.reject(stop)
    for (let isStopped = true; isStopped; ) {
      isStopped = await this.#pipeline.passTime(watermark, { isDue: () => true, make }).then(
        () => false,
        (error: unknown) => {
          if (error !== stop) throw error
          return true
        },
      )
      if (isStopped) await this.#restart()
    }
  }

  async #restart(): Promise<void> {
    await this.#commit()
    await this.#state.close()
    await this.open()
  }

  async drain(asOf: number): Promise<void> {
    this.#pipeline.drain(asOf)
    await this.#pipeline.passTime(Number.POSITIVE_INFINITY)
  }

  async outcome(): Promise<StageOutcome> {
    await this.#commit()
    const dump: string[] = []
    for await (const line of this.#state.dump()) dump.push(line)
    await this.#state.close()
    return { out: this.#out, emitted: this.#emitted, ...this.#tally.toJSON(), blobs: this.#blobs, dump }
  }

  async #commit(): Promise<void> {
    this.#outgoing.take().forEach(({ texts }, i) => {
      this.#emitted[Object.keys(this.#emitted)[i]!]!.push(...JSON.parse(`[${joinRecords(texts)}]`))
    })
    for (const [sha256, bytes] of this.#outgoing.takeBlobs()) this.#blobs.set(sha256, bytes)
    const cut = this.#state.cut()
    await this.#state.write(cut, JSON.stringify(this.#tally.toJSON()))
    this.#state.publishSnapshot(cut)
  }
}

function stageOf(chain: Chain, outputs: readonly string[]): StagePlan {
  const options = { namespace: 'harness', name: 'harness', clock: 'data', partitions: 1, latenessMs: 0 } as const
  const plans = outputs.map((name) => ({ name, mode: 'records' }) as const)
  const ingress: Operator<unknown, unknown> = { ...NOTHING, name: 'ingress', process: (batch) => batch }
  return topology(options, (t) => {
    chain.reduce((stream: Stream<unknown>, operator) => stream.through(operator), t.source('stage', ingress, plans))
  }).stages[0]!
}

const NOTHING = { version: 1, settings: {}, stores: [] } as const

function collector(out: Rec<unknown>[]): Operator<unknown, unknown> {
  return {
    ...NOTHING,
    name: 'collector',
    process(batch) {
      // A record's place in its slice is a matter of slices.
      for (const record of batch) out.push({ ...record, input: 0 })
      return []
    },
  }
}
