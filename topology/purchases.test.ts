import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ATTRIBUTION_DEFAULT } from '../operators/attribution-settings.ts'
import type { CreditRecord } from '../operators/touch.ts'
import type { Declarations } from './features/declaration.ts'
import { featuresOf } from './features/plans.ts'
import { type GraphOptions, LATENESS_MS_DEFAULT, pageViewGraph } from './graph.ts'
import { CREDIT_EXCHANGE, PURCHASE_FEATURES, PURCHASE_STAGE } from './purchases.ts'

const GRAPH: GraphOptions = {
  ...{ namespace: 'n', name: 'n', clock: 'wall', partitions: 2, latenessMs: LATENESS_MS_DEFAULT },
  ...{ anonymous: 'reject', accepted: 'off', attribution: ATTRIBUTION_DEFAULT },
}

it('credits travel whole, by advertiser', () => {
  const id = fc.string({ minLength: 1, unit: 'grapheme' })
  const lane = fc.record({ goal: id, window: fc.nat(63), campaign: id, ad: id, touchTimeMs: fc.nat() })
  const credit = fc.record({
    ...{ advertiser: id, conversionTimeMs: fc.nat(), count: fc.constantFrom<1 | -1 | 0>(1, -1, 0) },
    value: fc.integer({ min: -9e15, max: 9e15 }),
    currency: fc.option(id),
    lanes: fc.array(lane),
  })
  fc.assert(
    fc.property(credit, (record: CreditRecord) => {
      const json = CREDIT_EXCHANGE.encode(record, 0)
      expect(CREDIT_EXCHANGE.decode(JSON.parse(json), 0)).toEqual(record)
      expect(CREDIT_EXCHANGE.key(record)).toBe(record.advertiser)
    }),
  )
})

describe('purchases of the last days', () => {
  const own = (options: Partial<GraphOptions>) =>
    featuresOf(pageViewGraph({ ...GRAPH, ...options })).filter(({ stage }) => stage === PURCHASE_STAGE)

  it('are features of a live plan, and of no other', () => {
    const features = own({})
    expect(features.map(({ feature }) => feature)).toContain('purchases_7d')
    expect(features).toHaveLength(6 * 3)
    expect(features.every(({ topAt }) => topAt !== null)).toBe(true)
    expect(own({ clock: 'data' })).toEqual([])
    expect(own({ attribution: 'off' })).toEqual([])
  })

  it('keep their names: another feature of the same name is refused', () => {
    const [first] = PURCHASE_FEATURES.features
    const declared: Declarations = { ...PURCHASE_FEATURES, features: [first!] }
    expect(() => own({ features: declared })).toThrow(
      /advertiser_window.purchases_24h: there is one of this name already/,
    )
    expect(own({ features: { ...declared, features: [{ ...first!, name: 'bought' }] } })).toHaveLength(18)
    expect(own({ features: declared, attribution: 'off' })).toEqual([])
  })
})
