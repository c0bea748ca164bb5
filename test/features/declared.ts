// Small declarations for tests: one user entity, one feature unless said otherwise.

import { compileFeatures } from '../../topology/features/compile.ts'
import type { Declarations, FeatureDeclaration, SourcePolicy } from '../../topology/features/declaration.ts'

const COMMON = {
  entity: 'user',
  name: 'clicks',
  description: 'clicks',
  owner: 'team',
  purpose: 'measurement',
  sensitivity: 'none',
  retentionDays: 28,
} as const

const CLICKS = {
  ...COMMON,
  events: { types: ['click'] },
  aggregate: { fn: 'count' },
  windows: ['7d'],
} as const satisfies FeatureDeclaration

/** A count of clicks by user in 7 days, in other words where something else is said. */
export function clicks(other: Partial<FeatureDeclaration> = {}): FeatureDeclaration {
  return { ...CLICKS, ...other } as FeatureDeclaration
}

/** A feature that is no aggregate: `derive`, `rate`, `ratio` or `context`. */
export function computed(name: string, how: object): FeatureDeclaration {
  return { ...COMMON, name, ...how } as FeatureDeclaration
}

/** Everything is allowed for everything. */
export const OPEN_POLICY: SourcePolicy = {
  types: { click: 'sharing', impression: 'sharing', conversion: 'sharing', page_view: 'sharing' },
  fields: {},
}

export function declared(features: readonly FeatureDeclaration[], policy: SourcePolicy = OPEN_POLICY): Declarations {
  const entities = [
    { name: 'user', key: ['user_id'], partition: 'user_id' },
    { name: 'person', key: ['user_id'], partition: 'user_id' },
    { name: 'ad', key: ['ad_id'], partition: 'ad_id' },
  ]
  return { entities, features, policy }
}

/** What the compiler says against declarations; null: nothing. */
export function refusalOf(declarations: Declarations): string | null {
  try {
    compileFeatures(declarations)
    return null
  } catch (error) {
    return (error as Error).message
  }
}
