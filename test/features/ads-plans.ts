// Random plans and streams of which vectors are taken, and parts of plans for tests in which declarations change.

import fc from 'fast-check'
import type { Event } from '../../operators/event.ts'
import type { Rec } from '../../operators/operator.ts'
import {
  CONTEXT,
  type Declarations,
  type FeatureDeclaration,
  isContext,
  isDerived,
  isWindowed,
} from '../../topology/features/declaration.ts'
import { computed } from './declared.ts'
import { type Draw, randomPlan, randomStream } from './random-plans.ts'

const CONTEXT_FEATURES: readonly FeatureDeclaration[] = [
  computed('channel', { entity: CONTEXT, context: { field: 'channel', as: 'text' } }),
  computed('hour', { entity: CONTEXT, context: { op: 'hour_of_day', args: [{ field: 'event_time', as: 'number' }] } }),
]

/** Of a random plan: what is of an ad is kept with its advertiser, everything is for ads, and there is context. */
export function adsPlan(draw: Draw): Declarations {
  const { declarations } = randomPlan(draw)
  const entities = declarations.entities.map((entity) =>
    entity.name === 'ad' ? { name: 'ad', key: ['advertiser_id', 'ad_id'], partition: 'advertiser_id' } : entity,
  )
  const features = [...declarations.features, ...CONTEXT_FEATURES].map((feature) => ({
    ...feature,
    purpose: 'personalised_ads' as const,
  }))
  return { ...declarations, entities, features }
}

/** Records with advertisers, as every touch has one. Some touches are of a program, and none. */
export function adsStream(draw: Draw): Rec<Event>[] {
  return randomStream(draw).records.map((rec) => {
    const { value } = rec
    const { ad_id } = value.fields
    const fields = { ...value.fields, advertiser_id: ad_id === 'a1' ? 's1' : 's2' }
    const bots = draw(fc.nat(15)) === 0 ? ({ bots: 'mark' } as const) : {}
    return { ...rec, value: { ...value, fields, ...bots } }
  })
}

/** Some of what is kept, and of windows some; nothing is derived of it. */
export const partOf = (features: readonly FeatureDeclaration[], keep: (bit: number) => boolean): FeatureDeclaration[] =>
  features.flatMap((feature, i): FeatureDeclaration[] => {
    if (isDerived(feature) || isContext(feature) || !keep(i)) return []
    if (!isWindowed(feature)) return [feature]
    const windows = feature.windows.filter((_, j) => keep(i + j + 1))
    return windows.length === 0 ? [] : [{ ...feature, windows }]
  })
