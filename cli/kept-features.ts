// What a directory keeps of declared features, and what it may be asked to keep instead: the same, or what is compatible with it.
// KD1: what `run` and `node` refuse, `holdfast features compat` refuses, in the same words, because both ask `changeOf`; what is not
//      refused begins an edition (topology/features/ledger.ts) where it keeps something else.
// KD2: vectors may have other features from now on, but touches take them in all of a directory's time or never: what travels
//      between the stages is another record where they do.

import { HoldfastError } from '../log/errors.ts'
import { type Compatibility, compatibility } from '../topology/features/compatibility.ts'
import type { Declarations } from '../topology/features/declaration.ts'
import { type Ledger, ledgerAfter } from '../topology/features/ledger.ts'
import type { VectorFeatures } from '../topology/features/vectors.ts'
import { type GraphOptions, LATENESS_MS_DEFAULT, pageViewGraph } from '../topology/graph.ts'
import { refusedText } from './features/features-text.ts'

/** Of a directory. Declarations and ledger are there, or neither: then it keeps page views of the last hour, and nothing else. */
export interface KeptFeatures {
  readonly features?: Declarations | undefined
  readonly ledger?: Ledger | undefined
  /** What of them the vectors of touches have; not given: none are taken. */
  readonly vectors?: VectorFeatures | undefined
}

/** What is to be kept instead. */
export type WantedFeatures = Omit<KeptFeatures, 'ledger'>

/** What changes, and, where nothing of it is refused, what is kept then. */
export interface FeatureChange {
  readonly report: Compatibility
  readonly after: KeptFeatures | null
}

/** KD1, KD2. Throws USAGE where what is wanted has no meaning, or nothing more can be added. */
export function changeOf(before: KeptFeatures, wanted: WantedFeatures): FeatureChange {
  const compared = compatibility(before.features ?? null, wanted.features ?? null)
  const takes = ({ vectors }: WantedFeatures): string => (vectors === undefined ? 'not taken' : 'taken')
  const [from, to] = [takes(before), takes(wanted)]
  const taking = from === to ? [] : [{ name: 'vectors', changes: [{ of: 'all', from, to }], touches: [] }]
  const report = { ...compared, refused: [...compared.refused, ...taking] }
  return { report, after: report.refused.length > 0 ? null : keptWith(before.ledger ?? null, wanted) }
}

/** What is beside the features decides nothing about them. */
const ANY_GRAPH: GraphOptions = {
  ...{ namespace: 'any', name: 'any', clock: 'wall', partitions: 1, latenessMs: LATENESS_MS_DEFAULT },
  ...{ anonymous: 'reject', accepted: 'off' },
}

function keptWith(ledger: Ledger | null, { features, vectors }: WantedFeatures): KeptFeatures {
  const chosen = { ...(features && { features }), ...(vectors && { vectors }) }
  const kept = { ...chosen, ...(features && { ledger: ledgerAfter(ledger, features, vectors) }) }
  pageViewGraph({ ...ANY_GRAPH, ...kept })
  return kept
}

/** What a directory keeps from now on. `before`: null where it is new. Throws USAGE where that cannot be. */
export function featuresAfter(path: string, before: KeptFeatures | null, wanted: WantedFeatures): KeptFeatures {
  if (before === null) return keptWith(null, wanted)
  const { report, after } = changeOf(before, wanted)
  if (after !== null) return after
  const how = 'give what is new a name of its own, or use another --data-dir'
  const words = refusedText(report.refused).join('\n')
  throw new HoldfastError('USAGE', `${path} keeps features that would mean something else: ${how}\n${words}`)
}
