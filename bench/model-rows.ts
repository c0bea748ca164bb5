// What the model loop is measured on: rows of 20 features, of which some have few values (type, hour), some very many (user, ad of a
// user), as touches have; and a model file as the loop publishes it, taught with them.

import { createHash } from 'node:crypto'
import { hashNumber } from '../ml/hash.ts'
import { exportOnnx } from '../ml/onnx-export.ts'
import { packRow } from '../ml/packed-rows.ts'
import { Rows } from '../ml/rows.ts'
import { FEATURES_RELEASE, schemaHash } from '../ml/touch-features.ts'
import { WindowModels } from '../ml/window-models.ts'
import { ATTRIBUTION_DEFAULT } from '../operators/attribution-settings.ts'
import type { ActiveModel, TrainingRow } from '../operators/model-records.ts'
import { modelWindows } from '../operators/model-windows.ts'
import { RANK, type Rec } from '../operators/operator.ts'
import { TRAINER } from '../operators/trainer-settings.ts'

export const FEATURES = 20
/** Values of each feature: from 3 to 200,000, evenly in the logarithm. */
const valuesOf = (feature: number): number => Math.round(3 * (200_000 / 3) ** (feature / (FEATURES - 1)))
const POSITIVE_SHARE = 0.03
const START_MS = 20_000 * 86_400_000
/** Between two rows: no period of the trainer ends within any number of them that is measured at once. */
export const STEP_MS = 10
/** Of a slice (DEFAULT_TUNING.sliceMax). */
export const SLICE = 128

/** A number from 0 to 1 that is of a place alone. */
export const chanceOf = (n: number, seed: number): number => (hashNumber(n, seed) >>> 0) / 2 ** 32

export const labelOf = (row: number): 0 | 1 => (chanceOf(row, 77) < POSITIVE_SHARE ? 1 : 0)

export function rowsOf(count: number): Rows {
  const rows = new Rows()
  const keys = new Int32Array(FEATURES)
  for (let row = 0; row < count; row++) {
    for (let feature = 0; feature < FEATURES; feature++) {
      const u = chanceOf(row, feature)
      // Squared: the first values are frequent, as ids are.
      keys[feature] = hashNumber(Math.floor(u * u * valuesOf(feature)), 1_000 + feature)
    }
    rows.push(keys)
  }
  return rows
}

/** Rows as the trainer gets them, of all windows that name clicks. */
export function taughtRows(count: number): Rec<TrainingRow>[] {
  const rows = rowsOf(count)
  const windows = [...ATTRIBUTION_DEFAULT.windows.keys()].filter((i) => ATTRIBUTION_DEFAULT.windows[i]!.click)
  return Array.from({ length: count }, (_, i) => {
    const [at, y] = [START_MS + i * STEP_MS, labelOf(i)] as const
    const value: TrainingRow = {
      ...{ kind: 'O', complete: true, touchId: `t${i}`, touchType: 'click', user: `u${i}`, advertiser: 'a' },
      ...{ touchTimeMs: at, version: 1, p: [0.03, 0.03, 0.03, 0, 0.03], input: packRow(rows, i) },
      lanes: windows.map((window) => ({ window, y, count: y })),
    }
    const order = { rank: RANK.record, type: '', id: '', number: i, input: i % SLICE }
    return { value, at, watermark: at - 1, late: false, ...order }
  })
}

/** A version of the loop: its file, and how tasks are told of it. */
export interface VersionFile {
  readonly bytes: Uint8Array
  readonly active: ActiveModel
}

/** A model of all windows, each taught with so many rows from the `version`-th on; who converts does so once or twice. `vector`: schema of the vectors of touches. */
export function versionFile(version: number, vector: string | null, taught: number): VersionFile {
  const models = new WindowModels(modelWindows(ATTRIBUTION_DEFAULT).windows, TRAINER.model, TRAINER.policy)
  const rows = rowsOf(taught + version)
  for (let row = version; row < rows.count; row++) {
    const y = labelOf(row)
    models.fallback.vote(rows, row)
    for (const [window, { learner, counts }] of models.predictors.entries()) {
      learner.told('O', rows, row, y)
      if (y === 1) counts.learn(rows, row, 1 + (row % 2))
      models.fallback.count(rows, row, window, { touches: 1, positives: y })
    }
  }
  const golden = new Rows()
  golden.push([])
  golden.push(rows.keys.slice(0, FEATURES))
  const bytes = exportOnnx(
    models.forms(),
    {
      ...{ features: FEATURES_RELEASE, vector, version, parent: 0, learned: taught },
      fallback: models.fallback.table(),
    },
    { rows: golden, kinds: ['click', 'click'] },
  )
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const schema = schemaHash({ features: FEATURES_RELEASE, vector })
  return { bytes, active: { activation: version, from: 0, version, sha256, schema } }
}
