// Which features a plan holds, whatever keeps them.

import type { Plan } from '../plan.ts'
import { countedListing } from './counted.ts'
import type { FeatureListing, FeaturePlan } from './feature-plan.ts'
import { keptListings } from './kept.ts'

/** All features of a plan, in the order of its stages, by what is read for them together. */
export function listingsOf(plan: Plan): FeatureListing[] {
  return plan.stages.flatMap((stage) => [
    ...stage.nodes.map((node) => countedListing(stage.name, node)).filter((listing) => listing !== null),
    ...keptListings(stage),
  ])
}

/** The features of a plan, in the order of its stages. */
export function featuresOf(plan: Plan): FeaturePlan[] {
  return listingsOf(plan).flatMap(({ features }) => features)
}
