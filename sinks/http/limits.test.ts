// Buckets by client, with time given.

import { describe, expect, it } from 'vitest'
import type { HttpError } from './errors.ts'
import { ConnectionLimit, FailureLimit, HTTP_LIMITS, RequestLimit } from './limits.ts'

/** Seconds to wait, or null where it was let in. */
function refusal(ask: () => unknown): number | null {
  try {
    ask()
    return null
  } catch (error) {
    const { status, retryAfterS } = (error as HttpError).facts
    expect(status).toBe(429)
    return retryAfterS!
  }
}

describe('requests of a client', () => {
  it('a burst, then as many as the time allows', () => {
    const limit = new RequestLimit({ concurrent: 1_000, perSecond: 10, clients: 10 })
    const enter = (nowMs: number) => refusal(() => limit.enter('a', nowMs))
    expect(Array.from({ length: 11 }, () => enter(0))).toEqual([...Array(10).fill(null), 1])
    expect([enter(99), enter(100), enter(150), enter(200)]).toEqual([1, null, 1, null])
    expect(Array.from({ length: 11 }, () => enter(60_000))).toEqual([...Array(10).fill(null), 1])
  })

  it('at once, and what is over makes room', () => {
    const limit = new RequestLimit({ concurrent: 2, perSecond: 1_000, clients: 10 })
    const leave = limit.enter('a', 0)
    limit.enter('a', 0)
    expect(refusal(() => limit.enter('a', 0))).toBe(1)
    expect(refusal(() => limit.enter('b', 0))).toBeNull()
    leave()
    expect(refusal(() => limit.enter('a', 0))).toBeNull()
  })

  it('clients are forgotten, the longest away first, but none with a request under way', () => {
    const limit = new RequestLimit({ concurrent: 1, perSecond: 1, clients: 3 })
    limit.enter('busy', 0)
    for (let i = 0; i < 100; i++) limit.enter(`client ${i}`, 0)()
    expect(limit.size).toBe(3)
    expect(refusal(() => limit.enter('busy', 1_000))).toBe(1)
    expect(refusal(() => limit.enter('client 99', 0))).toBe(1)
    expect(refusal(() => limit.enter('client 0', 0))).toBeNull()
  })
})

describe('connections of an address', () => {
  it('are bounded, each by itself, and one that ends makes room', () => {
    const limit = new ConnectionLimit({ connectionsOfAddress: 2 })
    const leave = limit.enter('a')!
    expect([limit.enter('a'), limit.enter('a'), limit.enter('b')]).toEqual([expect.anything(), null, expect.anything()])
    leave()
    expect([limit.enter('a'), limit.enter('a')]).toEqual([expect.anything(), null])
  })
})

describe('failures of an address', () => {
  it('some are a person, more are not; the wait is until the next one is allowed', () => {
    const limit = new FailureLimit({ failuresPerMinute: 3, clients: 10 })
    const fail = (nowMs: number, address = 'a') => refusal(() => limit.failed(address, nowMs))
    expect([fail(0), fail(0), fail(0), fail(0), fail(10_000)]).toEqual([null, null, null, 20, 10])
    expect(fail(0, 'b')).toBeNull()
    expect([fail(20_000), fail(20_000)]).toEqual([null, 20])
  })
})

it('limits stand in relation to one another', () => {
  const { headersMs, requestMs, silenceMs, connections, clients, concurrent, closeMs } = HTTP_LIMITS
  expect(HTTP_LIMITS.connectionsOfAddress).toBeLessThan(connections)
  expect(concurrent).toBeLessThan(HTTP_LIMITS.connectionsOfAddress)
  expect(headersMs).toBeLessThanOrEqual(requestMs)
  expect(requestMs).toBeLessThan(silenceMs)
  expect(connections).toBeLessThan(clients)
  expect(concurrent).toBeLessThan(connections)
  expect(closeMs).toBeLessThan(requestMs)
})
