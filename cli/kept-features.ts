// What a directory keeps of declared features, and what it may be asked to keep instead: the same, or what is compatible with it.
// KD1: what `holdfast features compat` refuses is refused here, in the same words; what is not refused begins an edition
//      (topology/features/ledger.ts) where it keeps something else.
// KD2: with vectors nothing of that may change: those in flight were begun under a layout, and end under it.

import { HoldfastError } from '../log/errors.ts'
import { compatibility } from '../topology/features/compatibility.ts'
import type { Declarations } from '../topology/features/declaration.ts'
import { type Ledger, ledgerAfter } from '../topology/features/ledger.ts'
import { refusedText } from './features/features-text.ts'

/** Of a directory. Both are there, or neither: then it keeps page views of the last hour, and nothing else. */
export interface KeptFeatures {
  readonly features?: Declarations | undefined
  readonly ledger?: Ledger | undefined
}

/** What a directory keeps from now on. `before`: null where it is new. Throws USAGE where that cannot be. */
export function featuresAfter(
  path: string,
  before: KeptFeatures | null,
  { features: wanted, vectors }: Pick<KeptFeatures, 'features'> & { readonly vectors?: unknown },
): KeptFeatures {
  const { features, ledger = null } = before ?? {}
  if (before !== null && (features === undefined) !== (wanted === undefined)) {
    const made = features === undefined ? 'without --features' : 'with --features'
    throw new HoldfastError(
      'USAGE',
      `${path} was made ${made}, and only declared features can be changed; use another --data-dir`,
    )
  }
  if (wanted === undefined) return {}
  if (features !== undefined) {
    const { refused } = compatibility(features, wanted)
    if (refused.length > 0) {
      const how = 'give what is new a name of its own, or use another --data-dir'
      throw new HoldfastError(
        'USAGE',
        `${path} keeps features that would mean something else: ${how}\n${refusedText(refused).join('\n')}`,
      )
    }
  }
  const after = ledgerAfter(ledger, wanted)
  if (vectors !== undefined && ledger !== null && after.edition !== ledger.edition) {
    const why = 'vectors on their way have the layout of the features they were begun with'
    throw new HoldfastError(
      'USAGE',
      `${path} publishes vectors, so its features cannot change: ${why}; use another --data-dir`,
    )
  }
  return { features: wanted, ledger: after }
}
