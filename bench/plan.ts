// The plans that the bench measures.

import { attributionSettings, DECLARATION_DEFAULT } from '../operators/attribution-declaration.ts'
import { type GraphOptions, LATENESS_MS_DEFAULT, pageViewGraph } from '../topology/graph.ts'
import type { Plan } from '../topology/plan.ts'

/** The graph as `holdfast node` runs it, without the copy of accepted events. */
export const benchGraph = (partitions: number): GraphOptions => ({
  namespace: 'bench',
  name: 'page views',
  clock: 'wall',
  partitions,
  latenessMs: LATENESS_MS_DEFAULT,
  anonymous: 'reject',
  accepted: 'off',
})

export const benchPlan = (partitions: number): Plan => pageViewGraph(benchGraph(partitions))

/** The same with the joiner, in its default windows. */
export const joinerGraph = (partitions: number): GraphOptions => ({
  ...benchGraph(partitions),
  attribution: attributionSettings(DECLARATION_DEFAULT),
})
