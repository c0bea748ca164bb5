// The delayed feedback, one task of its loop at a time: what each waits for, promises, and does at the end. Whole loops under faults:
// test/simulation/loop.test.ts.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { blobName } from '../log/blobs.ts'
import { type FakeLog, FakeLogServer } from '../log/fake-log.ts'
import { FRAME_HEADER, parseFrameHeader } from '../log/frame.ts'
import { Numbering, startOf } from '../log/numbering.ts'
import { Writer } from '../log/writer.ts'
import type { ActiveModel } from '../operators/model-records.ts'
import { emittedBy, type Operator, type OperatorContext } from '../operators/operator.ts'
import { MemoryDisk } from '../state/memory-backend.ts'
import { encodeModel } from './control.ts'
import { type Stream, type TopologyBuilder, topology } from './dsl.ts'
import { heldFrom, isPeriodLater, promisedBack } from './feedback.ts'
import { type ClockMode, type ExchangeCodec, type Plan, stageStream, stageSubject, taskName } from './plan.ts'
import { ensureStreams, MODEL_FILES_KEPT, modelBucket, streamSpecs } from './streams.ts'
import { DEFAULT_TUNING, type Role, Task, type TaskTuning } from './task.ts'

const DELAY = { periodMs: 100, delayMs: 30 }
const NOTHING = { version: 1, settings: {}, stores: [] } as const

/** A touch of these tests: when it sets a timer, if it does. */
type Touch = { readonly timer?: number }

const codec: ExchangeCodec<Touch, Touch> = {
  ...{ name: 'touch', version: 1, where: () => true, key: () => 'k' },
  encode: (touch) => JSON.stringify(touch),
  decode: (json) => json as Touch,
}

/** Which version scores at a time, whether the input had ended, and the versions before that one. */
const scoreAt = (at: number, ctx: OperatorContext): unknown[] => {
  ctx.count('scored')
  const model = ctx.model(at)
  return [at, model?.version ?? null, ctx.drainedAt, ...(model?.before ?? []).map((before) => before.version)]
}

/** Says the score of each touch and timer. */
const scores: Operator<Touch, Touch> = {
  ...NOTHING,
  name: 'scores',
  timers: { kinds: ['due'], delayMinMs: 0 },
  process(batch, ctx) {
    for (const record of batch) {
      ctx.emit('scores', scoreAt(record.at, ctx), record)
      const { timer } = record.value
      if (timer !== undefined) ctx.setTimer({ dueMs: timer, kind: 'due', key: 'k', payload: null }, record)
    }
    return batch
  },
  onTimer(timer, ctx) {
    ctx.emit('scores', scoreAt(timer.dueMs, ctx), { input: 0 })
    return [emittedBy(timer, {}, { type: 't', id: 'timer' })]
  },
}

/** Makes a version of the first touch in each period, at its end. */
const learns: Operator<Touch, ActiveModel> = {
  ...NOTHING,
  name: 'learns',
  timers: { kinds: ['version'], delayMinMs: 0 },
  process(batch, ctx) {
    for (const record of batch) {
      const dueMs = Math.ceil(record.at / DELAY.periodMs) * DELAY.periodMs
      ctx.setTimer({ dueMs, kind: 'version', key: String(record.at), payload: null }, record)
    }
    return []
  },
  onTimer(timer, ctx) {
    const sha256 = ctx.blob(Buffer.from(`of ${timer.key}`))
    const version = timer.dueMs / DELAY.periodMs
    const model = { activation: version, from: heldFrom(timer.dueMs, DELAY), version, sha256, schema: 's' }
    return [emittedBy(timer, model, { type: 'model', id: String(version) })]
  },
}

function planOf(
  clock: ClockMode = 'data',
  more: { readonly edition?: number; readonly partitions?: number; readonly scoring?: typeof scores } = {},
): Plan {
  const { partitions = 1, edition = 1, scoring = scores } = more
  return topology({ namespace: 'ns', name: 'loop', clock, partitions, latenessMs: 10, edition }, (t) => {
    const touches = t.source('s', { ...NOTHING, name: 'parse', process: (batch) => batch } as Operator<unknown, Touch>)
    const scored = t.merge('ad', [touches.via(codec)], [{ name: 'scores', mode: 'records' }]).through(scoring)
    t.feedback(scored.keyBy('learn', codec).through(learns), 'ad', DELAY)
  })
}

const version = (number: number, from: number): ActiveModel => {
  return { activation: number, from, version: number, sha256: String(number).repeat(64), schema: 's' }
}
const touch = (at: number, value: Touch = {}): string => JSON.stringify([at, 0, value, at, 't', String(at)])
const DRAIN = '{"hf":"drain","as_of":500}'

let server: FakeLogServer
let log: FakeLog
let running: Task[]

beforeEach(async () => {
  server = new FakeLogServer({ seed: 3 })
  log = server.connect('tests')
  running = []
  await ensureStreams(log, streamSpecs(planOf('data', { partitions: 2 }), { totalBytes: 1 << 28, replicas: 1 }))
  await log.ensureBucket(modelBucket('ns', 1))
})
afterEach(() => {
  for (const task of running) task.stop()
})

interface Started {
  readonly task: Task
  readonly disk: MemoryDisk
  readonly over: FakeLog
  /** Resolves to null, or to what it halted with. */
  readonly ended: Promise<unknown>
}

interface StartOptions {
  readonly plan?: Plan
  readonly disk?: MemoryDisk
  readonly role?: Role
  readonly tuning?: Partial<TaskTuning>
  readonly onKillPoint?: (name: string, over: FakeLog) => void
}

/** Hours, so that only what goes at once is sent. */
const NO_HEARTBEAT = { heartbeatMs: 10 * 3_600_000, lingerMs: 0 }

function start(stage: string, options: StartOptions = {}): Started {
  const { plan = planOf(), disk = new MemoryDisk(), role = 'owner', tuning = NO_HEARTBEAT, onKillPoint } = options
  const over = server.connect(`${stage} ${running.length}`)
  const runtime = { ...over.runtime, killPoint: (name: string) => onKillPoint?.(name, over) }
  const common = { plan, stage: plan.stages.find(({ name }) => name === stage)!, partition: 0, log: over, runtime }
  const task = new Task({ ...common, backend: disk.open(), role, tuning: { ...DEFAULT_TUNING, ...tuning } })
  running.push(task)
  const ended = task.run().then(
    () => null,
    (error: unknown) => error,
  )
  return { task, disk, over, ended }
}

/** A task of another stage, as the first of this one reads it. */
class Sender {
  readonly #numbering: Numbering
  readonly #writer: Writer
  #sent = 0

  constructor(numbering: Numbering, writer: Writer) {
    this.#numbering = numbering
    this.#writer = writer
  }

  static async open(stage: string, writer: string): Promise<Sender> {
    const subject = stageSubject('ns', stage, 0, writer)
    const destination = { stream: stageStream('ns', stage, 0), subject, mode: 'frames' } as const
    const options = { log, runtime: log.runtime, writer, destination, onWait: () => {} }
    const opened = await Writer.open(options, { generation: 1, instance: writer }, { number: 0, chain: '', seq: 0 })
    return new Sender(new Numbering('frames', startOf(writer, subject)), opened)
  }

  async send(records: readonly string[], watermark: number): Promise<void> {
    await this.#writer.send(this.#numbering.take(records, watermark, { seq: ++this.#sent, index: 0 }), true)
  }
}

const sleep = (ms: number) => server.scheduler.sleep(ms)
const said = (stream = 'ns_out_scores_0'): unknown[] =>
  server.stored(stream).map(({ payload }) => JSON.parse(Buffer.from(payload).toString()))
const recordsOn = (subject: string): unknown[] =>
  server
    .stored(subject.split('.').slice(0, 3).join('_'))
    .filter((message) => message.subject === subject)
    .flatMap(({ payload }) => JSON.parse(Buffer.from(payload).toString()) as unknown[])
/** The watermarks of the frames of a writer, each once. */
const promisedOn = (subject: string): number[] => [
  ...new Set(
    server
      .stored(subject.split('.').slice(0, 3).join('_'))
      .filter((message) => message.subject === subject)
      .map(({ headers }) => parseFrameHeader(headers?.[FRAME_HEADER])!.watermark),
  ),
]
const publishControl = (stage: string, record: unknown) => {
  const payload = Buffer.from(JSON.stringify([record]))
  return log.publish({ subject: stageSubject('ns', stage, 0, 'ctl'), headers: null, payload }, null)
}
const AD_TO_LEARN = 'ns.learn.0.ad-0'
const LEARN_TO_AD = 'ns.ad.0.learn-0'
const SETTLE_MS = 2_000

describe('promises back', () => {
  it.each([
    [-1, 29],
    [0, 129],
    [1, 129],
    [99, 129],
    [100, 229],
    [198, 229],
  ])('processed up to %i: nothing that holds up to %i is still to come', (watermark, promise) => {
    expect(promisedBack(watermark, DELAY)).toBe(promise)
  })

  it('end right before the next version may hold, whenever it is made', () => {
    for (let watermark = -1; watermark < 500; watermark++)
      for (let madeAt = watermark + 1; madeAt < 700; madeAt++)
        if (heldFrom(madeAt, DELAY) <= promisedBack(watermark, DELAY)) expect.fail(`${madeAt} after ${watermark}`)
    expect(heldFrom(100, DELAY)).toBe(130)
  })

  it.each([
    [-1, 5, true],
    [99, 100, true],
    [100, 199, false],
    [150, 150, false],
  ])('from %i to %i: into another period: %s', (before, promise, isLater) => {
    expect(isPeriodLater(promise, before, 100)).toBe(isLater)
  })
})

describe('a stage that versions are sent back to', () => {
  it('processes a record when it has read every version that may hold for it (FB1)', async () => {
    const [source, learner] = [await Sender.open('ad', 's-0'), await Sender.open('ad', 'learn-0')]
    start('ad')
    await source.send([touch(120), touch(140), touch(250)], 400)
    await sleep(SETTLE_MS)
    expect(said()).toEqual([])
    await learner.send([], 129)
    await sleep(SETTLE_MS)
    expect(said()).toEqual([[120, null, null]])
    await learner.send([encodeModel(version(1, 130))], 229)
    await sleep(SETTLE_MS)
    expect(said().slice(1)).toEqual([[140, 1, null]])
    await learner.send([encodeModel(version(2, 230))], 329)
    await sleep(SETTLE_MS)
    expect(said().slice(2)).toEqual([[250, 2, null, 1]])
  })

  it('knows the versions that it has read when it begins again, though none comes', async () => {
    const [source, learner] = [await Sender.open('ad', 's-0'), await Sender.open('ad', 'learn-0')]
    const first = start('ad')
    await source.send([touch(140), touch(235)], 300)
    await learner.send([encodeModel(version(1, 130))], 229)
    await learner.send([encodeModel(version(2, 230))], 329)
    await sleep(SETTLE_MS)
    first.task.stop()
    expect(await first.ended).toBeNull()
    first.disk.crash(0)
    start('ad', { disk: first.disk })
    await source.send([touch(310)], 400)
    await sleep(SETTLE_MS)
    expect(said()).toEqual([
      [140, 1, null],
      [235, 2, null, 1],
      [310, 2, null, 1],
    ])
  })

  it('promises what it holds and its other writers say, not what was promised back, and at once (FB2, FB5)', async () => {
    const [source, learner] = [await Sender.open('ad', 's-0'), await Sender.open('ad', 'learn-0')]
    start('ad')
    await source.send([touch(250, { timer: 350 })], 500)
    await sleep(SETTLE_MS)
    expect(promisedOn(AD_TO_LEARN)).toEqual([-1, 249])
    await learner.send([], 329)
    await sleep(SETTLE_MS)
    // The timer is next; and behind it nothing that its other writer has promised.
    expect(promisedOn(AD_TO_LEARN).at(-1)).toBe(349)
    await learner.send([], 429)
    await sleep(SETTLE_MS)
    expect(promisedOn(AD_TO_LEARN).at(-1)).toBe(500)
    // Within a period nobody waits for it.
    await source.send([], 550)
    await sleep(SETTLE_MS)
    expect(promisedOn(AD_TO_LEARN).at(-1)).toBe(500)
    await source.send([], 600)
    await sleep(SETTLE_MS)
    expect(promisedOn(AD_TO_LEARN).at(-1)).toBe(600)
  })

  it("ends with the version of its other writers' last watermark, passes the drain on, and is drained when that comes back (FB4)", async () => {
    const [source, learner] = [await Sender.open('ad', 's-0'), await Sender.open('ad', 'learn-0')]
    const { task, disk, over } = start('ad', { tuning: { ...NO_HEARTBEAT, commitRecordsMax: 1 } })
    await source.send([touch(120), touch(240, { timer: 380 }), touch(300), DRAIN], 235)
    await learner.send([encodeModel(version(1, 130))], 229)
    await sleep(SETTLE_MS)
    // Time has not come to 235: the version from then on may still be under way.
    expect(said()).toEqual([[120, null, null]])
    expect(recordsOn(AD_TO_LEARN)).toHaveLength(1)
    await learner.send([encodeModel(version(2, 230))], 329)
    await sleep(SETTLE_MS)
    expect(said().slice(1)).toEqual([240, 300, 380].map((at) => [at, 2, 500, 1]))
    expect(recordsOn(AD_TO_LEARN).at(-1)).toEqual({ hf: 'drain', as_of: 500 })
    expect(task.status().phase).toBe('running')
    // Killed between the two, it waits on.
    over.kill()
    disk.crash(0)
    const again = start('ad', { disk })
    await learner.send([encodeModel(version(3, 330))], 429)
    await sleep(SETTLE_MS)
    expect(again.task.status()).toMatchObject({ phase: 'running', watermark: 235 })
    await learner.send(['{"hf":"drain","as_of":700}'], 429)
    expect(await again.ended).toBeNull()
    expect(again.task.status()).toMatchObject({ phase: 'drained', tally: { highs: { as_of: 500 } } })
    expect(said()).toHaveLength(4)
    expect(recordsOn(AD_TO_LEARN).filter((record) => !Array.isArray(record))).toHaveLength(1)
  })

  it('ends with that version also where the next has been read, which holds right behind it', async () => {
    const [source, learner] = [await Sender.open('ad', 's-0'), await Sender.open('ad', 'learn-0')]
    start('ad')
    await source.send([touch(435)], 429)
    await learner.send(
      [1, 2, 3].map((number) => encodeModel(version(number, 30 + 100 * number))),
      429,
    )
    await sleep(SETTLE_MS)
    await learner.send([encodeModel(version(4, 430))], 529)
    await sleep(SETTLE_MS)
    await source.send([DRAIN], 429)
    await sleep(SETTLE_MS)
    expect(said()).toEqual([[435, 3, 500, 2, 1]])
  })

  it('waits for the feedback alone where its other writers had drained before time came that far', async () => {
    const [source, learner] = [await Sender.open('ad', 's-0'), await Sender.open('ad', 'learn-0')]
    start('ad')
    await learner.send([], 529)
    await source.send([touch(300)], 320)
    await sleep(SETTLE_MS)
    await source.send([touch(330), DRAIN], 325)
    await sleep(SETTLE_MS)
    expect(said()).toEqual([
      [300, null, null],
      [330, null, 500],
    ])
  })

  it('applies nothing of it as a standby that its owner has not committed', async () => {
    const [source, learner] = [await Sender.open('ad', 's-0'), await Sender.open('ad', 'learn-0')]
    const owner = start('ad')
    const standby = start('ad', { role: 'standby' })
    await sleep(SETTLE_MS)
    await source.send([touch(120), touch(300), DRAIN], 200)
    await sleep(SETTLE_MS)
    owner.over.freeze()
    await learner.send([], 229)
    await sleep(SETTLE_MS)
    expect(standby.task.status().watermark).toBe(-1)
    owner.over.thaw()
    await sleep(SETTLE_MS)
    expect(said()).toHaveLength(2)
    expect(standby.task.status().tally.counts.scored).toBe(2)
    owner.over.kill()
    standby.task.promote()
    await learner.send([DRAIN], 229)
    expect(await standby.ended).toBeNull()
    expect(said()).toHaveLength(2)
    expect(recordsOn(AD_TO_LEARN)).toHaveLength(3)
  })

  it('goes as a standby no further in the end of its input than its owner has committed', async () => {
    const [source, learner] = [await Sender.open('ad', 's-0'), await Sender.open('ad', 'learn-0')]
    // Each timer is a part of the end.
    const tuning = { ...NO_HEARTBEAT, sliceMax: 1, commitRecordsMax: 1 }
    const onKillPoint = (name: string, over: FakeLog) => {
      if (name === 'K7' && said().length === 4) over.freeze()
    }
    const owner = start('ad', { tuning, onKillPoint })
    const standby = start('ad', { tuning, role: 'standby' })
    await source.send([touch(300, { timer: 400 }), touch(310, { timer: 410 }), touch(320, { timer: 420 }), DRAIN], 200)
    await learner.send([], 229)
    await sleep(SETTLE_MS)
    expect(said()).toHaveLength(4)
    expect(standby.task.status()).toMatchObject({ watermark: 200, tally: { counts: { records: 3 } } })
    expect(standby.task.status().tally.counts.scored).toBeUndefined()
    owner.over.kill()
    standby.task.promote()
    await learner.send([DRAIN], 229)
    expect(await standby.ended).toBeNull()
    expect(said().map((line) => (line as number[])[0])).toEqual([300, 310, 320, 400, 410, 420])
    expect(standby.task.status().tally.counts.scored).toBe(6)
  })

  it.each([
    ['data', touch(400)],
    ['an edition', '{"hf":"plan","edition":2,"seen_after":3}'],
    ['a version of no hash', '{"hf":"model","activation":1,"from":400,"version":1,"sha256":"ab","schema":"s"}'],
    ['a version that holds before what was promised', encodeModel(version(1, 130))],
  ])("takes %s from who sends back for a stranger's", async (_, record) => {
    const [source, learner] = [await Sender.open('ad', 's-0'), await Sender.open('ad', 'learn-0')]
    const { ended } = start('ad')
    await source.send([], 329)
    await learner.send([], 329)
    await sleep(SETTLE_MS)
    await learner.send([record], 329)
    expect(await ended).toMatchObject({ code: 'FOREIGN_WRITE' })
  })

  it("takes a version of a stage that does not send back for a stranger's", async () => {
    const source = await Sender.open('ad', 's-0')
    const { ended } = start('ad')
    await source.send([encodeModel(version(1, 130))], 10)
    expect(await ended).toMatchObject({ code: 'FOREIGN_WRITE' })
  })

  it('waits for no edition of who sends back, and tells it of none', async () => {
    const [ad, learner] = [await Sender.open('ad', 's-0'), await Sender.open('learn', 'ad-0')]
    const second = planOf('data', { edition: 2 })
    start('ad', { plan: second })
    start('learn', { plan: second })
    await ad.send(['{"hf":"plan","edition":2,"seen_after":7}'], 10)
    await learner.send(['{"hf":"plan","edition":2,"seen_after":7}'], 10)
    await sleep(SETTLE_MS)
    expect(recordsOn(AD_TO_LEARN)).toContainEqual({ hf: 'plan', edition: 2, seen_after: 7 })
    expect(recordsOn(LEARN_TO_AD)).toEqual([])
  })
})

describe('a loop', () => {
  const TUNING = { trimBytes: 1_000, heartbeatMs: 250, lingerMs: 0 }
  const lastSeqs = () =>
    Promise.all(
      ['ns_ad_0', 'ns_learn_0', 'ns_out_scores_0'].map(async (name) => (await log.streamState(name))!.lastSeq),
    )

  it('trims what comes to it within a period, whose versions are still to come, and is quiet when nothing more does', async () => {
    const source = await Sender.open('ad', 's-0')
    start('ad', { tuning: TUNING })
    start('learn', { tuning: TUNING })
    const count = 80
    for (let at = 110; at < 110 + count; at++) {
      await source.send([touch(at)], at)
      await sleep(50)
    }
    await sleep(SETTLE_MS)
    expect(said()).toHaveLength(count)
    expect(promisedOn(LEARN_TO_AD)).toEqual([229])
    expect(server.stored('ns_ad_0').length).toBeLessThan(count / 4)
    const before = await lastSeqs()
    await sleep(100 * SETTLE_MS)
    expect(await lastSeqs()).toEqual(before)
  })

  it('trims what has waited for it, though nothing else comes', async () => {
    const source = await Sender.open('ad', 's-0')
    start('ad', { tuning: TUNING })
    const count = 40
    for (let at = 110; at < 110 + count; at++) await source.send([touch(at)], at)
    await sleep(SETTLE_MS)
    expect(server.stored('ns_ad_0')).toHaveLength(count)
    start('learn', { tuning: TUNING })
    await sleep(5 * SETTLE_MS)
    expect(said()).toHaveLength(count)
    expect(server.stored('ns_ad_0').length).toBeLessThan(count / 4)
  })
})

describe('a stage that sends back', () => {
  it('promises what time has come to also where the last part of it was committed before', async () => {
    const ad = await Sender.open('learn', 'ad-0')
    start('learn', { tuning: { ...NO_HEARTBEAT, commitRecordsMax: 1 } })
    await ad.send([touch(120), touch(121)], 320)
    await sleep(SETTLE_MS)
    expect(promisedOn(LEARN_TO_AD).at(-1)).toBe(429)
  })

  it('promises by whole periods, and at once; between them it says with the heartbeat that time has passed, and not that it has read on', async () => {
    const ad = await Sender.open('learn', 'ad-0')
    start('learn', { tuning: { heartbeatMs: 500, lingerMs: 0 } })
    const framesOf = async (work: () => Promise<void>): Promise<number> => {
      const { length } = server.stored('ns_ad_0')
      await work()
      await sleep(SETTLE_MS)
      return server.stored('ns_ad_0').length - length
    }
    expect(await framesOf(() => ad.send([], 5))).toBeGreaterThanOrEqual(2)
    expect(promisedOn(LEARN_TO_AD)).toEqual([-1, 129])
    for (const watermark of [50, 51, 99]) expect(await framesOf(() => ad.send([], watermark))).toBe(1)
    const twice = async () => {
      await ad.send([], 97)
      await ad.send([], 98)
    }
    expect(await framesOf(twice)).toBe(0)
    expect(promisedOn(LEARN_TO_AD)).toEqual([-1, 129])
    expect(await framesOf(() => ad.send([touch(120)], 110))).toBe(1)
    expect(promisedOn(LEARN_TO_AD)).toEqual([-1, 129, 229])
    for (const at of [130, 131]) expect(await framesOf(() => ad.send([touch(at)], 110))).toBe(0)
    // What comes too soon after a frame is owed until the next heartbeat.
    const soon = async () => {
      await ad.send([], 111)
      await sleep(100)
      await ad.send([], 112)
    }
    expect(await framesOf(soon)).toBe(2)
  })

  it('sends each version to every partition, and keeps its file before that, again where it was killed between (T7)', async () => {
    const plan = planOf('data', { partitions: 2 })
    const [ad, other] = [await Sender.open('learn', 'ad-0'), await Sender.open('learn', 'ad-1')]
    const atDeath: unknown[] = []
    const onKillPoint = (name: string, over: FakeLog) => {
      if (name !== 'K16') return
      atDeath.push(...recordsOn(LEARN_TO_AD))
      over.kill()
    }
    const first = start('learn', { plan, onKillPoint })
    await ad.send([touch(120)], 200)
    await other.send([], 200)
    await sleep(SETTLE_MS)
    const [name] = await log.blobNames('ns_models')
    expect(atDeath).toEqual([])
    expect(recordsOn(LEARN_TO_AD)).toEqual([])
    await log.removeBlob('ns_models', name!)
    first.disk.crash(0)
    start('learn', { plan, disk: first.disk })
    await sleep(SETTLE_MS)
    const model = { hf: 'model', activation: 2, from: 230, version: 2, sha256: name, schema: 's' }
    for (const partition of [0, 1]) expect(recordsOn(`ns.ad.${partition}.learn-0`)).toEqual([model])
    expect(Buffer.from((await log.getBlob('ns_models', name!))!).toString()).toBe('of 120')
  })

  it('keeps the files of the newest versions, however many there were', async () => {
    const [ad] = [await Sender.open('learn', 'ad-0')]
    start('learn')
    const count = MODEL_FILES_KEPT + 5
    for (let i = 1; i <= count; i++) {
      await ad.send([touch(i * DELAY.periodMs + 20)], (i + 1) * DELAY.periodMs)
      await sleep(SETTLE_MS)
    }
    const newest = Array.from(
      { length: MODEL_FILES_KEPT },
      (_, i) => `of ${(count - MODEL_FILES_KEPT + 1 + i) * DELAY.periodMs + 20}`,
    )
    expect(await log.blobNames('ns_models')).toEqual(newest.map((text) => blobName(Buffer.from(text))))
  })

  it('keeps none of them again that it had published, where it has lost its state: it would put out newer ones', async () => {
    const ad = await Sender.open('learn', 'ad-0')
    const first = start('learn')
    const send = async (i: number) => {
      await ad.send([touch(i * DELAY.periodMs + 20)], (i + 1) * DELAY.periodMs)
      await sleep(SETTLE_MS)
    }
    for (let i = 1; i <= MODEL_FILES_KEPT + 5; i++) await send(i)
    first.task.stop()
    await first.ended
    const kept = await log.blobNames('ns_models')
    let put = 0
    const onKillPoint = (name: string) => {
      if (name === 'K16') put++
    }
    const again = start('learn', { onKillPoint })
    await sleep(SETTLE_MS)
    expect([put, await log.blobNames('ns_models')]).toEqual([0, kept])
    await send(MODEL_FILES_KEPT + 6)
    const newest = blobName(Buffer.from(`of ${(MODEL_FILES_KEPT + 6) * DELAY.periodMs + 20}`))
    expect([put, await log.blobNames('ns_models')]).toEqual([1, [...kept.slice(1), newest]])
    expect(again.task.status().phase).toBe('running')
  })
})

describe('a file', () => {
  const asks: Operator<Touch, Touch> = {
    ...NOTHING,
    name: 'asks',
    prepare: async ([first], ctx) => {
      server.pause()
      const bytes = await ctx.blobOf(String(first!.at).padStart(64, '0'))
      ctx.emit('scores', bytes === null ? 'there is none' : Buffer.from(bytes).toString(), { input: 0 })
    },
    process: (batch) => batch,
  }
  const plan = topology({ namespace: 'ns', name: 'f', clock: 'data', partitions: 1, latenessMs: 10 }, (t) => {
    const touches = t.source('s', { ...NOTHING, name: 'parse', process: (batch) => batch } as Operator<unknown, Touch>)
    t.merge('ad', [touches.via(codec)], [{ name: 'scores', mode: 'records' }]).through(asks)
  })

  it('of a version that has scored is not there any more: who is taken back to it halts, and scores with no other one', async () => {
    const loads: Operator<Touch, Touch> = {
      ...scores,
      prepare: async (batch, ctx) => {
        const model = ctx.model(batch[0]!.at)
        if (model !== null) await ctx.blobOf(model.sha256)
      },
    }
    const looped = planOf('data', { scoring: loads })
    const bytes = Buffer.from('one')
    const [source, learner] = [await Sender.open('ad', 's-0'), await Sender.open('ad', 'learn-0')]
    await log.putBlob('ns_models', blobName(bytes), bytes)
    await source.send([touch(140)], 200)
    await learner.send([encodeModel({ ...version(1, 130), sha256: blobName(bytes) })], 229)
    const first = start('ad', { plan: looped })
    await sleep(SETTLE_MS)
    expect(said()).toEqual([[140, 1, null]])
    first.task.stop()
    expect(await first.ended).toBeNull()
    await log.removeBlob('ns_models', blobName(bytes))
    const { ended } = start('ad', { plan: looped })
    expect(await ended).toMatchObject({ code: 'RECOVERY_POINT_GONE', numbers: { sha256: blobName(bytes) } })
    expect(said()).toHaveLength(1)
  })

  it('is waited for while the broker is away, and status says so; where there is none, that is the answer', async () => {
    const source = await Sender.open('ad', 's-0')
    const { task } = start('ad', { plan })
    await source.send([touch(120)], 200)
    await sleep(20_000)
    expect(said()).toEqual([])
    expect(task.status().waiting).toMatchObject({ cause: 'broker', on: 'ns_models' })
    server.resume()
    await sleep(20_000)
    expect(said()).toEqual(['there is none'])
    expect(task.status().waiting).toBeNull()
  })
})

describe('with `clock: wall`', () => {
  it('versions come on the control subject, and nothing is sent back', async () => {
    const plan = planOf('wall')
    expect(plan.stages.map(({ feedback }) => feedback)).toEqual([null, null, null])
    const source = await Sender.open('ad', 's-0')
    start('ad', { plan, tuning: { lingerMs: 0 } })
    await publishControl('ad', JSON.parse(encodeModel(version(1, 100))))
    await sleep(SETTLE_MS)
    await source.send(['[99,0,{}]', '[100,0,{}]'], 50)
    await sleep(SETTLE_MS)
    await publishControl('ad', JSON.parse(encodeModel(version(2, 100))))
    await sleep(SETTLE_MS)
    await source.send(['[99,0,{}]', '[100,0,{}]'], 60)
    await sleep(SETTLE_MS)
    expect(said().map((line) => (line as unknown[]).slice(0, 2))).toEqual([
      [99, null],
      [100, 1],
      [99, null],
      [100, 2],
    ])
  })

  it("a version whose body is none is a stranger's", async () => {
    const { ended } = start('ad', { plan: planOf('wall') })
    await publishControl('ad', { hf: 'model', activation: 1, from: 5, version: 1, schema: 's' })
    expect(await ended).toMatchObject({ code: 'FOREIGN_WRITE' })
  })
})

describe('a plan', () => {
  const build = (work: (t: TopologyBuilder, scored: Stream<Touch>) => void, partitions = 2) =>
    topology({ namespace: 'ns', name: 'p', clock: 'data', partitions, latenessMs: 10 }, (t) => {
      const touches = t.source('s', { ...NOTHING, name: 'p', process: (batch) => batch } as Operator<unknown, Touch>)
      work(t, t.merge('ad', [touches.via(codec)]).through(scores))
    })

  it('with a feedback waits for who sends back, counts it among no inputs, and has another fingerprint', () => {
    const [, ad, learn] = planOf('data', { partitions: 2 }).stages
    expect(ad!.writers).toEqual(['s-0', 's-1', taskName('learn', 0), taskName('learn', 1)])
    expect(ad!.inputs.map(({ stage }) => stage)).toEqual(['s'])
    expect(ad!.feedback).toEqual({ stage: 'learn', ...DELAY })
    expect(learn!.exchanges[0]).toMatchObject({ stage: 'ad', promises: DELAY })
    const of = (delayMs: number) =>
      build((t, scored) => t.feedback(scored.keyBy('learn', codec).through(learns), 'ad', { ...DELAY, delayMs }))
    const without = build((_, scored) => void scored.keyBy('learn', codec).through(learns))
    expect(new Set([of(30).fingerprint, of(31).fingerprint, without.fingerprint]).size).toBe(3)
  })

  it.each<[string, (t: TopologyBuilder, scored: Stream<Touch>) => void]>([
    ['no stage "nowhere"', (t, scored) => t.feedback(scored.keyBy('learn', codec).through(learns), 'nowhere', DELAY)],
    ['no stage "s"', (t, scored) => t.feedback(scored.keyBy('learn', codec).through(learns), 's', DELAY)],
    [
      'whole milliseconds',
      (t, scored) => t.feedback(scored.keyBy('l', codec).through(learns), 'ad', { periodMs: 1, delayMs: 0 }),
    ],
    [
      'whole milliseconds',
      (t, scored) => t.feedback(scored.keyBy('l', codec).through(learns), 'ad', { periodMs: 0, delayMs: 1 }),
    ],
    [
      '"side" is not behind stage "learn"',
      (t, scored) => {
        scored.keyBy('learn', codec)
        t.feedback(scored.keyBy('side', codec).through(learns), 'learn', DELAY)
      },
    ],
    [
      'one feedback',
      (t, scored) => {
        t.feedback(scored.keyBy('learn', codec).through(learns), 'ad', DELAY)
        t.feedback(scored.keyBy('more', codec).through(learns), 'ad', DELAY)
      },
    ],
  ])('is refused: %s', (message, work) => {
    expect(() => build(work)).toThrow(message)
  })
})
