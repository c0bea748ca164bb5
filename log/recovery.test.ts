// Every row of the decision table in protocol.md, section 5, and what lies between the rows.

import { describe, expect, it } from 'vitest'
import type { ErrorCode } from './errors.ts'
import { encodeFrameHeader, FRAME_HEADER, RECORD_HEADER } from './frame.ts'
import type { LogMessage, StreamState } from './log.ts'
import { type Destination, type Owner, type Published, whatIsThere } from './recovery.ts'

const FRAMES: Destination = { stream: 's', subject: 's.w', mode: 'frames' }
const RECORDS: Destination = { ...FRAMES, mode: 'records' }
const ME: Owner = { generation: 5, instance: 'me' }
const CHAIN = '00000000000000aa'
const OTHER_CHAIN = '00000000000000bb'
const STATE: Published = { number: 10, chain: CHAIN, seq: 40 }
const FRESH: Published = { number: 0, chain: '', seq: 0 }

interface Last {
  seq: number
  number: number
  generation?: number
  instance?: string
  chain?: string
  count?: number
}

function last({ seq, number, generation = 5, instance = 'me', chain = CHAIN, count = 1 }: Last): LogMessage {
  const header = encodeFrameHeader({
    first: number - count + 1,
    count,
    chainBefore: OTHER_CHAIN,
    chainAfter: chain,
    generation,
    instance,
    watermark: 7,
    coveredSeq: 3,
    coveredIndex: 2,
  })
  return {
    seq,
    subject: FRAMES.subject,
    headers: { [FRAME_HEADER]: header },
    payload: Buffer.from('[1]'),
    timeNs: 1n,
    timeMs: 0,
  }
}

const stream = (firstSeq: number, lastSeq: number): StreamState => ({ created: 'c', firstSeq, lastSeq, bytes: 0 })
const LONG = stream(1, 100)

const found = (message: LogMessage | null, s: StreamState = LONG, state = STATE, to = FRAMES) =>
  whatIsThere(to, message, s, state, ME)

function halts(code: ErrorCode, run: () => unknown): void {
  expect(run).toThrow(expect.objectContaining({ code }))
}

describe('a frame is there', () => {
  it('mine, newer than state: adopted', () => {
    expect(found(last({ seq: 41, number: 12, chain: OTHER_CHAIN }))).toMatchObject({
      number: 12,
      seq: 41,
      chain: OTHER_CHAIN,
      header: { watermark: 7, coveredSeq: 3, coveredIndex: 2 },
    })
  })
  it('mine, equal: go on', () => {
    expect(found(last({ seq: 40, number: 10 }))).toMatchObject({ number: 10, seq: 40, chain: CHAIN })
  })
  it('mine, a frame without records behind the equal one: go on behind it', () => {
    expect(found(last({ seq: 60, number: 10, count: 0 }))).toMatchObject({ number: 10, seq: 60 })
  })
  it("an older generation's: adopted", () => {
    expect(found(last({ seq: 44, number: 15, generation: 4, instance: 'other' }))).toMatchObject({ number: 15 })
  })
  it('a newer generation: FENCED', () => {
    halts('FENCED', () => found(last({ seq: 44, number: 15, generation: 6 })))
  })
  it('my generation, another instance: FENCED', () => {
    halts('FENCED', () => found(last({ seq: 44, number: 15, instance: 'twin' })))
  })
  it('FENCED comes before anything that an old state might find wrong', () => {
    halts('FENCED', () => found(last({ seq: 1, number: 1, generation: 6 })))
  })
  it('number below state: LOG_WENT_BACK', () => {
    halts('LOG_WENT_BACK', () => found(last({ seq: 41, number: 9 })))
  })
  it('sequence below state: LOG_WENT_BACK', () => {
    halts('LOG_WENT_BACK', () => found(last({ seq: 39, number: 10 })))
  })
  it('equal number with another chain: LOG_WENT_BACK', () => {
    halts('LOG_WENT_BACK', () => found(last({ seq: 40, number: 10, chain: OTHER_CHAIN })))
  })
  it('equal number where state knows no chain: go on', () => {
    expect(found(last({ seq: 40, number: 10, chain: OTHER_CHAIN }), LONG, { ...STATE, chain: '' }).number).toBe(10)
  })
  it.each([null, {}, { [FRAME_HEADER]: '1 2 3' }])('headers %j: FOREIGN_WRITE', (headers) => {
    halts('FOREIGN_WRITE', () => found({ ...last({ seq: 41, number: 12 }), headers }))
  })
  it('a stranger where state had something: LOG_WENT_BACK first', () => {
    halts('LOG_WENT_BACK', () => found({ ...last({ seq: 39, number: 12 }), headers: null }))
  })
  it('a single record without the header that ends its batch: LOG_WENT_BACK', () => {
    const headers = { [RECORD_HEADER]: 'w.11' }
    halts('LOG_WENT_BACK', () => found({ ...last({ seq: 41, number: 11 }), headers }, LONG, STATE, RECORDS))
    halts('FOREIGN_WRITE', () => found({ ...last({ seq: 41, number: 11 }), headers }, LONG, STATE, FRAMES))
  })
  it('a state that knows no sequence (a standby) takes what is there', () => {
    expect(found(last({ seq: 3, number: 10 }), LONG, { ...STATE, seq: 0 })).toMatchObject({ number: 10, seq: 3 })
  })
})

describe('nothing is there', () => {
  const nothing = { number: 0, chain: '', seq: 0, header: null }

  it('in an empty stream, and state has nothing: nothing was published', () => {
    expect(found(null, stream(0, 0), FRESH)).toEqual(nothing)
    expect(found(null, stream(0, 0), FRESH, RECORDS)).toEqual(nothing)
  })
  it('in a stream of others of which nothing was ever trimmed: nothing was published', () => {
    expect(found(null, stream(1, 50), FRESH)).toEqual(nothing)
  })
  it('in a trimmed stream of others: RECOVERY_POINT_GONE', () => {
    halts('RECOVERY_POINT_GONE', () => found(null, stream(2, 50), FRESH))
    halts('RECOVERY_POINT_GONE', () => found(null, stream(51, 50), FRESH))
  })
  it('where state has something, and the stream ends before it: LOG_WENT_BACK', () => {
    for (const to of [FRAMES, RECORDS]) {
      halts('LOG_WENT_BACK', () => found(null, stream(0, 0), STATE, to))
      halts('LOG_WENT_BACK', () => found(null, stream(1, 39), STATE, to))
    }
  })
  it('where state has something, and the stream goes on: RECOVERY_POINT_GONE', () => {
    halts('RECOVERY_POINT_GONE', () => found(null, stream(1, 50), STATE))
    halts('RECOVERY_POINT_GONE', () => found(null, stream(41, 50), STATE))
    halts('RECOVERY_POINT_GONE', () => found(null, stream(1, 50), { number: 0, chain: CHAIN, seq: 40 }))
  })
  it('single records, retention took all: the sequences tell the number', () => {
    expect(found(null, stream(46, 45), STATE, RECORDS)).toEqual({ number: 15, chain: '', seq: 45, header: null })
    expect(found(null, stream(41, 40), STATE, RECORDS)).toMatchObject({ number: 10, seq: 40 })
    expect(found(null, stream(8, 7), FRESH, RECORDS)).toMatchObject({ number: 7, seq: 7 })
  })
  it('single records, and the stream should still have the last one: RECOVERY_POINT_GONE', () => {
    halts('RECOVERY_POINT_GONE', () => found(null, stream(40, 45), STATE, RECORDS))
  })
})
