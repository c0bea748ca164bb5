// Reads that are answered together, as answers and in what is asked of RocksDB; on a real nats-server and a real state.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HoldfastError } from '../log/errors.ts'
import type { NatsLog } from '../log/nats-log.ts'
import { realRuntime } from '../log/runtime.ts'
import type { Backend, BackendSnapshot } from '../state/backend.ts'
import { openRocksBackend } from '../state/rocks-backend.ts'
import { type NatsHarness, natsHarness } from '../test/conformance/nats-harness.ts'
import { LATENESS_MS_DEFAULT, pageViewGraph } from './graph.ts'
import { Host, type TaskRead, type TaskReadOutcome } from './host.ts'
import { failureOf } from './host-messages.ts'
import { PLAIN_WRITER, type Plan, stageSubject } from './plan.ts'
import { ReadBatches } from './read-batches.ts'
import { ensureStreams, streamSpecs } from './streams.ts'
import { DEFAULT_TUNING } from './task.ts'

const START_MS = Date.UTC(2026, 0, 1)
const MINUTE_MS = 60_000
const TASK = 'user-1-0'
const SPOILT = 'spoilt'

/** Bytes of keys that were asked of snapshots at once. */
const reads: Uint8Array[][] = []

/** A state that counts reads, and in which one key cannot be read. */
function watched(backend: Backend): Backend {
  const snapshot = (): BackendSnapshot => {
    const inner = backend.snapshot()
    return {
      multiGet: async (keys) => {
        reads.push([...keys])
        if (keys.some((key) => Buffer.from(key).includes(SPOILT))) throw new HoldfastError('STATE_CORRUPT', SPOILT)
        return inner.multiGet(keys)
      },
      scan: (...range) => inner.scan(...range),
      last: (range, count) => inner.last(range, count),
      release: () => inner.release(),
    }
  }
  return {
    multiGet: (keys) => backend.multiGet(keys),
    scan: (...range) => backend.scan(...range),
    last: (range, count) => backend.last(range, count),
    write: (batch) => backend.write(batch),
    flush: () => backend.flush(),
    close: () => backend.close(),
    snapshot,
  }
}

let dir: string
let nats: NatsHarness
let log: NatsLog
let plan: Plan
let host: Host
let published = 0

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-batches-'))
  nats = await natsHarness()
  log = await nats.connect()
  plan = pageViewGraph({
    ...{ namespace: 'batches', name: 'reads', clock: 'wall', partitions: 1, latenessMs: LATENESS_MS_DEFAULT },
    ...{ anonymous: 'reject', accepted: 'off' },
  })
  await ensureStreams(log, streamSpecs(plan, { totalBytes: 256 << 20, replicas: 1 }))
  const backend = async (task: string) => watched(await openRocksBackend(join(dir, task)))
  const runtime = realRuntime
  host = new Host({ plan, log, runtime, backend, tuning: DEFAULT_TUNING, role: 'owner', onHalt: () => {} })
  await host.start()
})
afterAll(async () => {
  await host.stop()
  await host.close()
  await log.close()
  await nats.close()
  await rm(dir, { recursive: true })
})

/** Page views, one event each, applied when it settles. */
async function views(users: readonly string[], time: number): Promise<void> {
  let seq = 0
  for (const user of users) {
    const event = { type: 'page_view', event_id: `e${++published}`, event_time: time, user_id: user, page_id: 'home' }
    const subject = stageSubject('batches', 'user-1', 0, PLAIN_WRITER)
    const result = await log.publish({ subject, headers: null, payload: Buffer.from(JSON.stringify(event)) }, null)
    if (result.kind !== 'stored') throw new Error(result.cause)
    seq = result.seq
  }
  await expect.poll(async () => (await host.commitOf(TASK))?.position.seq, { timeout: 10_000 }).toBe(seq)
}

const ask = (keys: readonly string[], more: Partial<TaskRead> = {}): TaskRead => ({
  ...{ task: TASK, feature: { feature: 'page_views_1h', entity: 'user' }, keys, at: null, snapshot: null },
  ...more,
})

describe('reads asked for at once', () => {
  it('get what each alone would get, and no other time or snapshot than its own', async () => {
    const users = Array.from({ length: 40 }, (_, i) => `u${i}`)
    await views(
      users.flatMap((user, i) => Array(i % 4).fill(user)),
      START_MS,
    )
    await host.pin('old')
    await views([...users.slice(0, 20)], START_MS + 90 * MINUTE_MS)
    const asks = users.flatMap((user, i) => [
      ask([user]),
      ask([user, users[(i + 7) % 40]!], { at: START_MS + 60 * MINUTE_MS - 1 }),
      ask([user], { snapshot: 'old' }),
      ask([user], { snapshot: 'none' }),
      ask([user], { at: START_MS - 20 * 60 * MINUTE_MS }),
      ask(['home'], { task: 'pages-0', feature: { feature: 'page_views_1h', entity: 'page' } }),
      ask([user], { task: 'pages-1' }),
    ])
    const alone: TaskReadOutcome[] = []
    for (const one of asks) alone.push(await host.read(one))
    expect(new Set(alone.map(({ kind }) => kind))).toEqual(
      new Set(['read', 'snapshot_gone', 'not_held', 'unavailable']),
    )
    expect(new Set(alone.map((outcome) => JSON.stringify(outcome))).size).toBeGreaterThan(12)
    reads.length = 0
    expect(await Promise.all(asks.map((one) => host.read(one)))).toEqual(alone)
    // The newest and the pinned state of one task, and that of the other: one read each.
    expect(reads).toHaveLength(3)
    expect(await host.unpin('old')).toBe(true)
  })

  it('are read in portions, so that a thread does other things between', async () => {
    const asks = Array.from({ length: 25 }, (_, i) => ask(Array.from({ length: 100 }, (_, k) => `u${i} ${k}`)))
    reads.length = 0
    const outcomes = await Promise.all(asks.map((one) => host.read(one)))
    expect(outcomes.every(({ kind }) => kind === 'read')).toBe(true)
    expect(reads).toHaveLength(3)
  })

  it('fail alone where one of them cannot be read (RB1)', async () => {
    const keys = ['u1', SPOILT, 'u2', 'u3']
    // Of a time that has no values yet: keys of small buckets that are full stand in one value.
    const at = START_MS + 100 * 60 * MINUTE_MS
    const settled = await Promise.allSettled(keys.map((key) => host.read(ask([key], { at }))))
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    expect((settled[1] as PromiseRejectedResult).reason).toBeInstanceOf(HoldfastError)
    expect((settled[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'STATE_CORRUPT' })
  })
})

describe('one turn of the event loop', () => {
  it('makes one question of all that is asked in it, and the next turn another', async () => {
    const asked: string[][] = []
    const batches = new ReadBatches<TaskRead, TaskReadOutcome>(async (asks) => {
      asked.push(asks.map(({ keys }) => keys[0]!))
      return asks.map(({ keys }) =>
        keys[0] === 'bad'
          ? { kind: 'failed', failure: failureOf(new Error('bad')) }
          : { kind: 'unavailable', why: keys[0]! },
      )
    })
    const first = ['a', 'bad', 'b'].map((key) => batches.read(ask([key])))
    const settled = await Promise.allSettled(first)
    expect(settled).toMatchObject([{ value: { why: 'a' } }, { reason: { message: 'bad' } }, { value: { why: 'b' } }])
    await batches.read(ask(['c']))
    expect(asked).toEqual([['a', 'bad', 'b'], ['c']])
  })

  it('whose question fails fails all that was asked in it, and nothing else', async () => {
    let turns = 0
    const batches = new ReadBatches<TaskRead, TaskReadOutcome>(async (asks) => {
      if (turns++ === 0) throw new Error('the thread has died')
      return asks.map(() => ({ kind: 'unavailable', why: 'so' }))
    })
    const settled = await Promise.allSettled([batches.read(ask(['a'])), batches.read(ask(['b']))])
    expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(await batches.read(ask(['c']))).toMatchObject({ why: 'so' })
  })
})
