// Many teams' declarations over the same events: what the compiler is timed with.

import type {
  Declarations,
  EntityDeclaration,
  FeatureDeclaration,
  WindowName,
} from '../../topology/features/declaration.ts'
import { OPEN_POLICY } from './declared.ts'

export const PIPELINES = 200
/** Of each pipeline: three counts in three windows, and a rate. */
export const FEATURES_EACH = 10
export const ENTITIES = 20
/** Different filters; each pipeline has one. */
export const FILTERS = 7
const WINDOWS: readonly WindowName[] = ['1h', '24h', '7d']

/** Every pipeline is one team's, over what another team looks at as well. */
export function pipelines(): Declarations {
  const entities = Array.from({ length: ENTITIES }, (_, i): EntityDeclaration => {
    return { name: `e${i}`, key: i === 0 ? ['user_id'] : ['user_id', `x${i}_id`], partition: 'user_id' }
  })
  const features = Array.from({ length: PIPELINES }, (_, i) => pipeline(i, entities[i % ENTITIES]!)).flat()
  return { entities, features, policy: OPEN_POLICY }
}

function pipeline(i: number, { name: entity }: EntityDeclaration): FeatureDeclaration[] {
  const common = {
    ...{ entity, description: 'generated', owner: `team_${i}`, retentionDays: 28 },
    ...({ purpose: 'measurement', sensitivity: 'none' } as const),
  }
  const channel = { op: 'equal', args: [{ field: 'channel', as: 'text' }, { constant: `c${i % FILTERS}` }] } as const
  const counted = (name: string, type: 'click' | 'impression' | 'conversion'): FeatureDeclaration => ({
    ...{ ...common, name: `p${i}_${name}`, events: { types: [type], where: channel } },
    ...({ aggregate: { fn: 'count' }, windows: WINDOWS } as const),
  })
  const rate = { of: `${entity}.p${i}_clicks_7d`, per: `${entity}.p${i}_impressions_7d`, prior: 0.01, weight: 100 }
  return [
    counted('clicks', 'click'),
    counted('impressions', 'impression'),
    counted('orders', 'conversion'),
    { ...common, name: `p${i}_rate`, rate },
  ]
}
