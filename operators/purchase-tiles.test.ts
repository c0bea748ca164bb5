import { describe, expect, test } from 'vitest'
import { type DelayCounts, delaysCodec, type PurchaseTiles, purchasesCodec } from './purchase-tiles.ts'

describe('the bytes of what is kept', () => {
  test('of purchases: tiles by their distance, refunds only where there are some', () => {
    const tiles: PurchaseTiles = [
      { tile: 0, credited: 1, creditedMicro: 3, takenBack: 0, takenBackMicro: 0 },
      { tile: 95, credited: 2, creditedMicro: 2 ** 60, takenBack: 1, takenBackMicro: 5 },
    ]
    const bytes = purchasesCodec.encode([tiles[0]!, { ...tiles[1]!, creditedMicro: 200 }])
    expect(Buffer.from(bytes).toString('hex')).toBe('0200020c5e05a0060114')
    const big = [{ ...tiles[1]!, creditedMicro: 2n ** 60n }]
    expect(purchasesCodec.decode(purchasesCodec.encode(big))).toEqual(big)
    expect(() => purchasesCodec.decode(Uint8Array.of(1, 96, 0, 0))).toThrow(/behind its day/)
    expect(() => purchasesCodec.decode(Uint8Array.of(0, 0))).toThrow(/longer/)
  })

  test('of delays: bins in ascending order by their distance', () => {
    const delays: DelayCounts = new Map([
      [200, 1],
      [3, 130],
    ])
    const bytes = delaysCodec.encode(delays)
    expect(Buffer.from(bytes).toString('hex')).toBe('02038201c40101')
    expect(delaysCodec.decode(bytes)).toEqual(delays)
    expect(() => delaysCodec.decode(Uint8Array.of(0, 0))).toThrow(/longer/)
  })
})
