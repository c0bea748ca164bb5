// One task on the simulated log and disk: what can go wrong around it, one scenario a test. Random faults and many seeds are
// test/simulation's; here each test names what happened.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FakeLog, FakeLogServer } from '../log/fake-log.ts'
import { FRAME_HEADER, parseFrameHeader } from '../log/frame.ts'
import { Numbering, startOf } from '../log/numbering.ts'
import type { Runtime } from '../log/runtime.ts'
import { Writer } from '../log/writer.ts'
import type { Arrival } from '../operators/arrival.ts'
import type { Operator } from '../operators/operator.ts'
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
import { DEFAULT_TUNING, Task, type TaskTuning } from './task.ts'

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
    onTimer: ({ dueMs }, ctx) => ctx.emit('a', ['timer', dueMs, passed], { input: 0 }),
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
): Started {
  const task = new Task({
    ...{ plan, stage: plan.stages[0]!, partition: 0, log: over, backend: disk.open(), runtime },
    role: 'owner',
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
