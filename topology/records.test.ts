// The shapes of records in the logs between stages: golden texts, and what becomes of them on the other side.

import { describe, expect, it } from 'vitest'
import { encodeCommitRecord, parseCommitRecord } from './commit-record.ts'
import { configurationOf } from './configuration.ts'
import { CONFIGURATION, controlAt, decodeControl, withControl } from './control.ts'
import { firstEdition } from './edition.ts'
import { encodeRecord } from './outgoing.ts'
import type { ExchangeCodec } from './plan.ts'
import {
  encodeFileRecord,
  exchangeRec,
  type FileRecord,
  fileArrival,
  placeNumber,
  watermarkOfStamp,
} from './records.ts'
import { Tally } from './tally.ts'

const codec: ExchangeCodec<number, number> = {
  ...{ name: 'n', version: 1, where: () => true, key: () => '', encode: String, decode: (json) => json as number },
}
const PLACE = { stream: 's', sequence: 9, ingestMs: null }

describe('a line of a file', () => {
  it('is this text, and an arrival with the watermark before it', () => {
    expect(encodeFileRecord(3, null, 'a"b', Buffer.alloc(0))).toBe('[3,null,"a\\"b"]')
    expect(encodeFileRecord(4, 1000, null, Buffer.from([0xff, 0x00]))).toBe('[4,1000,null,"/wA="]')
    const text = fileArrival(JSON.parse('[3,null,"a"]') as FileRecord, PLACE, 5, 100, 6)
    expect(text).toMatchObject({
      value: { raw: 'a', line: 3, index: 5, position: PLACE },
      watermark: -1,
      number: 3,
      input: 6,
    })
    const bytes = fileArrival(JSON.parse('[4,1000,null,"/wA="]') as FileRecord, PLACE, 5, 100, 6)
    expect(bytes).toMatchObject({ watermark: 899, number: 4 })
    expect(bytes.value.raw).toEqual(Buffer.from([0xff, 0x00]))
  })

  it('promises stamp - lateness - 1', () => {
    expect(watermarkOfStamp(1000, 100)).toBe(899)
    expect(watermarkOfStamp(null, 100)).toBe(-1)
  })
})

describe('a record of another stage', () => {
  const record = {
    value: 5,
    at: 70,
    watermark: 60,
    late: true,
    rank: 1 as const,
    type: 't',
    id: 'i"',
    number: 8,
    input: 3,
  }

  it('keeps its order key and gets the watermark of the task that reads it', () => {
    const json: unknown = JSON.parse(encodeRecord(record, '5', 'data'))
    expect(exchangeRec(json, codec, 65, 1, 3)).toEqual({ ...record, watermark: 65, input: 3 })
  })

  it('says that a timer emitted it in a bit of its second field, and nothing where none did', () => {
    const texts = (clock: 'data' | 'wall') =>
      [1, 2].flatMap((rank) =>
        [false, true].map((late) => encodeRecord({ ...record, rank: rank as 1 | 2, late }, '5', clock)),
      )
    expect(texts('wall')).toEqual(['[70,0,5]', '[70,1,5]', '[70,2,5]', '[70,3,5]'])
    expect(texts('data')[0]).toBe('[70,0,5,8,"t","i\\""]')
    for (const clock of ['data', 'wall'] as const) {
      const read = texts(clock).map((text) => exchangeRec(JSON.parse(text), codec, 65, 1, 3))
      expect(read.map(({ rank, late }) => [rank, late])).toEqual([
        [1, false],
        [1, true],
        [2, false],
        [2, true],
      ])
    }
  })

  it('in log order is numbered by its place in the log', () => {
    const json: unknown = JSON.parse(encodeRecord(record, '5', 'wall'))
    const place = placeNumber(2, 7)
    expect(exchangeRec(json, codec, 65, place, 4)).toEqual({
      ...record,
      watermark: 65,
      input: 4,
      type: '',
      id: '',
      number: place,
    })
    expect(
      new Set([placeNumber(1, 0), placeNumber(1, 1), placeNumber(2, 0), placeNumber(2, 2 ** 20 - 1), placeNumber(3, 0)])
        .size,
    ).toBe(5)
    expect(Number.isSafeInteger(placeNumber(2 ** 32, 2 ** 20 - 1))).toBe(true)
  })
})

describe('a control record', () => {
  it.each([
    [{ hf: 'tick' }, { hf: 'tick' }],
    [
      { hf: 'drain', as_of: 5 },
      { hf: 'drain', as_of: 5 },
    ],
    [{ hf: 'drain' }, { hf: 'drain', as_of: null }],
    [
      { hf: 'config', kind: 'k', activation: 2, from: 3, body: { x: 1 } },
      { hf: 'config', kind: 'k', activation: 2, from: 3, body: { x: 1 } },
    ],
  ])('%j', (value, expected) => {
    expect(decodeControl(value)).toEqual(expected)
  })

  it.each([
    [[1, 0, 'x']],
    [{ hf: 'other' }],
    [{}],
    [null],
    ['tick'],
    [{ hf: 'config', kind: 'k', activation: 1.5, from: 3 }],
    [{ hf: 'config', kind: 7, activation: 1, from: 3 }],
    [{ hf: 'config', kind: 'k', activation: 1, from: '3' }],
  ])('%j is none', (value) => {
    expect(decodeControl(value)).toBeNull()
  })

  it('of a configuration says all that a task needs, and nothing that it does not know', () => {
    const body = configurationOf({ anonymous: 'accept', bots: 'mark', latenessMs: 5 })
    const record = { hf: 'config', kind: CONFIGURATION, activation: 1, from: 3, body }
    expect(decodeControl(record)).toEqual(record)
    const attribution = { goals: [{ name: 'g', advertiser: 'a' }] }
    const withGoals = configurationOf({ anonymous: 'accept', bots: 'mark', latenessMs: 5, attribution })
    expect(withGoals).toMatchObject(attribution)
    expect(decodeControl({ ...record, body: withGoals })).toEqual({ ...record, body: withGoals })
    for (const bad of [
      null,
      { ...body, hash: 1 },
      { ...body, anonymous: 'maybe' },
      { ...body, bots: 'no' },
      { ...body, latenessMs: -1 },
      { ...body, goals: [{ name: 'g', country: 'de' }] },
    ])
      expect(decodeControl({ ...record, body: bad })).toBeNull()
  })

  it('is forgotten when no record after the watermark can meet it, so that few are kept however many come', () => {
    const control = (activation: number, from: number) => ({ kind: 'a', activation, from, body: activation })
    let controls = [control(1, 0), control(2, 100), control(3, 300)].reduce(
      (kept, next) => withControl(kept, next, 50),
      [] as ReturnType<typeof withControl>,
    )
    expect(controls.map(({ body }) => body)).toEqual([1, 2, 3])
    controls = withControl(controls, control(4, 200), 50)
    expect(controls.map(({ body }) => body)).toEqual([1, 2, 4])
    expect(withControl(controls, control(5, 0), 50).map(({ body }) => body)).toEqual([5])
  })

  it('counts only with a higher activation, per kind, and holds from its time', () => {
    const control = (kind: string, activation: number, from: number) => ({
      kind,
      activation,
      from,
      body: `${kind}${activation}`,
    })
    let controls = withControl([], control('a', 2, 100), -1)
    controls = withControl(controls, control('a', 2, 50), -1)
    controls = withControl(controls, control('a', 1, 50), -1)
    controls = withControl(controls, control('b', 1, 0), -1)
    controls = withControl(controls, control('a', 3, 200), -1)
    expect(controls.map(({ body }) => body)).toEqual(['a2', 'b1', 'a3'])
    expect([99, 100, 199, 200].map((at) => controlAt(controls, 'a', at))).toEqual([undefined, 'a2', 'a2', 'a3'])
    expect(controlAt(controls, 'c', 500)).toBeUndefined()
  })
})

describe('a commit record', () => {
  const record = {
    ...{
      fingerprint: 'f',
      edition: firstEdition(1, []),
      generation: 1,
      epoch: 2,
      watermark: 3,
      highestTime: 4,
      asOf: 4,
      config: 'c',
      writers: {},
      destinations: {},
    },
    ...{
      position: { seq: 1, applied: 2, digest: 'd', created: 'c' },
      tally: { counts: {}, highs: {} },
      controls: [],
      drained: false,
    },
  }

  it('reads back what it wrote', () => {
    expect(parseCommitRecord(encodeCommitRecord(record))).toEqual({ version: 3, ...record })
  })

  it.each(['', '{', encodeCommitRecord(record).replace('"version":3', '"version":1'), '{}'])(
    '%j: STATE_CORRUPT',
    (text) => {
      expect(() => parseCommitRecord(text)).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }))
    },
  )
})

it('equal tallies are equal bytes, in whatever order they were counted', () => {
  const a = new Tally()
  a.count('x')
  a.count('y', 2)
  a.highest('h', 5)
  a.highest('g', 1)
  a.highest('h', 4)
  const b = new Tally(new Tally({ counts: { y: 1 }, highs: { g: 1 } }).toJSON())
  b.count('y')
  b.highest('h', 5)
  b.count('x')
  expect(JSON.stringify(a.toJSON())).toBe(JSON.stringify(b.toJSON()))
  expect(a.toJSON()).toEqual({ counts: { x: 1, y: 2 }, highs: { g: 1, h: 5 } })
  expect([a.high('h'), a.high('none')]).toEqual([5, null])
})
