// The rules by which a reader believes that it goes on where it was, one by one.

import { describe, expect, it } from 'vitest'
import { Continuity } from './continuity.ts'
import { messageDigest } from './frame.ts'
import type { LogMessage, StreamState } from './log.ts'

function message(seq: number, text = `m${seq}`): LogMessage {
  return { seq, subject: 's.a', headers: null, payload: Buffer.from(text), timeNs: BigInt(seq), timeMs: 0 }
}

const STREAM: StreamState = { created: 'then', firstSeq: 1, lastSeq: 20, bytes: 1 }
const AT_5 = { seq: 5, digest: messageDigest(message(5)), created: 'then' }
const FROM_START = { seq: 0, digest: '', created: '' }

function opened(from = AT_5, state: StreamState = STREAM): Continuity {
  const continuity = new Continuity('s', from)
  continuity.resume(state)
  return continuity
}

const WENT_BACK = expect.objectContaining({ code: 'LOG_WENT_BACK' })
const GAP = expect.objectContaining({ code: 'GAP' })

describe('comparing the stream', () => {
  it.each<[string, Partial<StreamState>, number]>([
    ['the position is there: from itself', {}, 5],
    ['the position is the first', { firstSeq: 5 }, 5],
    ['the position is the last', { lastSeq: 5 }, 5],
    ['just the position is gone: from the one after it', { firstSeq: 6 }, 6],
    ['everything up to the position is gone', { firstSeq: 6, lastSeq: 5 }, 6],
  ])('%s', (_, change, start) => {
    expect(new Continuity('s', AT_5).resume({ ...STREAM, ...change })).toBe(start)
  })

  it('from the start: the first message, also of an empty stream', () => {
    expect(new Continuity('s', FROM_START).resume(STREAM)).toBe(1)
    expect(new Continuity('s', FROM_START).resume({ ...STREAM, lastSeq: 0 })).toBe(1)
  })

  it.each<[string, StreamState | null, unknown]>([
    ['gone', null, WENT_BACK],
    ['created at another time', { ...STREAM, created: 'now' }, WENT_BACK],
    ['one short of the position', { ...STREAM, lastSeq: 4 }, WENT_BACK],
    ['beginning two after the position', { ...STREAM, firstSeq: 7 }, GAP],
  ])('halts on a stream that is %s', (_, state, error) => {
    expect(() => new Continuity('s', AT_5).resume(state)).toThrow(error as Error)
  })

  it('halts from the start when the start was trimmed', () => {
    expect(() => new Continuity('s', FROM_START).resume({ ...STREAM, firstSeq: 2 })).toThrow(GAP)
  })

  it('remembers the creation time that it saw first', () => {
    const continuity = opened(FROM_START)
    expect(() => continuity.resume({ ...STREAM, created: 'now' })).toThrow(WENT_BACK)
  })
})

describe('admitting messages', () => {
  it('hands the message at the position out the first time, and proves it silently after that', () => {
    const continuity = opened()
    expect([5, 6, 7].map((seq) => continuity.admit(message(seq)))).toEqual(['take', 'take', 'take'])
    continuity.resume(STREAM)
    expect([7, 8].map((seq) => continuity.admit(message(seq)))).toEqual(['proof', 'take'])
    expect(continuity.seq).toBe(8)
  })

  it('hands it out once only, also when the consumer was lost before the first message', () => {
    const continuity = opened()
    continuity.resume(STREAM)
    expect(continuity.admit(message(5))).toBe('take')
    continuity.resume(STREAM)
    expect(continuity.admit(message(5))).toBe('proof')
  })

  it.each([
    ['payload', message(5, 'other')],
    ['time', { ...message(5), timeNs: 6n }],
    ['subject', { ...message(5), subject: 's.b' }],
    ['header', { ...message(5), headers: { a: '1' } }],
  ])('halts when the message at the position has another %s', (_, other) => {
    expect(() => opened().admit(other)).toThrow(WENT_BACK)
  })

  it('asks for another look when the message at the position is not the first to come, and halts the second time', () => {
    const continuity = opened()
    expect(continuity.admit(message(6))).toBe('again')
    continuity.resume(STREAM)
    expect(() => continuity.admit(message(6))).toThrow(GAP)
  })

  it('goes on when that other look says that retention took it', () => {
    const continuity = opened()
    expect(continuity.admit(message(6))).toBe('again')
    expect(continuity.resume({ ...STREAM, firstSeq: 6 })).toBe(6)
    expect(continuity.admit(message(6))).toBe('take')
  })

  it.each([
    ['is before the position', 4, WENT_BACK],
    ['repeats one', 5, WENT_BACK],
    ['leaves one out', 7, GAP],
  ])('halts on a message that %s', (_, seq, error) => {
    const continuity = opened()
    continuity.admit(message(5))
    expect(() => continuity.admit(message(seq))).toThrow(error as Error)
  })

  it('says in numbers what does not add up', () => {
    const continuity = opened()
    continuity.admit(message(5))
    const numbers = { stream: 's', position: 5, seq: 9 }
    expect(() => continuity.admit(message(9))).toThrow(expect.objectContaining({ numbers }))
  })
})
