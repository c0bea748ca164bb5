// What the scorer costs: touches with their vectors through the operator as a task runs it, in slices, all on one core: the values of
// the vector, keys, tensor, the run of the session, the score's record as text, the input that travels on, the fingerprint.
// SR1: where the vector's values come from (records of state) is not in it: `--only windows` has what a vector costs there.

import { ATTRIBUTION_DEFAULT } from '../operators/attribution-settings.ts'
import { type OperatorContext, RANK, type Rec } from '../operators/operator.ts'
import { SCORES, type Scorable, scorer } from '../operators/scorer.ts'
import { vectorValues } from '../operators/touch-vectors.ts'
import type { VectorField, VectorLayout } from '../operators/vector.ts'
import type { VectorEvent } from '../operators/vector-values.ts'
import { APPLICATION } from '../topology/features/application.ts'
import { compileFeatures } from '../topology/features/compile.ts'
import { schemaHash, touchVectorPlan } from '../topology/features/vectors.ts'
import { LiveModels } from '../topology/models/live-models.ts'
import { touchIn } from '../topology/models/scoring-exchange.ts'
import { liveSettings, SCORING_DEFAULT } from '../topology/models/scoring-settings.ts'
import { chanceOf, FEATURES, SLICE, versionFile } from './model-rows.ts'
import { type Rate, rateOf } from './rate.ts'

/** Of a touch beside its vector (ml/touch-features.ts). */
const OWN_FEATURES = 5
/** Advertisers have some campaigns and ads each, as in the generated worlds. */
const [ADVERTISERS, CAMPAIGNS, ADS] = [10, 40, 200]
const START_MS = Date.UTC(2026, 0, 1)
/** Entries of a list, and ids that there are of each kind. */
const [LIST_ENTRIES, IDS] = [2, 5_000]

/** `features`: of a touch and its vector together, where each list counts as one. */
export async function scorerRate(
  features: number,
  { touches, samples }: { readonly touches: number; readonly samples: number },
): Promise<Rate> {
  const { layout: all } = touchVectorPlan(compileFeatures(APPLICATION, {}), 'all')
  const layout = all.slice(0, features - OWN_FEATURES)
  const schema = schemaHash(layout)
  const { bytes, active } = versionFile(1, schema, touches)
  const models = new LiveModels(liveSettings(SCORING_DEFAULT, ATTRIBUTION_DEFAULT, schema))
  const operator = scorer(models, SCORES, (event: VectorEvent): Scorable | null => {
    const touch = touchIn(event)
    return touch === null ? null : { touch, values: vectorValues(event, layout) }
  })
  let chars = 0
  let fallback = 0
  const context = {
    model: () => active,
    blobOf: async () => bytes,
    emitJson: (_: string, record: string) => {
      chars += record.length
    },
    count: (name: string) => {
      if (name !== 'scores') fallback++
    },
  } as unknown as OperatorContext
  const slices = Array.from({ length: Math.ceil(touches / SLICE) }, (_, slice) =>
    Array.from({ length: Math.min(SLICE, touches - slice * SLICE) }, (_, i) => touchOf(slice * SLICE + i, layout)),
  )
  const rate = await rateOf(
    async () => {
      for (const slice of slices) {
        await operator.prepare!(slice, context)
        operator.process(slice, context)
      }
    },
    touches,
    samples,
  )
  if (fallback > 0 || chars === 0) throw new Error('touches were not scored by the model')
  return rate
}

/** Those that are measured: as many as the issue names for rows, and all that touches of the application have. */
export const SCORER_FEATURES = [FEATURES, 60] as const

function touchOf(n: number, layout: VectorLayout): Rec<VectorEvent> {
  const below = (count: number, seed: number): number => Math.floor(chanceOf(n, seed) ** 2 * count)
  const advertiser = below(ADVERTISERS, 1)
  const time = START_MS + n * 20
  const fields = {
    ...{ type: 'click', event_id: `event-${n}`, event_time: time, user_id: `user-${below(50_000, 2)}` },
    ...{ advertiser_id: `advertiser-${advertiser}`, campaign_id: `campaign-${advertiser}-${below(CAMPAIGNS, 3)}` },
    ...{ ad_id: `ad-${advertiser}-${below(ADS, 4)}`, click_id: `click-${n}` },
  } as const
  const value = {
    ...{ type: 'click', id: fields.event_id, time, user: fields.user_id, anonymous: false, fields },
    slots: layout.map((field, i) => slotOf(field, n, 100 + i)),
  } as unknown as VectorEvent
  return {
    ...{ value, at: time, watermark: time - 1, late: false, rank: RANK.record },
    ...{ type: 'click', id: fields.event_id, number: n, input: n % SLICE },
  }
}

function slotOf({ type }: VectorField, n: number, seed: number): NonNullable<VectorEvent['slots']>[number] {
  const u = chanceOf(n, seed)
  const id = (i: number): string => `id-${Math.floor(chanceOf(n, seed + 1_000 * i) ** 2 * IDS)}`
  // Counts, and rates between them; a tenth is absent.
  if (u < 0.1) return undefined
  if (type === 'float') return seed % 2 === 0 ? Math.floor(1 / u ** 2) : u
  if (type === 'id') return id(1)
  const ids = Array.from({ length: LIST_ENTRIES }, (_, i) => id(i + 1))
  return type === 'id_list' ? ids : ids.map((one): [string, number] => [one, u])
}
