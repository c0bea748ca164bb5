// Versions of a namespace from the command line: a real nats-server with what trainers leave there, and nodes nowhere.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { blobName } from '../log/blobs.ts'
import type { NatsLog } from '../log/nats-log.ts'
import { manifestIn } from '../ml/onnx-export.ts'
import { MODELS, type ModelRecord } from '../operators/model-records.ts'
import { type NatsHarness, natsHarness } from '../test/conformance/nats-harness.ts'
import { holdfast, workDirectory } from '../test/e2e/command.ts'
import { changed, SOUND_WINDOW, setFloats, soundModel } from '../test/models/sound-model.ts'
import { registrySpec } from '../topology/activation-registry.ts'
import { MODEL_ACTIVATIONS, ModelRegistry } from '../topology/model-registry.ts'
import { outputStream, outputSubject } from '../topology/plan.ts'
import { modelBucket, modelBucketName } from '../topology/streams.ts'
import { modelCommand } from './model-command.ts'
import type { ListedModel } from './model-text.ts'
import { activate, rollback, withVersions } from './model-versions.ts'

const HOUR = 3_600_000
const T = Date.UTC(2026, 0, 1)

let work: Awaited<ReturnType<typeof workDirectory>>
let nats: NatsHarness
let log: NatsLog

beforeAll(async () => {
  work = await workDirectory()
  nats = await natsHarness({ requestTimeoutMs: 10_000 })
  log = await nats.connect()
})
afterAll(async () => {
  await log.close()
  await nats.close()
  await work[Symbol.asyncDispose]()
})

/** A namespace with the versions 1 to `count`, each the parent of the next; the trainer refused a candidate after the first. */
async function namespaceWith(name: string, count: number): Promise<{ nats: string; namespace: string }> {
  const room = { maxBytes: 1 << 20, replicas: 1, maxAgeMs: 0, atomic: false }
  await log.ensureStream({ name: outputStream(name, MODELS, 0), subjects: [outputSubject(name, MODELS, 0)], ...room })
  await log.ensureStream(registrySpec(name, MODEL_ACTIVATIONS, 1))
  await log.ensureBucket(modelBucket(name, 1))
  for (let version = 1; version <= count; version++) {
    await publish(name, version, soundModel(version))
    if (version === 1) await tell(name, refusal())
  }
  return { nats: nats.url, namespace: name }
}

async function tell(namespace: string, record: ModelRecord): Promise<void> {
  const payload = Buffer.from(JSON.stringify(record))
  const result = await log.publish({ subject: outputSubject(namespace, MODELS, 0), headers: null, payload }, null)
  expect(result.kind).toBe('stored')
}

async function publish(namespace: string, version: number, bytes: Uint8Array, parent = version - 1): Promise<void> {
  const sha256 = blobName(bytes)
  await log.putBlob(modelBucketName(namespace), sha256, bytes)
  const from = T + version * HOUR
  await tell(namespace, { kind: 'published', from, version, parent, sha256, ...factsOf(version, bytes) })
}

function factsOf(version: number, bytes: Uint8Array) {
  const metrics = { normalisedEntropy: 1 / version, calibration: 1, weightNorm: version, touches: 1_000, positives: 30 }
  return {
    ...{ at: T + version * HOUR, bytes: bytes.length, schema: manifestIn(bytes)!.schema, rows: 10 * version },
    ...{ firstMs: T, lastMs: T + version * HOUR, metrics },
  }
}

function refusal(): ModelRecord {
  const bytes = soundModel(9)
  const why = { reason: 'calibration', detail: '2.1' } as const
  return { kind: 'refused', ...why, parent: 1, sha256: blobName(bytes), ...factsOf(9, bytes) }
}

const over = ({ nats, namespace }: { nats: string; namespace: string }) => ['--nats', nats, '--namespace', namespace]

/** The command in this process: what it printed, and how it ended; what it threw where it is refused. */
async function model(...args: string[]): Promise<{ stdout: string; code: number; stderr: string }> {
  const program = new Command().exitOverride().configureOutput({ writeErr: () => {} })
  modelCommand(program)
  let stdout = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text
    return true
  })
  try {
    await program.parseAsync(['model', ...args], { from: 'user' })
    return { stdout, code: Number(process.exitCode ?? 0), stderr: '' }
  } catch (error) {
    return { stdout, code: 2, stderr: (error as Error).message }
  } finally {
    spy.mockRestore()
    process.exitCode = undefined
  }
}

describe('the versions of a namespace', () => {
  it('are listed: parents, metrics, which is live since when, refusals and why', async () => {
    const place = await namespaceWith('listed', 3)
    await withVersions(place, (versions) => activate(versions, 2, 0))
    await publish('listed', 4, soundModel(4))
    await publish('listed', 5, soundModel(5, 2), 2)
    const text = await model('list', ...over(place))
    const json = await model('list', '--json', ...over(place))
    expect(text.code).toBe(0)
    const lines = text.stdout.split('\n')
    expect(lines[0]).toMatch(/^VERSION {2}PARENT {2}MADE AT .*NE .*CALIBRATION/)
    expect(lines[1]).toMatch(/^1 .*not live$/)
    expect(lines[2]).toMatch(/^- .*refused: calibration \(2.1\)$/)
    expect(lines[3]).toMatch(/^2 .*live since 20\d\d-.*Z$/)
    expect(lines[5]).toMatch(/^4 .*not live: its parent is 3, not 2$/)
    expect(lines[6]).toMatch(/^5 .*becomes live at the next look of a node$/)
    const listed = json.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as ListedModel)
    expect(listed.map(({ kind }) => kind)).toEqual(['published', 'refused', ...Array(4).fill('published')])
    expect(listed[2]).toMatchObject({ version: 2, parent: 1, standing: { kind: 'live', activation: 1 } })
    expect((listed[2]!.standing as { since_ms: number }).since_ms).toBeGreaterThan(Date.now() - 60_000)
  })

  it('go back in less than a second, one by one, and stay there', async () => {
    const place = await namespaceWith('back', 3)
    await withVersions(place, (versions) => activate(versions, 3, 0))
    const first = await holdfast(['model', 'rollback', ...over(place)])
    expect(first).toMatchObject({ code: 0, stdout: 'activation 2: model version 2, from its place in the log\n' })
    const began = performance.now()
    expect(await withVersions(place, (versions) => rollback(versions, undefined))).toMatch(
      /^activation 3: .*version 1,/,
    )
    expect(performance.now() - began).toBeLessThan(1_000)
    const none = await holdfast(['model', 'rollback', ...over(place)])
    expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining('there was none before it') })
    const newest = await new ModelRegistry(log, 'back').newest()
    expect(newest!.body).toMatchObject({ version: 1, seen: 3, sha256: blobName(soundModel(1)) })
  })

  it('become live from a time that is asked for; one waits at most; the same again is nothing', async () => {
    const place = await namespaceWith('later', 3)
    await withVersions(place, (versions) => activate(versions, 1, 0))
    const from = new Date(Date.now() + HOUR).toISOString()
    const applied = await model('activate', '2', '--from', from, ...over(place))
    expect(applied).toMatchObject({ code: 0, stdout: `activation 2: model version 2, from ${from}\n` })
    const listed = await model('list', ...over(place))
    expect(listed.stdout).toMatch(/^1 .*live since/m)
    expect(listed.stdout).toMatch(new RegExp(`^2 .*live from ${from} on$`, 'm'))
    await withVersions(place, async (versions) => {
      expect(await activate(versions, 2, Date.parse(from))).toMatch(/^no change: activation 2/)
      await expect(activate(versions, 3, Date.parse(from))).rejects.toThrow(/waits for its time already/)
      expect(await activate(versions, 3, 0)).toMatch(/^activation 3: /)
    })
  })

  it('of two at once one is refused', async () => {
    const place = await namespaceWith('twice', 2)
    const both = await withVersions(place, (versions) =>
      Promise.allSettled([activate(versions, 1, 0), activate(versions, 2, 0)]),
    )
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  })

  it('are shown and compared: a version, and a file', async () => {
    const place = await namespaceWith('shown', 2)
    const file = join(work.path, 'own.onnx')
    await writeFile(file, soundModel(2))
    const shown = await model('show', '2', ...over(place))
    const manifest = await model('show', '2', '--json', ...over(place))
    const same = await model('diff', '2', file, '--json', ...over(place))
    const differs = await model('diff', '1', '2', '--json', ...over(place))
    const text = await model('diff', '1', file, ...over(place))
    expect(shown.stdout).toMatch(/^version +2, after 1$/m)
    expect(shown.stdout).toMatch(/^judged on +1,000 touches, 30 converted$/m)
    expect(JSON.parse(manifest.stdout)).toMatchObject({ version: 2, parent: 1 })
    // A file has no record: its metrics are not known.
    expect(same.code).toBe(1)
    expect(JSON.parse(same.stdout).facts.map(({ what }: { what: string }) => what)).toEqual([
      'NE',
      'calibration',
      'weight norm',
    ])
    expect(differs.code).toBe(1)
    const { facts, weights, golden } = JSON.parse(differs.stdout)
    expect(facts).toContainEqual({ what: `${SOUND_WINDOW}: bias`, before: -1, after: -2 })
    expect(facts).toContainEqual({ what: 'NE', before: 1, after: 0.5 })
    const sizes = weights[SOUND_WINDOW].map(({ before, after }: { before: number; after: number }) =>
      Math.abs(after - before),
    )
    const all = Array.from({ length: 256 }, (_, i) =>
      Math.abs(Math.fround(Math.sin(1 + i)) - Math.fround(Math.sin(2 + i))),
    )
    expect(sizes).toEqual(all.sort((a, b) => b - a).slice(0, sizes.length))
    expect(golden).toHaveLength(4)
    expect(golden[1]).toMatchObject({ of: 'version 1', row: 1, before: expect.closeTo(1 / (1 + Math.E), 6) })
    expect(text.stdout).toMatch(/^weights of 7d_click that changed most$/m)
  })

  it('are refused where they do not exist, or are not sound; nothing is written then', async () => {
    const place = await namespaceWith('wrong', 1)
    await publish(
      'wrong',
      2,
      changed(soundModel(2), (proto) => setFloats(proto, 'bias', [Number.NaN])),
    )
    await log.removeBlob(modelBucketName('wrong'), blobName(soundModel(1)))
    const asked: [string[], RegExp][] = [
      [['activate', '7', ...over(place)], /no version 7 was published: those are 1 to 2/],
      [['activate', '2', ...over(place)], /MODEL_REFUSED: .*reason=not a number/],
      [['activate', '1', ...over(place)], /MODEL_REFUSED: .*not there.*reason=missing/],
      [['activate', 'x', ...over(place)], /a version is a number from 1/],
      [['rollback', ...over(place)], /no version is live/],
      [['list', '--nats', nats.url, '--namespace', 'nobody'], /no models of namespace nobody/],
      [['list'], /--nats says where/],
      [['list', '--out', work.path], /there is no .*models.ndjson/],
      [['show', join(work.path, 'none.onnx')], /MODEL_REFUSED: there is no such file/],
      [['diff', '1', '2'], /--nats says where/],
    ]
    for (const [args, why] of asked) {
      const { code, stdout, stderr } = await model(...args)
      expect([code, stdout], args.join(' ')).toEqual([2, ''])
      expect(stderr).toMatch(why)
    }
    expect(await new ModelRegistry(log, 'wrong').newest()).toBeNull()
  })

  it('of a run are in its results: each holds from its time on', async () => {
    const bytes = soundModel(1)
    const record = {
      kind: 'published',
      from: T + HOUR,
      version: 1,
      parent: 0,
      sha256: blobName(bytes),
      ...factsOf(1, bytes),
    }
    await writeFile(join(work.path, 'models.ndjson'), `${JSON.stringify(record)}\n`)
    const { stdout } = await model('list', '--out', work.path)
    expect(stdout).toMatch(/^1 .*from 2026-01-01T01:00:00.000Z$/m)
  })
})
