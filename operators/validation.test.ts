import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { recordOf, runOperator } from '../test/operator-harness.ts'
import { ArrayText, type Arrival, arrivalsIn, type Position, rawBytes } from './arrival.ts'
import { EVENT_BYTES_MAX, isRejected, parseEventBytes, REFUSED_BYTES_KEPT, spellingOf } from './event.ts'
import { DEAD_LETTERS, type DeadLetter, FUTURE_MS, type ValidationSettings, validation } from './validation.ts'

const T = 1_750_000_000_000
const good = (n: number) => ({ type: 'page_view', event_id: `e${n}`, event_time: T + n, user_id: 'u', page_id: 'p' })
const position: Position = { stream: 's', sequence: 9, ingestMs: null }
const line = (raw: string | Uint8Array, number: number): Arrival => ({ raw, position, index: number - 1, line: number })

function validate(arrivals: readonly Arrival[], settings = {}, sliceRecords = 128) {
  const records = arrivals.map((value, number) => recordOf(value, { time: 0, number }))
  return runOperator(validation(settings), records, { sliceRecords })
}

test('a dead letter fits a message of the log, however long what was refused is', () => {
  const junk = Buffer.alloc(1024 * 1024 - 100, 'x')
  for (const arrival of [line(junk, 1), line(junk.toString(), 1), ...arrivalsIn(junk, position)]) {
    const [letter] = letters(validate([arrival]))
    expect(letter).toMatchObject({ code: 'EVENT_TOO_LARGE' })
    expect(JSON.stringify(letter).length).toBeLessThan(512 * 1024)
    expect(Buffer.from(letter!.raw, 'base64')).toEqual(junk.subarray(0, REFUSED_BYTES_KEPT))
  }
})

const letters = (outcome: ReturnType<typeof validate>) => outcome.emitted.map(({ record }) => record as DeadLetter)
const base64 = (text: string) => Buffer.from(text).toString('base64')

test('events go on with their own order key, dead letters say code, field, bytes and position, and both are counted', () => {
  const spoiled = Buffer.from([0x7b, 0xff, 0x7d])
  const outcome = validate([
    line(JSON.stringify(good(0)), 1),
    line('{"type":"click"}', 2),
    line(spoiled, 3),
    line(JSON.stringify(good(1)), 5),
  ])
  expect(outcome.out.map(({ at, type, id, number }) => [at, type, id, number])).toEqual([
    [T, 'page_view', 'e0', 0],
    [T + 1, 'page_view', 'e1', 3],
  ])
  expect(outcome.out[1]!.value).toMatchObject({ id: 'e1', user: 'u', fields: good(1) })
  expect(outcome.emitted).toEqual([
    {
      output: DEAD_LETTERS,
      input: 1,
      record: {
        code: 'EVENT_FIELD_MISSING',
        field: 'event_id',
        raw: base64('{"type":"click"}'),
        stream: 's',
        sequence: 9,
        index: 1,
        line: 2,
      },
    },
    {
      output: DEAD_LETTERS,
      input: 2,
      record: {
        code: 'EVENT_JSON',
        field: null,
        raw: spoiled.toString('base64'),
        stream: 's',
        sequence: 9,
        index: 2,
        line: 3,
      },
    },
  ])
  expect(outcome.counts).toEqual({ read: 4, dead_letters: 2 })
  expect(outcome.touched).toEqual([])
})

test('a hint travels with its dead letter', () => {
  const outcome = validate([line(JSON.stringify({ ...good(0), event_time: T / 1000 }), 1)])
  expect(letters(outcome)).toMatchObject([{ code: 'EVENT_FIELD_INVALID', field: 'event_time', hint: 'milliseconds?' }])
})

test('anonymous is a setting', () => {
  const { user_id: _, ...nobody } = good(0)
  expect(letters(validate([line(JSON.stringify(nobody), 1)]))).toMatchObject([{ field: 'user_id' }])
  const accepted = validate([line(JSON.stringify(nobody), 1)], { anonymous: 'accept' })
  expect(accepted.out.map(({ value }) => [value.user, value.anonymous])).toEqual([['anon:e0', true]])
})

test('bots is a setting: what `props.bot` marks is an event all the same, and says what becomes of it', () => {
  const sent = [{ bot: true }, { bot: 1 }, { bot: false }, {}, 'bot', [true], null].map((props, i) => {
    return line(JSON.stringify({ ...good(i), props }), i + 1)
  })
  const treated = (settings: Partial<ValidationSettings>) => validate(sent, settings).out.map(({ value }) => value.bots)
  expect(treated({})).toEqual(Array(7).fill(undefined))
  expect(treated({ bots: 'mark' })).toEqual(['mark', ...Array(6).fill(undefined)])
  expect(treated({ bots: 'drop' })).toEqual(['drop', ...Array(6).fill(undefined)])
})

describe('EVENT_TIME_FUTURE', () => {
  const at = (ingestMs: number | null, settings = {}) => {
    const arrival: Arrival = { raw: JSON.stringify(good(0)), position: { ...position, ingestMs }, index: 0, line: null }
    return letters(validate([arrival], settings)).map(({ code, field }) => `${code} ${field}`)
  }

  test('more than the setting after its ingest time, and only where there is one', () => {
    const future = ['EVENT_TIME_FUTURE event_time']
    expect(at(T - FUTURE_MS)).toEqual([])
    expect(at(T - FUTURE_MS - 1)).toEqual(future)
    expect(at(T - 6, { futureMs: 5 })).toEqual(future)
    expect(at(T - 5, { futureMs: 5 })).toEqual([])
    expect(at(null, { futureMs: 0 })).toEqual([])
  })

  test('comes after every other code', () => {
    const arrival: Arrival = {
      raw: JSON.stringify({ ...good(0), page_id: 5 }),
      position: { ...position, ingestMs: 0 },
      index: 0,
      line: null,
    }
    expect(letters(validate([arrival]))).toMatchObject([{ code: 'EVENT_FIELD_INVALID', field: 'page_id' }])
  })
})

describe('the message of a plain client', () => {
  const judge = (payload: string | Uint8Array, settings = {}) =>
    validate(arrivalsIn(Buffer.from(payload as string), position), settings)

  test('one object is one arrival', () => {
    expect(judge(JSON.stringify(good(0))).out.map(({ id }) => id)).toEqual(['e0'])
  })

  test('each element of an array is one, with its index and its own bytes', () => {
    const outcome = judge(
      ` [${JSON.stringify(good(0))} ,\n {"type" : "x]" , "a":["\\"],["]} , 7,[], ${JSON.stringify(good(1))}]`,
    )
    expect(outcome.out.map(({ id }) => id)).toEqual(['e0', 'e1'])
    expect(
      letters(outcome).map(({ raw, index, line }) => [Buffer.from(raw, 'base64').toString(), index, line]),
    ).toEqual([
      ['{"type" : "x]" , "a":["\\"],["]}', 1, null],
      ['7', 2, null],
      ['[]', 3, null],
    ])
    expect(outcome.counts).toEqual({ read: 5, dead_letters: 3 })
  })

  test('no element, no arrival', () => {
    expect(judge('[]')).toMatchObject({ out: [], emitted: [] })
    expect(judge('[]').counts.read ?? 0).toBe(0)
  })

  test.each(['', '[', '[1,]', '[1]]', 'nonsense', '\ufeff[]'])('%j is one dead letter', (payload) => {
    expect(letters(judge(payload))).toMatchObject([{ code: 'EVENT_JSON', raw: base64(payload), index: 0 }])
  })

  test('bytes that are no UTF-8 are one dead letter', () => {
    const payload = Buffer.concat([Buffer.from('["'), Buffer.from([0xff]), Buffer.from('"]')])
    expect(letters(judge(payload))).toMatchObject([{ code: 'EVENT_JSON', raw: payload.toString('base64') }])
  })

  test('an element that is too large is refused by its bytes, its neighbours are not', () => {
    const pad = 'é'.repeat(EVENT_BYTES_MAX / 2)
    const large = JSON.stringify({ ...good(1), pad })
    const outcome = judge(`[${JSON.stringify(good(0))},${large},${JSON.stringify(good(2))}]`)
    expect(outcome.out.map(({ id }) => id)).toEqual(['e0', 'e2'])
    expect(letters(outcome)).toMatchObject([{ code: 'EVENT_TOO_LARGE', raw: base64(large), index: 1 }])
  })

  test('an escaped control character in an id is found in any element', () => {
    expect(
      letters(judge(`[${JSON.stringify(good(0))},${JSON.stringify({ ...good(1), user_id: 'a\u007f' })}]`)),
    ).toMatchObject([{ field: 'user_id', index: 1 }])
    expect(letters(judge(`[${JSON.stringify({ ...good(1), user_id: 'a\u0000' })}]`))).toMatchObject([
      { field: 'user_id' },
    ])
  })
})

test('the twin agrees on any arrivals, in any slices and any of the three forms', () => {
  const json = fc.oneof(
    fc.nat(5).map((n) => JSON.stringify(good(n))),
    fc.jsonValue().map((value) => JSON.stringify(value)),
    fc
      .record(
        { ...Object.fromEntries(Object.keys(good(0)).map((name) => [name, fc.jsonValue()])) },
        { requiredKeys: [] },
      )
      .map((over) => JSON.stringify({ ...good(0), ...over })),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(json, fc.nat(2)), { maxLength: 40 }), (inputs) => {
      const arrivals = inputs.map(([text, form], index): Arrival => {
        if (form === 0) return line(text, index + 1)
        if (form === 1) return line(Buffer.from(text), index + 1)
        const payload = Buffer.from(`[ ${'0, '.repeat(index)}${text} ]`)
        return {
          raw: new ArrayText(payload, spellingOf(text)),
          value: JSON.parse(text),
          position,
          index,
          line: index + 1,
        }
      })
      const judged = inputs.map(([text]) => parseEventBytes(Buffer.from(text), { anonymous: 'reject' }))
      const dead = judged.flatMap((result, index) =>
        isRejected(result) ? [{ ...result, raw: base64(inputs[index]![0]), line: index + 1 }] : [],
      )
      const whole = validate(arrivals, {}, 128)
      expect(whole.out.map(({ number }) => number)).toEqual(
        judged.flatMap((result, index) => (isRejected(result) ? [] : [index])),
      )
      expect(letters(whole)).toMatchObject(dead)
      expect(whole.counts.read ?? 0).toBe(whole.out.length + whole.emitted.length)
      for (const sliceRecords of [1, 7]) {
        const sliced = validate(arrivals, {}, sliceRecords)
        expect(sliced.out.map(({ value }) => value)).toEqual(whole.out.map(({ value }) => value))
        expect(letters(sliced)).toEqual(letters(whole))
        expect(sliced.counts).toEqual(whole.counts)
      }
    }),
    { numRuns: 200 },
  )
})

test('rawBytes gives back what was sent', () => {
  expect(Buffer.from(rawBytes({ raw: 'é', index: 0 })).toString('hex')).toBe('c3a9')
  expect(Buffer.from(rawBytes({ raw: new ArrayText(Buffer.from('[1,"€"]'), 'any'), index: 1 })).toString()).toBe('"€"')
})

test.each([
  [{ anonymous: 'maybe' as 'accept' }, /anonymous/],
  [{ bots: 'ban' as 'drop' }, /bots/],
  [{ futureMs: -1 }, /futureMs/],
  [{ futureMs: 1.5 }, /futureMs/],
])('settings that cannot be are refused by name: %j', (settings, message) => {
  expect(() => validation(settings)).toThrow(message)
})
