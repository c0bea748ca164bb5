// Our words and those of NATS: what a server says is read exactly, and what is not clear is unknown.

import type { StreamConfig } from '@nats-io/jetstream'
import type { Msg } from 'nats'
import { describe, expect, it } from 'vitest'
import type { StreamSpec } from './log.ts'
import {
  DeliveredMessage,
  nanosOf,
  nextToken,
  numberAt,
  publishHeaders,
  readAck,
  replyPrefix,
  settingDifference,
  streamConfig,
} from './nats-codec.ts'

const ack = (value: unknown) => readAck(Buffer.from(JSON.stringify(value)))
const failed = (code: number, err_code: number) => ack({ error: { code, err_code, description: 'why' } })

describe('the answer to a publish', () => {
  it('is stored only with a sequence', () => {
    expect(ack({ stream: 's', seq: 7 })).toEqual({ kind: 'stored', seq: 7 })
    expect(ack({ stream: 's' })).toMatchObject({ kind: 'unknown' })
  })

  it.each([
    [400, 10071, 'refused'],
    [400, 10164, 'refused'],
    [503, 10077, 'full'],
    [400, 10174, 'disabled'],
    [429, 10167, 'unknown'],
    [503, 10008, 'unknown'],
    [400, 10176, 'unknown'],
    [400, 10201, 'unknown'],
    [500, 99999, 'unknown'],
  ])('with error %i/%i is %s', (code, errCode, kind) => {
    expect(failed(code, errCode)).toEqual({ kind, cause: `why (${errCode})` })
  })

  it.each(['', 'no json', '[]', '17', '{"seq":"7"}'])('that reads %j is unknown', (text) => {
    expect(readAck(Buffer.from(text))).toMatchObject({ kind: 'unknown' })
  })
})

describe('the reply subject of a delivery', () => {
  it.each([
    ['$JS.ACK.orders.hf-abc.1.4711.17.1741132786704999999.5', '$JS.ACK.orders.hf-abc.1.'],
    ['$JS.ACK.hub.AcCt.orders.hf-abc.1.4711.17.1741132786704999999.5.rnd', '$JS.ACK.hub.AcCt.orders.hf-abc.1.'],
  ])('%s', (reply, prefix) => {
    expect(replyPrefix(reply, 'hf-abc')).toBe(prefix)
    expect(numberAt(reply, prefix.length)).toBe(4711)
    expect(numberAt(reply, nextToken(reply, prefix.length))).toBe(17)
    const message = new DeliveredMessage(4711, {} as Msg, reply, prefix.length)
    expect(message).toMatchObject({ timeNs: 1741132786704999999n, timeMs: 1741132786704, pending: 5 })
  })

  it.each(['$JS.ACK.orders.hf-other.1.4711.17.1.5', 'somewhere.hf-abc.1.2.3', ''])(
    '%j is of no consumer of ours',
    (reply) => {
      expect(replyPrefix(reply, 'hf-abc')).toBe('')
    },
  )
})

describe('a time of the server', () => {
  it.each([
    ['2023-11-14T22:13:20.123456789Z', 1_700_000_000_123_456_789n],
    ['2023-11-14T22:13:20.1Z', 1_700_000_000_100_000_000n],
    ['2023-11-14T22:13:20Z', 1_700_000_000_000_000_000n],
  ])('%s', (text, nanos) => {
    expect(nanosOf(text)).toBe(nanos)
  })

  it('is refused when it is not one', () => {
    expect(() => nanosOf('2023-11-14T22:13:20+01:00')).toThrow(/assertion/)
  })
})

describe('the headers of a publish', () => {
  const text = (...args: Parameters<typeof publishHeaders>) => publishHeaders(...args)?.toString()

  it('are none when nothing is asked', () => {
    expect(publishHeaders(null, null)).toBeUndefined()
    expect(publishHeaders({}, null)).toBeUndefined()
  })

  it('carry compare-and-set and the place in a batch', () => {
    expect(text({ 'Hf-Frame': '1 2' }, { lastSubjectSeq: 3 })).toBe(
      'NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 3\r\nHf-Frame: 1 2\r\n\r\n',
    )
    expect(text(null, { lastSeq: 0 }, { id: 'b', sequence: 2, last: true })).toBe(
      'NATS/1.0\r\nNats-Expected-Last-Sequence: 0\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: 2\r\nNats-Batch-Commit: 1\r\n\r\n',
    )
  })

  it('cannot be broken out of', () => {
    expect(() => publishHeaders({ a: 'x\r\nNats-Rollup: all' }, null)).toThrow(/assertion/)
  })
})

describe('the settings of a stream', () => {
  const spec: StreamSpec = { name: 's', subjects: ['s.>'], maxBytes: 1e6, replicas: 1, maxAgeMs: 1000, atomic: true }
  const asked = streamConfig(spec) as unknown as StreamConfig

  it('are as asked when the server says the same', () => {
    expect(settingDifference(spec, { ...asked })).toBeNull()
    const { allow_rollup_hdrs: _, ...withoutFalse } = asked
    expect(settingDifference(spec, withoutFalse as StreamConfig)).toBeNull()
  })

  it('name the first one that an old server dropped', () => {
    const { allow_atomic: _, ...dropped } = asked
    const difference = settingDifference(spec, dropped as StreamConfig)
    expect(difference).toEqual({ setting: 'allow_atomic', asked: 'true', has: 'false' })
  })

  it.each(Object.keys(streamConfig(spec)))('are compared each: %s', (setting) => {
    const difference = settingDifference(spec, { ...asked, [setting]: 'other' } as unknown as StreamConfig)
    expect(difference).toMatchObject({ setting })
  })
})
