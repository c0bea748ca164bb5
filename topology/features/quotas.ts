// What an owner's features may keep. The plan is refused, not the feature that came last: whose it is, is for its owners to say.
// QU1: a quota is compared with the bounds of costs.ts, so that whether a plan is refused does not depend on its traffic.

import { HoldfastError } from '../../log/errors.ts'
import type { Costs } from './costs.ts'
import type { Declarations } from './declaration.ts'

/** Refuses a plan in which an owner keeps more than it may. Throws USAGE with the sum. */
export function checkQuotas({ features, quotas = {} }: Declarations, { owners }: Costs): void {
  for (const [owner, quota] of Object.entries(quotas)) {
    const check = (condition: boolean, message: string): void => {
      if (!condition) throw new HoldfastError('USAGE', `quota of ${owner}: ${message}`)
    }
    check(Number.isSafeInteger(quota) && quota >= 0, 'it must be a whole number of bytes')
    // A misspelt one would hold nobody.
    check(
      features.some((feature) => feature.owner === owner),
      'nobody of this name has a feature',
    )
    const kept = Object.entries(owners.find((cost) => cost.owner === owner)?.bytesByEntity ?? {})
    const bytes = Math.ceil(kept.reduce((sum, [, of]) => sum + of, 0))
    const terms = kept.filter(([, of]) => of > 0).map(([entity, of]) => `${entity} ${Math.ceil(of)}`)
    check(bytes <= quota, `its features keep up to ${bytes} bytes (${terms.join(' + ')}), ${quota} are allowed`)
  }
}
