// The rows of one cause, one by one: they travel together because the log knows a record by its order key (operators/labels.ts).

import type { TaughtRows, TrainingRow } from './model-records.ts'
import type { Operator, Rec } from './operator.ts'

/** Each row in the place of its cause, in the order in which they were said. */
export function eachRow(): Operator<TaughtRows, TrainingRow> {
  return {
    name: 'each row',
    version: 1,
    settings: {},
    stores: [],
    process(batch, ctx) {
      const out: Rec<TrainingRow>[] = []
      for (const rec of batch) for (const value of rec.value.rows) out.push({ ...rec, value })
      ctx.count('rows', out.length)
      return out
    },
  }
}
