// A state of purchases after some credits, for tests of reports.

import { ATTRIBUTION_DEFAULT } from '../operators/attribution-settings.ts'
import type { Rec } from '../operators/operator.ts'
import { purchases } from '../operators/purchases.ts'
import type { CreditRecord } from '../operators/touch.ts'
import type { Backend } from '../state/backend.ts'
import { topology } from '../topology/dsl.ts'
import type { Plan } from '../topology/plan.ts'
import { operatorState, type Reached } from './operator-state.ts'

/** A plan with purchases and nothing else. */
export function purchasePlan(partitions = 1): Plan {
  const options = { namespace: 'sold', name: 'sold', clock: 'data', partitions, latenessMs: 0 } as const
  return topology(options, (t) => {
    t.source<CreditRecord, CreditRecord>('purchases', INGRESS).through(purchases(ATTRIBUTION_DEFAULT))
  })
}

const INGRESS = {
  ...{ name: 'ingress', version: 1, settings: {}, stores: [] },
  process: (batch: readonly Rec<CreditRecord>[]) => batch,
}

/** The state of a task after these credits, which come in this order; opened anew by each call. */
export function purchaseState(credits: readonly CreditRecord[], reached: Reached): Promise<() => Promise<Backend>> {
  const records = credits.map((value, number): Rec<CreditRecord> => {
    const at = value.conversionTimeMs
    return { value, at, watermark: 0, late: false, rank: 1, type: 'conversion', id: String(number), number, input: 0 }
  })
  return operatorState(purchasePlan(), records, reached)
}
