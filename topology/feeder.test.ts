// Uploads before a live source, on the simulated log and disk: what they become does not depend on how they came, and they come
// at the pace of the source's commits, whoever is restarted meanwhile.

import { afterEach, describe, expect, it } from 'vitest'
import { type FakeLog, FakeLogServer } from '../log/fake-log.ts'
import { FRAME_HEADER, parseFrameHeader, partitionOf } from '../log/frame.ts'
import type { LogMessage } from '../log/log.ts'
import { SIM_START_MS } from '../log/sim.ts'
import { EVENT_BYTES_MAX, REFUSED_BYTES_KEPT } from '../operators/event.ts'
import { DEAD_LETTERS, type DeadLetter } from '../operators/validation.ts'
import { MemoryDisk } from '../state/memory-backend.ts'
import { audit } from './audit.ts'
import { ACCEPTED, BULK, pageViewGraph } from './graph.ts'
import { Host, tasksOf } from './host.ts'
import { FRAME_RECORDS_MAX, FRAME_RECORDS_MIN, PATIENCE_MS } from './pace.ts'
import {
  CONTROL_WRITER,
  outputStream,
  PLAIN_WRITER,
  type Plan,
  plainMapping,
  stageStream,
  stageSubject,
} from './plan.ts'
import { UPLOADED } from './records.ts'
import { ensureStreams, streamSpecs } from './streams.ts'
import { DEFAULT_TUNING, type TaskTuning } from './task.ts'

const NAMESPACE = 'ns'
const PARTITIONS = 2
const SOURCE_STAGE = 'user-1'

const planOf = (uploads: boolean): Plan =>
  pageViewGraph({
    ...{ namespace: NAMESPACE, name: 't', clock: 'wall', partitions: PARTITIONS, latenessMs: 600_000 },
    ...{ anonymous: 'reject', accepted: 'records', uploads },
  })

const worlds: World[] = []
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop()
})

/** A namespace, and a node that runs it or not. */
class World {
  readonly server: FakeLogServer
  readonly plan: Plan
  readonly #tests: FakeLog
  readonly #disks: ReadonlyMap<string, MemoryDisk>
  host: Host | null = null

  private constructor(seed: number, uploads: boolean) {
    this.server = new FakeLogServer({ seed })
    this.plan = planOf(uploads)
    this.#tests = this.server.connect('tests')
    this.#disks = new Map(tasksOf(this.plan).map(({ name }) => [name, new MemoryDisk()]))
    worlds.push(this)
  }

  static async create({ seed = 1, uploads = true } = {}): Promise<World> {
    const world = new World(seed, uploads)
    await ensureStreams(world.#tests, streamSpecs(world.plan, { totalBytes: 1e9, replicas: 1 }))
    return world
  }

  async start(tuning: Partial<TaskTuning> = {}, log = this.server.connect('node')): Promise<void> {
    this.host = new Host({
      ...{ plan: this.plan, log, runtime: log.runtime, role: 'owner' },
      tuning: { ...DEFAULT_TUNING, ...tuning },
      backend: async (task) => this.#disks.get(task)!.open(),
      onHalt: (task, error) => {
        throw new Error(`${task} halted`, { cause: error })
      },
    })
    await this.host.start()
    while (this.host.status().some(({ phase }) => phase === 'opening')) await this.pass(1)
  }

  async stop(): Promise<void> {
    await this.host?.stop()
    await this.host?.close()
    this.host = null
  }

  get disks(): MemoryDisk[] {
    return [...this.#disks.values()]
  }

  pass(ms: number): Promise<void> {
    return this.#tests.runtime.sleep(ms)
  }

  async publish(stage: string, partition: number, payload: string | Buffer, writer = PLAIN_WRITER): Promise<void> {
    const subject = stageSubject(NAMESPACE, stage, partition, writer)
    const result = await this.#tests.publish({ subject, headers: null, payload: Buffer.from(payload as string) }, null)
    expect(result.kind).toBe('stored')
  }

  count(stage: string, counter: string): number {
    const tasks = this.host!.status().filter(({ name }) => name.startsWith(`${stage}-`))
    return tasks.reduce((sum, { tally }) => sum + (tally.counts[counter] ?? 0), 0)
  }

  /** Waits until the source has read so many arrivals, all committed. */
  async settled(read: number): Promise<void> {
    while (this.count(SOURCE_STAGE, 'read') < read) await this.pass(5)
    await this.pass(500)
    expect(this.count(SOURCE_STAGE, 'read')).toBe(read)
  }

  stored(stage: string, partition: number): LogMessage[] {
    return this.server.stored(stageStream(NAMESPACE, stage, partition))
  }

  output<T>(name: string, partition: number): T[] {
    return this.server.stored(outputStream(NAMESPACE, name, partition)).map(({ payload }) => JSON.parse(text(payload)))
  }

  async dumpOf(task: string): Promise<string[]> {
    const { task: named } = this.host!.all().find((hosted) => hosted.task.name === task)!
    const lines: string[] = []
    for await (const line of named.dump()) lines.push(line)
    return lines
  }

  audit() {
    return audit(this.plan, this.#tests)
  }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

/** What a record of a feeder's frame is. */
const sentIn = (record: unknown): Buffer => Buffer.from(UPLOADED.decode((record as unknown[])[2], 0) as Buffer)

/** Frames with records that the feeder of a partition has sent to the source, among the messages of clients. */
function lineUp(world: World, partition: number) {
  return world.stored(SOURCE_STAGE, partition).flatMap((message) => {
    const writer = message.subject.split('.').at(-1)!
    if (writer === CONTROL_WRITER) return []
    const value = (): unknown[] => JSON.parse(text(message.payload))
    if (writer === PLAIN_WRITER) return [{ message, live: true, records: message.payload[0] === 0x5b ? value() : [0] }]
    const { count } = parseFrameHeader(message.headers?.[FRAME_HEADER])!
    return count === 0 ? [] : [{ message, live: false, records: value() }]
  })
}

const TIME = SIM_START_MS - 5_000_000
function event(id: number, user: string, more: object = {}): string {
  return JSON.stringify({
    ...{ type: 'page_view', event_id: `e${id}`, event_time: TIME + 1_000 * (id % 5_000), user_id: user },
    ...{ page_id: `p${id % 7}`, ...more },
  })
}

const USERS = Array.from({ length: 20 }, (_, i) => `user ${i} ü`)
const HOME = new Map(USERS.map((user) => [user, partitionOf(user, PARTITIONS)]))

/** Bytes that clients send, and what is wrong with them; the last is too much to be kept whole. */
const ODD: readonly (readonly [Buffer, string])[] = [
  [Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), 'EVENT_JSON'],
  [Buffer.from('{"type": "page_view", '), 'EVENT_JSON'],
  [Buffer.from('[{"type":"page_view"},'), 'EVENT_JSON'],
  [Buffer.from('\ufeff{"a":"\\u0000\\ud800 \u2028"}'), 'EVENT_JSON'],
  [Buffer.from(event(9, 'late', { event_time: Date.UTC(2099, 0, 1) })), 'EVENT_TIME_FUTURE'],
  [Buffer.alloc(EVENT_BYTES_MAX + 1, '\u0001'), 'EVENT_TOO_LARGE'],
  [Buffer.alloc(3 * REFUSED_BYTES_KEPT, 'x'), 'EVENT_TOO_LARGE'],
]

describe('an uploaded event', () => {
  it('becomes what the same event becomes that comes live, in the place of the log where it is', async () => {
    const world = await World.create()
    await world.start({ sliceMax: 7 })
    let sent = 0
    for (let i = 0; i < 600; i++) {
      const user = USERS[i % USERS.length]!
      const partition = HOME.get(user)!
      // Each of them comes in both ways, and one is an upload of several.
      const events = [event(i, user), event(i + 1, user), event(i, user)]
      await world.publish(BULK, partition, i % 3 === 0 ? `[${events.join(' ,\n')}]` : events[0]!)
      if (i % 2 === 0) await world.publish(SOURCE_STAGE, partition, events[0]!)
      sent += (i % 3 === 0 ? 3 : 1) + (i % 2 === 0 ? 1 : 0)
    }
    for (const [bytes] of ODD) await world.publish(BULK, 1, bytes)
    await world.publish(BULK, 1, `[7,${event(1, 'x').replace('page_view', 'nothing')}]`)
    sent += ODD.length + 2
    await world.settled(sent)

    const letters = world.output<DeadLetter>(DEAD_LETTERS, 1)
    expect(letters.map(({ code, raw }) => [code, raw])).toEqual([
      ...ODD.map(([bytes, code]) => [code, bytes.subarray(0, REFUSED_BYTES_KEPT).toString('base64')]),
      ['EVENT_JSON', Buffer.from('7').toString('base64')],
      ['EVENT_FIELD_INVALID', expect.any(String)],
    ])
    for (const { stream, sequence, index, raw } of letters) {
      expect(stream).toBe(stageStream(NAMESPACE, SOURCE_STAGE, 1))
      const record = JSON.parse(text(world.stored(SOURCE_STAGE, 1)[sequence - 1]!.payload))[index]
      expect(sentIn(record).toString('base64')).toBe(raw)
    }

    const live = await World.create({ uploads: false })
    for (const [partition, stream] of [0, 1].map((p) => [p, stageStream(NAMESPACE, SOURCE_STAGE, p)] as const)) {
      const subject = stageSubject(NAMESPACE, SOURCE_STAGE, partition, PLAIN_WRITER)
      for (const { message, live: asItIs, records } of lineUp(world, partition)) {
        const payloads = asItIs ? [message.payload] : records.map(sentIn)
        for (const payload of payloads) live.server.replay(stream, { ...message, subject, headers: null, payload })
      }
    }
    await live.start()
    await live.settled(sent)
    for (const p of [0, 1]) {
      expect(world.output(ACCEPTED, p)).toEqual(live.output(ACCEPTED, p))
      expect(await world.dumpOf(`user-1-${p}`)).toEqual(await live.dumpOf(`user-1-${p}`))
    }
    for (const counter of ['read', 'duplicates', 'late', 'dead_letters'])
      expect([counter, world.count(SOURCE_STAGE, counter)]).toEqual([counter, live.count(SOURCE_STAGE, counter)])
    // The first of those that are alike was processed, whichever way it came: 601 ids, of every user that had them.
    expect(world.count(SOURCE_STAGE, 'duplicates')).toBeGreaterThan(300)
  })

  it('moves no time before it is processed: neither ticks of a feeder nor its frames do', async () => {
    const world = await World.create()
    await world.start()
    await world.pass(1_000)
    for (const partition of [0, 1]) await world.publish(BULK, partition, '[{"hf":"tick"}]', CONTROL_WRITER)
    await world.pass(1_000)
    await world.publish(BULK, 0, 'no event')
    await world.settled(1)
    const watermarks = world.host!.status().flatMap(({ name, watermark }) => (name === 'user-1-0' ? [watermark] : []))
    expect(watermarks).toEqual([-1])
    expect(world.count(BULK, 'late')).toBe(0)
  })

  it('comes once, and in the order of its upload, whatever is stopped or lost meanwhile', async () => {
    const world = await World.create({ seed: 7 })
    const ids = Array.from({ length: 3_000 }, (_, i) => i)
    for (let i = 0; i < ids.length; i += 50) {
      const events = ids.slice(i, i + 50).map((id) => event(id, 'one'))
      await world.publish(BULK, 0, `[${events.join()}]`)
    }
    for (let crash = 0; crash < 6; crash++) {
      const log = world.server.connect(`node ${crash}`)
      await world.start({ sliceMax: 5 }, log)
      await world.pass(20 + 7 * crash)
      // What a killed process had under way is lost, or lands later.
      if (crash % 2 === 0) log.kill()
      else await world.stop()
      for (const disk of world.disks) disk.crash(crash % 3)
    }
    await world.start()
    await world.settled(ids.length)
    expect(world.output<{ event_id: string }>(ACCEPTED, 0).map(({ event_id }) => event_id)).toEqual(
      ids.map((id) => `e${id}`),
    )
    expect((await world.audit()).faults).toEqual([])
  })
})

describe('the pace', () => {
  /** A connection that notes, of each frame of the feeder, what the source had committed of it when it was sent. */
  function watched(world: World, heard = true) {
    const log = world.server.connect('node')
    const frames: { first: number; count: number; committed: number; atMs: number }[] = []
    let committed = 0
    log.listen(`${NAMESPACE}.committed.user-1-0`, (payload) => {
      committed = (JSON.parse(text(payload)) as { fed: Record<string, number> }).fed['bulk-0']!
    })
    const publish = log.publish.bind(log)
    log.publish = (message, expected) => {
      const header = parseFrameHeader(message.headers?.[FRAME_HEADER])
      if (message.subject === stageSubject(NAMESPACE, SOURCE_STAGE, 0, 'bulk-0') && header!.count > 0)
        frames.push({ first: header!.first, count: header!.count, committed, atMs: log.runtime.now() })
      return publish(message, expected)
    }
    if (!heard) log.listen = () => () => {}
    return { log, frames }
  }

  const backlog = (count: number) => `[${Array.from({ length: count }, (_, i) => event(i, 'one')).join()}]`

  it('is one frame under way, and large ones where nothing is live', async () => {
    const world = await World.create()
    for (let i = 0; i < 20; i++) await world.publish(BULK, 0, backlog(400))
    const { log, frames } = watched(world)
    await world.start({}, log)
    await world.pass(1_000)
    for (let i = 0; i < 20; i++) await world.publish(BULK, 0, backlog(400))
    await world.settled(16_000)
    for (const { first, committed } of frames) expect(committed).toBe(first - 1)
    const sizes = frames.map(({ count }) => count)
    expect(sizes.slice(0, 3)).toEqual([FRAME_RECORDS_MIN, FRAME_RECORDS_MIN, FRAME_RECORDS_MIN])
    expect(Math.max(...sizes)).toBe(FRAME_RECORDS_MAX)
  })

  it.each([0.5, 0.25])('leaves live events what is theirs: %d', async (fedShare) => {
    const world = await World.create()
    for (let i = 0; i < 100; i++) await world.publish(BULK, 0, backlog(400))
    const { log, frames } = watched(world)
    await world.start({ fedShare }, log)
    // As much as the source can take: it has the next message before it has committed the last one.
    for (let i = 0; i < 60; i++) {
      await world.publish(SOURCE_STAGE, 0, backlog(600))
      await world.pass(2)
    }
    const between = lineUp(world, 0)
    const steady = between.slice(
      between.findIndex(({ live }) => live) + 10,
      between.findLastIndex(({ live }) => live),
    )
    const recordsOf = (wanted: boolean) =>
      steady.reduce((sum, { live, records }) => sum + (live === wanted ? records.length : 0), 0)
    const share = recordsOf(false) / (recordsOf(false) + recordsOf(true))
    expect(frames.length).toBeGreaterThan(4)
    expect(share).toBeLessThanOrEqual(fedShare * 1.1)
    expect(share).toBeGreaterThan(fedShare / 3)
  })

  it('goes on without word of the commits, a frame at a time', async () => {
    const world = await World.create()
    await world.publish(BULK, 0, backlog(4 * FRAME_RECORDS_MIN))
    const { log, frames } = watched(world, false)
    await world.start({}, log)
    const waits: (string | undefined)[] = []
    while (world.count(SOURCE_STAGE, 'read') < 4 * FRAME_RECORDS_MIN) {
      waits.push(world.host!.status().find(({ name }) => name === 'bulk-0')?.waiting?.cause)
      await world.pass(50)
    }
    expect(frames.map(({ count }) => count)).toEqual(Array.from({ length: 4 }, () => FRAME_RECORDS_MIN))
    for (const [i, { atMs }] of frames.slice(1).entries())
      expect(atMs - frames[i]!.atMs).toBeGreaterThanOrEqual(PATIENCE_MS)
    expect(waits).toContain('pace')
  })

  it('keeps nobody from stopping', async () => {
    const world = await World.create()
    await world.publish(BULK, 0, backlog(4 * FRAME_RECORDS_MIN))
    await world.start({}, watched(world, false).log)
    await world.pass(100)
    const stopped = world.stop()
    await Promise.race([stopped, world.pass(PATIENCE_MS / 4).then(() => expect.unreachable('it waits for its pace'))])
  })
})

it('clients publish uploads as they publish events, to subjects of their own', () => {
  expect(plainMapping(planOf(true))).toEqual({
    'ns.in.*': 'ns.user-1.{{partition(2,1)}}.in',
    'ns.bulk.*': 'ns.bulk.{{partition(2,1)}}.in',
  })
})
