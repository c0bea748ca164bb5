// The plan that every part of the bench measures.

import { type GraphOptions, LATENESS_MS_DEFAULT, pageViewGraph } from '../topology/graph.ts'
import type { Plan } from '../topology/plan.ts'

/** The graph as `holdfast node` runs it, one partition, without the copy of accepted events. */
export const BENCH_GRAPH: GraphOptions = {
  namespace: 'bench',
  name: 'page views',
  clock: 'wall',
  partitions: 1,
  latenessMs: LATENESS_MS_DEFAULT,
  anonymous: 'reject',
  accepted: 'off',
}

export const benchPlan = (): Plan => pageViewGraph(BENCH_GRAPH)
