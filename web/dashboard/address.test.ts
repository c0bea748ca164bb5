// The address says what the page shows, and a link to it shows that again.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { formatAddress, parseAddress } from './address.ts'
import { isKey, nameOf } from './watch-list.ts'

const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }).filter(isKey)
const name = text.filter((one) => one !== '.' && one !== '..')

it('survives with any ids', () => {
  const rows = fc.uniqueArray(fc.record({ feature: name, entity: name, key: text }), { selector: nameOf, maxLength: 3 })
  const lane = fc.record({ advertiser: text, goal: fc.option(text), window: fc.option(text) })
  fc.assert(
    fc.property(rows, fc.option(text), fc.option(lane), fc.option(text), (list, conversion, purchases, model) => {
      const { search } = new URL(`http://a/${formatAddress({ rows: list, conversion, purchases, model })}`)
      expect(parseAddress(search)).toEqual({ watch: { rows: list, leftOut: 0 }, conversion, purchases, model })
    }),
  )
})

it('says nothing where nothing is shown', () => {
  expect(formatAddress({ rows: [], conversion: null, purchases: null, model: null })).toBe('')
})

it('reads what people write, and leaves out what is no id', () => {
  const { conversion, purchases } = parseAddress('?conversion=c+1&purchases=shop&window=7d_click&other=1')
  expect([conversion, purchases]).toEqual(['c 1', { advertiser: 'shop', goal: null, window: '7d_click' }])
  expect(parseAddress(`?conversion=${'x'.repeat(129)}&purchases=%00&window=a`)).toMatchObject({
    ...{ conversion: null, purchases: null },
  })
})
