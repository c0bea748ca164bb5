// Which version answers for a touch, and what does where none can; files are real, and so is the runtime.

import { createHash } from 'node:crypto'
import { describe, expect, it, vi } from 'vitest'
import { HoldfastError } from '../../log/errors.ts'
import { LogUnavailable } from '../../log/log.ts'
import { Fallback } from '../../ml/fallback.ts'
import { exportOnnx, manifestIn, NO_CALIBRATION, type WindowForm } from '../../ml/onnx-export.ts'
import { FEATURES_RELEASE, schemaHash, touchKeys } from '../../ml/touch-features.ts'
import type { ActiveModel } from '../../operators/model-records.ts'
import { inSingle } from '../../operators/scored.ts'
import type { Asked, ModelContext } from '../../operators/scorer.ts'
import type { Touch } from '../../operators/touch.ts'
import { rowsOf } from '../../test/conformance/models.ts'
import { LiveModels, LOADED_MAX } from './live-models.ts'
import { OnnxModel } from './onnx-model.ts'
import type { Told } from './told-model.ts'

const BITS = 10
const SCHEMA = schemaHash({ features: FEATURES_RELEASE, vector: null })
const SETTINGS = {
  windows: [
    { name: 'both', click: true, impression: true },
    { name: 'views', click: false, impression: true },
  ],
  ...{ vector: null, prior: 0.01 },
}

/** A file whose weights and means follow its number; a coordinate may have NaN, which no golden row meets. */
function fileOf(
  version: number,
  {
    spoilt,
    features = FEATURES_RELEASE,
    vector = null,
  }: { spoilt?: number; features?: number; vector?: string | null } = {},
) {
  const weights = Float32Array.from({ length: 2 ** BITS }, (_, i) => Math.sin(version * i))
  if (spoilt !== undefined) weights[spoilt] = Number.NaN
  const form = { bias: -1, weights }
  const window = {
    form,
    calibration: NO_CALIBRATION,
    counts: { all: version, means: new Float32Array(2).fill(version) },
  }
  const windows: WindowForm[] = [
    { name: 'views', click: null, impression: [0], ...window },
    { name: 'both', click: [1], impression: [0, 1], ...window },
  ]
  const fallback = { pseudoTouches: 20, base: [100, version, 100, 2 * version], keys: [] }
  const golden = { rows: rowsOf([{ keys: [1023], values: [1] }]), kinds: ['click'] as const }
  return exportOnnx(windows, { ...{ features, vector, version, parent: 0, learned: 9 }, fallback }, golden)
}

const nameOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

const active = (version: number, bytes: Uint8Array, before: readonly ActiveModel[] = []): ActiveModel => {
  const one = { activation: version, from: 100 * version, version, sha256: nameOf(bytes), schema: SCHEMA }
  return before.length === 0 ? one : { ...one, before }
}

function touchAt(at: number, type: Touch['type'] = 'click', ad = `ad${at % 7}`): Asked {
  const touch: Touch = {
    ...{ kind: 'touch', type, id: `e${at}`, timeMs: at, user: 'u', advertiser: 'a', campaign: 'c', ad },
    ...{ clickId: null, vector: null },
  }
  return { touch, keys: touchKeys(touch), at }
}

/** Versions from 100 times their number on; files under the names of those that are meant. */
function contextOf(versions: readonly ActiveModel[], files: ReadonlyMap<string, Uint8Array>) {
  const asked: string[] = []
  const context: ModelContext = {
    model: (at) => versions.findLast(({ from }) => from <= at) ?? null,
    blobOf: async (sha256) => {
      asked.push(sha256)
      return files.get(sha256) ?? null
    },
  }
  return { context, asked }
}

const filesOf = (...files: readonly Uint8Array[]) => new Map(files.map((bytes) => [nameOf(bytes), bytes]))

/** What a file says of a touch by the windows of SETTINGS. */
async function saidBy(bytes: Uint8Array, { touch, keys }: Asked): Promise<Told> {
  const model = await OnnxModel.load(bytes)
  const { p, count } = await model.score(rowsOf([{ keys, values: keys.map(() => 1) }]), [touch.type])
  await model.close()
  const told = (own: Float32Array) => [inSingle(own[1]!), touch.type === 'click' ? 0 : inSingle(own[0]!)]
  return { p: told(p), expected: told(count) }
}

const [one, two, three] = [fileOf(1), fileOf(2), fileOf(3)] as const

describe('a touch is scored', () => {
  it('by the version that holds at its order time, in any batch, whatever the places of windows in the file', async () => {
    const { context, asked } = contextOf([active(1, one), active(2, two)], filesOf(one, two))
    const models = new LiveModels(SETTINGS)
    const touches = [99, 150, 250, 199, 200].flatMap((at) => [touchAt(at), touchAt(at, 'impression')])
    const answers = await models.answer(touches, context)
    expect(answers.map(({ version }) => version)).toEqual([0, 0, 1, 1, 2, 2, 1, 1, 2, 2])
    for (const [i, touch] of touches.entries()) {
      const { version, p, expected, name } = answers[i]!
      expect(name).toBe(String(version))
      if (version > 0) expect({ p, expected }).toEqual(await saidBy(version === 1 ? one : two, touch))
      expect(await models.answer([touch], context)).toEqual([answers[i]])
    }
    expect(asked).toEqual([nameOf(one), nameOf(two)])
  })

  it('LM3: in one run for each version that is met', async () => {
    const { context } = contextOf([active(1, one), active(2, two)], filesOf(one, two))
    const models = new LiveModels(SETTINGS)
    const touches = [99, 150, 250, 199, 200, 201].map((at) => touchAt(at))
    await models.answer(touches, context)
    const runs = vi.spyOn(OnnxModel.prototype, 'score')
    try {
      await models.answer(touches, context)
      expect(runs.mock.calls.map(([rows]) => rows.count)).toEqual([2, 3])
    } finally {
      runs.mockRestore()
    }
  })

  it('before any version is there by the prior, of the windows that name its kind', async () => {
    const { context } = contextOf([], new Map())
    const models = new LiveModels(SETTINGS)
    const prior = inSingle(0.01)
    const said = (p: readonly number[]) => ({ version: 0, name: '0', p, expected: p, refused: [] })
    expect(await models.answer([touchAt(5), touchAt(5, 'impression')], context)).toEqual([
      said([prior, 0]),
      said([prior, prior]),
    ])
  })
})

describe('a file that is refused', () => {
  const cut = three.subarray(0, 900)
  const strange = fileOf(3, { features: FEATURES_RELEASE + 1 })
  const ofVectors = fileOf(3, { vector: 'of a layout' })
  it.each([
    ['missing', active(3, three), filesOf(one, two)],
    ['hash', active(3, three), filesOf(one, two).set(nameOf(three), cut)],
    ['format', active(3, cut), filesOf(one, two, cut)],
    ['schema', active(3, strange), filesOf(one, two, strange)],
    ['schema', { ...active(3, three), schema: 'of vectors' }, filesOf(one, two, three)],
    ['schema', active(3, ofVectors), filesOf(one, two, ofVectors)],
  ])('%s: leaves the last good one', async (reason, bad, files) => {
    const [first, second] = [active(1, one), active(2, two)]
    const { context } = contextOf([{ ...bad, before: [second, first] }], files)
    const models = new LiveModels(SETTINGS)
    const touch = touchAt(300)
    const [answer] = await models.answer([touch], context)
    expect(answer).toEqual({ version: 2, name: '2', ...(await saidBy(two, touch)), refused: [reason] })
    // The same is found by whoever begins here, with other touches before it or without.
    expect(await new LiveModels(SETTINGS).answer([touch], context)).toEqual([answer])
  })

  it('for the schema that a record says of it is not refused where another says the right one', async () => {
    const { context } = contextOf([{ ...active(1, one), schema: 'of vectors' }, active(2, one)], filesOf(one))
    for (const times of [
      [100, 200],
      [200, 100],
    ]) {
      const models = new LiveModels(SETTINGS)
      const versions = new Map<number, number>()
      for (const at of times) versions.set(at, (await models.answer([touchAt(at)], context))[0]!.version)
      expect([versions.get(100), versions.get(200)]).toEqual([0, 2])
    }
  })

  it('where touches have vectors: that it was taught without them', async () => {
    const schema = schemaHash({ features: FEATURES_RELEASE, vector: 'of a layout' })
    const versions = [active(1, ofVectors), active(2, one)].map((each) => ({ ...each, schema }))
    const { context } = contextOf(versions, filesOf(one, ofVectors))
    const models = new LiveModels({ ...SETTINGS, vector: 'of a layout' })
    const answers = await models.answer([touchAt(100), touchAt(200)], context)
    expect(answers.map(({ version, refused }) => [version, ...refused])).toEqual([[1], [0, 'schema']])
  })

  it('damaged where it is kept is one as well; a second one is passed by, and behind all there are rates', async () => {
    const models = new LiveModels(SETTINGS)
    const before = [active(2, two), active(1, one)]
    const files = filesOf(one)
    const context: ModelContext = {
      model: () => active(3, three, before),
      blobOf: async (sha256) => {
        if (sha256 === nameOf(three)) throw new HoldfastError('BLOB_DAMAGED', 'a chunk is missing', {})
        return files.get(sha256) ?? null
      },
    }
    const [answer] = await models.answer([touchAt(300)], context)
    expect([answer!.version, answer!.refused]).toEqual([1, ['hash', 'missing']])
    files.clear()
    const [rates] = await new LiveModels(SETTINGS).answer([touchAt(300)], context)
    expect([rates!.version, rates!.refused, rates!.p]).toEqual([0, ['hash', 'missing', 'missing'], [inSingle(0.01), 0]])
  })
})

it('LM1: what stands before a version at a time is asked there alone, in any batch', async () => {
  // The second was made live for a later time than the third: there is nothing between the third and the first until then.
  const [first, second] = [active(1, one), active(2, two)]
  const context: ModelContext = {
    model: (at) => active(3, three, at < 250 ? [first] : [second, first]),
    blobOf: async (sha256) => filesOf(one, two).get(sha256) ?? null,
  }
  const [early, late] = [touchAt(200), touchAt(300)]
  for (const touches of [[early, late, early], [late, early], [early], [late]])
    expect((await new LiveModels(SETTINGS).answer(touches, context)).map(({ version }) => version)).toEqual(
      touches.map((touch) => (touch === early ? 1 : 2)),
    )
})

describe('rates of the last good version', () => {
  it('answer where it cannot be run, and no longer than that', async () => {
    const { context } = contextOf([active(1, one)], filesOf(one))
    const models = new LiveModels(SETTINGS)
    const touch = touchAt(100)
    const [by] = await models.answer([touch], context)
    const runs = vi.spyOn(OnnxModel.prototype, 'score').mockRejectedValueOnce(new Error('no memory'))
    try {
      const { windows, fallback } = manifestIn(one)!
      const p = [inSingle(new Fallback(windows, fallback).answer(touch.keys, 'click')[1]!), 0]
      const rates = { version: 0, name: '0', p, expected: p, refused: [] }
      expect(await models.answer([touch, touch], context)).toEqual([rates, rates])
      expect(await models.answer([touch], context)).toEqual([by])
    } finally {
      runs.mockRestore()
    }
  })

  it('answer where its graph gives no number, of no other touch', async () => {
    const [bad, good] = [touchAt(100, 'click', 'bad'), touchAt(100, 'click', 'good')]
    const own = bad.keys
      .map((key) => key & (2 ** BITS - 1))
      .find((place, i) => (good.keys[i]! & (2 ** BITS - 1)) !== place)
    const spoilt = fileOf(1, { spoilt: own! })
    const { context } = contextOf([active(1, spoilt)], filesOf(spoilt))
    const answers = await new LiveModels(SETTINGS).answer([bad, good, bad], context)
    const { windows, fallback } = manifestIn(spoilt)!
    const rate = inSingle(new Fallback(windows, fallback).answer(bad.keys, 'click')[1]!)
    expect(answers.map(({ version }) => version)).toEqual([0, 1, 0])
    for (const { p, expected } of [answers[0]!, answers[2]!])
      expect([p, expected]).toEqual([
        [rate, 0],
        [rate, 0],
      ])
    expect(answers[1]).toMatchObject(await saidBy(spoilt, good))
  })
})

describe('files', () => {
  it('LM4: in memory are few; one that was put out is asked for again', async () => {
    const files = Array.from({ length: LOADED_MAX + 1 }, (_, i) => fileOf(i + 1))
    const versions = files.map((bytes, i) => active(i + 1, bytes))
    const { context, asked } = contextOf(versions, filesOf(...files))
    const models = new LiveModels(SETTINGS)
    const ask = (version: number) => models.answer([touchAt(100 * version)], context)
    for (const { version } of versions) await ask(version)
    await ask(LOADED_MAX + 1)
    await ask(2)
    expect(asked).toHaveLength(LOADED_MAX + 1)
    await ask(1)
    await ask(2)
    expect(asked.slice(LOADED_MAX + 1)).toEqual([nameOf(files[0]!)])
  })

  it('are asked for by each task for itself where the one that asked first gives up', async () => {
    const { context, asked } = contextOf([active(1, one)], filesOf(one))
    const models = new LiveModels(SETTINGS)
    const gaveUp = Promise.withResolvers<null>()
    const first = models.answer([touchAt(100)], { ...context, blobOf: () => gaveUp.promise })
    const others = [1, 2].map(() => models.answer([touchAt(100)], context))
    gaveUp.reject(new LogUnavailable('told to stop'))
    await expect(first).rejects.toThrow('told to stop')
    expect((await Promise.all(others)).map(([answer]) => answer!.version)).toEqual([1, 1])
    expect(asked).toEqual([nameOf(one)])
  })

  it('that could not be asked for are asked for again', async () => {
    const { context } = contextOf([active(1, one)], filesOf(one))
    const models = new LiveModels(SETTINGS)
    const away = { ...context, blobOf: () => Promise.reject(new LogUnavailable('the broker is away')) }
    await expect(models.answer([touchAt(100)], away)).rejects.toThrow('away')
    expect((await models.answer([touchAt(100)], context))[0]!.version).toBe(1)
  })
})
