// The list in the address is the list on the page, and holds nothing that the node would refuse.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { isKey as isKeyOfNode } from '../../sinks/read-ask.ts'
import { formatWatchList, isKey, nameOf, parseWatchList, WATCHED_MAX } from './watch-list.ts'

const page = (key: string) => ({ feature: 'page_views_1h', entity: 'page', key })

it('is read from the address, whatever else is in it', () => {
  const rows = [page('home'), { feature: 'page_views_1h', entity: 'user', key: 'u1' }]
  expect(parseWatchList('?a=1&watch=page_views_1h/page/home,page_views_1h/user/u1')).toEqual({ rows, leftOut: 0 })
  expect(parseWatchList('')).toEqual({ rows: [], leftOut: 0 })
})

it('survives the address, with any keys', () => {
  const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }).filter(isKey)
  const name = text.filter((one) => one !== '.' && one !== '..')
  const rows = fc.uniqueArray(fc.record({ feature: name, entity: name, key: text }), { selector: nameOf, maxLength: 8 })
  fc.assert(
    fc.property(rows, (list) => {
      const address = new URL(`http://a/${formatWatchList(list)}`)
      expect(parseWatchList(address.search)).toEqual({ rows: list, leftOut: 0 })
    }),
  )
})

it('is also read as a form or URLSearchParams spells it', () => {
  const rows = [page('red shoes'), page('a,b'), page('/c')]
  const spelt = new URLSearchParams({ watch: rows.map(nameOf).join(',') })
  expect(parseWatchList(`?${spelt}`)).toEqual({ rows, leftOut: 0 })
})

it('takes slashes in keys as they are', () => {
  expect(parseWatchList('?watch=page_views_1h/page//shop/cart').rows).toEqual([page('/shop/cart')])
})

it('leaves out what is no entry, and says how many', () => {
  const bad = ['home', 'page_views_1h/page', 'page_views_1h/page/', '../page/x', 'f/./x', 'f/e/%00', 'f/e/%zz', '/e/k']
  expect(parseWatchList(`?watch=${bad.join(',')},page_views_1h/page/home`)).toEqual({
    rows: [page('home')],
    leftOut: 8,
  })
})

it(`holds ${WATCHED_MAX} rows, doubles counted once`, () => {
  const entries = Array.from({ length: WATCHED_MAX + 3 }, (_, i) => nameOf(page(`p${i}`)))
  const { rows, leftOut } = parseWatchList(`?watch=${[...entries, entries[0]].join(',')}`)
  expect([rows.length, leftOut]).toEqual([WATCHED_MAX, 3])
})

it('has the same rule for keys as the node', () => {
  const edges = [
    '',
    'a',
    'a'.repeat(128),
    'a'.repeat(129),
    'é'.repeat(64),
    'é'.repeat(65),
    '\u007f',
    '\u001f',
    '\ud800',
    '.',
  ]
  for (const text of edges) expect([text, isKey(text)]).toEqual([text, isKeyOfNode(text)])
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 140 }), (text) => {
      expect(isKey(text)).toBe(isKeyOfNode(text))
    }),
  )
})
