import { describe, expect, test } from 'vitest'
import { compareUtf8 } from '../state/key-layout.ts'
import { heldTouch, heldTouchCodec, placeOf } from './held-touch.ts'
import type { Scored } from './model-records.ts'
import { inSingle } from './scored.ts'
import type { Touch } from './touch.ts'
import { LAYOUTS_MAX } from './vector.ts'

const T = 1_750_000_000_000
const touch: Touch = {
  ...{ kind: 'touch', type: 'click', id: 'e', timeMs: T, user: 'u', advertiser: 'a', campaign: 'camp', ad: 'x' },
  ...{ clickId: null, vector: null },
}
const full: Touch = {
  ...touch,
  type: 'impression',
  clickId: 'k1',
  vector: { layout: 3, base64: 'BwD/' },
}
const scored: Scored = { version: 5, p: [inSingle(1 / 3), 0], input: '/wc=' }

const hex = (of: Touch, watermark: number) =>
  Buffer.from(heldTouchCodec.encode(heldTouch(of, watermark))).toString('hex')

describe('a held touch', () => {
  test('has golden bytes: what its place says is not in them, and the vector is there once', () => {
    expect(hex(touch, T - 1)).toBe('000463616d700178')
    expect(hex(full, T - 1)).toBe('030463616d700178026b31030700ff')
    expect(hex({ ...touch, clickId: 'k1' }, T + 100)).toBe('91030463616d700178026b31')
    expect(hex({ ...touch, vector: { layout: 0, base64: '' } }, T)).toBe('020463616d70017800')
  })

  test('HT2: with a score has it before the vector, and without one the same bytes as ever', () => {
    expect(hex({ ...touch, scored }, T - 1)).toBe(
      '020463616d7001788002' + '0502' + '3eaaaaab00000000' + '02ff07' + '00',
    )
    expect(hex({ ...full, scored }, T - 1)).toBe(
      '030463616d700178026b318002' + '0502' + '3eaaaaab00000000' + '02ff07' + '04' + '0700ff',
    )
  })

  test('is the touch again, with its place and person', () => {
    const bare = { ...full, vector: { layout: 0, base64: '' } }
    const last = { ...full, vector: { layout: LAYOUTS_MAX - 1, base64: 'BwD/' } }
    for (const plain of [touch, full, bare, last])
      for (const one of [plain, { ...plain, scored }, { ...plain, scored: { version: 0, p: [], input: '' } }]) {
        const { group, id } = placeOf(one)
        const held = heldTouchCodec.decode(heldTouchCodec.encode(heldTouch(one, T + 5)), group, { timeMs: T, id })
        expect(held).toEqual({ lateByMs: 5, touch: one })
      }
  })

  test('is refused where its bytes are cut off or too many', () => {
    const { group, id } = placeOf(touch)
    const decode = (hex: string) => heldTouchCodec.decode(Buffer.from(hex, 'hex'), group, { timeMs: T, id })
    expect(() => decode('000463616d7001')).toThrow('STATE_CORRUPT')
    expect(() => decode('000463616d70017800')).toThrow('STATE_CORRUPT')
    expect(decode('000463616d700178').touch).toEqual(touch)
  })
})

test('places of one time are in the order of type and event_id', () => {
  const ordered = (['click', 'impression'] as const).flatMap((type) =>
    ['a', 'b', 'ba', '\u{10000}'].map((id) => ({ type, id })),
  )
  const ids = ordered.map((parts) => placeOf({ ...touch, ...parts }).id)
  expect([...ids].reverse().sort(compareUtf8)).toEqual(ids)
  expect(placeOf(touch).group).toBe(placeOf({ ...full, timeMs: 5 }).group)
})
