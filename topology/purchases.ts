// The stage of purchases: credits by advertiser, what reports need of them, and on a live node the values of the last days as features.
// What is kept is operators/purchases.ts's; how credits come about is topology/joiner.ts's.

import { HoldfastError } from '../log/errors.ts'
import type { AttributionSettings } from '../operators/attribution-settings.ts'
import { purchaseEvents } from '../operators/purchase-events.ts'
import { purchases } from '../operators/purchases.ts'
import type { CreditedLane, CreditRecord } from '../operators/touch.ts'
import type { Stream } from './dsl.ts'
import { compileFeatures } from './features/compile.ts'
import {
  type Declarations,
  type EntityDeclaration,
  featureId,
  namesOf,
  type WindowedFeature,
} from './features/declaration.ts'
import { keepGroups } from './features/stage-plan.ts'
import type { ExchangeCodec } from './plan.ts'

export const PURCHASE_STAGE = 'purchases'

/** A credit on its way: arrays without names, as those of topology/joiner-exchanges.ts. */
export const CREDIT_EXCHANGE: ExchangeCodec<CreditRecord, CreditRecord> = {
  name: 'credits',
  version: 1,
  where: () => true,
  key: ({ advertiser }) => advertiser,
  encode: ({ advertiser, conversionTimeMs, count, value, currency, lanes }) =>
    JSON.stringify([
      ...[advertiser, conversionTimeMs, count, value, currency],
      lanes.map(({ goal, window, campaign, ad, touchTimeMs }) => [goal, window, campaign, ad, touchTimeMs]),
    ]),
  decode(json) {
    const [advertiser, conversionTimeMs, count, value, currency, lanes] = json as [
      ...[advertiser: string, timeMs: number, count: CreditRecord['count'], value: number, currency: string | null],
      lanes: readonly (readonly [goal: string, window: number, campaign: string, ad: string, touchTimeMs: number])[],
    ]
    const credited = lanes.map(
      ([goal, window, campaign, ad, touchTimeMs]): CreditedLane => ({ goal, window, campaign, ad, touchTimeMs }),
    )
    return { advertiser, conversionTimeMs, count, value, currency, lanes: credited }
  },
}

/** Throws USAGE where a declared feature has the id of one that is here: nobody could tell them apart. */
export function refuseTaken({ features }: Declarations): void {
  const idsOf = (all: Declarations['features']): string[] =>
    all.flatMap((feature) => namesOf(feature).map((name) => featureId(feature.entity, name)))
  const own = new Set(idsOf(PURCHASE_FEATURES.features))
  const taken = idsOf(features).find((id) => own.has(id))
  if (taken !== undefined)
    throw new HoldfastError(
      'USAGE',
      `feature ${taken}: there is one of this name already, of purchases (docs/purchases.md)`,
    )
}

/** Keeps what credits say. `live`: also as features. */
export function keepPurchases(
  credits: Stream<CreditRecord>,
  settings: Pick<AttributionSettings, 'windows' | 'graceMs'>,
  { live }: { readonly live: boolean },
): void {
  const there = credits.keyBy(PURCHASE_STAGE, CREDIT_EXCHANGE)
  there.through(purchases(settings))
  if (!live) return
  const compiled = compileFeatures(PURCHASE_FEATURES)
  keepGroups(there.through(purchaseEvents(settings)), compiled.groups, compiled)
}

const LEVELS = {
  advertiser: ['advertiser_id'],
  campaign: ['advertiser_id', 'campaign_id'],
  ad: ['advertiser_id', 'ad_id'],
} as const

const entities = (Object.keys(LEVELS) as (keyof typeof LEVELS)[]).flatMap((level): EntityDeclaration[] => {
  const key = [...LEVELS[level], 'window_id']
  return [
    { name: `${level}_window`, key, partition: 'advertiser_id' },
    { name: `${level}_window_currency`, key: [...key, 'currency_id'], partition: 'advertiser_id' },
  ]
})

/** By entity of a window how many, by entity of a window and a currency for how much; money is measured, and chooses no ads. */
function featureOf({ name: entity }: EntityDeclaration): WindowedFeature {
  const common: Omit<WindowedFeature, 'name' | 'description' | 'aggregate'> = {
    ...{ entity, owner: 'attribution', purpose: 'measurement', sensitivity: 'none', retentionDays: 28 },
    events: { types: ['conversion'] },
    windows: ['24h', '7d', '28d'],
  }
  const sum = (field: string) => ({ fn: 'sum', of: { field, as: 'number' }, scale: 1 }) as const
  return entity.endsWith('_currency')
    ? {
        ...common,
        name: 'purchase_micros',
        description: 'Value of purchases, millionths',
        aggregate: sum('value_micro'),
      }
    : { ...common, name: 'purchases', description: 'Purchases by last touch', aggregate: sum('purchases') }
}

/** What is read of the last days, by the time of the conversion. */
export const PURCHASE_FEATURES: Declarations = {
  entities,
  features: entities.map(featureOf),
  policy: { types: { conversion: 'measurement' }, fields: {} },
}
