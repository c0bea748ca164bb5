// One task on the simulated log and disk: what can go wrong around it, one scenario a test. Random faults and many seeds are
// test/simulation's; here each test names what happened.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FakeLog, FakeLogServer } from '../log/fake-log.ts'
import { FRAME_HEADER, parseFrameHeader } from '../log/frame.ts'
import { Numbering, startOf } from '../log/numbering.ts'
import type { Runtime } from '../log/runtime.ts'
import { Writer } from '../log/writer.ts'
import type { Arrival } from '../operators/arrival.ts'
import { emittedBy, type Operator } from '../operators/operator.ts'
import { MemoryDisk } from '../state/memory-backend.ts'
import { topology } from './dsl.ts'
import {
  type ClockMode,
  CONTROL_WRITER,
  type ExchangeCodec,
  FILE_WRITER,
  type OutputPlan,
  PLAIN_WRITER,
  type Plan,
  stageStream,
  stageSubject,
} from './plan.ts'
import { encodeFileRecord, watermarkOfStamp } from './records.ts'
import { ensureStreams, streamSpecs } from './streams.ts'
import { DEFAULT_TUNING, type Role, Task, type TaskTuning } from './task.ts'

const LATENESS_MS = 100
const OUTPUTS: readonly OutputPlan[] = [
  { name: 'a', mode: 'records' },
  { name: 'b', mode: 'records' },
]
const INPUT = stageStream('ns', 's', 0)
const OUT_A = 'ns_out_a_0'
const OUT_B = 'ns_out_b_0'

/** An event of these tests: its time, and timers that it sets. */
interface Thing {
  readonly at: number
  readonly timers?: readonly number[]
  /** Bytes that say nothing. */
  readonly ballast?: string
}

const parse: Operator<Arrival, Thing> = {
  name: 'parse',
  version: 1,
  settings: {},
  stores: [],
  process: (batch, ctx) => {
    ctx.count('read', batch.length)
    return batch.map((record) => {
      const raw = record.value.value ?? JSON.parse(record.value.raw as string)
      const thing = raw as Thing
      return { ...record, value: thing, at: thing.at, type: 't', id: 'x' }
    })
  },
}

/** Says of each thing and timer that it came, in both outputs. */
const speak: Operator<Thing, Thing> = {
  name: 'speak',
  version: 1,
  settings: {},
  stores: [],
  timers: { kinds: ['due'], delayMinMs: 0 },
  process(batch, ctx) {
    for (const record of batch) {
      for (const { name } of OUTPUTS) ctx.emit(name, ['thing', record.at, record.late], record)
      for (const dueMs of record.value.timers ?? [])
        ctx.setTimer({ dueMs, kind: 'due', key: 'k', payload: record.at }, record)
    }
    return batch
  },
  onTimer({ dueMs, payload }, ctx) {
    for (const { name } of OUTPUTS) ctx.emit(name, ['timer', dueMs, payload], { input: 0 })
  },
}

/** Each timer sets one more, which comes before most of those that are due with it. */
const again: Operator<Thing, Thing> = {
  ...speak,
  name: 'again',
  onTimer(timer, ctx) {
    const { dueMs, number } = timer
    speak.onTimer!(timer, ctx)
    if (dueMs % 10 === 0) ctx.setTimer({ ...timer, dueMs: dueMs + 1 }, { at: dueMs, number, rank: 2, late: false })
    return undefined
  },
}

/** Says what watermark it was told last when a timer fires: shows whether time passed in another way. */
function clockwatcher(everyMs: number): Operator<Thing, Thing> {
  let passed = -1
  return {
    ...speak,
    name: 'clockwatcher',
    advance(watermark) {
      passed = Math.floor(watermark / everyMs)
      return (passed + 1) * everyMs
    },
    onTimer({ dueMs }, ctx) {
      ctx.emit('a', ['timer', dueMs, passed], { input: 0 })
      return undefined
    },
  }
}

const codec: ExchangeCodec<Thing, Thing> = {
  name: 'thing',
  version: 1,
  where: () => true,
  key: () => 'k',
  encode: (thing) => JSON.stringify(thing),
  decode: (json) => json as Thing,
}

function planOf(clock: ClockMode, operator: Operator<Thing, Thing> = speak, exchange = false): Plan {
  return topology({ namespace: 'ns', name: 't', clock, partitions: 1, latenessMs: LATENESS_MS }, (t) => {
    const things = t.source('s', parse, OUTPUTS).through(operator)
    if (exchange) things.keyBy('next', codec)
  })
}

let server: FakeLogServer
let log: FakeLog
let running: Task[]

beforeEach(() => {
  server = new FakeLogServer({ seed: 3 })
  log = server.connect('tests')
  running = []
})

afterEach(() => {
  for (const task of running) task.stop()
})

async function withStreams(plan: Plan, totalBytes = 1 << 28): Promise<Plan> {
  await ensureStreams(log, streamSpecs(plan, { totalBytes, replicas: 1 }))
  return plan
}

interface Started {
  readonly task: Task
  readonly ended: Promise<unknown>
}

/** A task; `ended` resolves to null, or to what it halted with. */
function start(
  plan: Plan,
  disk = new MemoryDisk(),
  tuning: Partial<TaskTuning> = {},
  over: FakeLog = server.connect('task'),
  runtime: Runtime = over.runtime,
  role: Role = 'owner',
): Started {
  const task = new Task({
    ...{ plan, stage: plan.stages[0]!, partition: 0, log: over, backend: disk.open(), runtime, role },
    tuning: { ...DEFAULT_TUNING, ...tuning },
  })
  running.push(task)
  const ended = task.run().then(
    () => null,
    (error: unknown) => error,
  )
  return { task, ended }
}

/** The file reader's part: frames of things, watermarks, drain. */
class Source {
  #numbering = new Numbering('frames', startOf(FILE_WRITER, stageSubject('ns', 's', 0, FILE_WRITER)))
  #writer: Writer | null = null
  #stamp: number | null = null
  #line = 0

  async frame(
    things: readonly Thing[],
    more: { readonly drain?: boolean; readonly watermark?: number } = {},
  ): Promise<void> {
    const records = things.map((thing) => {
      const record = encodeFileRecord(++this.#line, this.#stamp, JSON.stringify(thing), Buffer.alloc(0))
      this.#stamp = Math.max(this.#stamp ?? 0, thing.at)
      return record
    })
    if (more.drain) records.push(JSON.stringify({ hf: 'drain', as_of: null }))
    const watermark = more.watermark ?? watermarkOfStamp(this.#stamp, LATENESS_MS)
    this.#writer ??= await this.#open()
    await this.#writer.send(this.#numbering.take(records, watermark, { seq: ++this.#line, index: 0 }), true)
  }

  #open(): Promise<Writer> {
    const destination = { stream: INPUT, subject: stageSubject('ns', 's', 0, FILE_WRITER), mode: 'frames' } as const
    const options = { log, runtime: log.runtime, writer: FILE_WRITER, destination, onWait: () => {} }
    return Writer.open(options, { generation: 1, instance: 'file' }, { number: 0, chain: '', seq: 0 })
  }
}

/** A task of a stage before `both`: frames of records as they travel. */
class Frames {
  readonly #numbering: Numbering
  readonly #writer: Writer
  #sent = 0

  constructor(numbering: Numbering, writer: Writer) {
    this.#numbering = numbering
    this.#writer = writer
  }

  static async open(writer: string): Promise<Frames> {
    const subject = stageSubject('ns', 'both', 0, writer)
    const destination = { stream: stageStream('ns', 'both', 0), subject, mode: 'frames' } as const
    const options = { log, runtime: log.runtime, writer, destination, onWait: () => {} }
    const opened = await Writer.open(options, { generation: 1, instance: writer }, { number: 0, chain: '', seq: 0 })
    return new Frames(new Numbering('frames', startOf(writer, subject)), opened)
  }

  async send(records: readonly string[], watermark: number): Promise<void> {
    await this.#writer.send(this.#numbering.take(records, watermark, { seq: ++this.#sent, index: 0 }), true)
  }
}

const payloads = (stream: string) =>
  server.stored(stream).map(({ payload }) => JSON.parse(Buffer.from(payload).toString()))
const sleep = (ms: number) => server.scheduler.sleep(ms)
const things = (...times: number[]): Thing[] => times.map((at) => ({ at }))
const publishTo = (writer: string, text: string) =>
  log.publish({ subject: stageSubject('ns', 's', 0, writer), headers: null, payload: Buffer.from(text) }, null)

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 2_000 && !condition(); i++) await sleep(20)
  expect(condition()).toBe(true)
}

describe('a commit that failed', () => {
  it('is followed by none, also in the middle of a message: the other destination has no gap', async () => {
    const plan = await withStreams(planOf('data'))
    const source = new Source()
    const process = server.connect('busy')
    let computedMs = 0
    // Each look at the clock takes a while, so that the event loop gets its turn after every slice.
    const runtime = { ...process.runtime, now: () => process.runtime.now() + computedMs++ }
    const { ended } = start(plan, new MemoryDisk(), { sliceMax: 1, lingerMs: 0 }, process, runtime)
    await source.frame(things(1, 200, 300))
    await until(() => server.stored(OUT_B).length >= 1)
    // Output a halts the next commit at once, while b's part of it got lost and is not known to be: b tries again later.
    server.foreignWrite('ns.out.a.0', Buffer.from('"a stranger"'))
    server.plan({ kind: 'publishLost' }, { subject: 'ns.out.b.0' })
    await source.frame(things(...Array.from({ length: 300 }, (_, i) => 400 + 10 * i)))
    expect(await ended).toMatchObject({ code: 'FOREIGN_WRITE' })
    await sleep(60_000)
    expect(server.fired.publishLost).toBe(1)
    const numbers = server.stored(OUT_B).map(({ headers }) => headers!['Hf-Record'])
    expect(numbers).toEqual(numbers.map((_, i) => `s-0.${i + 1}`))
  })

  it('that could not be written is never repeated in the process', async () => {
    const plan = await withStreams(planOf('data'))
    let fail = false
    const disk = new MemoryDisk({
      beforeWrite: () => {
        if (fail) throw new Error('disk full')
      },
    })
    const source = new Source()
    const { ended } = start(plan, disk, { sliceMax: 1, commitRecordsMax: 1, lingerMs: 0 })
    await source.frame(things(1, 200))
    await until(() => disk.batches > 0)
    const written = disk.batches
    fail = true
    for (let at = 300; at < 360; at++) await source.frame(things(at))
    expect(await ended).not.toBeNull()
    fail = false
    await sleep(10_000)
    expect(disk.batches).toBe(written)
  })
})

describe('a backlog', () => {
  const FRAME_BYTES = 20_000

  /** Commits of a task that finds so many frames of so many records each, on a clock of which each look takes a while. */
  async function commits(frames: number, records: number): Promise<number> {
    server = new FakeLogServer({ seed: 3 })
    log = server.connect('tests')
    const plan = await withStreams(planOf('data'))
    const source = new Source()
    // As many bytes in each: a reader has as many messages at hand.
    const ballast = 'x'.repeat(FRAME_BYTES / records)
    for (let i = 0; i < frames; i++)
      await source.frame(Array.from({ length: records }, () => ({ at: 1_000 + i, ballast })))
    await source.frame([], { drain: true })
    const process = server.connect('busy')
    let computedMs = 0
    const runtime = { ...process.runtime, now: () => process.runtime.now() + computedMs++ }
    const disk = new MemoryDisk()
    const { ended } = start(plan, disk, { lingerMs: 0 }, process, runtime)
    expect(await ended).toBeNull()
    return disk.batches
  }

  it('is counted in records: messages of many are committed together, though they are few', async () => {
    // Each on its own until the first have said how many records they have, and again at the end.
    expect(await commits(250, 100)).toBeLessThan(180)
  })
})

describe('drain', () => {
  it('makes no difference between a watermark that came before it and one that came with it', async () => {
    const dumps: unknown[] = []
    for (const early of [true, false]) {
      server = new FakeLogServer({ seed: 3 })
      log = server.connect('tests')
      const plan = await withStreams(planOf('data', clockwatcher(100)))
      const source = new Source()
      await source.frame([{ at: 1000, timers: [1_050, 1_450, 2_000] }], { watermark: 899 })
      if (early) await source.frame([], { watermark: 1_399 })
      await source.frame([], { watermark: 1_399, drain: true })
      const { ended } = start(plan)
      expect(await ended).toBeNull()
      dumps.push(payloads(OUT_A))
    }
    expect(dumps[0]).toEqual([
      ['thing', 1000, false],
      ['timer', 1050, 10],
      ['timer', 1450, 13],
      ['timer', 2000, 13],
    ])
    expect(dumps[1]).toEqual(dumps[0])
  })

  it('ends the task; started again it says nothing, and more data is refused before it ends', async () => {
    const plan = await withStreams(planOf('data'))
    const disk = new MemoryDisk()
    const source = new Source()
    await source.frame(things(1, 500, 300), { drain: true })
    const first = start(plan, disk)
    expect(await first.ended).toBeNull()
    expect(first.task.status().phase).toBe('drained')
    expect(payloads(OUT_A)).toEqual([
      ['thing', 1, false],
      ['thing', 400, true],
      ['thing', 500, false],
    ])
    await first.task.close()
    const again = start(plan, disk)
    expect(await again.ended).toBeNull()
    expect(again.task.status()).toMatchObject({ phase: 'drained', tally: { counts: { read: 3, late: 1 } } })
    expect(server.stored(OUT_A)).toHaveLength(3)
  })

  it('is the last: what a writer sends behind it, a frame of control or data, changes nothing', async () => {
    const plan = await withStreams(planOf('data'))
    const source = new Source()
    await source.frame([{ at: 1, timers: [700] }], { drain: true })
    await source.frame([], { watermark: 5_000 })
    const { task, ended } = start(plan)
    expect(await ended).toBeNull()
    expect(task.status()).toMatchObject({ phase: 'drained', tally: { counts: { read: 1 } } })
    expect(payloads(OUT_A)).toEqual([
      ['thing', 1, false],
      ['timer', 700, 1],
    ])
  })
})

/** What makes much due at once (T6). */
describe.each(['drain', 'frame', 'tick'] as const)('a %s that makes much due', (mover) => {
  const COMMIT = 10
  const SLICE = 4
  const TUNING = { sliceMax: SLICE, commitRecordsMax: COMMIT, lingerMs: 60_000 }
  const timers = (from: number) => Array.from({ length: 5 }, (_, i) => from + 1_000 * (i + 1))
  const many = Array.from({ length: 20 }, (_, i): Thing => ({ at: 10 * i, timers: timers(10 * i) }))
  /** Held in the middle of what becomes due. Live nothing is held, and it would move time itself. */
  const between: readonly Thing[] = mover === 'tick' ? [] : [{ at: 3_050, timers: [3_060] }]
  const all = [...many, ...between]
  const RECORDS = all.length + 2 * (many.length * 5 + between.length)
  const END_MS = 9_000
  const plan = () => planOf(mover === 'tick' ? 'wall' : 'data', again)

  /** The input, and the watermark that it comes to. */
  async function feed(): Promise<number> {
    server = new FakeLogServer({ seed: 3 })
    log = server.connect('tests')
    await withStreams(plan())
    if (mover === 'tick') {
      for (const thing of all) await publishTo(PLAIN_WRITER, JSON.stringify(thing))
      await publishTo(CONTROL_WRITER, '[{"hf":"tick"}]')
      return server.stored(INPUT).at(-1)!.timeMs - LATENESS_MS
    }
    const source = new Source()
    const late = { watermark: many.at(-1)!.at - LATENESS_MS }
    await source.frame(all.slice(0, 12), late)
    await source.frame(all.slice(12), mover === 'drain' ? { drain: true, ...late } : late)
    // An event weeks later, so to speak: what stood in between has been a gap.
    if (mover === 'frame') await source.frame(things(END_MS))
    return END_MS - LATENESS_MS - 1
  }

  /** As soon as it has committed all that it can. */
  async function ended({ task, ended }: Started, watermark: number): Promise<void> {
    if (mover !== 'drain') {
      await until(() => task.status().watermark === watermark && task.status().seq === server.stored(INPUT).length)
      task.stop()
    }
    expect(await ended).toBeNull()
  }

  async function told({ task }: Started) {
    const { tally } = task.status()
    const dump: string[] = []
    for await (const line of task.dump()) dump.push(line)
    return { outputs: [payloads(OUT_A), payloads(OUT_B)], tally, dump }
  }

  /** A disk on which a process dies when it writes that batch. */
  function deadly(crashAfter: number, process: FakeLog) {
    let disk = new MemoryDisk()
    const died = new Promise<void>((resolve) => {
      disk = new MemoryDisk({
        beforeWrite(number) {
          if (number !== crashAfter) return
          process.kill()
          resolve()
          throw new Error('killed')
        },
      })
    })
    return { disk, died }
  }

  /** Everything, in small commits; and the most records that a commit had. */
  async function undisturbed() {
    const watermark = await feed()
    let [before, most] = [0, 0]
    const disk = new MemoryDisk({
      beforeWrite() {
        const published = server.stored(OUT_A).length
        most = Math.max(most, published - before)
        before = published
      },
    })
    const started = start(plan(), disk, TUNING)
    await ended(started, watermark)
    return { whole: await told(started), batches: disk.batches, most }
  }

  it('is committed in parts, of as many records as other commits; killed at any of them it goes on, each record once', async () => {
    const { whole, batches, most } = await undisturbed()
    expect(whole.outputs.map((records) => records.length)).toEqual([RECORDS, RECORDS])
    expect(most).toBeLessThan(COMMIT + SLICE)
    expect(batches).toBeGreaterThan(RECORDS / (COMMIT + SLICE))
    for (let crashAfter = 1; crashAfter <= batches; crashAfter++) {
      const watermark = await feed()
      const process = server.connect('dies')
      const { disk, died } = deadly(crashAfter, process)
      start(plan(), disk, TUNING, process)
      await died
      disk.crash(1 + (crashAfter % 3))
      const next = start(plan(), disk, { ...TUNING, sliceMax: 3, commitRecordsMax: 1 + (crashAfter % 20) })
      await ended(next, watermark)
      expect(await told(next), `killed at ${crashAfter}`).toEqual(whole)
    }
  })

  it('lets a standby come no further than its owner, and go on from there', async () => {
    const { whole, batches } = await undisturbed()
    const watermark = await feed()
    const process = server.connect('dies')
    const { disk, died } = deadly(batches >> 1, process)
    const standby = start(plan(), new MemoryDisk(), DEFAULT_TUNING, server.connect('standby'), undefined, 'standby')
    await until(() => standby.task.status().phase === 'running')
    const owner = start(plan(), disk, TUNING, process)
    await died
    await sleep(5_000)
    const { watermark: reached, seq } = owner.task.status()
    expect(standby.task.status().seq).toBeLessThanOrEqual(seq)
    expect(standby.task.status().watermark).toBeLessThanOrEqual(reached)
    standby.task.promote()
    await ended(standby, watermark)
    expect(await told(standby)).toEqual(whole)
  })
})

describe('a stranger', () => {
  it.each([
    ['a plain client where the file is the clock', 'data', PLAIN_WRITER, '{"at":1}'],
    ['a control record that is none', 'data', CONTROL_WRITER, '[{"hf":"ticks"}]'],
    ['data on the control subject', 'wall', CONTROL_WRITER, '[[1,0,"x"]]'],
    ['a drain without a number', 'wall', CONTROL_WRITER, '[{"hf":"drain","as_of":null}]'],
    ['an unknown writer', 'wall', 'somebody', '[]'],
    ['an event from an unknown writer', 'wall', 'somebody', '{"at":1}'],
    ['an event on the control subject', 'wall', CONTROL_WRITER, '{"at":1}'],
  ] as const)('%s: FOREIGN_WRITE', async (_, clock, writer, text) => {
    const plan = await withStreams(planOf(clock))
    await publishTo(writer, text)
    expect(await start(plan).ended).toMatchObject({ code: 'FOREIGN_WRITE' })
    expect(server.stored(OUT_A)).toEqual([])
  })
})

describe('live', () => {
  it('no frame promises a watermark while a timer up to it has not fired', async () => {
    const emits: Operator<Thing, Thing> = {
      ...speak,
      onTimer: (timer) => [emittedBy(timer, { at: timer.dueMs }, { type: '', id: '' })],
    }
    const plan = await withStreams(planOf('wall', emits, true))
    const { task, ended } = start(plan, new MemoryDisk(), { lingerMs: 0, heartbeatMs: 1 })
    const stream = stageStream('ns', 'next', 0)
    const sent = () => payloads(stream).flat() as [at: number, marks: number][]
    await publishTo(PLAIN_WRITER, '{"at":1000,"timers":[1050]}')
    await until(() => sent().length === 1)
    // This one moves the watermark past the timer, and nothing follows it.
    await publishTo(PLAIN_WRITER, `{"at":${1_100 + LATENESS_MS}}`)
    await until(() => sent().length === 3)
    expect(sent().map(([at, marks]) => [at, marks])).toEqual([
      [1_000, 0],
      [1_100 + LATENESS_MS, 0],
      [1_050, 2],
    ])
    let promised = -1
    for (const { headers, payload } of server.stored(stream)) {
      for (const [at] of JSON.parse(Buffer.from(payload).toString())) expect(at).toBeGreaterThan(promised)
      promised = parseFrameHeader(headers![FRAME_HEADER])!.watermark
    }
    expect(promised).toBeGreaterThanOrEqual(1_099)
    task.stop()
    expect(await ended).toBeNull()
  })

  it('what a timer emitted waits for the other writers of its stage, so that nobody can tell how far each has come', async () => {
    const options = { namespace: 'ns', name: 't', clock: 'wall', partitions: 1, latenessMs: LATENESS_MS } as const
    const plan = await withStreams(
      topology(options, (t) => {
        const source = t.source('s', parse)
        const detour = source.keyBy('detour', codec)
        t.merge('both', [source.via(codec), detour.via(codec)], OUTPUTS).through(speak)
      }),
    )
    const { task, ended } = start({ ...plan, stages: [plan.stages[2]!] })
    const [direct, around] = [await Frames.open('s-0'), await Frames.open('detour-0')]
    // The detour is there first: a timer emitted this at 1000, and more may come.
    await around.send(['[1000,2,{"at":1000}]'], 1_000)
    await direct.send(['[900,0,{"at":900}]'], 900)
    await direct.send(['[950,0,{"at":950}]', '[1100,0,{"at":1100}]'], 999)
    await until(() => payloads(OUT_A).length === 3)
    await direct.send(['[1200,0,{"at":1200}]'], 1_000)
    await until(() => payloads(OUT_A).length === 5)
    expect(payloads(OUT_A).map(([, at]) => at)).toEqual([900, 950, 1_100, 1_200, 1_000])
    task.stop()
    expect(await ended).toBeNull()
  })

  it('messages of one event count for trimming', async () => {
    const plan = await withStreams(planOf('wall'))
    const { task, ended } = start(plan, new MemoryDisk(), { trimBytes: 100 })
    const count = 30
    for (let i = 0; i < count; i++) {
      await publishTo(PLAIN_WRITER, `{"at":${1_000 + i}}`)
      await until(() => server.stored(OUT_A).length === i + 1)
    }
    await until(() => server.stored(INPUT).length < count / 2)
    task.stop()
    expect(await ended).toBeNull()
  })

  it('ticks, which are little more than their place in the log, count for trimming as the server counts them', async () => {
    const plan = await withStreams(planOf('wall'))
    const { task, ended } = start(plan, new MemoryDisk(), { trimBytes: 1_000 })
    const count = 40
    for (let i = 0; i < count; i++) {
      await publishTo(CONTROL_WRITER, '[{"hf":"tick"}]')
      await until(() => task.status().seq === i + 1)
      await sleep(20)
    }
    await until(() => server.stored(INPUT).length < count / 2)
    task.stop()
    expect(await ended).toBeNull()
  })

  it('in the middle of a message it says what is behind, and for how long', async () => {
    const said: (readonly [pending: number, lagMs: number])[] = []
    let task: Task | null = null
    const watched: Operator<Thing, Thing> = {
      ...speak,
      process: (batch, ctx) => {
        const { pending, lagMs } = task!.status()
        said.push([pending, lagMs])
        return speak.process(batch, ctx)
      },
    }
    const plan = await withStreams(planOf('wall', watched))
    await publishTo(PLAIN_WRITER, JSON.stringify(things(...Array.from({ length: 300 }, (_, i) => 1_000 + i))))
    await publishTo(PLAIN_WRITER, '{"at":2000}')
    await publishTo(PLAIN_WRITER, '{"at":2001}')
    await sleep(500)
    const started = start(plan)
    task = started.task
    await until(() => server.stored(OUT_A).length === 302)
    expect(said[0]).toEqual([2, expect.any(Number)])
    expect(Math.min(...said.map(([, lagMs]) => lagMs))).toBeGreaterThanOrEqual(500)
    await until(() => task!.status().lagMs === 0)
    expect(task.status().pending).toBe(0)
    task.stop()
    expect(await started.ended).toBeNull()
  })

  it('two records may set timers of the same time, kind and key', async () => {
    const plan = await withStreams(planOf('wall'))
    const { task, ended } = start(plan)
    for (const at of [1_000, 1_001])
      await publishTo(
        PLAIN_WRITER,
        JSON.stringify([
          { at, timers: [1_500] },
          { at, timers: [1_500] },
        ]),
      )
    await publishTo(PLAIN_WRITER, '{"at":3000}')
    await publishTo(PLAIN_WRITER, '{"at":3001}')
    await until(() => server.stored(OUT_A).length === 10)
    task.stop()
    expect(await ended).toBeNull()
    expect(payloads(OUT_A).filter(([kind]) => kind === 'timer')).toEqual([
      ['timer', 1_500, 1_000],
      ['timer', 1_500, 1_000],
      ['timer', 1_500, 1_001],
      ['timer', 1_500, 1_001],
    ])
  })
})

describe('waiting', () => {
  it('for room has its name, and its beginning, as long as it lasts', async () => {
    const plan = await withStreams(planOf('data'), 64 * 1024)
    const { task, ended } = start(plan, new MemoryDisk(), { commitRecordsMax: 20 })
    const source = new Source()
    const count = 200
    for (let at = 0; at < count; at += 20) {
      await source.frame(things(...Array.from({ length: 20 }, (_, i) => at + i)), { watermark: at + 19 })
    }
    await until(() => task.status().waiting?.cause === 'room')
    const since = task.status().waiting!.sinceMs
    for (let i = 0; i < 30; i++) {
      await sleep(1_000)
      expect(task.status().waiting).toMatchObject({ cause: 'room', sinceMs: since })
    }
    while (server.stored(OUT_A).at(-1)!.seq < count || server.stored(OUT_B).at(-1)!.seq < count) {
      for (const stream of [OUT_A, OUT_B]) await log.trim(stream, server.stored(stream).at(-1)!.seq)
      await sleep(100)
    }
    await until(() => task.status().waiting === null)
    task.stop()
    expect(await ended).toBeNull()
  })

  it('for the broker at the start has its name, and ends', async () => {
    const plan = await withStreams(planOf('data'))
    server.pause()
    const { task, ended } = start(plan)
    await sleep(30_000)
    expect(task.status()).toMatchObject({ phase: 'opening', waiting: { cause: 'broker' } })
    server.resume()
    await until(() => task.status().phase === 'running')
    task.stop()
    expect(await ended).toBeNull()
  })
})

describe('frames without records', () => {
  it('are sent once where the watermark moved, and an idle task commits no more', async () => {
    const plan = await withStreams(planOf('data', speak, true))
    const { task } = start(plan)
    const source = new Source()
    // Held, so that the outputs have nothing to send: they must not make the others hurry.
    await source.frame(things(500))
    await until(() => watermarksTo('next').at(-1) === 399)
    // Too soon after that frame: they wait for their turn, and are said in one.
    await source.frame([], { watermark: 450 })
    await source.frame([], { watermark: 460 })
    await until(() => watermarksTo('next').at(-1) === 460)
    await sleep(10_000)
    expect(watermarksTo('next')).toEqual([-1, 399, 460])
    // The claim; one commit per message, and the one that was owed.
    expect(task.status().epoch).toBeLessThanOrEqual(4)
  })

  function watermarksTo(stage: string): number[] {
    return server
      .stored(stageStream('ns', stage, 0))
      .map(({ headers }) => parseFrameHeader(headers![FRAME_HEADER])!.watermark)
  }
})

describe('another plan', () => {
  const louder: Operator<Thing, Thing> = { ...speak, settings: { louder: true } }

  it('is taken up where nothing published is ahead of the state, and refused where something is', async () => {
    const disk = new MemoryDisk()
    const source = new Source()
    await withStreams(planOf('data'))
    let at = 1_000
    const runUntilOneMore = async (plan: Plan) => {
      const before = server.stored(OUT_A).length
      const { task, ended } = start(plan, disk)
      // The second one lets the first one pass.
      await source.frame(things(at, at + 500))
      at += 1_000
      await until(() => server.stored(OUT_A).length > before)
      task.stop()
      expect(await ended).toBeNull()
      await task.close()
    }
    await runUntilOneMore(planOf('data'))
    await runUntilOneMore(planOf('data', louder))
    const atThis = disk.batches
    await runUntilOneMore(planOf('data', louder))
    disk.crash(disk.batches - atThis)
    expect(await start(planOf('data'), disk).ended).toMatchObject({ code: 'UPGRADE_MID_COMMIT' })
    disk.crash()
    await runUntilOneMore(planOf('data', louder))
  })
})

describe('cuts inside a frame', () => {
  it('with a crash at any of them, and other slices after it: each record once, in order', async () => {
    const times = Array.from({ length: 40 }, (_, i) => 100 * i + ((i * 37) % 90))
    let expected: unknown = null
    for (const [sliceMax, crashAfter] of [
      [128, 0],
      [1, 3],
      [7, 2],
      [3, 9],
    ] as const) {
      server = new FakeLogServer({ seed: 3 })
      log = server.connect('tests')
      const plan = await withStreams(planOf('data'))
      const source = new Source()
      await source.frame(things(...times))
      await source.frame([], { drain: true })
      let disk = new MemoryDisk()
      if (crashAfter > 0) {
        let dies: () => void = () => {}
        const dead = new Promise<void>((resolve) => {
          dies = resolve
        })
        const process = server.connect('dies')
        disk = new MemoryDisk({
          beforeWrite: (number) => {
            if (number === crashAfter) {
              process.kill()
              dies()
              throw new Error('killed')
            }
          },
        })
        start(plan, disk, { sliceMax, commitRecordsMax: sliceMax, lingerMs: 0 }, process)
        await dead
        disk.crash(1)
      }
      const last = start(plan, disk, { sliceMax: 5, commitRecordsMax: 11, lingerMs: 0 })
      expect(await last.ended).toBeNull()
      const out = payloads(OUT_A)
      expect(out).toHaveLength(times.length)
      expected ??= out
      expect(out).toEqual(expected)
    }
  })
})
