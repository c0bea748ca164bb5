// Duplicates of conversions, once it is known whose they are (contract.md, section 2; the rule: operators/duplicate-rule.ts).
// Touches and the other events that goals name have been judged before (operators/duplicates.ts) and pass.

import { type DuplicatesSettings, duplicatesSettings, firstOfEquals } from './duplicate-rule.ts'
import type { Operator } from './operator.ts'
import { isRefund, type JoinRecord, keyOf } from './touch.ts'

/** Lets the first of equal conversions and of equal refunds pass. `graceMs`: how long after its event time one is resolved that is not late. */
export function conversionDuplicates({
  graceMs,
  ...given
}: Partial<DuplicatesSettings> & { readonly graceMs: number }): Operator<JoinRecord, JoinRecord> {
  const settings = duplicatesSettings(given)
  return {
    name: 'duplicates of conversions',
    version: 1,
    settings: { ...settings, graceMs },
    ...firstOfEquals<JoinRecord>({
      settings,
      isJudged: ({ type }) => type === 'conversion',
      timeOf: ({ timeMs }) => timeMs,
      orderOf,
      isPurchase: (record) => record.kind === 'conversion' && !isRefund(record),
      delayMaxMs: graceMs,
      counting: 'counted',
    }),
  }
}

function orderOf(record: JoinRecord): string | null {
  if (record.kind !== 'conversion' || record.orderId === null || isRefund(record)) return null
  return keyOf(record.advertiser, record.orderId)
}
