// What a hostile or broken client sends: bytes for a socket, drawn by a seed (reliability.md, F22 and F23).
// AT1: every attack asks the server to close, or ends its own side, so that its answer is all that is heard.
// AT2: none is an erasure or consent, the only events that are answered with a 501 on purpose.

import type { SimRandom } from '../../log/sim.ts'

export interface Attack {
  readonly name: string
  readonly bytes: Buffer
  /** Ends the sending side after the bytes, in the middle of what they promised. */
  readonly end: boolean
  /** Sends this many parts with a pause between them. */
  readonly parts: number
}

/** A valid token, for those attacks that should get past the door; null where the server has none. */
export type Token = string | null

type Make = (random: SimRandom, token: Token) => Omit<Attack, 'name'>

const PATHS = [
  '/v1/events',
  '/healthz',
  '/readyz',
  '/metrics',
  '/openapi.json',
  '/v1/pixel.gif',
  '/v1/collect',
  '/v1/shop/events',
]
const FEATURES = ['/v1/features/page_views_1h/page/', '/v1/features/', '/v1/things/']
const KEYS = [
  '%00',
  'a%00b',
  '..%2f..%2fetc%2fpasswd',
  '%2e%2e/%2e%2e',
  '%c0%af',
  '%zz',
  '%',
  '%ED%A0%80',
  'x'.repeat(129),
  'x'.repeat(5_000),
  '%F0%9F%98%80'.repeat(300),
  '__proto__',
  'constructor',
  'null',
  ' ',
  '%0d%0aX-Injected:1',
  'p%E1%B5%83ge',
  ':key',
  '*',
  ';a=b',
  '..;/',
]
const LOOKALIKES = [
  '/',
  '//',
  '/v1',
  '/v1/',
  '/v1/events/',
  '/V1/events',
  '/v1//events',
  '/v1/events/..',
  '/./healthz',
  '/%68ealthz',
  '/healthz%00',
  '/v1/%D0%B5vents',
  '/v1/events%2f',
  '/../../etc/passwd',
  '/__proto__',
  '/.env',
  '/healthz?',
  '/healthz#x',
  '/v1/events;a',
  '*',
  'healthz',
  'http://127.0.0.1/healthz',
  'http://example.org/v1/events',
]
const QUERIES = [
  '?at=NaN',
  '?at=1&at=2',
  '?at[]=1',
  '?wait=a:1.1',
  '?wait=',
  '?snapshot=%00',
  '?%',
  '?a=%zz',
  `?a=${'x'.repeat(8_000)}`,
  '?__proto__[x]=1',
]
const VERBS = [
  'PUT',
  'DELETE',
  'PATCH',
  'TRACE',
  'PROPFIND',
  'LINK',
  'PURGE',
  'OPTIONS',
  'HEAD',
  'GET',
  'POST',
  'QUERY',
]
const TYPES = [
  'application/json',
  'application/x-ndjson',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=a',
  'nonsense',
  'application/json; charset=utf-16',
  'application/json;;;',
  '',
  'application/',
  '/',
  `application/${'j'.repeat(4_000)}`,
  'image/gif',
]
const BODIES = [
  '',
  '{',
  '[',
  ']',
  '{}',
  '[]',
  'null',
  '7',
  '"',
  '\0',
  '[[[['.repeat(2_000),
  '{"a":'.repeat(5_000),
  '{"__proto__":{"x":1}}',
  '{"constructor":{"prototype":1}}',
  '[NaN]',
  '1e999',
  '{"type":"page_view"}',
  '{"type":["page_view"]}',
  '{"type":"__proto__"}',
  '{"type":"page_view","event_id":"\\ud800","event_time":1700000000000,"user_id":"u","page_id":"p"}',
  '{"type":"page_view","event_id":"e","event_time":-1e308,"user_id":"u","page_id":"p"}',
  '{"data":[{"event_name":"Purchase","event_time":"soon"}]}',
  '{"data":{}}',
  '{"keys":[]}',
  '{"keys":[1,null,{}]}',
  'e=%zz&=',
  '\xff\xfe{}',
  '\xef\xbb\xbf{}',
  `[${'1,'.repeat(1_200)}1]`,
  `{"x":"${'y'.repeat(70_000)}"}`,
  `[${'{"type":1},'.repeat(500)}{}]`,
  ' '.repeat(100_000),
]
const HEADERS = [
  'Expect: 100-continue',
  'Expect: tea',
  'Upgrade: websocket\r\nConnection: upgrade',
  'Content-Encoding: gzip',
  'Range: bytes=0-',
  'If-None-Match: *',
  'X-Forwarded-For: 1.2.3.4',
  'X-HTTP-Method-Override: DELETE',
  'Accept: image/webp',
  'Accept-Encoding: x',
  'Cookie: a=b',
  'Origin: null',
  'Authorization: ',
]
const GARBAGE = [
  'EHLO a\r\n\r\n',
  'GET /healthz\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n',
  'GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n',
  'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  '\r\n\r\n\r\n',
  'GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /healthz HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n',
  'GET /healthz HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n',
  'GET /healthz HTTP/1.1\nHost: a\n\n',
  'GET /healthz HTTP/1.1\r\nHost: a\r\nX: \x01\x02\r\n\r\n',
  'GET /h\xe9althz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  'GET /healthz HTTP/1.0\r\n\r\n',
  'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n',
  'get /healthz HTTP/1.1\r\nHost: a\r\n\r\n',
]
const LENGTHS = [
  'Content-Length: -1',
  'Content-Length: abc',
  'Content-Length: 1\r\nContent-Length: 2',
  'Content-Length: 99999999999999999999',
  'Content-Length: 1e3',
  'Content-Length: 5\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding: gzip',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: xchunked',
]
const CHUNKS = [
  'zz\r\nabc\r\n',
  '5\r\nab',
  'ffffffffffffffffff\r\na',
  '-1\r\n\r\n',
  '3\r\nabcd\r\n0\r\n\r\n',
  `1;${'x'.repeat(20_000)}\r\na\r\n0\r\n\r\n`,
  '0\r\nX: y\r\n\r\n',
]
/** Bytes of a body that is too large for the server, and of one that is nearly so. */
const HUGE_BYTES = [1_100_000, 1_000_000]
const HEADER_LINES = 10_000

function pick<T>(random: SimRandom, from: readonly T[]): T {
  return from[random.below(from.length)]!
}

interface Shape {
  readonly method: string
  readonly path: string
  readonly headers?: readonly string[]
  readonly body?: string
  readonly token: Token
}

/** A request that is HTTP, whatever it asks for. */
function request({ method, path, headers = [], body, token }: Shape): Omit<Attack, 'name'> {
  const own = [
    'Host: a',
    'Connection: close',
    ...(token === null ? [] : [`Authorization: Bearer ${token}`]),
    ...headers,
  ]
  if (body !== undefined) own.push(`Content-Length: ${Buffer.byteLength(body, 'latin1')}`)
  return whole(`${method} ${path} HTTP/1.1\r\n${own.join('\r\n')}\r\n\r\n${body ?? ''}`)
}

const whole = (text: string, more: Partial<Attack> = {}): Omit<Attack, 'name'> => {
  return { bytes: Buffer.from(text, 'latin1'), end: false, parts: 1, ...more }
}

function post(random: SimRandom, token: Token, body: string, type: string = pick(random, TYPES)): Omit<Attack, 'name'> {
  return request({ method: 'POST', path: pick(random, PATHS), headers: [`Content-Type: ${type}`], body, token })
}

function randomBytes(random: SimRandom, bytes: number): string {
  return Buffer.from(Array.from({ length: bytes }, () => random.below(256))).toString('latin1')
}

const MAKERS: Readonly<Record<string, Make>> = {
  'look-alike path': (random, token) => request({ method: pick(random, VERBS), path: pick(random, LOOKALIKES), token }),
  'odd key': (random, token) =>
    request({
      method: pick(random, ['GET', 'HEAD', 'DELETE', 'POST']),
      path: pick(random, FEATURES) + pick(random, KEYS).replaceAll(' ', '%20'),
      token,
    }),
  'odd query': (random, token) =>
    request({ method: 'GET', path: pick(random, [...PATHS, ...FEATURES]) + pick(random, QUERIES), token }),
  'wrong verb': (random, token) => request({ method: pick(random, VERBS), path: pick(random, PATHS), token }),
  'odd body': (random, token) => post(random, token, pick(random, BODIES)),
  'random body': (random, token) =>
    post(random, token, randomBytes(random, 1 + random.below(300)), pick(random, TYPES.slice(0, 4))),
  'huge body': (random, token) =>
    post(random, token, 'x'.repeat(pick(random, HUGE_BYTES)), pick(random, TYPES.slice(0, 4))),
  'odd header': (random, token) =>
    request({
      method: pick(random, ['GET', 'POST']),
      path: pick(random, PATHS),
      headers: [pick(random, HEADERS)],
      token,
    }),
  'ten thousand headers': (random, token) =>
    request({
      method: 'GET',
      path: pick(random, PATHS),
      headers: Array.from({ length: HEADER_LINES }, (_, i) => `x${i}: 1`),
      token,
    }),
  'huge header': (random, token) =>
    request({ method: 'GET', path: pick(random, PATHS), headers: [`X: ${'y'.repeat(100_000)}`], token }),
  'huge path': (random, token) => request({ method: 'GET', path: `/${'a/'.repeat(random.below(20_000))}`, token }),
  'wrong token': (random) =>
    request({
      method: 'POST',
      path: pick(random, PATHS),
      token: pick(random, [
        '',
        'hf_',
        'a'.repeat(43),
        randomBytes(random, 64).replaceAll(/[^\w]/g, 'x'),
        'a'.repeat(9_000),
        '\xe9'.repeat(50),
      ]),
    }),
  garbage: (random) => whole(pick(random, GARBAGE), { end: true }),
  'random bytes': (random) => whole(randomBytes(random, 1 + random.below(500)), { end: true }),
  'odd length': (random, token) => whole(`${headOf(token)}${pick(random, LENGTHS)}\r\n\r\nabcde`, { end: true }),
  'odd chunks': (random, token) =>
    whole(`${headOf(token)}Transfer-Encoding: chunked\r\n\r\n${pick(random, CHUNKS)}`, { end: true }),
  'truncated body': (random, token) =>
    whole(`${headOf(token)}Content-Length: ${2 + random.below(2_000_000)}\r\n\r\n{`, { end: true }),
  'truncated head': (random, token) => whole(headOf(token).slice(0, 1 + random.below(100)), { end: true }),
  pipelined: (random, token) =>
    whole(
      `${'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1 + random.below(30))}${headOf(token)}Content-Length: x\r\n\r\n`,
      { end: true },
    ),
  slow: (random, token) => ({
    ...post(random, token, pick(random, BODIES.slice(0, 12)), 'application/json'),
    parts: 8,
  }),
}

const headOf = (token: Token): string =>
  `POST /v1/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n${token === null ? '' : `Authorization: Bearer ${token}\r\n`}`

const NAMES = Object.keys(MAKERS)
/** Kinds that cost the attacker as much as everything else together; one in so many of them is sent. */
const DEAR = new Set(['huge body', 'ten thousand headers', 'huge header', 'slow'])
const DEAR_ONE_IN = 5

/** The next attack. Half of them carry the valid token, so that they get past the door. */
export function attackFrom(random: SimRandom, token: Token): Attack {
  let name = pick(random, NAMES)
  while (DEAR.has(name) && random.below(DEAR_ONE_IN) > 0) name = pick(random, NAMES)
  return { name, ...MAKERS[name]!(random, random.chance(0.5) ? token : null) }
}

/** Bytes of a sound event at most, some below what one may have; and of a sound body. */
const EVENT_BYTES_MAX = 60_000
const BODY_BYTES_MAX = 1_000_000

/** A sound request of about so many bytes, as far as one may be so large: events, a line each, all of them new. */
export function wellFormed(bytes: number, token: Token, id: string): Attack {
  const lines: string[] = []
  for (let left = Math.min(bytes, BODY_BYTES_MAX), i = 0; i === 0 || left > EVENT_BYTES_MAX; i++) {
    const event = { type: 'page_view', event_id: `${id}.${i}`, event_time: Date.now(), user_id: id, page_id: 'p' }
    const head = JSON.stringify(event).length + 200
    const note = 'x'.repeat(Math.max(0, Math.min(left, EVENT_BYTES_MAX) - head))
    lines.push(JSON.stringify({ ...event, props: { note } }))
    left -= note.length + head
  }
  const headers = ['Content-Type: application/x-ndjson']
  const shape = { method: 'POST', path: '/v1/events', headers, body: lines.join('\n'), token }
  return { name: 'sound', ...request(shape) }
}

export const ATTACK_NAMES: readonly string[] = NAMES
