// Networks, and the address that a request came from.

import { describe, expect, it } from 'vitest'
import { addressOf, networkList } from './addresses.ts'

describe('networks', () => {
  const isIn = networkList(['10.0.0.0/8', '2001:db8::/32', '192.0.2.7/32'])

  it.each([
    ['10.1.2.3', true],
    ['::ffff:10.1.2.3', true],
    ['11.1.2.3', false],
    ['192.0.2.7', true],
    ['192.0.2.8', false],
    ['2001:db8::1', true],
    ['2001:db9::1', false],
    ['unknown', false],
    ['', false],
    ['10.1.2.3:80', false],
  ])('%s: %s', (address, expected) => expect(isIn(address)).toBe(expected))

  it.each(['10.0.0.0', '10.0.0.0/33', '2001:db8::/129', '10.0.0/8', 'all', '', '10.0.0.0/8,11.0.0.0/8'])(
    'are refused where they are none: %s',
    (network) => expect(() => networkList([network])).toThrow(RangeError),
  )
})

it('what a proxy names that is no address is not believed: the connection counts', () => {
  const socket = { remoteAddress: '10.0.0.1' } as never
  expect(addressOf({ ip: '203.0.113.5', socket })).toBe('203.0.113.5')
  for (const ip of ['unknown', '203.0.113.5:4711', '', 'x'.repeat(10_000)])
    expect(addressOf({ ip, socket })).toBe('10.0.0.1')
})
