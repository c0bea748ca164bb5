// However far time jumps, and wherever it is cut on the way, what is held and what is due come in one order: compared with a sorted
// list, on random records whose timers set timers. At many a cut the process ends there, and another goes on from its state.

import { expect, it } from 'vitest'
import { joinRecords } from '../log/frame.ts'
import { SimRandom } from '../log/sim.ts'
import { type Operator, RANK, type Rec } from '../operators/operator.ts'
import { MemoryDisk } from '../state/memory-backend.ts'
import { TaskState } from '../state/task-state.ts'
import { topology } from './dsl.ts'
import { OrderBuffer } from './order-buffer.ts'
import { Outgoing } from './outgoing.ts'
import { type CutsBetween, HELD, Pipeline, TIMERS } from './pipeline.ts'
import { Tally } from './tally.ts'
import { END_OF_TIME, TimeSteps } from './time-steps.ts'

/** Milliseconds from a record to its timers. */
type Delays = readonly number[]
/** Milliseconds from a timer to the one that it sets, and of how many one follows another. */
const AGAIN_MS = 70
const AGAIN = 2
const SPAN_MS = 1_000
const SLICE = 8
const DIARY = { name: 'diary', mode: 'records' } as const

const passOn: Operator<unknown, unknown> = { name: 'pass', version: 1, settings: {}, stores: [], process: (b) => b }

/** Says when a record or a timer came. */
const diary: Operator<Delays, Delays> = {
  ...{ name: 'diary', version: 1, settings: {}, stores: [], timers: { kinds: ['due'], delayMinMs: 1 } },
  process(batch, ctx) {
    for (const record of batch) {
      const { at, id, value } = record
      ctx.emit(DIARY.name, [at, id], record)
      for (const delay of value)
        ctx.setTimer({ dueMs: at + delay, kind: 'due', key: `${id}+${delay}`, payload: 0 }, record)
    }
    return batch
  },
  onTimer({ dueMs, key, payload, kind, number }, ctx) {
    ctx.emit(DIARY.name, [dueMs, key], { input: 0 })
    const times = payload as number
    if (times >= AGAIN) return undefined
    const cause = { at: dueMs, rank: RANK.timer, number, late: false } as const
    ctx.setTimer({ dueMs: dueMs + AGAIN_MS, kind, key: `${key}'`, payload: times + 1 }, cause)
    return undefined
  },
}

type Line = readonly [at: number, what: string]

/** What the diary says where everything stands in a list by its time. */
function inOrder(records: readonly Rec<Delays>[]): Line[] {
  const all = records.flatMap(({ at, id, value }): { at: number; rank: number; what: string }[] => [
    { at, rank: RANK.record, what: id },
    ...value.flatMap((delay) =>
      Array.from({ length: AGAIN + 1 }, (_, times) => ({
        ...{ at: at + delay + times * AGAIN_MS, rank: RANK.timer },
        what: `${id}+${delay}${"'".repeat(times)}`,
      })),
    ),
  ])
  const before = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
  return all.sort((a, b) => a.at - b.at || a.rank - b.rank || before(a.what, b.what)).map(({ at, what }) => [at, what])
}

function drawn(random: SimRandom): Rec<Delays>[] {
  return Array.from({ length: 60 }, (_, i) => {
    const at = random.below(SPAN_MS)
    const value = [...new Set(Array.from({ length: random.below(4) }, () => 1 + random.below(SPAN_MS)))]
    return rec(i, at, value)
  })
}

const rec = (number: number, at: number, value: Delays = []): Rec<Delays> => ({
  ...{ value, at, watermark: 0, late: false, rank: RANK.record, type: 't', id: `r${100 + number}`, number, input: 0 },
})

/** What ends a process at a cut. */
const KILLED = new Error('killed')

class World {
  readonly lines: Line[] = []
  cuts = 0
  kills = 0
  /** The most lines between two cuts. */
  most = 0
  readonly #random: SimRandom
  readonly #disk = new MemoryDisk()
  readonly #cutEvery: number
  #sinceCut = 0
  #state!: TaskState
  #outgoing!: Outgoing
  #steps!: TimeSteps
  held!: OrderBuffer
  /** What is still to come, looked for at each cut; null: nothing is. */
  toCome: readonly Line[] | null = null
  #reached = -1

  constructor(random: SimRandom, cutEvery: number) {
    this.#random = random
    this.#cutEvery = cutEvery
  }

  async open(): Promise<void> {
    const options = { namespace: 'n', name: 'n', clock: 'data', partitions: 1, latenessMs: 0 } as const
    const stage = topology(options, (t) => t.source('s', passOn, [DIARY]).through(diary as typeof passOn)).stages[0]!
    this.#state = await TaskState.open(this.#disk.open(), [HELD, TIMERS], { queueMemoryEntries: 16 })
    this.#outgoing = new Outgoing('data', { partition: 0, partitions: 1 }, [], stage.outputs)
    const pipeline = new Pipeline({
      ...{ stage, state: this.#state, outgoing: this.#outgoing, sliceMax: SLICE, tally: new Tally() },
      ...{
        pause: async () => {},
        position: () => ({}),
        configured: () => null,
        seenAfter: () => -1,
        model: () => null,
        blobOf: async () => null,
      },
    })
    this.held = new OrderBuffer(this.#state.queue(HELD.name))
    this.#steps = new TimeSteps(this.held, pipeline)
  }

  /** Until it is there, whoever goes on. */
  async passTo(watermark: number): Promise<void> {
    for (;;) {
      try {
        await this.#steps.passTo(watermark, this.#cutsBetween)
        return this.commit(Math.min(watermark, 10 * SPAN_MS))
      } catch (error) {
        if (error !== KILLED) throw error
        await this.#state.close()
        await this.open()
      }
    }
  }

  readonly #cutsBetween: CutsBetween = {
    isDue: (processed) => {
      this.#sinceCut += processed
      return this.#sinceCut >= this.#cutEvery
    },
    make: async (reached) => {
      await this.commit(reached)
      this.cuts++
      if (!this.#random.chance(0.3)) return
      this.kills++
      throw KILLED
    },
  }

  async commit(reached: number): Promise<void> {
    this.#sinceCut = 0
    const said = this.#outgoing.take().flatMap(({ texts }) => JSON.parse(`[${joinRecords(texts)}]`) as Line[])
    this.most = Math.max(this.most, said.length)
    // TS2: what the cut before said was reached had been reached.
    for (const line of said) expect(line[0]).toBeGreaterThan(this.#reached)
    this.lines.push(...said)
    expect(reached).toBeGreaterThanOrEqual(this.#reached)
    this.#reached = reached
    // TS3. Also where it lies in the backend.
    if (this.toCome !== null) expect(await this.#steps.next()).toBe(this.toCome[this.lines.length]?.[0] ?? END_OF_TIME)
    const cut = this.#state.cut()
    await this.#state.write(cut, 'somewhere')
    this.#state.publishSnapshot(cut)
  }

  close(): Promise<void> {
    return this.#state.close()
  }
}

it('is one order, whatever the jumps, the cuts and who goes on from them', async () => {
  let [cuts, kills] = [0, 0]
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SimRandom(seed)
    const records = drawn(random)
    const cutEvery = 1 + random.below(40)
    const world = new World(random, cutEvery)
    await world.open()
    for (const record of records) world.held.hold(record)
    world.toCome = inOrder(records)
    const jumps = Array.from({ length: random.below(5) }, () => random.below(2 * SPAN_MS)).sort((a, b) => a - b)
    for (const watermark of [...jumps, END_OF_TIME]) {
      await world.passTo(watermark)
      if (watermark === END_OF_TIME) continue
      expect(world.lines, `seed ${seed}, up to ${watermark}`).toEqual(
        inOrder(records).filter(([at]) => at <= watermark),
      )
    }
    expect(world.lines, `seed ${seed}`).toEqual(inOrder(records))
    cuts += world.cuts
    kills += world.kills
    await world.close()
  }
  expect(cuts).toBeGreaterThan(200)
  expect(kills).toBeGreaterThan(50)
})

it('is cut between the timers that are due before a record, as between records: no commit has all that a gap makes due', async () => {
  const cutEvery = 10
  const world = new World(new SimRandom(1), cutEvery)
  await world.open()
  const timers = Array.from({ length: 100 }, (_, i) => 10 * (i + 1))
  const records = [rec(0, 0, timers), rec(1, 6), rec(2, 3 * SPAN_MS)]
  world.held.hold(records[0]!)
  await world.passTo(5)
  for (const record of records.slice(1)) world.held.hold(record)
  await world.passTo(4 * SPAN_MS)
  expect(world.lines).toEqual(inOrder(records))
  expect(world.most).toBeLessThan(cutEvery + SLICE)
  await world.close()
})
