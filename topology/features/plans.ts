// Which features a plan holds, whatever keeps them.

import type { Plan } from '../plan.ts'
import { countedFeature } from './counted.ts'
import type { FeaturePlan } from './feature-plan.ts'
import { keptFeatures } from './kept.ts'

/** The features of a plan, in the order of its stages. */
export function featuresOf(plan: Plan): FeaturePlan[] {
  return plan.stages.flatMap((stage) => [
    ...stage.nodes.map((node) => countedFeature(stage.name, node)).filter((feature) => feature !== null),
    ...keptFeatures(stage),
  ])
}
