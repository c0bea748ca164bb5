// Fingerprints beside those of a generic canonical form.

import { createHash } from 'node:crypto'
import fc from 'fast-check'
import stringify from 'fast-json-stable-stringify'
import { expect, it } from 'vitest'
import { fingerprintOf } from './fingerprint.ts'
import type { Touch } from './touch.ts'

const text = fc.string({ unit: 'binary', maxLength: 5 })
const number = fc.oneof(fc.double(), fc.integer())
const list = fc.oneof(fc.array(text), fc.array(fc.tuple(text, number)))
// Names that are whole numbers come first in an object, whatever was said first.
const name = fc.oneof(text, fc.constantFrom('10', '9', 'views', 'views_1h', '__proto__'))
const values = fc.dictionary(name, fc.oneof(number, text, fc.boolean(), fc.constant(null), list))
const touch = fc.record({
  ...{ kind: fc.constant('touch'), type: fc.constantFrom('click', 'impression'), id: text, user: text },
  ...{ timeMs: fc.nat(), advertiser: text, campaign: text, ad: text },
})

it('FP1: are of the canonical JSON of what was read', () => {
  const seen = new Set<string>()
  fc.assert(
    fc.property(touch, values, (one, read) => {
      const { type, timeMs, advertiser, campaign, ad } = one
      const canonical = stringify({ type, timeMs, advertiser, campaign, ad, values: read })
      const expected = createHash('sha256').update(canonical).digest('hex').slice(0, 16)
      const found = fingerprintOf(one as unknown as Touch, read)
      seen.add(found)
      expect(found).toBe(expected)
      // The same names once more, in another order.
      const turned = Object.fromEntries(Object.entries(read).reverse())
      expect(fingerprintOf(one as unknown as Touch, turned)).toBe(expected)
    }),
  )
  expect(seen.size).toBeGreaterThan(50)
})
