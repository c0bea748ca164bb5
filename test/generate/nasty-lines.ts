// A catalogue of single lines that probe contract.md section 1, each with the verdict that a reader of the contract
// gives it. The verdicts are written by hand: they test validators, the oracle among them, and come from none.
//
// 1. Each line is judged alone; `null` is a valid event. No line contains LF or ends in CR.
// 2. Every valid line has the event_time given, and an event_id that starts with its number: lines are no twins.

/** `null`: a valid event. Else the code and the field of its dead letter. */
export type Verdict = null | readonly [code: string, field: string | null]

export interface NastyLine {
  readonly name: string
  readonly verdict: Verdict
  /** The line for an event time, a user and a number that makes its event_id unique. */
  readonly bytes: (at: Place) => Buffer
}

export interface Place {
  readonly timeMs: number
  readonly user: string
  readonly number: number
}

type Fields = { readonly [name: string]: unknown }

const TOO_LARGE: Verdict = ['EVENT_TOO_LARGE', null]
const NO_JSON: Verdict = ['EVENT_JSON', null]
const missing = (field: string): Verdict => ['EVENT_FIELD_MISSING', field]
const invalid = (field: string): Verdict => ['EVENT_FIELD_INVALID', field]

const EVENT_BYTES_MAX = 65_536
const TYPES: { readonly [type: string]: Fields } = {
  page_view: { page_id: '/p' },
  impression: { ad_id: 'a', campaign_id: 'c', advertiser_id: 'shop' },
  click: { ad_id: 'a', campaign_id: 'c', advertiser_id: 'shop', click_id: 'k' },
  add_to_cart: { advertiser_id: 'shop' },
  checkout: { advertiser_id: 'shop' },
  lead: { advertiser_id: 'shop' },
  conversion: { advertiser_id: 'shop' },
  consent: {},
  erase: {},
}

/** A whole event of a type; `undefined` leaves a field out. */
function fieldsOf(type: string, at: Place, changes: Fields): Fields {
  const common = { type, event_id: `n${at.number}`, event_time: at.timeMs, user_id: at.user }
  return { ...common, ...TYPES[type], ...changes }
}

function event(name: string, verdict: Verdict, type: string, changes: Fields | ((at: Place) => Fields)): NastyLine {
  const changesAt = typeof changes === 'function' ? changes : () => changes
  return { name, verdict, bytes: (at) => Buffer.from(JSON.stringify(fieldsOf(type, at, changesAt(at)))) }
}

/** A page view whose JSON text is edited by hand, for what JSON.stringify cannot write. */
function edited(name: string, verdict: Verdict, edit: (json: string, at: Place) => string): NastyLine {
  return {
    name,
    verdict,
    bytes: (at) => Buffer.from(edit(JSON.stringify(fieldsOf('page_view', at, {})), at)),
  }
}

/** A page view with one more member written as raw JSON text. */
function member(name: string, verdict: Verdict, json: string): NastyLine {
  return edited(name, verdict, (event) => `${event.slice(0, -1)},${json}}`)
}

/** A page view with raw JSON text in the place of event_time. */
function time(name: string, verdict: Verdict, json: (timeMs: number) => string): NastyLine {
  return edited(name, verdict, (event, at) =>
    event.replace(`"event_time":${at.timeMs}`, `"event_time":${json(at.timeMs)}`),
  )
}

/** A conversion with raw JSON text as its value. */
function value(name: string, verdict: Verdict, json: string): NastyLine {
  return {
    name: `value: ${name}`,
    verdict,
    bytes: (at) =>
      Buffer.from(JSON.stringify(fieldsOf('conversion', at, { value: 0 })).replace('"value":0', `"value":${json}`)),
  }
}

/** A page view with raw bytes inside a string. */
function bytesInText(name: string, verdict: Verdict, bytes: readonly number[]): NastyLine {
  return {
    name: `bytes: ${name}`,
    verdict,
    bytes: (at) => {
      const [before, after] = JSON.stringify(fieldsOf('page_view', at, { device: '@' })).split('@')
      return Buffer.concat([Buffer.from(before!), Buffer.from(bytes), Buffer.from(after!)])
    },
  }
}

/** A page view padded with an unknown field, or with spaces, to a size. */
function sized(name: string, verdict: Verdict, bytes: number, padding: 'field' | 'spaces'): NastyLine {
  return {
    name: `size: ${name}`,
    verdict,
    bytes: (at) => {
      const json = JSON.stringify(fieldsOf('page_view', at, { padding: '' }))
      const pad = bytes - Buffer.byteLength(json)
      if (padding === 'spaces') return Buffer.from(json + ' '.repeat(pad))
      return Buffer.from(json.replace('"padding":""', `"padding":"${'x'.repeat(pad)}"`))
    },
  }
}

/** Objects and arrays inside each other, this many levels. */
function nested(levels: number): string {
  return (
    Array.from({ length: levels }, (_, level) => (level % 2 === 0 ? '[' : '{"k":')).join('') +
    '0' +
    Array.from({ length: levels }, (_, level) => ((levels - 1 - level) % 2 === 0 ? ']' : '}')).join('')
  )
}

const noJson: NastyLine[] = [
  ...[
    'null',
    'true',
    '0',
    '"page_view"',
    '[]',
    '[{}]',
    '{',
    '}',
    '{}{}',
    'x',
    "{'type':'click'}",
    '{"a":1,}',
    '{"a" 1}',
    '{"a":01}',
    '{"a":.5}',
    '{"a":1.}',
    '{"a":+1}',
    '{"a":NaN}',
    '{"a":Infinity}',
    '{"a":-Infinity}',
    '{"a":0x10}',
    '{"a":"\\x41"}',
    '{"a":"\\ud8"}',
    '{"a":"tab\there"}',
    '{"a":"nul\0"}',
    '{a:1}',
    '{"a":1}//',
    '\u000b',
    '\u00a0',
    ' \r ',
    '{"a":tru}',
    '{"a":"',
    '\\',
    '\0',
  ].map((text): NastyLine => {
    return { name: `no JSON: ${JSON.stringify(text)}`, verdict: NO_JSON, bytes: () => Buffer.from(text) }
  }),
  edited('no JSON: cut off', NO_JSON, (json) => json.slice(0, -1)),
  edited('no JSON: two events in one line', NO_JSON, (json) => json + json),
  edited('no JSON: byte order mark', NO_JSON, (json) => `\ufeff${json}`),
  edited('JSON: spaces and tabs around', null, (json) => ` \t${json}\t `),
  edited('JSON: CR inside is white space', null, (json) => `{\r${json.slice(1)}`),
  bytesInText('C3 28', NO_JSON, [0xc3, 0x28]),
  bytesInText('lone continuation', NO_JSON, [0x80]),
  bytesInText('overlong slash', NO_JSON, [0xc0, 0xaf]),
  bytesInText('overlong NUL', NO_JSON, [0xc0, 0x80]),
  bytesInText('surrogate in UTF-8', NO_JSON, [0xed, 0xa0, 0x80]),
  bytesInText('surrogate pair in UTF-8 (CESU-8)', NO_JSON, [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]),
  bytesInText('above U+10FFFF', NO_JSON, [0xf4, 0x90, 0x80, 0x80]),
  bytesInText('cut off character', NO_JSON, [0xf0, 0x9f, 0x98]),
  bytesInText('Latin-1', NO_JSON, [0xe9]),
  bytesInText('FF FE', NO_JSON, [0xff, 0xfe]),
  bytesInText('U+10FFFF', null, [0xf4, 0x8f, 0xbf, 0xbf]),
  bytesInText('U+FFFD as such', null, [0xef, 0xbf, 0xbd]),
  bytesInText('a byte order mark inside', null, [0xef, 0xbb, 0xbf]),
  bytesInText('U+2028', null, [0xe2, 0x80, 0xa8]),
  member('nesting: 64 levels', null, `"deep":${nested(63)}`),
  member('nesting: 65 levels', NO_JSON, `"deep":${nested(64)}`),
  member('nesting: 65 levels in __proto__', NO_JSON, `"__proto__":${nested(64)}`),
  member('nesting: 10,000 levels', NO_JSON, `"deep":${nested(10_000)}`),
  member('nesting: brackets in a string', null, `"deep":"${'['.repeat(100)}"`),
  { name: 'nesting: 32,768 open brackets', verdict: NO_JSON, bytes: () => Buffer.from('['.repeat(32_768)) },
]

const sizes: NastyLine[] = [
  sized('65,536', null, EVENT_BYTES_MAX, 'field'),
  sized('65,536 with spaces', null, EVENT_BYTES_MAX, 'spaces'),
  sized('65,537', TOO_LARGE, EVENT_BYTES_MAX + 1, 'field'),
  sized('65,537 with spaces', TOO_LARGE, EVENT_BYTES_MAX + 1, 'spaces'),
  sized('200,000', TOO_LARGE, 200_000, 'field'),
  {
    name: 'size: too large, and no JSON either',
    verdict: TOO_LARGE,
    bytes: () => Buffer.alloc(EVENT_BYTES_MAX + 1, '{'),
  },
]

const types: NastyLine[] = [
  ...Object.keys(TYPES).map((type) => event(`type: plain ${type}`, null, type, {})),
  ...Object.entries(TYPES).flatMap(([type, required]) =>
    [...Object.keys(required), 'type', 'event_id', 'event_time', 'user_id'].flatMap((field) => [
      event(`missing: ${field} of ${type}`, missing(field), type, { [field]: undefined }),
      event(`null: ${field} of ${type}`, missing(field), type, { [field]: null }),
    ]),
  ),
  ...[
    'page_views',
    'Page_view',
    ' page_view',
    '',
    'constructor',
    'toString',
    '__proto__',
    'hasOwnProperty',
    'tick',
    'drain',
    0,
    true,
    [],
    ['page_view'],
    {},
  ].map((type) => event(`type: ${JSON.stringify(type)}`, invalid('type'), 'page_view', { type })),
  event('order: nothing there', missing('type'), 'page_view', {
    type: undefined,
    event_id: undefined,
    page_id: undefined,
  }),
  event('order: unknown type, no event_id', missing('event_id'), 'page_view', { type: 'x', event_id: undefined }),
  event('order: unknown type, no user_id', missing('user_id'), 'page_view', { type: 'x', user_id: null }),
  event('order: bad event_id, no page_id', missing('page_id'), 'page_view', { event_id: 5, page_id: undefined }),
  event('order: bad type, event_id, event_time', invalid('type'), 'page_view', { type: 5, event_id: 5, event_time: 5 }),
  event('order: bad event_id, event_time', invalid('event_id'), 'page_view', { event_id: 5, event_time: 5 }),
  event('order: bad event_time, user_id', invalid('event_time'), 'page_view', { event_time: 5, user_id: 5 }),
  event('order: bad user_id, page_id', invalid('user_id'), 'page_view', { user_id: 5, page_id: 5 }),
  event('order: required before further', invalid('page_id'), 'page_view', { page_id: 5, item_id: 5 }),
  event('order: advertiser before click', invalid('advertiser_id'), 'click', { click_id: 5, advertiser_id: 5 }),
  event('order: ad first', invalid('ad_id'), 'click', { click_id: 5, advertiser_id: 5, campaign_id: 5, ad_id: 5 }),
  event('order: order before value', invalid('order_id'), 'conversion', { refund_of: 5, value: 'x', order_id: 5 }),
  event('order: value before refund', invalid('value'), 'conversion', { refund_of: 5, value: 'x', order_id: 'o' }),
  event('order: item before value before pixel', invalid('value'), 'lead', { pixel_id: 5, value: 'x' }),
  event('order: further before other', invalid('item_id'), 'page_view', { other_id: 5, item_id: 5 }),
  event('order: others as they stand', invalid('zeta_id'), 'page_view', { zeta_id: 5, alpha_id: 5 }),
]

const ids: NastyLine[] = [
  event('id: 128 bytes', null, 'page_view', { page_id: 'x'.repeat(128) }),
  event('id: 129 bytes', invalid('page_id'), 'page_view', { page_id: 'x'.repeat(129) }),
  event('id: 128 bytes of 4', null, 'page_view', { page_id: '😀'.repeat(32) }),
  event('id: 129 bytes of 3', invalid('page_id'), 'page_view', { page_id: '€'.repeat(43) }),
  event('id: 128 bytes of 2', null, 'page_view', { page_id: 'é'.repeat(64) }),
  event('id: 129 bytes, 1 + 64 x 2', invalid('page_id'), 'page_view', { page_id: `x${'é'.repeat(64)}` }),
  event('id: 132 bytes of 66 UTF-16 units', invalid('page_id'), 'page_view', { page_id: '😀'.repeat(33) }),
  event('id: empty', invalid('page_id'), 'page_view', { page_id: '' }),
  event('id: a space', null, 'page_view', { page_id: ' ' }),
  event('id: number', invalid('page_id'), 'page_view', { page_id: 12 }),
  event('id: true', invalid('user_id'), 'page_view', { user_id: true }),
  event('id: array', invalid('user_id'), 'page_view', { user_id: ['u'] }),
  event('id: object', invalid('event_id'), 'page_view', { event_id: {} }),
  event('id: lone high surrogate', invalid('page_id'), 'page_view', { page_id: 'x\ud800' }),
  event('id: lone low surrogate', invalid('page_id'), 'page_view', { page_id: '\udc00x' }),
  event('id: surrogates in the wrong order', invalid('user_id'), 'page_view', { user_id: '\ude00\ud83d' }),
  member('id: a pair as escapes', null, '"item_id":"\\ud83d\\ude00"'),
  event('id: NUL', invalid('page_id'), 'page_view', { page_id: 'a\0b' }),
  event('id: U+001F', invalid('page_id'), 'page_view', { page_id: '\u001f' }),
  event('id: LF as escape', invalid('page_id'), 'page_view', { page_id: 'a\n' }),
  event('id: U+007F', invalid('user_id'), 'page_view', { user_id: '\u007f' }),
  event('id: U+0080', null, 'page_view', { page_id: 'a\u0080' }),
  event('id: U+FFFF', null, 'page_view', { page_id: '\uffff' }),
  event('id: byte order mark', null, 'page_view', { page_id: '\ufeff' }),
  event('id: quotes and backslash', null, 'page_view', { page_id: '"\\/' }),
  event('id: U+2028 and HTML', null, 'page_view', { page_id: '\u2028<script>&' }),
  event('id: __proto__', null, 'page_view', { page_id: '__proto__', user_id: 'constructor' }),
  event('id: dots, stars and spaces of subjects', null, 'page_view', { page_id: 'a.*.>', user_id: 'u .*.> $JS' }),
  event('id: of another field', invalid('session_id'), 'page_view', { session_id: 7 }),
  event('id: of another field, valid', null, 'page_view', { session_id: '7', _id: 'x' }),
  event('id: field named _id', invalid('_id'), 'page_view', { _id: 7 }),
  event('id: another field, null', null, 'page_view', { session_id: null, item_id: null, refund_of: null }),
  event('id: ends in _ID, _ids, Id', null, 'page_view', { session_ID: 7, item_ids: [1], pageId: 5, id: 5 }),
  event('id: in props', null, 'page_view', { props: { page_id: 7, refund_of: 8, '': null } }),
  event('id: of a field of another type', invalid('order_id'), 'page_view', { order_id: 7 }),
  event('id: refund_of empty', invalid('refund_of'), 'conversion', { refund_of: '' }),
  event('id: refund_of number', invalid('refund_of'), 'conversion', { refund_of: 12 }),
  event('id: refund_of on a page view', invalid('refund_of'), 'page_view', { refund_of: 12 }),
  event('user: conversion without, with click', null, 'conversion', (at) => ({
    user_id: undefined,
    click_id: `nk${at.number}`,
  })),
  event('user: conversion without, click null', missing('user_id'), 'conversion', {
    user_id: undefined,
    click_id: null,
  }),
  event('user: conversion without, click invalid', invalid('click_id'), 'conversion', { user_id: null, click_id: 7 }),
  event('user: click without, with click', missing('user_id'), 'click', { user_id: undefined, click_id: 'k' }),
  event('others: anything', null, 'page_view', { device: 5, country: [], props: 7, referrer: {}, items: 'x', '': 1 }),
  member('__proto__: as object', null, '"__proto__":{"type":"x","page_id":5,"user_id":null}'),
  member('__proto__: as null', null, '"__proto__":null,"constructor":{"prototype":{"polluted":true}}'),
  member('name with a lone surrogate', null, '"\\ud800":1'),
  member('repeated name: the last counts', null, '"item_id":5,"item_id":"x"'),
  member('repeated name: the last counts, invalid', invalid('page_id'), '"page_id":5'),
  member('repeated name: the last counts, null', missing('page_id'), '"page_id":null'),
]

const numbers: NastyLine[] = [
  time('time: as exponent', null, (ms) => `${ms / 10}e1`),
  time('time: with .0', null, (ms) => `${ms}.0`),
  time('time: half a millisecond', invalid('event_time'), (ms) => `${ms}.5`),
  time('time: a string', invalid('event_time'), (ms) => `"${ms}"`),
  time('time: in seconds', invalid('event_time'), (ms) => `${Math.floor(ms / 1000)}`),
  time('time: in microseconds', invalid('event_time'), (ms) => `${ms}000`),
  time('time: negative', invalid('event_time'), (ms) => `-${ms}`),
  ...[
    '0',
    '-0',
    '-1',
    '1e400',
    '-1e400',
    '9007199254740993',
    '1e-400',
    'true',
    '[]',
    '{}',
    '946684799999',
    '4102444800001',
    '""',
    '"2025-01-01T00:00:00Z"',
  ].map((json) => time(`time: ${json}`, invalid('event_time'), () => json)),
  time('time: null', missing('event_time'), () => 'null'),
  time('time: -null', NO_JSON, () => '-null'),
  ...[
    '0',
    '-0',
    '-0.0',
    '9e9',
    '-9e9',
    '9000000000.0',
    '1e-400',
    '0.1',
    '0.0000005',
    '123456.789',
    '-19.99',
    '5e-324',
  ].map((json) => value(json, null, json)),
  value('null', null, 'null'),
  ...['1e400', '-1e400', '9000000001', '-9000000000.001', '9.0000001e9', '"5"', '""', 'true', '[]', '{}', '[5]'].map(
    (json) => value(json, invalid('value'), json),
  ),
  value('NaN', NO_JSON, 'NaN'),
  member('value: not a number on a page view', invalid('value'), '"value":"x"'),
]

/** The whole catalogue, in a fixed order. */
export const NASTY_LINES: readonly NastyLine[] = [...noJson, ...sizes, ...types, ...ids, ...numbers]
