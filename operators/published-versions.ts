// What the trainer publishes, as it goes back to those that score (topology/feedback.ts): of `clock: data` alone, where nobody decides
// but the order of time.

import type { ActiveModel, ModelRecord } from './model-records.ts'
import type { Operator, Rec } from './operator.ts'

/** Versions in the place of their records; what was refused ends here. */
export function publishedVersions(): Operator<ModelRecord, ActiveModel> {
  return {
    name: 'published versions',
    version: 1,
    settings: {},
    stores: [],
    process(batch) {
      const out: Rec<ActiveModel>[] = []
      for (const rec of batch) {
        const { value } = rec
        if (value.kind !== 'published') continue
        const { version, from, sha256, schema } = value
        out.push({ ...rec, value: { activation: version, from, version, sha256, schema } })
      }
      return out
    },
  }
}
