// Versions that the trainer publishes become live, or do not: on the simulated log, where tasks only say what they have read.

import { beforeEach, describe, expect, it } from 'vitest'
import { blobName } from '../log/blobs.ts'
import { type FakeLog, FakeLogServer } from '../log/fake-log.ts'
import { LogUnavailable } from '../log/log.ts'
import { duplicates } from '../operators/duplicates.ts'
import type { Event } from '../operators/event.ts'
import { MODELS, type ModelRecord } from '../operators/model-records.ts'
import type { Operator } from '../operators/operator.ts'
import { validation } from '../operators/validation.ts'
import { ACTIVATIONS_KEPT } from './activation-registry.ts'
import { decodeControl } from './control.ts'
import { topology } from './dsl.ts'
import { tasksOf } from './host.ts'
import { forgetFiles } from './model-files.ts'
import { ModelKeeper } from './model-keeper.ts'
import { ModelRegistry } from './model-registry.ts'
import { ensureModelBucket, ensureStreams, MODEL_FILES_KEPT, modelBucketName, streamSpecs } from './streams.ts'
import type { TaskStatus } from './task.ts'

const SETTINGS = { totalBytes: 1 << 28, replicas: 1 }
const NS = 'ns'
const BUCKET = modelBucketName(NS)

const scores: Operator<Event, Event> = {
  ...{ name: 'scorer', version: 1, settings: null, stores: [] },
  process: (batch) => batch,
}
const PLAN = topology({ namespace: NS, name: 't', clock: 'wall', partitions: 2, latenessMs: 0 }, (t) => {
  t.source('user-1', validation({}), [{ name: MODELS, mode: 'records' }])
    .through(duplicates())
    .through(scores)
})

let server: FakeLogServer
let log: FakeLog
/** By task: the newest activation that it has read. */
let read: number
let said: string[]

beforeEach(async () => {
  server = new FakeLogServer({ seed: 5 })
  log = server.connect('test')
  await ensureStreams(log, streamSpecs(PLAN, SETTINGS))
  await ensureModelBucket(log, PLAN, SETTINGS)
  read = 0
  said = []
})

function keeper(own: FakeLog = log): ModelKeeper {
  const status = () =>
    tasksOf(PLAN).map(({ name }) => ({ name, phase: 'running', modelActivation: read }) as unknown as TaskStatus)
  return new ModelKeeper({ plan: PLAN, host: { status }, log: own, runtime: { killPoint: () => undefined } }, (line) =>
    said.push(line),
  )
}

const fileOf = (version: number) => Buffer.from(`model ${version}`)

/** What a trainer leaves of a version: its file, and its record. */
async function publish(version: number, parent = version - 1, file: 'kept' | 'missing' = 'kept'): Promise<void> {
  const bytes = fileOf(version)
  const sha256 = blobName(bytes)
  if (file === 'kept') await log.putBlob(BUCKET, sha256, bytes)
  const metrics = { normalisedEntropy: 0.9, calibration: 1, weightNorm: 1, touches: 10, positives: 1 }
  const record: ModelRecord = {
    ...{ kind: 'published', at: 0, from: 0, version, parent, sha256, bytes: bytes.length, schema: 's', rows: 1 },
    ...{ firstMs: 0, lastMs: 0, metrics },
  }
  await tell(record)
}

async function tell(record: ModelRecord): Promise<void> {
  const payload = Buffer.from(JSON.stringify(record))
  const result = await log.publish({ subject: `${NS}.out.${MODELS}.1`, headers: null, payload }, null)
  expect(result.kind).toBe('stored')
}

/** Versions in the `model` records of a task's stream, with their activation numbers. */
async function broughtTo(partition: number): Promise<string[]> {
  const messages = server.stored(`${NS}_user-1_${partition}`)
  return messages.flatMap(({ payload }) =>
    (JSON.parse(Buffer.from(payload).toString()) as unknown[]).map((json) => {
      const control = decodeControl(json)
      expect(control?.hf).toBe('model')
      return control?.hf === 'model' ? `${control.activation}: ${control.body.version}` : ''
    }),
  )
}

/** As `holdfast model activate` does it. */
async function activate(version: number, seen: number): Promise<void> {
  const registry = new ModelRegistry(log, NS)
  const sha256 = blobName(fileOf(version))
  const outcome = await registry.append({ version, sha256, schema: 's', seen }, 0, await registry.newest())
  expect(outcome.kind).toBe('stored')
}

describe('what is published', () => {
  it('becomes live, version after version, in every task that scores', async () => {
    const one = keeper()
    await one.look()
    expect(one.liveAt(0)).toBeNull()
    await publish(1)
    await publish(2)
    await one.look()
    expect(await broughtTo(0)).toEqual(['1: 1', '2: 2'])
    expect(await broughtTo(1)).toEqual(['1: 1', '2: 2'])
    await one.look()
    expect(await broughtTo(0)).toEqual(['1: 1', '2: 2'])
    expect(one.liveAt(0)).toMatchObject({ version: 2, activation: 2 })
  })

  it('is no refusal of a candidate', async () => {
    await publish(1)
    const { sha256, bytes, schema, rows, firstMs, lastMs, metrics } = {
      ...{ sha256: 'ab'.repeat(32), bytes: 1, schema: 's', rows: 1, firstMs: 0, lastMs: 0 },
      metrics: { normalisedEntropy: 2, calibration: 2, weightNorm: 1, touches: 10, positives: 1 },
    }
    const facts = { sha256, bytes, schema, rows, firstMs, lastMs, metrics }
    await tell({ kind: 'refused', at: 0, reason: 'calibration', detail: '2', parent: 1, ...facts })
    const one = keeper()
    await one.look()
    expect(one.liveAt(0)?.version).toBe(1)
  })

  it('MV2: does not become live beside another than its parent; that is said and counted', async () => {
    await publish(1)
    await publish(2, 7)
    const one = keeper()
    await one.look()
    expect(one.liveAt(0)?.version).toBe(1)
    expect([...one.refused]).toEqual([['parent', 1]])
    expect(said.at(-1)).toMatch(
      /^MODEL_REFUSED: model version 2 does not become live: .*reason=parent, parent=7, live=1/,
    )
  })

  it('MK2: does not become live without its file, or with another', async () => {
    await publish(1)
    await publish(2, 1, 'missing')
    await publish(3, 1)
    server.buckets.damage(BUCKET, blobName(fileOf(3)), () => Buffer.from('other'))
    const one = keeper()
    await one.look()
    expect(one.liveAt(0)?.version).toBe(1)
    expect([...one.refused]).toEqual([
      ['missing', 1],
      ['hash', 1],
    ])
  })

  it('MK1: is decided again after a crash, with the same outcome, whatever the log answered', async () => {
    for (const fault of ['ackLost', 'publishLost'] as const) {
      server.plan({ kind: fault }, { client: fault, subject: `${NS}.model` })
      const version = fault === 'ackLost' ? 1 : 2
      await publish(version)
      await keeper(server.connect(fault)).look()
      await keeper().look()
      expect((await new ModelRegistry(log, NS).newest())?.body.version).toBe(version)
    }
    expect((await new ModelRegistry(log, NS).all()).map(({ body }) => body.version)).toEqual([1, 2])
  })

  it('MK1: is decided again by the same node, where somebody was first', async () => {
    await publish(1)
    await keeper().look()
    const own = server.connect('node')
    const one = keeper(own)
    await publish(2)
    const said = own.publish.bind(own)
    own.publish = async (...asked) => {
      if (asked[0].subject !== `${NS}.model`) return said(...asked)
      own.publish = said
      await activate(1, 1)
      return said(...asked)
    }
    await one.look()
    expect(one.liveAt(0)).toMatchObject({ version: 1, activation: 2 })
    await one.look()
    expect(one.liveAt(0)).toMatchObject({ version: 2, activation: 3 })
  })

  it('waits while the broker is away', async () => {
    const own = server.connect('node')
    const one = keeper(own)
    await publish(1)
    own.cut(1_000)
    await expect(one.look()).rejects.toBeInstanceOf(LogUnavailable)
    await server.scheduler.sleep(2_000)
    await one.look()
    expect(one.liveAt(0)?.version).toBe(1)
  })
})

describe('MV3: what somebody went back from', () => {
  it('does not come back, nor what was compared with it, however often nodes start, until it is activated', async () => {
    const one = keeper()
    for (const version of [1, 2, 3]) await publish(version)
    await one.look()
    await activate(1, 3)
    await publish(4)
    await one.look()
    read = 4
    await keeper().look()
    expect(one.liveAt(0)?.version).toBe(1)
    expect(said.some((line) => /version 4 does not become live/.test(line))).toBe(true)
    await activate(4, 4)
    await publish(5)
    await one.look()
    expect(one.liveAt(0)?.version).toBe(5)
    expect((await broughtTo(0)).map((told) => told.split(': ')[1])).toEqual(['1', '2', '3', '1', '4', '5'])
  })

  it('does not come back where its parent is live again; a later version with that parent becomes live', async () => {
    for (const version of [1, 2]) await publish(version)
    await keeper().look()
    await activate(1, 2)
    await keeper().look()
    expect((await new ModelRegistry(log, NS).newest())?.body.version).toBe(1)
    await publish(3, 1)
    await keeper().look()
    expect((await new ModelRegistry(log, NS).newest())?.body.version).toBe(3)
  })
})

it('how old the live version is counts from its publication, also after it was activated again', async () => {
  const one = keeper()
  const before = server.scheduler.nowMs
  await publish(1)
  const published = server.scheduler.nowMs
  await server.scheduler.sleep(5_000)
  await publish(2)
  await activate(1, 2)
  await one.look()
  const { publishedMs } = one.liveAt(server.scheduler.nowMs)!
  expect(publishedMs).toBeGreaterThanOrEqual(Math.floor(before))
  expect(publishedMs).toBeLessThanOrEqual(published)
})

describe('files', () => {
  it('MK3: of the newest stay, and those of the live version and of two before it', async () => {
    const one = keeper()
    for (let version = 1; version <= 3; version++) await publish(version)
    await one.look()
    for (const version of [1, 2, 3]) await activate(version, 3)
    await activate(1, 3)
    for (let version = 4; version <= 4 + MODEL_FILES_KEPT; version++) await publish(version)
    await one.look()
    const names = await log.blobNames(BUCKET)
    expect(names).toHaveLength(MODEL_FILES_KEPT + 3)
    expect(names.slice(0, 3)).toEqual([1, 2, 3].map((version) => blobName(fileOf(version))))
  })

  it('are as many as are kept, at most, where nobody names any', async () => {
    for (let version = 1; version <= MODEL_FILES_KEPT + 3; version++) await publish(version)
    await forgetFiles(log, NS, [])
    expect(await log.blobNames(BUCKET)).toHaveLength(MODEL_FILES_KEPT)
  })
})

it('of the registry the newest activations stay, once every task has read them', async () => {
  const one = keeper()
  const count = 2 * ACTIVATIONS_KEPT
  for (let version = 1; version <= count; version++) await publish(version)
  await one.look()
  expect(await new ModelRegistry(log, NS).all()).toHaveLength(count)
  read = count
  await one.look()
  expect(await new ModelRegistry(log, NS).all()).toHaveLength(ACTIVATIONS_KEPT)
})

it('AR3: whoever appends tells those who listen, as long as they do', async () => {
  let told = 0
  const end = keeper(server.connect('node')).onNews(() => told++)
  const registry = new ModelRegistry(log, NS)
  const body = { version: 1, sha256: 'a', schema: 's', seen: 1 }
  const first = await registry.append(body, 0, null)
  await log.ping()
  // Refused: somebody was first.
  await registry.append(body, 1, null)
  await log.ping()
  expect([first.kind, told]).toEqual(['stored', 1])
  end()
  await registry.append(body, 0, await registry.newest())
  await log.ping()
  expect(told).toBe(1)
})
