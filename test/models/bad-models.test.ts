// Each of the ten bad models is refused by whoever has to, with a code and a count; the last good one goes on, and no score is lost.
// The log is simulated; the files, the gates, the registry, the scorer and the ONNX runtime are those that work.

import { expect, it } from 'vitest'
import { blobName } from '../../log/blobs.ts'
import { HoldfastError } from '../../log/errors.ts'
import { FakeLogServer } from '../../log/fake-log.ts'
import { FEATURES_RELEASE, schemaHash } from '../../ml/touch-features.ts'
import { MODELS, type ModelRecord } from '../../operators/model-records.ts'
import type { OperatorContext } from '../../operators/operator.ts'
import { type ScoreRecord, scorer } from '../../operators/scorer.ts'
import type { Touch } from '../../operators/touch.ts'
import { GATES, refusedBy } from '../../operators/trainer-gates.ts'
import { validation } from '../../operators/validation.ts'
import type { ControlRecord } from '../../topology/commit-record.ts'
import { decodeControl, modelAt, withControl } from '../../topology/control.ts'
import { topology } from '../../topology/dsl.ts'
import { ModelKeeper } from '../../topology/model-keeper.ts'
import { ModelRegistry } from '../../topology/model-registry.ts'
import { LiveModels } from '../../topology/models/live-models.ts'
import { candidateRefusal, OnnxModel } from '../../topology/models/onnx-model.ts'
import { ensureModelBucket, ensureStreams, modelBucketName, streamSpecs } from '../../topology/streams.ts'
import type { TaskStatus } from '../../topology/task.ts'
import { recordOf } from '../operator-harness.ts'
import { type BadModel, badModels } from './bad-models.ts'
import { SOUND_WINDOW, soundModel } from './sound-model.ts'

const NS = 'bad'
const BUCKET = modelBucketName(NS)
const SETTINGS = { totalBytes: 1 << 28, replicas: 1 }
const SCHEMA = schemaHash({ features: FEATURES_RELEASE, vector: null })
const LIVE = { windows: [{ name: SOUND_WINDOW, click: true, impression: true }], vector: null, prior: 0.01 }
const METRICS = { normalisedEntropy: 0.9, calibration: 1, weightNorm: 1, touches: 10_000, positives: 1_000 }
const TOUCHES = Array.from({ length: 30 }, (_, i): Touch => {
  const facts = { user: `u${i}`, advertiser: `a${i % 3}`, campaign: 'c', ad: `d${i % 7}`, clickId: null, vector: null }
  return { kind: 'touch', type: i % 2 === 0 ? 'click' : 'impression', id: `t${i}`, timeMs: 1_000 + i, ...facts }
})

const newScorer = () => scorer(new LiveModels(LIVE), 'scores', (touch: Touch) => ({ touch, values: {} }))
const PLAN = topology({ namespace: NS, name: 't', clock: 'wall', partitions: 1, latenessMs: 0 }, (t) => {
  const place = { ...newScorer(), prepare: () => null, process: () => [] }
  t.source('user-1', validation({}), [{ name: MODELS, mode: 'records' }]).through(place as never)
})

async function world() {
  const server = new FakeLogServer({ seed: 2 })
  const log = server.connect('test')
  await ensureStreams(log, streamSpecs(PLAN, SETTINGS))
  await ensureModelBucket(log, PLAN, SETTINGS)
  const said: string[] = []
  const status = () => [{ name: 'user-1-0', phase: 'running', modelActivation: 0 } as unknown as TaskStatus]
  const options = { plan: PLAN, host: { status }, log, runtime: { killPoint: () => undefined } }
  const keeper = new ModelKeeper(options, (line) => said.push(line))
  const tell = async (record: ModelRecord) => {
    const payload = Buffer.from(JSON.stringify(record))
    await log.publish({ subject: `${NS}.out.${MODELS}.0`, headers: null, payload }, null)
  }
  const factsOf = (bytes: Uint8Array, parent: number) => ({
    ...{ at: 0, parent, sha256: blobName(bytes), bytes: bytes.length, schema: SCHEMA, rows: 1, firstMs: 0, lastMs: 0 },
    metrics: METRICS,
  })
  const publish = (version: number, bytes: Uint8Array, parent: number) =>
    tell({ kind: 'published', from: 0, version, ...factsOf(bytes, parent) })
  /** Puts a file where it is meant to be, and then lets something happen to it. */
  const keep = async ({ meant, stored }: Pick<BadModel, 'meant' | 'stored'>) => {
    const name = blobName(meant)
    await log.putBlob(BUCKET, name, meant)
    if (stored === null) await log.removeBlob(BUCKET, name)
    else if (stored !== meant) server.buckets.damage(BUCKET, name, () => stored)
  }

  /** What a task says that has read what is in its stream: the scores, and its counters. */
  const scores = async () => {
    let controls: readonly ControlRecord[] = []
    for (const { payload } of server.stored(`${NS}_user-1_0`))
      for (const json of JSON.parse(Buffer.from(payload).toString()) as unknown[])
        controls = withControl(controls, decodeControl(json) as ControlRecord & { hf: 'model' }, 0)
    const counts = new Map<string, number>()
    const emitted: ScoreRecord[] = []
    const context = {
      emitJson: (_: string, json: string) => emitted.push(JSON.parse(json)),
      count: (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1),
      model: (at: number) => modelAt(controls, at),
      blobOf: (sha256: string) => log.getBlob(BUCKET, sha256),
    } as unknown as OperatorContext
    const operator = newScorer()
    const batch = TOUCHES.map((touch, input) => ({ ...recordOf(touch, { time: touch.timeMs }), input }))
    await operator.prepare!(batch, context)
    operator.process(batch, context)
    return { emitted, counts }
  }
  return { log, keeper, said, tell, factsOf, publish, keep, scores }
}

/** What the trainer's gates say: of its sums and weights, and of the file. */
async function gateOf({ sums, meant }: BadModel): Promise<string | null> {
  const refusal = refusedBy(GATES, sums, []) ?? (await candidateRefusal(meant).catch(() => null))
  return refusal?.reason ?? null
}

it('there are ten, and each is refused by somebody', () => {
  const all = badModels()
  expect(new Set(all.map(({ name }) => name)).size).toBe(10)
  for (const { gate, registry, scorer } of all) expect([gate, registry, scorer]).not.toEqual([null, null, null])
})

it.each(badModels())('$name: refused with a code, the last good one stays, no score is lost', async (bad) => {
  const { keeper, said, tell, factsOf, publish, keep, scores, log } = await world()
  const good = soundModel(1)
  await keep({ meant: good, stored: good })
  await publish(1, good, 0)
  await keeper.look()
  const before = await scores()
  expect(before.emitted.map(({ model_version }) => model_version)).toEqual(TOUCHES.map(() => '1'))

  expect(await gateOf(bad)).toBe(bad.gate)
  await keep(bad)
  // What only the gates can see leaves a refusal; the others are published, as if no gate stood before them.
  if (bad.registry === null && bad.scorer === null)
    await tell({ kind: 'refused', reason: bad.gate!, detail: '', ...factsOf(bad.meant, bad.parent) })
  else await publish(2, bad.meant, bad.parent)
  await keeper.look()
  expect([...keeper.refused]).toEqual(bad.registry === null ? [] : [[bad.registry, 1]])
  if (bad.registry !== null) expect(said.at(-1)).toMatch(new RegExp(`^MODEL_REFUSED: .*reason=${bad.registry}`))
  const isLive = bad.registry === null && bad.scorer !== null
  expect(keeper.liveAt(0)?.version).toBe(isLive ? 2 : 1)
  const after = await scores()
  expect(after.emitted).toEqual(before.emitted)
  if (isLive) expect(after.counts.get(`model_refused ${bad.scorer}`)).toBe(TOUCHES.length)

  if (bad.scorer === null) return
  if (bad.registry === null) {
    const load = OnnxModel.load(bad.meant, blobName(bad.meant))
    await expect(load).rejects.toSatisfy(
      (error) =>
        error instanceof HoldfastError && error.code === 'MODEL_REFUSED' && error.numbers.reason === bad.scorer,
    )
  }
  // Also where somebody has made it live past everybody else.
  const registry = new ModelRegistry(log, NS)
  const body = { version: 2, sha256: blobName(bad.meant), schema: SCHEMA, seen: 2 }
  await registry.append(body, 0, await registry.newest())
  await keeper.look()
  const forced = await scores()
  expect(forced.emitted).toEqual(before.emitted)
  expect(forced.counts.get(`model_refused ${bad.scorer}`)).toBeGreaterThan(0)
  expect(forced.counts.get('scores')).toBe(TOUCHES.length)
})
