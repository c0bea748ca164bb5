// Reads of a running host, on a real nats-server and RocksDB, with tasks in two threads.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { partitionOf } from '../log/frame.ts'
import type { NatsLog } from '../log/nats-log.ts'
import { realRuntime } from '../log/runtime.ts'
import type { KeyRead, LogPosition, ReadAsk, ReadOutcome } from '../sinks/feature-reads.ts'
import { type NatsHarness, natsHarness } from '../test/conformance/nats-harness.ts'
import { type GraphOptions, LATENESS_MS_DEFAULT, pageViewGraph } from './graph.ts'
import { HostReads, KEYS_UNDER_WAY_MAX, PINS_MAX } from './host-reads.ts'
import { PLAIN_WRITER, type Plan, stageStream, stageSubject } from './plan.ts'
import { ensureStreams, streamSpecs } from './streams.ts'
import { DEFAULT_TUNING } from './task.ts'
import { ThreadedHost } from './threaded-host.ts'

const PARTITIONS = 2
const HOUR_MS = 3_600_000
const START_MS = Date.UTC(2026, 0, 1)
const WAIT_MS = 10_000
/** For thousands of messages, one after the other, beside everything else that a machine may do. */
const WRITTEN_MS = 60_000

let dir: string
let nats: NatsHarness
let log: NatsLog

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-reads-'))
  nats = await natsHarness()
  log = await nats.connect()
})
afterAll(async () => {
  await log.close()
  await nats.close()
  await rm(dir, { recursive: true })
})

/** A running host on names of its own. */
class World implements AsyncDisposable {
  readonly plan: Plan
  readonly host: ThreadedHost
  readonly reads: HostReads
  #ids = 0

  constructor(namespace: string) {
    const graph: GraphOptions = {
      ...{ namespace, name: 'reads', clock: 'wall', partitions: PARTITIONS, latenessMs: LATENESS_MS_DEFAULT },
      ...{ anonymous: 'reject', accepted: 'off' },
    }
    this.plan = pageViewGraph(graph)
    const connection = { servers: nats.url, name: 'reads test' }
    const common = { log, connection, runtime: realRuntime, tuning: DEFAULT_TUNING, threads: 2 }
    this.host = new ThreadedHost({ graph, ...common, stateDir: join(dir, namespace), onHalt: () => {} })
    this.reads = new HostReads({ plan: this.plan, host: this.host, runtime: realRuntime })
  }

  static async start(namespace: string): Promise<World> {
    const world = new World(namespace)
    await ensureStreams(log, streamSpecs(world.plan, { totalBytes: 256 << 20, replicas: 1 }))
    await world.host.start()
    return world
  }

  /** A page view, taken by the log. */
  async view(user: string, page: string, time: number): Promise<LogPosition> {
    const { namespace, stages } = this.plan
    const partition = partitionOf(user, PARTITIONS)
    const event = { type: 'page_view', event_id: `e${++this.#ids}`, event_time: time, user_id: user, page_id: page }
    const subject = stageSubject(namespace, stages[0]!.name, partition, PLAIN_WRITER)
    const result = await log.publish({ subject, headers: null, payload: Buffer.from(JSON.stringify(event)) }, null)
    if (result.kind !== 'stored') throw new Error(result.cause)
    return { stream: stageStream(namespace, stages[0]!.name, partition), seq: result.seq, index: 0 }
  }

  ask(entity: string, keys: readonly string[], more: Partial<ReadAsk> = {}): Promise<ReadOutcome> {
    const usual = { feature: 'page_views_1h', at: null, snapshot: null, wait: null, waitMs: WAIT_MS }
    return this.reads.read({ ...usual, entity, keys, ...more })
  }

  async values(entity: string, keys: readonly string[], more: Partial<ReadAsk> = {}): Promise<readonly KeyRead[]> {
    const outcome = await this.ask(entity, keys, more)
    if (outcome.kind !== 'read') throw new Error(JSON.stringify(outcome))
    return outcome.values
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host.stop()
    await this.host.close()
    expect(this.host.failed).toEqual([])
  }
}

/** Two users of one partition. */
const [ANN, BOB] = Array.from({ length: 20 }, (_, i) => `user${i}`).filter((u) => partitionOf(u, PARTITIONS) === 0)

describe('reads of a host', () => {
  it('say what was counted, by user and across the hop by page, with the facts of the snapshot', async () => {
    await using world = await World.start('facts')
    const info = { windowMs: HOUR_MS, mode: 'panes', paneMs: 60_000, completeFrom: 0 }
    expect(world.reads.features).toContainEqual(
      expect.objectContaining({ feature: 'page_views_1h', entity: 'page', type: 'float', ...info }),
    )
    const [nothing] = await world.values('user', [ANN!])
    expect(nothing).toMatchObject({ value: 0, at: null, facts: { asOf: null, completeThrough: null, epoch: 0 } })
    await world.view(ANN!, 'home', START_MS)
    const wait = await world.view(ANN!, 'cart', START_MS + 1_000)
    const users = await world.values('user', [ANN!, BOB!, ANN!], { wait })
    expect(users.map(({ key, value }) => [key, value])).toEqual([
      [ANN, 2],
      [BOB, 0],
      [ANN, 2],
    ])
    expect(users[0]).toMatchObject({ at: START_MS + 1_000, facts: { asOf: START_MS + 1_000, appliedThrough: wait } })
    expect(users[0]!.facts.completeThrough).toBe(START_MS + 1_000 - LATENESS_MS_DEFAULT)
    const pages = await world.values('page', ['cart', 'home', 'nowhere'], { wait })
    expect(pages.map(({ value }) => value)).toEqual([1, 1, 0])
    expect(await world.ask('shop', ['x'])).toEqual({ kind: 'unknown_feature' })
    expect(await world.ask('user', ['x'], { feature: 'other' })).toEqual({ kind: 'unknown_feature' })
  })

  it('of what was written are answered when it is applied, also behind the hop, and not before', async () => {
    await using world = await World.start('writes')
    for (let i = 1; i <= 30; i++) {
      const wait = await world.view(`u${i % 7}`, 'home', START_MS + i)
      expect((await world.values('page', ['home'], { wait }))[0]!.value).toBe(i)
      const other = await world.view(ANN!, `page${i}`, START_MS + i)
      expect((await world.values('user', [ANN!], { wait: other }))[0]!.value).toBe(i)
    }
    const last = await world.view(ANN!, 'last', START_MS + 31)
    const beyond = { ...last, seq: last.seq + 1 }
    const reached = { kind: 'not_reached', reached: { stream: last.stream } }
    expect(await world.ask('user', [ANN!], { wait: beyond, waitMs: 50 })).toMatchObject(reached)
    expect(await world.ask('page', ['home'], { wait: { ...last, index: 1 }, waitMs: 50 })).toMatchObject(reached)
    expect(await world.ask('user', [ANN!], { wait: { ...last, stream: 'other_user-1_0' } })).toEqual({
      kind: 'unknown_stream',
    })
  })

  it('that wait when the node goes down are told so at once, the others answered (HR5)', async () => {
    await using world = await World.start('going')
    const { stream, seq, index } = await world.view(ANN!, 'home', START_MS)
    const never = { stream, seq: seq + 1, index }
    const waiting = world.ask('user', [ANN!], { wait: never })
    const from = performance.now()
    world.reads.close()
    const goingDown = { kind: 'unavailable', why: 'the node is going down' }
    expect([await waiting, await world.ask('user', [ANN!], { wait: never })]).toEqual([goingDown, goingDown])
    expect(performance.now() - from).toBeLessThan(WAIT_MS / 2)
    expect(await world.ask('user', [ANN!])).toMatchObject({ kind: 'read' })
  })

  it('answer for another time as long as that is held', async () => {
    await using world = await World.start('times')
    await world.view(ANN!, 'home', START_MS)
    const wait = await world.view(ANN!, 'home', START_MS + 90 * 60_000)
    const at = async (T: number) => (await world.values('user', [ANN!], { wait, at: T }))[0]
    expect(await at(START_MS + HOUR_MS - 1)).toMatchObject({ value: 1, at: START_MS + HOUR_MS - 1 })
    expect(await at(START_MS + HOUR_MS + 60_000)).toMatchObject({ value: 0 })
    expect(await at(START_MS + 90 * 60_000)).toMatchObject({ value: 1 })
    const later = await world.view(ANN!, 'home', START_MS + 10 * HOUR_MS)
    const gone = await world.ask('user', [ANN!], { wait: later, at: START_MS })
    if (gone.kind !== 'not_held') throw new Error(JSON.stringify(gone))
    expect(gone.heldFrom).toBeGreaterThan(START_MS)
    expect(gone.heldFrom).toBeLessThanOrEqual(START_MS + 10 * HOUR_MS - LATENESS_MS_DEFAULT)
    expect(await world.ask('user', [ANN!], { at: gone.heldFrom })).toMatchObject({ kind: 'read' })
    expect(await world.ask('user', [ANN!], { at: gone.heldFrom - 1 })).toMatchObject({ kind: 'not_held' })
  })

  it('never show a part of a commit, and never go back (O8)', async () => {
    await using world = await World.start('o8')
    const views = 3_000
    const first = await world.view(ANN!, 'home', START_MS)
    await world.values('user', [ANN!], { wait: first })
    let isOver = false
    const write = async (): Promise<void> => {
      try {
        for (let i = 1; i < views; i++) await world.view(i % 2 === 0 ? ANN! : BOB!, 'home', START_MS + i)
      } finally {
        isOver = true
      }
    }
    let [reads, epoch, total] = [0, 0, 0]
    const hammer = async (): Promise<void> => {
      const until = performance.now() + WRITTEN_MS
      while ((!isOver || total < views) && performance.now() < until) {
        const [a, b] = (await world.values('user', [ANN!, BOB!])) as [KeyRead<number>, KeyRead<number>]
        const { facts } = a
        // Every message is one of these views, in turns: what a prefix of the log counts is known.
        const applied = Math.max(0, facts.appliedThrough.seq - first.seq + 1)
        expect([a.value, b.value]).toEqual([Math.ceil(applied / 2), Math.floor(applied / 2)])
        expect(facts.epoch).toBeGreaterThanOrEqual(epoch)
        expect(a.value + b.value).toBeGreaterThanOrEqual(total)
        ;[epoch, total, reads] = [facts.epoch, a.value + b.value, reads + 1]
      }
    }
    await Promise.all([write(), hammer()])
    expect(total).toBe(views)
    expect(reads).toBeGreaterThan(100)
    expect(epoch).toBeGreaterThan(10)
  })

  it('of a pinned snapshot stay as they were, until it is given back; pins are bounded', async () => {
    await using world = await World.start('pins')
    const before = await world.view(ANN!, 'home', START_MS)
    await world.values('page', ['home'], { wait: before })
    const { snapshot, forMs } = (await world.reads.pin())!
    expect(forMs).toBeGreaterThan(0)
    const wait = await world.view(ANN!, 'home', START_MS + 1)
    for (const entity of ['user', 'page'] as const) {
      const key = entity === 'user' ? ANN! : 'home'
      expect((await world.values(entity, [key], { wait }))[0]!.value).toBe(2)
      expect((await world.values(entity, [key], { snapshot }))[0]!.value).toBe(1)
    }
    expect(await world.reads.unpin(snapshot)).toBe(true)
    expect(await world.reads.unpin(snapshot)).toBe(false)
    expect(await world.ask('user', [ANN!], { snapshot })).toEqual({ kind: 'snapshot_gone' })
    for (let i = 0; i < PINS_MAX; i++) expect(await world.reads.pin()).not.toBeNull()
    expect(await world.reads.pin()).toBeNull()
  })

  it('are bounded: of 100,000 at once those beyond the limit are refused, the others answered (HR4)', async () => {
    await using world = await World.start('bounds')
    const wait = await world.view(ANN!, 'home', START_MS)
    await world.values('user', [ANN!], { wait })
    const asks = Array.from({ length: 100_000 }, () => world.ask('user', [ANN!]))
    const kinds = (await Promise.all(asks)).map((outcome) =>
      outcome.kind === 'read' ? outcome.values[0]!.value : outcome.kind,
    )
    expect(kinds.slice(0, KEYS_UNDER_WAY_MAX).every((kind) => kind === 1)).toBe(true)
    expect(kinds.slice(KEYS_UNDER_WAY_MAX).every((kind) => kind === 'too_many_reads')).toBe(true)
    expect((await world.values('user', [ANN!, BOB!])).map(({ value }) => value)).toEqual([1, 0])
  })

  it('of a host that is not up say so', async () => {
    await using world = new World('down')
    expect(await world.ask('user', [ANN!])).toMatchObject({
      kind: 'unavailable',
      why: expect.stringMatching(/opening/),
    })
  })
})
