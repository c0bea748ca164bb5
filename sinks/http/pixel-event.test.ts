import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EVENT_SETTINGS, isRejected, parseEventBytes } from '../../operators/event.ts'
import { conversionEvent, conversionFault } from './conversions-api.ts'
import { formEvents, jsonEvents, PARAMETERS_MAX, queryEvent } from './pixel-body.ts'
import {
  type Arrival,
  draftBytes,
  madeEventId,
  PIXEL_PARAMETERS,
  PIXEL_SETTINGS,
  type PixelSettings,
  pixelMapping,
} from './pixel-event.ts'

const NOW = Date.UTC(2026, 0, 2)
const PERSON =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36'
const CRAWLER = 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'
const arrival: Arrival = { nowMs: NOW, userAgent: PERSON, ip: '192.0.2.7' }
const plain = pixelMapping(PIXEL_SETTINGS)
const settings = (some: Partial<PixelSettings>) => pixelMapping({ ...PIXEL_SETTINGS, ...some })

type Fields = Record<string, unknown>
const fieldsIn = (bytes: Uint8Array): Fields => JSON.parse(Buffer.from(bytes).toString()) as Fields
const fromQuery = (query: string, mapping = plain, from = arrival) => fieldsIn(queryEvent(query, from, mapping))
const fromJson = (value: unknown, mapping = plain) =>
  fieldsIn(jsonEvents(Buffer.from(JSON.stringify(value)), arrival, mapping)[0]!)
const fromMeta = (entry: unknown, mapping = plain) => fieldsIn(draftBytes(conversionEvent(entry, 'shop-1', mapping)))
const judge = (fields: Fields) => parseEventBytes(Buffer.from(JSON.stringify(fields)), EVENT_SETTINGS)
/** Code and field of what the intake would say; null: an event. */
function faultOf(fields: Fields): readonly [string, string | null] | null {
  const result = judge(fields)
  return isRejected(result) ? [result.code, result.field] : null
}

describe('names of events', () => {
  it.each<[string, string]>([
    ['PageView', 'page_view'],
    ['Purchase', 'conversion'],
    ['Lead', 'lead'],
    ['AddToCart', 'add_to_cart'],
    ['InitiateCheckout', 'checkout'],
    ...['page_view', 'conversion', 'lead', 'add_to_cart', 'checkout', 'click', 'impression', 'consent', 'erase'].map(
      (type): [string, string] => [type, type],
    ),
    ['purchase', 'conversion'],
    ['PAGEVIEW', 'page_view'],
  ])('%s is %s, from page and server', (name, type) => {
    expect(fromQuery(`e=${name}`).type).toBe(type)
    expect(fromJson({ e: name }).type).toBe(type)
    expect(fromMeta({ event_name: name }).type).toBe(type)
  })

  it.each(['ViewContent', '__proto__', 'constructor', 'toString', 'p'.repeat(70_000), ' PageView'])(
    'others stay what they are, to be refused: %.20s',
    (name) => {
      expect(fromJson({ e: name }).type).toBe(name)
      const rest = { event_id: 'e', event_time: NOW, user_id: 'u' }
      expect(faultOf({ ...rest, type: fromMeta({ event_name: name.slice(0, 1000) }).type })).toEqual([
        'EVENT_FIELD_INVALID',
        'type',
      ])
    },
  )
})

describe('parameters of a pixel', () => {
  const values: Record<string, [sent: string, is: unknown]> = {
    e: ['Purchase', 'conversion'],
    ts: ['1767225600123', 1767225600123],
    value: ['-12.50', -12.5],
    items: ['[{"id":"a","quantity":2}]', [{ id: 'a', quantity: 2 }]],
    p: ['{"colour":"red"}', { colour: 'red' }],
  }
  const sentAs = (short: string): [string, unknown] => values[short] ?? [`x ${short}`, `x ${short}`]

  it.each(PIXEL_PARAMETERS)('%s is %s, and may be called so', (short, field) => {
    const [sent, is] = sentAs(short)
    const text = new URLSearchParams({ [short]: sent }).toString()
    expect(fromQuery(text)[field]).toEqual(is)
    expect(fieldsIn(formEvents(Buffer.from(text), arrival, plain)[0]!)[field]).toEqual(is)
    expect(fromJson({ [short]: is })[field]).toEqual(is)
    expect(fromJson({ [short]: 'shadowed', [field]: is })[field]).toEqual(is)
    expect(fromQuery(text)).not.toHaveProperty(short === field ? 'no' : short)
  })

  it('are those that docs/pixels.md explains', () => {
    const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'pixels.md'), 'utf8')
    for (const [short, field] of PIXEL_PARAMETERS)
      expect(page).toMatch(new RegExp(`^\\|.*\`${short}\`.*\\|.*\`${field}\``, 'm'))
  })

  it('make the whole event', () => {
    const query =
      'e=Purchase&eid=buy-1&ts=1767225600123&uid=u1&px=shop-1&value=12.5&currency=EUR&oid=o1&cid=c1&note=x&z=9'
    expect(fromQuery(query)).toEqual({
      type: 'conversion',
      event_id: 'buy-1',
      event_time: 1767225600123,
      user_id: 'u1',
      pixel_id: 'shop-1',
      advertiser_id: 'shop-1',
      click_id: 'c1',
      value: 12.5,
      currency: 'EUR',
      order_id: 'o1',
      note: 'x',
      source: 'pixel',
    })
  })

  it('page and click come from the address of the page where they are not given; the address is not kept', () => {
    const url = encodeURIComponent('https://shop.example/a/b?gclid=g1&email=me#x')
    const { page_id, click_id, url: kept } = fromQuery(`e=PageView&url=${url}`)
    expect([page_id, click_id, kept]).toEqual(['shop.example/a/b', 'g1', undefined])
    expect(fromQuery(`e=PageView&url=${url}&pid=p&cid=c`)).toMatchObject({ page_id: 'p', click_id: 'c' })
    for (const name of ['fbclid', 'gclid', 'ttclid', 'msclkid'])
      expect(fromJson({ url: `https://a.example/?${name}=x` }).click_id).toBe('x')
    expect(fromJson({ url: 'https://a.example/?gclid=g&fbclid=f' }).click_id).toBe('f')
    for (const address of ['javascript:alert(1)', 'not an address', 7, ['https://a.example/']])
      expect(fromJson({ url: address })).not.toHaveProperty('page_id')
  })

  it('a click id or address too long for an id becomes its digest, an id does not', () => {
    const long = 'x'.repeat(129)
    const digest = createHash('sha256').update(long).digest('hex').slice(0, 32)
    expect(fromQuery(`cid=${long}`).click_id).toBe(digest)
    expect(fromQuery(`cid=${long.slice(1)}`).click_id).toBe(long.slice(1))
    expect(fromMeta({ user_data: { fbc: `fb.1.1700000000000.${long}` } }).click_id).toBe(digest)
    expect(fromJson({ url: `https://a.example/${long}` }).page_id).toMatch(/^[0-9a-f]{32}$/)
    expect(fromQuery(`uid=${long}`).user_id).toBe(long)
  })

  it('time is that of arrival, and the advertiser the configured one, where they are not given', () => {
    expect(fromQuery('e=Lead', plain, { ...arrival, nowMs: NOW + 0.75 }).event_time).toBe(NOW)
    const mapping = settings({ advertisers: { 'shop-1': 'acme' } })
    expect(fromQuery('px=shop-1', mapping).advertiser_id).toBe('acme')
    expect(fromQuery('px=other', mapping).advertiser_id).toBe('other')
    expect(fromQuery('px=shop-1&aid=mine', mapping).advertiser_id).toBe('mine')
    expect(fromQuery('px=constructor', mapping).advertiser_id).toBe('constructor')
    expect(fromMeta({}, mapping).advertiser_id).toBe('acme')
  })

  it('empty is absent, the last of repeated names counts, and tokens and clients are never kept', () => {
    expect(fromQuery('oid=&uid=a&uid=b')).toMatchObject({ user_id: 'b' })
    expect(fromQuery('oid=')).not.toHaveProperty('order_id')
    const secrets = { access_token: 't', ip: 'i', user_agent: 'a', client_ip_address: 'c', client_user_agent: 'd' }
    for (const name of Object.keys(secrets)) expect(fromJson(secrets)).not.toHaveProperty(name)
  })

  it('no more of them than there is use for', () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => `n${i}=1`).join('&')
    expect(fromQuery(many(PARAMETERS_MAX))).toHaveProperty(`n${PARAMETERS_MAX - 1}`)
    expect(() => fromQuery(many(PARAMETERS_MAX + 1))).toThrow(/at most 128 parameters/)
  })
})

describe('a made event_id', () => {
  it('is SHA-256 of pixel, name, time and user, 32 digits, the same from page and server', () => {
    const text = JSON.stringify(['shop-1', 'lead', 1767225600000, 'u1'])
    const expected = createHash('sha256').update(text).digest('hex').slice(0, 32)
    expect(fromQuery('e=Lead&px=shop-1&ts=1767225600000&uid=u1').event_id).toBe(expected)
    expect(fromMeta({ event_name: 'Lead', event_time: 1767225600, user_data: { external_id: 'u1' } }).event_id).toBe(
      expected,
    )
  })

  it('depends on each of the four, and on nothing else', () => {
    const facts: [string, unknown][] = [
      ['pixel_id', 'p'],
      ['type', 'lead'],
      ['event_time', 1],
      ['user_id', 'u'],
    ]
    const id = madeEventId(new Map(facts))
    for (const [name] of facts) expect(madeEventId(new Map([...facts, [name, 'other']]))).not.toBe(id)
    expect(madeEventId(new Map([...facts, ['value', 7]]))).toBe(id)
  })
})

describe('what is no event stays what it was, and is refused by its field', () => {
  const event = { e: 'Purchase', eid: 'e', ts: NOW, uid: 'u', aid: 'a' }
  it.each([
    ['an array for a text', { uid: ['u'] }, 'user_id'],
    ['an object for a text', { oid: { a: 1 } }, 'order_id'],
    ['a comma in a number', { value: '12,50' }, 'value'],
    ['hexadecimal', { value: '0x10' }, 'value'],
    ['a number too large for JSON', { value: '1e999' }, 'value'],
    ['seconds', { ts: 1767225600 }, 'event_time'],
    ['a time in words', { ts: 'yesterday' }, 'event_time'],
    ['NUL', { eid: 'a\0b' }, 'event_id'],
    ['a lone surrogate', { uid: '\ud800' }, 'user_id'],
    ['very long', { uid: 'u'.repeat(129) }, 'user_id'],
    ['an unknown id', { other_id: 7 }, 'other_id'],
  ])('%s', (_, wrong, field) => {
    expect(faultOf(fromJson(event))).toBeNull()
    expect(faultOf(fromJson({ ...event, ...wrong }))).toEqual(['EVENT_FIELD_INVALID', field])
  })

  it('a number that JSON cannot write again does not become absent', () => {
    const body = Buffer.from(JSON.stringify(event).replace('}', ',"value":1e400}'))
    expect(faultOf(fieldsIn(jsonEvents(body, arrival, plain)[0]!))).toEqual(['EVENT_FIELD_INVALID', 'value'])
  })

  it('numbers as text and whole numbers as ids are read', () => {
    expect(fromJson({ ...event, value: '12.50', oid: 1001 })).toMatchObject({ value: 12.5, order_id: '1001' })
  })

  it('names of prototypes are names', () => {
    const body = Buffer.from('{"e":"Lead","__proto__":{"polluted":1},"constructor":"c","toString":"t"}')
    const text = Buffer.from(jsonEvents(body, arrival, plain)[0]!).toString()
    expect(text).toContain('"__proto__":{"polluted":1}')
    expect(text).toContain('"constructor":"c"')
    expect(({} as Fields).polluted).toBeUndefined()
  })

  it('bytes that are no JSON, no object, no UTF-8 or too deep go on as they are', () => {
    const deep = `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`
    for (const text of ['', '{', 'null', '7', '"x"', '[1', deep]) {
      const body = Buffer.from(text)
      expect(jsonEvents(body, arrival, plain)).toEqual([body])
    }
    const broken = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])
    expect(jsonEvents(broken, arrival, plain)).toEqual([broken])
    expect(jsonEvents(Buffer.from(`[${deep},{"e":"Lead"}]`), arrival, plain)).toHaveLength(2)
  })

  it('whatever is sent: no throw, and what comes out is one JSON text', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 4 })),
        fc.string(),
        (value, text) => {
          expect(() => fromJson(value)).not.toThrow()
          expect(() => queryEvent(text, arrival, plain)).not.toThrow()
          expect(() => fromMeta({ user_data: value, custom_data: value, ...value })).not.toThrow()
        },
      ),
      { numRuns: 150 },
    )
  })
})

describe('what is known of the client', () => {
  it('marks programs, and goes no further', () => {
    const seen = fromQuery('e=Lead&p={"a":1}', plain, { ...arrival, userAgent: CRAWLER })
    expect(seen.props).toEqual({ a: 1, bot: true })
    expect(JSON.stringify(seen)).not.toMatch(/Googlebot|192\.0\.2/)
    const person = fromQuery('e=Lead')
    expect(person).not.toHaveProperty('props')
    expect(JSON.stringify(person)).not.toMatch(/Mozilla|192\.0\.2/)
  })

  it('is kept where that is configured', () => {
    const props = fromQuery('e=Lead', settings({ keepClientInfo: true })).props
    expect(props).toEqual({ user_agent: PERSON, ip: '192.0.2.7' })
    const user_data = { client_user_agent: CRAWLER, client_ip_address: '198.51.100.1' }
    const kept = { bot: true, user_agent: CRAWLER, ip: '198.51.100.1' }
    expect(fromMeta({ user_data }, settings({ keepClientInfo: true })).props).toEqual(kept)
    expect(fromMeta({ user_data }).props).toEqual({ bot: true })
  })

  it('a network of programs is one by configuration', () => {
    const mapping = settings({ botNetworks: ['192.0.2.0/24'] })
    expect(fromQuery('e=Lead', mapping).props).toEqual({ bot: true })
    expect(fromQuery('e=Lead', mapping, { ...arrival, ip: '192.0.3.7' })).not.toHaveProperty('props')
  })
})

describe('a body of the Conversions API', () => {
  const event = {
    event_name: 'Purchase',
    event_time: 1767225600,
    event_id: 'buy-1',
    action_source: 'website',
    event_source_url: 'https://shop.example/thanks?x=1',
    user_data: { external_id: 'u1', fbp: 'fb.1.2.3', em: 'aa', fbc: 'fb.1.1700000000000.IwAR.1-_' },
    custom_data: { value: '12.5', currency: 'EUR', order_id: 7, content_ids: ['a', 'b'], contents: [{ id: 'a' }] },
  }
  const mapped = {
    type: 'conversion',
    event_id: 'buy-1',
    event_time: 1767225600000,
    user_id: 'u1',
    click_id: 'IwAR.1-_',
    value: 12.5,
    currency: 'EUR',
    order_id: '7',
    items: ['a', 'b'],
    pixel_id: 'shop-1',
    advertiser_id: 'shop-1',
    page_id: 'shop.example/thanks',
    source: 'server',
    props: { action_source: 'website' },
  }

  it('becomes the whole event', () => expect(fromMeta(event)).toEqual(mapped))

  it.each<[string, unknown, unknown]>([
    ['external_id first', { external_id: 'a', fbp: 'b', em: 'c' }, 'a'],
    ['of several the first', { external_id: ['', 'a', 'b'] }, 'a'],
    ['as a number', { external_id: 17 }, '17'],
    ['else fbp', { external_id: [], fbp: 'b', em: 'c' }, 'b'],
    ['else em', { external_id: '', fbp: null, em: ['c', 'd'] }, 'c'],
    ['else nobody', { ph: 'x' }, undefined],
    ['and no made-up user', 'u1', undefined],
  ])('the user: %s', (_, user_data, user) => expect(fromMeta({ ...event, user_data }).user_id).toBe(user))

  it('items are the contents where there are no ids of them', () => {
    expect(fromMeta({ custom_data: { contents: [{ id: 'a', quantity: 2 }] } }).items).toEqual([
      { id: 'a', quantity: 2 },
    ])
  })

  it('the click is in fbc, else in the address, as the page has it', () => {
    const event_source_url = 'https://shop.example/?fbclid=FromUrl'
    expect(fromMeta({ event_source_url }).click_id).toBe('FromUrl')
    expect(fromMeta({ event_source_url, user_data: { fbc: 'fb.2.17.FromFbc' } }).click_id).toBe('FromFbc')
    expect(fromMeta({ user_data: { fbc: 'odd' } }).click_id).toBe('odd')
  })

  it('says what was wrong in its own names', () => {
    const wrong = (change: object) => {
      const entry = { ...event, ...change }
      const fault = faultOf(fromMeta(entry))!
      return conversionFault(3, { code: fault[0], field: fault[1] }, entry)
    }
    expect(wrong({ event_name: 'ViewContent' })).toBe('data[3].event_name: EVENT_FIELD_INVALID')
    expect(wrong({ event_time: undefined })).toBe('data[3].event_time: EVENT_FIELD_MISSING')
    expect(wrong({ event_time: 1767225600000 })).toBe('data[3].event_time: EVENT_FIELD_INVALID (seconds?)')
    expect(wrong({ user_data: {} })).toBe('data[3].user_data (external_id, fbp or em): EVENT_FIELD_MISSING')
    expect(wrong({ custom_data: { value: 'dear' } })).toBe('data[3].custom_data.value: EVENT_FIELD_INVALID')
  })
})

it('page and server make one conversion of a purchase (PX2)', () => {
  const identity = ({ type, event_id, user_id, click_id, advertiser_id, order_id }: Fields) =>
    JSON.stringify([type, event_id, user_id, click_id, advertiser_id, order_id])
  const pairs: [Fields, Fields][] = [
    [{ uid: 'customer-7' }, { external_id: 'customer-7' }],
    [{ uid: 'fb.1.1767225600000.123' }, { fbp: 'fb.1.1767225600000.123' }],
    [{ uid: 7 }, { external_id: [7] }],
  ]
  for (const [page, server] of pairs) {
    const fromPage = fromJson({ e: 'purchase', event_id: 'b', px: 'shop-1', cid: 'Iw', order_id: 'o', ...page })
    const user_data = { ...server, fbc: 'fb.1.1700000000000.Iw' }
    const custom_data = { order_id: 'o' }
    const fromServer = fromMeta({
      event_name: 'Purchase',
      event_id: 'b',
      event_time: NOW / 1000,
      user_data,
      custom_data,
    })
    expect(identity(fromServer)).toBe(identity(fromPage))
    expect(faultOf(fromPage)).toBeNull()
    expect(faultOf(fromServer)).toBeNull()
  }
})
