// The fingerprint of what was read of a touch: who scores it anew can see that it was the same.
// FP1: it is of canonical JSON (keys by their UTF-16 units, no spaces, as fast-json-stable-stringify writes them): equal facts have equal
//      ones, whoever computes them. Written here because of its speed: a generic one takes longer than the model.

import { hash } from 'node:crypto'
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
  let text = ''
  for (const [name, head] of sortedNames(values)) {
    const value = values[name]!
    const told = typeof value === 'number' && Number.isFinite(value) ? String(value) : JSON.stringify(value)
    text += text === '' ? head + told : `,${head}${told}`
  }
  return (
    `{"ad":${JSON.stringify(ad)},"advertiser":${JSON.stringify(advertiser)},"campaign":${JSON.stringify(campaign)},` +
    `"timeMs":${timeMs},"type":"${type}","values":{${text}}}`
  )
}

type Name = readonly [name: string, head: string]

/** Of the vector that was asked last: its names as they came, and sorted with their JSON. Vectors of a plan have one layout. */
let [names, sorted]: [readonly string[], readonly Name[]] = [[], []]

function sortedNames(values: Values): readonly Name[] {
  const own = Object.keys(values)
  if (own.length === names.length && own.every((name, i) => name === names[i])) return sorted
  names = own
  sorted = own.toSorted().map((name) => [name, `${JSON.stringify(name)}:`])
  return sorted
}
