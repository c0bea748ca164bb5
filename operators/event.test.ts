// parseEvent against tables of known answers, and against `twin`, which reads contract.md section 1 again in other words.

import { describe, expect, test } from 'vitest'
import {
  checkEvent,
  EVENT_BYTES_MAX,
  EVENT_TIME_MAX_MS,
  EVENT_TIME_MIN_MS,
  type Event,
  type EventSettings,
  isRejected,
  microUnits,
  parseEventBytes,
  parseEventText,
  type Rejected,
  spellingOf,
  splitArrayElements,
  utf8Text,
} from './event.ts'

const REJECT: EventSettings = { anonymous: 'reject' }
const ACCEPT: EventSettings = { anonymous: 'accept' }
const T = 1_750_000_000_000
const base = { type: 'page_view', event_id: 'e1', event_time: T, user_id: 'u1', page_id: '/p' }
const conversion = { type: 'conversion', event_id: 'c1', event_time: T, user_id: 'u1', advertiser_id: 'a1' }

function parse(value: unknown, settings = REJECT): Event | Rejected {
  return parseEventBytes(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), settings)
}

function nested(levels: number): unknown {
  let inner: unknown = 1
  for (let i = 0; i < levels; i++) inner = i % 2 === 0 ? [inner] : { inner }
  return inner
}

describe('an accepted event', () => {
  test('carries what operators need, and its fields as sent', () => {
    const sent = { ...base, later: { x: [1, null] }, item_id: null }
    const event = parse(sent) as Event
    expect(event).toEqual({ type: 'page_view', id: 'e1', time: T, user: 'u1', anonymous: false, fields: sent })
  })

  test('keeps an own field named __proto__ without touching any prototype', () => {
    const event = parse(
      '{"__proto__":{"user_id":"evil","type":"click"},"type":"page_view","event_id":"e","event_time":1750000000000,"user_id":"u","page_id":"p"}',
    ) as Event
    expect(event.user).toBe('u')
    expect(Object.getPrototypeOf(event.fields)).toBe(Object.prototype)
    expect(Object.keys(event.fields)).toContain('__proto__')
  })

  test('may spell its time 1.75e12', () => {
    expect((parse(JSON.stringify(base).replace(String(T), '1.75e12')) as Event).time).toBe(T)
  })

  test('keeps the last of two equal keys', () => {
    expect((parse(`{"user_id":5,${JSON.stringify(base).slice(1)}`) as Event).user).toBe('u1')
  })

  test('without user: a conversion with click_id is its own user, another is anonymous only where that is accepted', () => {
    const { user_id: _, ...nobody } = base
    const { user_id: __, ...buyer } = conversion
    expect(parse(nobody)).toEqual({ code: 'EVENT_FIELD_MISSING', field: 'user_id' })
    expect(parse({ ...nobody, user_id: null })).toEqual({ code: 'EVENT_FIELD_MISSING', field: 'user_id' })
    expect(parse(nobody, ACCEPT)).toMatchObject({ user: 'anon:e1', anonymous: true })
    expect(parse({ ...base, user_id: 'anon:e1' }, ACCEPT)).toMatchObject({ user: 'anon:e1', anonymous: false })
    expect(parse({ ...buyer, click_id: 'k1' })).toMatchObject({ user: 'click:k1', anonymous: false })
    expect(parse({ ...buyer, click_id: 'k1' }, ACCEPT)).toMatchObject({ user: 'click:k1', anonymous: false })
    expect(parse({ ...buyer, click_id: null })).toEqual({ code: 'EVENT_FIELD_MISSING', field: 'user_id' })
    expect(parse({ ...buyer, click_id: null }, ACCEPT)).toMatchObject({ user: 'anon:c1', anonymous: true })
    expect(parse({ ...nobody, click_id: 'k1' })).toEqual({ code: 'EVENT_FIELD_MISSING', field: 'user_id' })
  })
})

describe('a rejected event', () => {
  const json: Rejected = { code: 'EVENT_JSON', field: null }
  const invalid = (field: string): Rejected => ({ code: 'EVENT_FIELD_INVALID', field })
  const missing = (field: string): Rejected => ({ code: 'EVENT_FIELD_MISSING', field })

  test.each([
    ['nothing', ''],
    ['an array', '[]'],
    ['null', 'null'],
    ['a string', '"x"'],
    ['a number', '5'],
    ['cut off', JSON.stringify(base).slice(0, -1)],
    ['two values', '{}{}'],
    ['NaN', JSON.stringify(base).replace(String(T), 'NaN')],
    ['a trailing comma', `${JSON.stringify(base).slice(0, -1)},}`],
    ['a comment', `${JSON.stringify(base)}//`],
    ['single quotes', JSON.stringify(base).replaceAll('"', "'")],
    ['a byte order mark', `\ufeff${JSON.stringify(base)}`],
    ['a raw control character', JSON.stringify(base).replace('u1', 'u\u0001')],
    ['65 levels', { ...base, deep: nested(64) }],
    ['65 levels, and no type', { deep: nested(64) }],
    ['20,000 levels', `${'['.repeat(20_000)}${']'.repeat(20_000)}`],
    ['20,000 levels in a field', `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`],
  ])('EVENT_JSON: %s', (_, input) => {
    expect(parse(input)).toEqual(json)
  })

  test('64 levels are accepted', () => {
    expect(isRejected(parse({ ...base, deep: nested(63) }))).toBe(false)
  })

  test.each([
    ['a lone continuation byte', [0x80]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['an encoded surrogate', [0xed, 0xa0, 0x80]],
    ['above U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
    ['a cut sequence', [0xe2, 0x82]],
  ])('EVENT_JSON: %s', (_, bytes) => {
    const text = Buffer.from(JSON.stringify({ ...base, note: '@' }))
    const at = text.indexOf('@')
    const spoiled = Buffer.concat([text.subarray(0, at), Buffer.from(bytes), text.subarray(at + 1)])
    expect(parseEventBytes(spoiled, REJECT)).toEqual(json)
    expect(utf8Text(spoiled)).toBe(null)
  })

  test('EVENT_TOO_LARGE counts bytes, comes first, and one byte less is accepted', () => {
    const empty = Buffer.byteLength(JSON.stringify({ ...base, pad: '' }))
    const exact = JSON.stringify({ ...base, pad: 'x'.repeat(EVENT_BYTES_MAX - empty) })
    expect(isRejected(parse(exact))).toBe(false)
    expect(isRejected(parseEventText(exact, REJECT))).toBe(false)
    const tooLarge: Rejected = { code: 'EVENT_TOO_LARGE', field: null }
    expect(parse(`${exact} `)).toEqual(tooLarge)
    expect(parseEventText(`${exact} `, REJECT)).toEqual(tooLarge)
    expect(parseEventText(exact.replace('xxx', '€€€'), REJECT)).toEqual(tooLarge)
    expect(parseEventBytes(Buffer.alloc(EVENT_BYTES_MAX + 1, 0xff), REJECT)).toEqual(tooLarge)
  })

  test.each([
    ['every common field in order: type', {}, missing('type')],
    ['event_id', { type: 'click' }, missing('event_id')],
    ['event_time', { type: 'click', event_id: 'e' }, missing('event_time')],
    ['user_id', { type: 'click', event_id: 'e', event_time: T }, missing('user_id')],
    ['ad_id', { type: 'click', event_id: 'e', event_time: T, user_id: 'u' }, missing('ad_id')],
    ['click_id', { ...base, type: 'click', ad_id: 'a', campaign_id: 'c', advertiser_id: 'd' }, missing('click_id')],
    ['missing before invalid', { ...base, event_time: 'x', page_id: null }, missing('page_id')],
    ['missing before an unknown type', { ...base, type: 'x', event_id: null }, missing('event_id')],
    ['an unknown type', { ...base, type: 'pageview' }, invalid('type')],
    ['a type of Object.prototype', { ...base, type: 'constructor' }, invalid('type')],
    ['__proto__ as a type', { ...base, type: '__proto__' }, invalid('type')],
    ['a type that is no string', { ...base, type: ['page_view'] }, invalid('type')],
    ['event_id before event_time', { ...base, event_id: 5, event_time: 'x' }, invalid('event_id')],
    ['event_time before user_id', { ...base, event_time: 'x', user_id: '' }, invalid('event_time')],
    ['required before further', { ...base, item_id: 5, page_id: '' }, invalid('page_id')],
    ['further before others', { aa_id: 5, ...base, item_id: 5 }, invalid('item_id')],
    ['others in document order', { zz_id: 5, ...base, aa_id: 5 }, invalid('zz_id')],
    ['an unknown type before its ids', { zz_id: 5, ...base, type: 'x' }, invalid('type')],
    ['further in the order of the table', { refund_of: '', value: 'x', ...conversion }, invalid('value')],
    ['value of any type of event', { ...base, value: '1' }, invalid('value')],
    ['refund_of of any type of event', { ...base, refund_of: 5 }, invalid('refund_of')],
    ['a field named _id', { ...base, _id: {} }, invalid('_id')],
  ])('%s', (_, input, expected) => {
    expect(parse(input)).toEqual(expected)
  })

  test.each([
    ['empty', ''],
    ['129 bytes', 'x'.repeat(129)],
    ['43 characters of 3 bytes', '€'.repeat(43)],
    ['a number', 7],
    ['an array', ['x']],
    ['true', true],
    ['NUL', 'a\u0000'],
    ['U+001F', 'a\u001f'],
    ['DEL', 'a\u007f'],
    ['DEL after another script', 'é\u007f'],
    ['a lone high surrogate', '\ud800'],
    ['a lone low surrogate', 'x\udc00y'],
    ['surrogates the wrong way round', '\udc00\ud800'],
  ])('an id must not be: %s', (_, id) => {
    expect(parse({ ...base, page_id: id })).toEqual(invalid('page_id'))
    expect(parse({ ...base, other_id: id })).toEqual(invalid('other_id'))
    expect(parse({ ...conversion, refund_of: id })).toEqual(invalid('refund_of'))
  })

  test('escaped or raw, a character is the same character', () => {
    const spoil = (spelling: string) => JSON.stringify(base).replace('u1', spelling)
    expect(parse(spoil('\\u007f'))).toEqual(invalid('user_id'))
    expect(parse(spoil('\u007f'))).toEqual(invalid('user_id'))
    expect(parse(spoil('\\ud83d'))).toEqual(invalid('user_id'))
    expect((parse(spoil('\\ud83d\\ude00')) as Event).user).toBe('😀')
  })

  test.each(['x'.repeat(128), `${'€'.repeat(42)}xx`, '😀'.repeat(32), ' ', '\u0080', '__proto__', '../..'])(
    'an id may be %j',
    (id) => {
      expect((parse({ ...base, user_id: id }) as Event).user).toBe(id)
    },
  )

  test('event_time is an integer between 2000 and 2100, and seconds get a hint', () => {
    const at = (spelling: string) => parse(JSON.stringify(base).replace(String(T), spelling))
    for (const fine of [EVENT_TIME_MIN_MS, EVENT_TIME_MAX_MS]) expect(at(String(fine))).toMatchObject({ time: fine })
    const wrong = [EVENT_TIME_MIN_MS - 1, EVENT_TIME_MAX_MS + 1, T + 0.5, -T, 2 ** 53 + 1].map(String)
    for (const w of [...wrong, '1e400', '-0', '0', `"${T}"`, 'true', '[]', '{}']) {
      expect(at(w)).toEqual(invalid('event_time'))
    }
    const seconds = { ...invalid('event_time'), hint: 'milliseconds?' }
    expect(at('1750000000')).toEqual(seconds)
    expect(at('1750000000.25')).toEqual(seconds)
    expect(at('null')).toEqual(missing('event_time'))
  })

  test('value is finite and at most 9e9 either way', () => {
    const worth = (spelling: string) =>
      parse(JSON.stringify({ ...conversion, value: 0 }).replace(':0}', `:${spelling}}`))
    for (const fine of ['0', '-0', '9e9', '-9e9', '0.000001', '1e-300', 'null']) {
      expect(isRejected(worth(fine))).toBe(false)
    }
    for (const wrong of ['9000000000.000002', '-9.1e9', '1e400', '-1e400', '"5"', 'true', '[1]']) {
      expect(worth(wrong)).toEqual(invalid('value'))
    }
  })
})

test('microUnits is floor(value x 10^6 + 1/2)', () => {
  const pairs = [
    [19.99, 19_990_000],
    [-19.99, -19_990_000],
    [0.0000005, 1],
    [-0.0000005, 0],
    [0.0000004, 0],
    [-0, 0],
    [1.005, 1_005_000],
    [9e9, 9e15],
    [-9e9, -9e15],
  ] as const
  for (const [value, micro] of pairs) expect(microUnits(value)).toBe(micro)
})

describe('splitArrayElements', () => {
  test('finds the bytes of every element of any array that JSON.stringify writes', () => {
    const random = randomFrom(7)
    for (let round = 0; round < 2_000; round++) {
      const elements = Array.from({ length: random(5) }, () => JSON.stringify(hostileValue(random), null, random(3)))
      const space = [' ', '\n', '\r\t', ''][random(4)]
      const payload = Buffer.from(`${space}[${space}${elements.join(`${space},${space}`)}${space}]${space}`)
      const found = splitArrayElements(payload)!.map(([from, to]) => payload.toString('utf8', from, to))
      expect(found).toEqual(elements)
    }
  })

  test('null for what is no array', () => {
    for (const text of ['', '{}', '5', '"[1]"', '[1', '["]', '[{"a":1}']) {
      expect(splitArrayElements(Buffer.from(text))).toBe(null)
    }
    expect(splitArrayElements(Buffer.from('[]'))).toEqual([])
  })
})

// --- the twin: contract.md section 1, written a second time, slowly

const TABLE: Record<string, string> = {
  page_view: 'page_id | item_id referrer',
  impression: 'ad_id campaign_id advertiser_id | impression_id channel',
  click: 'ad_id campaign_id advertiser_id click_id | impression_id channel',
  add_to_cart: 'advertiser_id | item_id value pixel_id',
  checkout: 'advertiser_id | item_id value pixel_id',
  lead: 'advertiser_id | item_id value pixel_id',
  conversion: 'advertiser_id | order_id click_id pixel_id value currency items source refund_of',
  consent: ' | ',
  erase: ' | ',
}

function depthOf(value: unknown): number {
  let deepest = 0
  const todo: [unknown, number][] = [[value, 1]]
  while (todo.length > 0) {
    const [v, depth] = todo.pop()!
    if (v === null || typeof v !== 'object') continue
    deepest = Math.max(deepest, depth)
    for (const inner of Array.isArray(v) ? v : Object.entries(v).map(([, x]) => x)) todo.push([inner, depth + 1])
  }
  return deepest
}

function keepsItsRule(name: string, v: unknown): boolean {
  if (name === 'type') return typeof v === 'string' && Object.hasOwn(TABLE, v)
  if (name === 'event_time')
    return typeof v === 'number' && v % 1 === 0 && v >= 946_684_800_000 && v <= 4_102_444_800_000
  if (name === 'value') return typeof v === 'number' && v >= -9_000_000_000 && v <= 9_000_000_000
  if (!name.endsWith('_id') && name !== 'refund_of') return true
  return typeof v === 'string' && /^[^\u0000-\u001f\u007f\p{Cs}]+$/u.test(v) && Buffer.from(v).length <= 128
}

function twin(bytes: Buffer, settings: EventSettings): string {
  if (bytes.length > 65_536) return 'EVENT_TOO_LARGE'
  const text = bytes.toString('utf8')
  let o: Record<string, unknown>
  try {
    o = JSON.parse(text)
  } catch {
    return 'EVENT_JSON'
  }
  if (!Buffer.from(text).equals(bytes) || Object.prototype.toString.call(o) !== '[object Object]') return 'EVENT_JSON'
  if (depthOf(o) > 64) return 'EVENT_JSON'
  const present = new Map(Object.entries(o).filter(([, v]) => v !== null))
  const [required, further] = (Object.hasOwn(TABLE, String(o.type)) ? TABLE[String(o.type)]! : ' | ')
    .split('|')
    .map((names) => names.split(' ').filter((name) => name !== ''))
  const order = ['type', 'event_id', 'event_time', 'user_id', ...required!]
  const userless = settings.anonymous === 'accept' || (o.type === 'conversion' && present.has('click_id'))
  const absent = order.find((name) => !present.has(name) && !(name === 'user_id' && userless))
  if (absent !== undefined) return `EVENT_FIELD_MISSING ${absent}`
  const broken = [...order, ...further!, ...present.keys()].find(
    (name) => present.has(name) && !keepsItsRule(name, present.get(name)),
  )
  if (broken !== undefined) return `EVENT_FIELD_INVALID ${broken}`
  const user = present.get('user_id') ?? (o.type === 'conversion' && present.has('click_id') ? 'click:' : 'anon:')
  const suffix = user === 'click:' && !present.has('user_id') ? o.click_id : o.event_id
  return `ok ${present.has('user_id') ? user : `${user}${suffix}`}`
}

const said = (result: Event | Rejected): string => {
  if (!isRejected(result)) return `ok ${result.user}`
  return result.field === null ? result.code : `${result.code} ${result.field}`
}

// --- hostile input

type Random = (below: number) => number

/** mulberry32: small, seeded, good enough to pick mutations. */
function randomFrom(seed: number): Random {
  let state = seed | 0
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

const pick = <X>(random: Random, list: readonly X[]): X => list[random(list.length)]!

const STRINGS = [
  '',
  'x',
  'click',
  'constructor',
  '__proto__',
  '\u0000',
  'a\u001f',
  '\u007f',
  '\ud800',
  'é',
  '😀',
  '\ufffd',
].concat([
  '],[',
  '{"',
  '\\"',
  'x'.repeat(128),
  'x'.repeat(129),
  '€'.repeat(42),
  '€'.repeat(43),
  '😀'.repeat(33),
  '[}{]',
])
const NUMBERS = [
  0,
  -0,
  1,
  -1,
  1.5,
  T,
  T / 1000,
  9e9,
  9.1e9,
  -9e9,
  2 ** 53 + 2,
  EVENT_TIME_MIN_MS,
  EVENT_TIME_MAX_MS + 1,
]

function hostileValue(random: Random): unknown {
  const kind = random(8)
  if (kind < 3) return pick(random, STRINGS)
  if (kind < 5) return pick(random, NUMBERS)
  if (kind === 5) return pick(random, [null, true, false, [], {}, [null], { a: { b: [] } }])
  if (kind === 6) return nested(random(130))
  return { [pick(random, STRINGS)]: pick(random, STRINGS) }
}

const NAMES = [...new Set(Object.values(TABLE).flatMap((row) => row.split(/[ |]+/)))]
  .concat([
    'type',
    'event_id',
    'event_time',
    'user_id',
    'device',
    'props',
    '__proto__',
    'constructor',
    '_id',
    'x_id',
    'id',
  ])
  .filter((name) => name !== '')

function validEvent(random: Random): Record<string, unknown> {
  const type = pick(random, Object.keys(TABLE))
  const event: Record<string, unknown> = {
    type,
    event_id: `e${random(99)}`,
    event_time: T + random(1e6),
    user_id: `u${random(9)}`,
  }
  for (const name of TABLE[type]!.split('|')[0]!.split(' ')) if (name !== '') event[name] = `${name}${random(9)}`
  if (random(3) === 0) event.value = random(1000) / 7
  if (random(3) === 0) event.props = { a: [1, 'two'] }
  return event
}

function mutateFields(event: Record<string, unknown>, random: Random): Record<string, unknown> {
  const entries = Object.entries(event)
  const at = random(entries.length)
  const action = random(4)
  if (action === 0) entries.splice(at, 1)
  else if (action === 1) entries[at]![1] = hostileValue(random)
  else if (action === 2) entries.splice(at, 0, [pick(random, NAMES), hostileValue(random)])
  else entries.splice(at, 0, [pick(random, NAMES), `v${random(99)}`])
  return Object.fromEntries(entries)
}

const SNIPPETS = [
  '"',
  '\\',
  '\\u0000',
  '\\ud800',
  '\\u007f',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '1e400',
  'NaN',
  '-0',
  '\ufeff',
  ' ',
].concat(['"type":"erase",', '"user_id":null,', '"__proto__":{"type":"click"},', '"click_id":"k",', '\u007f', '\u0001'])

function mutateBytes(bytes: Buffer, random: Random): Buffer {
  const at = random(bytes.length + 1)
  const action = random(6)
  if (action === 0) return bytes.subarray(0, at)
  if (action === 1) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])
  if (action === 2)
    return Buffer.concat([bytes.subarray(0, at), Buffer.from([random(256)]), bytes.subarray(at + random(2))])
  if (action === 3) return Buffer.concat([bytes.subarray(0, 1), Buffer.from(pick(random, SNIPPETS)), bytes.subarray(1)])
  if (action === 4) return Buffer.concat([bytes, Buffer.alloc(random(50) === 0 ? 70_000 : random(3), 0x20)])
  return Buffer.concat([bytes.subarray(0, at), Buffer.from(pick(random, SNIPPETS)), bytes.subarray(at)])
}

function hostileInput(random: Random): Buffer {
  let event = validEvent(random)
  for (let n = random(3); n > 0; n--) event = mutateFields(event, random)
  let bytes: Buffer = Buffer.from(JSON.stringify(event))
  for (let n = random(3); n > 0; n--) bytes = mutateBytes(bytes, random)
  return bytes
}

test('200,000 hostile inputs: no crash, and the twin agrees on every one (reliability.md, F16)', () => {
  const cases = 200_000
  const seed = Number(process.env.HOLDFAST_SEED ?? 20_260_101)
  const random = randomFrom(seed)
  const answers = new Map<string, number>()
  for (let n = 0; n < cases; n++) {
    const bytes = hostileInput(random)
    const settings = n % 2 === 0 ? REJECT : ACCEPT
    const answer = said(parseEventBytes(bytes, settings))
    const expected = twin(bytes, settings)
    if (answer !== expected)
      expect.fail(`seed ${seed}, case ${n}: ${answer} for ${expected}: ${bytes.toString('latin1')}`)
    const text = utf8Text(bytes)
    if (text !== null && said(parseEventText(text, settings)) !== answer)
      expect.fail(`case ${n}: the text differs from its bytes`)
    const code = answer.split(' ')[0]!
    answers.set(code, (answers.get(code) ?? 0) + 1)
  }
  for (const code of ['ok', 'EVENT_TOO_LARGE', 'EVENT_JSON', 'EVENT_FIELD_MISSING', 'EVENT_FIELD_INVALID']) {
    expect(answers.get(code) ?? 0, code).toBeGreaterThan(cases / 2_000)
  }
})

test('an element of a frame is judged as the same line is', () => {
  const random = randomFrom(3)
  for (let round = 0; round < 300; round++) {
    const lines = Array.from({ length: 20 }, () => JSON.stringify(mutateFields(validEvent(random), random)))
    const payload = `[${lines.join(',')}]`
    const elements = JSON.parse(payload) as unknown[]
    const spelling = spellingOf(payload)
    const answers = elements.map((element) => said(checkEvent(element, REJECT, spelling)))
    expect(answers).toEqual(lines.map((line) => said(parse(line))))
  }
})
