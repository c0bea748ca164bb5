// One file for a whole run: by which windows it answers, who answers where it cannot, and whom it does not fit.

import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Fallback } from '../../ml/fallback.ts'
import { manifestIn } from '../../ml/onnx-export.ts'
import { touchKeys } from '../../ml/touch-features.ts'
import { inSingle } from '../../operators/scored.ts'
import type { Asked, ModelContext } from '../../operators/scorer.ts'
import type { Touch } from '../../operators/touch.ts'
import { rowsOf } from '../../test/conformance/models.ts'
import { changed, initializer, SOUND_WINDOW, soundModel } from '../../test/models/sound-model.ts'
import { fixedModel } from './model-file.ts'
import { OnnxModel } from './onnx-model.ts'

const touch: Touch = {
  ...{ kind: 'touch', type: 'click', id: 'e', timeMs: 5, user: 'u', advertiser: 'a', campaign: 'c', ad: 'd' },
  ...{ clickId: null, vector: null },
}
const asked: Asked = { touch, keys: touchKeys(touch), at: 5 }
const NO_CONTEXT = {} as ModelContext

const fileOf = (bytes: Uint8Array) => ({ bytes, sha256: createHash('sha256').update(bytes).digest('hex') })

describe('a file', () => {
  it('answers as its only version, by the windows of the plan and those that it has beside them', async () => {
    const file = fileOf(soundModel(1))
    const model = await OnnxModel.load(file.bytes)
    const { p, count } = await model.score(rowsOf([{ keys: asked.keys, values: asked.keys.map(() => 1) }]), ['click'])
    await model.close()
    const [own, expected] = [inSingle(p[0]!), inSingle(count[0]!)]
    const beside = fixedModel(file, null, ['other'])
    expect(beside.windows).toEqual(['other', SOUND_WINDOW])
    expect(fixedModel(file, null, [SOUND_WINDOW, 'other']).windows).toEqual([SOUND_WINDOW, 'other'])
    const answer = { version: 1, name: file.sha256, p: [0, own], expected: [0, expected], refused: [] }
    expect(await beside.answer([asked, asked], NO_CONTEXT)).toEqual([answer, answer])
    expect(beside.settings).toEqual({ sha256: file.sha256 })
  })

  it('that gives no number leaves it to its rates, which are the fallback', async () => {
    const spoilt = changed(soundModel(1), (model) => {
      // No golden row reads there.
      const table = initializer(model, 'weights').rawData as Uint8Array
      const weights = new Float32Array(Uint8Array.from(table).buffer)
      weights[asked.keys[0]! & (weights.length - 1)] = Number.NaN
      initializer(model, 'weights').rawData = new Uint8Array(weights.buffer)
    })
    const { windows, fallback } = manifestIn(spoilt)!
    const rate = inSingle(new Fallback(windows, fallback).answer(asked.keys, 'click')[0]!)
    const [answer] = await fixedModel(fileOf(spoilt), null, []).answer([asked], NO_CONTEXT)
    expect(answer).toMatchObject({ version: 0, p: [rate], expected: [rate], refused: [] })
  })

  it('is refused where touches have other vectors than those that it was taught with', () => {
    const refusal = expect.objectContaining({
      code: 'MODEL_REFUSED',
      numbers: { reason: 'schema', taught: 'none', here: 'of a layout' },
    })
    expect(() => fixedModel(fileOf(soundModel(1)), 'of a layout', [])).toThrow(refusal)
    const taught = changed(soundModel(1), (_, manifest) => ({ ...manifest, vector: 'of a layout' }))
    expect(() => fixedModel(fileOf(taught), null, [])).toThrow(/taught with other vectors/)
    expect(fixedModel(fileOf(taught), 'of a layout', []).windows).toEqual([SOUND_WINDOW])
  })
})
