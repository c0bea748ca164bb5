// The fingerprint of what was read of a touch: who scores it anew can see that it was the same.
// FP1: it is of canonical JSON (keys by their UTF-16 units, no spaces, as fast-json-stable-stringify writes them): equal facts have equal
//      ones, whoever computes them. An object whose keys stand in that order needs no more than JSON.stringify, at a fraction of the cost.

import { hash } from 'node:crypto'
import stringify from 'fast-json-stable-stringify'
import type { FactValue } from '../ml/touch-features.ts'
import type { Touch } from './touch.ts'

/** 64 bits: enough to tell apart all that is ever read of touches. */
const FINGERPRINT_HEX_DIGITS = 16

type Values = Readonly<Record<string, FactValue>>

/** The first digits of the SHA-256 (hex) of a touch and the values of its vector. Who it is of is not read. */
export function fingerprintOf(touch: Touch, values: Values): string {
  return hash('sha256', canonicalText(touch, values), 'hex').slice(0, FINGERPRINT_HEX_DIGITS)
}

/** FP1. */
function canonicalText({ type, timeMs, advertiser, campaign, ad }: Touch, values: Values): string {
  const names = sortedNames(values)
  if (names === null) return stringify({ ad, advertiser, campaign, timeMs, type, values })
  const sorted: Record<string, FactValue> = {}
  for (const name of names) sorted[name] = values[name]!
  return JSON.stringify({ ad, advertiser, campaign, timeMs, type, values: sorted })
}

/** Of the vector that was asked last: its names as they came, and sorted. Vectors of a plan have one layout. */
let [asked, sorted]: [readonly string[], readonly string[] | null] = [[], []]

/** null: an object does not keep names in this order, or does not have all of them (whole numbers, `__proto__`). */
function sortedNames(values: Values): readonly string[] | null {
  const own = Object.keys(values)
  if (own.length === asked.length && own.every((name, i) => name === asked[i])) return sorted
  asked = own
  sorted = own.toSorted()
  const kept: Record<string, null> = {}
  for (const name of sorted) kept[name] = null
  if (Object.keys(kept).join('\n') !== sorted.join('\n')) sorted = null
  return sorted
}
