// Ten bad models, one for each thing that can be wrong with one (issue 6), and who has to refuse it.
// Who stands where: the trainer's gates before a version is published, the registry before it becomes live, the scorer before it scores.

import { FEATURES_RELEASE } from '../../ml/touch-features.ts'
import type { GateRefusal } from '../../operators/model-records.ts'
import { addTo, noSums, type Sums } from '../../operators/trainer-gates.ts'
import type { ActivationRefusal } from '../../topology/model-keeper.ts'
import type { Refusal } from '../../topology/models/onnx-model.ts'
import { changed, coupled, keepDimensions, setFloats, soundModel } from './sound-model.ts'

export interface BadModel {
  readonly name: string
  /** What was published: its hash is the record's. */
  readonly meant: Uint8Array
  /** What lies under that hash; null: nothing. */
  readonly stored: Uint8Array | null
  readonly parent: number
  /** What the trainer counted of it. */
  readonly sums: Sums
  /** By whom it is refused, and why; null: not there. */
  readonly gate: GateRefusal | null
  readonly registry: ActivationRefusal | null
  readonly scorer: Refusal | null
}

/** Of 10,000 touches with a rate of 10 %, of which `p` was said. */
function sumsSaying(p: number): Sums {
  const sums = noSums()
  for (let i = 0; i < 10_000; i++) addTo(sums, { isTouch: true, y: i % 10 === 0 ? 1 : 0, p, live: null, f: p, late: 0 })
  return sums
}

/** As the second version, after a first one that is live. */
export function badModels(): readonly BadModel[] {
  const sound = soundModel(2)
  const nothing = { gate: null, registry: null, scorer: null }
  const of = (name: string, bytes: Uint8Array, refused: Partial<BadModel>): BadModel => {
    return { name, meant: bytes, stored: bytes, parent: 1, sums: sumsSaying(0.1), ...nothing, ...refused }
  }
  const notANumber = { gate: 'not a number', scorer: 'not a number' } as const
  const bias = (value: number) => changed(sound, (proto) => setFloats(proto, 'bias', [value]))
  const infinite = changed(sound, (proto) => {
    setFloats(proto, 'a', [0])
    setFloats(proto, 'bias', [Number.POSITIVE_INFINITY])
  })
  const features = FEATURES_RELEASE + 1
  return [
    of('missing', sound, { stored: null, registry: 'missing', scorer: 'missing' }),
    of('truncated', sound, { stored: sound.subarray(0, 900), registry: 'hash', scorer: 'hash' }),
    of('wrong hash', sound, { stored: soundModel(3), registry: 'hash', scorer: 'hash' }),
    of(
      'wrong schema',
      changed(sound, (_, manifest) => ({ ...manifest, features })),
      { scorer: 'schema' },
    ),
    of('NaN', bias(Number.NaN), notANumber),
    of('Inf', infinite, notANumber),
    of('wrong shape', changed(sound, keepDimensions), { gate: 'shape', scorer: 'shape' }),
    of('row depends on its batch', changed(sound, coupled), { gate: 'batch', scorer: 'batch' }),
    of('calibration 2x', sound, { sums: sumsSaying(0.2), gate: 'calibration' }),
    of('parent not the live one', soundModel(2, 7), { parent: 7, registry: 'parent' }),
  ]
}
