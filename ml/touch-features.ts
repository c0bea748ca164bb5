// The features of a touch, as a model reads them: what a label row says of its touch (operators/touch.ts), and its vector where it has one.
// TF1: one list for training and for scoring. A changed meaning, order or hash is another FEATURES_RELEASE, so that no model reads
//      features that it was not trained on.
// TF2: what is absent, NaN or infinite is no feature: absent is not 0.
// TF3: the advertiser is the first feature: the key of the counter that models are measured against.

import { createHash } from 'node:crypto'
import { featureKeys, ROW_FEATURES_MAX } from './rows.ts'

/** Of the list, the buckets and the hash; part of what a model file says. */
export const FEATURES_RELEASE = 1
/** Of the hash: any number would do, it only may not change. */
const SEED = 0x40_1d_fa_57
const HOUR_MS = 3_600_000
const HOURS = 24

/** What tells features from others: their release and the schema of the vectors among them (null: none). Hex. */
export function schemaHash({
  features,
  vector,
}: {
  readonly features: number
  readonly vector: string | null
}): string {
  return createHash('sha256')
    .update(JSON.stringify([features, vector]))
    .digest('hex')
}

/** What a model may know of a touch; an operator's Touch is one. */
export interface TouchFacts {
  readonly advertiser: string
  readonly campaign: string
  readonly ad: string
  readonly type: string
  readonly timeMs: number
}

/** A value of a vector: one of many, several of many (of which a weight says nothing here), a number, or nothing. */
export type FactValue = number | string | boolean | readonly (string | readonly [id: string, weight: number])[] | null

const OWN = {
  advertiser: featureKeys('advertiser', SEED),
  campaign: featureKeys('campaign', SEED),
  ad: featureKeys('ad', SEED),
  type: featureKeys('type', SEED),
  hour: featureKeys('hour of day', SEED),
} as const

/** Of the features of vectors, by their ids: there are as many as are declared. */
const OF_VECTORS = new Map<string, (value: string) => number>()

function keysOf(name: string): (value: string) => number {
  const known = OF_VECTORS.get(name)
  if (known !== undefined) return known
  const made = featureKeys(name, SEED)
  OF_VECTORS.set(name, made)
  return made
}

/** TF3. The first feature of a touch, for what is kept by advertiser alone. */
export const advertiserKey = OWN.advertiser

/** Keys of the features of a touch, each of value 1. Of a longer vector the first ROW_FEATURES_MAX features. */
export function touchKeys(touch: TouchFacts, vector: Readonly<Record<string, FactValue>> = {}): number[] {
  const keys = [
    advertiserKey(touch.advertiser),
    OWN.campaign(touch.campaign),
    OWN.ad(touch.ad),
    OWN.type(touch.type),
    OWN.hour(String(Math.floor(touch.timeMs / HOUR_MS) % HOURS)),
  ]
  for (const name of Object.keys(vector)) {
    const value = vector[name]!
    if (typeof value === 'number') {
      if (Number.isFinite(value)) keys.push(keysOf(name)(String(bucketOf(value))))
    } else for (const text of textsOf(value)) keys.push(keysOf(name)(text))
  }
  return keys.length > ROW_FEATURES_MAX ? keys.slice(0, ROW_FEATURES_MAX) : keys
}

/** TF2. Of a value that is no number. */
function textsOf(value: Exclude<FactValue, number>): readonly string[] {
  if (value === null) return []
  return typeof value === 'object'
    ? value.map((entry) => (typeof entry === 'string' ? entry : entry[0]))
    : [String(value)]
}

const bits = new DataView(new ArrayBuffer(8))
/** Of the upper half of a double: sign, exponent and the first two digits of the mantissa stay. */
const BUCKET_SHIFT = 18

/** Four buckets to each power of two, 0 in its own: the same for counts, rates and sums, without knowing their range. */
export function bucketOf(value: number): number {
  bits.setFloat64(0, value + 0)
  return bits.getUint32(0) >>> BUCKET_SHIFT
}
