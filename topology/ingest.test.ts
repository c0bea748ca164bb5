// What a client sends is in the log, in the partition of its user and in its order, before anybody is told so; what is no
// event is not. On the simulated log for what goes wrong, on a real nats-server for what is stored and opened again.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FakeLog, FakeLogServer } from '../log/fake-log.ts'
import { FRAME_BYTES_MAX, partitionOf } from '../log/frame.ts'
import type { NatsLog } from '../log/nats-log.ts'
import { arrivalsIn } from '../operators/arrival.ts'
import { EVENT_BYTES_MAX } from '../operators/event.ts'
import { FUTURE_MS } from '../operators/validation.ts'
import type { EventAnswer } from '../sinks/event-intake.ts'
import { type NatsHarness, natsHarness } from '../test/conformance/nats-harness.ts'
import { pageViewGraph } from './graph.ts'
import { GROUPS_UNDER_WAY } from './group-publish.ts'
import { Ingest, type IngestOptions } from './ingest.ts'
import type { Plan } from './plan.ts'
import { ensureStreams, streamSpecs } from './streams.ts'

const NOW_MS = 1_700_000_000_000
const PARTITIONS = 3

function planOf(over: { anonymous?: 'reject' | 'accept' } = {}): Plan {
  return pageViewGraph({
    namespace: 'hf',
    name: 'test',
    clock: 'wall',
    partitions: PARTITIONS,
    latenessMs: 600_000,
    anonymous: over.anonymous ?? 'reject',
    accepted: 'off',
  })
}

function pageView(id: string, user: string, more: object = {}): Buffer {
  const event = { type: 'page_view', event_id: id, event_time: NOW_MS, user_id: user, page_id: 'p', ...more }
  return Buffer.from(JSON.stringify(event))
}

async function fakeIngest(over: Partial<IngestOptions> = {}, totalBytes = 1e9) {
  const server = new FakeLogServer({ seed: 1 })
  const log: FakeLog = server.connect('node')
  const plan = over.plan ?? planOf()
  await ensureStreams(log, streamSpecs(plan, { totalBytes, replicas: 1 }))
  const ingest = new Ingest({ plan, log, runtime: { now: () => NOW_MS }, ...over })
  const payloads = (p: number) => server.stored(`hf_user-1_${p}`).map(({ payload }) => Buffer.from(payload).toString())
  return { server, ingest, payloads }
}

const kinds = (answers: readonly EventAnswer[]) => answers.map(({ kind }) => kind)
/** `count` users of one partition. */
const usersOf = (partition: number, count: number) =>
  Array.from({ length: 100_000 }, (_, i) => `u${i}`)
    .filter((user) => partitionOf(user, PARTITIONS) === partition)
    .slice(0, count)

describe('events of a call', () => {
  it('go to the partitions of their users, in their order, one message for each, and the answers say where', async () => {
    const { ingest, payloads } = await fakeIngest()
    const users = Array.from({ length: 40 }, (_, i) => `user ${i} ü`)
    const events = users.map((user, i) => pageView(`e${i}`, user))
    const answers = await ingest.take(events)
    const expected = Array.from({ length: PARTITIONS }, () => [] as Buffer[])
    for (const [i, user] of users.entries()) {
      const partition = partitionOf(user, PARTITIONS)
      const index = expected[partition]!.push(events[i]!) - 1
      expect(answers[i]).toEqual({ kind: 'taken', stream: `hf_user-1_${partition}`, seq: 1, index })
    }
    for (const [p, sent] of expected.entries()) expect(payloads(p)).toEqual([`[${sent.join(',')}]`])
  })

  it('are stored byte for byte as they came; a single one is an object, not an array', async () => {
    const { ingest, payloads } = await fakeIngest()
    const text = `{ "type":"page_view", "event_id":"a\\u0041", "event_time":1.7e12,\n "user_id":"u", "page_id":"p", "__proto__": {"x": 1e3} }`
    const partition = partitionOf('u', PARTITIONS)
    const answers = await ingest.take([Buffer.from(text)])
    expect(answers).toEqual([{ kind: 'taken', stream: `hf_user-1_${partition}`, seq: 1, index: 0 }])
    expect(payloads(partition)).toEqual([text])
  })

  it('share messages up to the limit of a message', async () => {
    const { ingest, payloads } = await fakeIngest()
    const [user] = usersOf(1, 1)
    const events = Array.from({ length: 20 }, (_, i) => pageView(`e${i}`, user!, { props: 'x'.repeat(60_000) }))
    const answers = await ingest.take(events)
    const stored = payloads(1)
    expect(stored.length).toBe(3)
    for (const payload of stored) expect(payload.length).toBeLessThanOrEqual(FRAME_BYTES_MAX)
    expect(`[${stored.map((payload) => payload.slice(1, -1)).join(',')}]`).toBe(`[${events.join(',')}]`)
    const perMessage = stored.map((payload) => (JSON.parse(payload) as unknown[]).length)
    const places = perMessage.flatMap((count, m) =>
      Array.from({ length: count }, (_, index) => ({ seq: m + 1, index })),
    )
    expect(answers).toEqual(places.map((place) => ({ kind: 'taken', stream: 'hf_user-1_1', ...place })))
  })

  it('fill a message to the last byte and not beyond', async () => {
    const { ingest, payloads } = await fakeIngest()
    const [user] = usersOf(0, 1)
    const empty = pageView('e', user!, { props: '' }).length
    // Nine events, eight commas, two brackets: exactly FRAME_BYTES_MAX where the last one takes what is left.
    const size = Math.floor((FRAME_BYTES_MAX - 10) / 9)
    const sized = (bytes: number) => pageView('e', user!, { props: 'x'.repeat(bytes - empty) })
    const others = Array.from({ length: 8 }, () => sized(size))
    const last = FRAME_BYTES_MAX - 10 - 8 * size
    await ingest.take([...others, sized(last)])
    await ingest.take([...others, sized(last + 1)])
    expect(payloads(0).map((payload) => payload.length)).toEqual([
      FRAME_BYTES_MAX,
      FRAME_BYTES_MAX - last - 1,
      last + 1,
    ])
  })
})

describe('calls at the same time', () => {
  it('share messages while others are under way, and each hears of its own events', async () => {
    const { server, ingest } = await fakeIngest()
    const [user] = usersOf(2, 1)
    const calls = Array.from({ length: 200 }, (_, call) =>
      Array.from({ length: (call % 3) + 1 }, (_, i) => pageView(`${call}-${i}`, user!)),
    )
    const answers = await Promise.all(calls.map((events) => ingest.take(events)))
    const stored = server
      .stored('hf_user-1_2')
      .map(({ payload }) => [JSON.parse(Buffer.from(payload).toString())].flat())
    expect(stored.length).toBe(GROUPS_UNDER_WAY + 1)
    expect(stored.flat()).toEqual(calls.flat().map((event) => JSON.parse(event.toString())))
    for (const [call, events] of calls.entries())
      for (const [i, answer] of answers[call]!.entries()) {
        if (answer.kind !== 'taken') throw new Error(answer.kind)
        expect(stored[answer.seq - 1]![answer.index]).toEqual(JSON.parse(events[i]!.toString()))
      }
  })

  it('never more together than a message holds, to the byte', async () => {
    const { ingest, payloads } = await fakeIngest()
    const [user] = usersOf(1, 1)
    const empty = pageView('e', user!, { props: '' }).length
    const sized = (bytes: number) => pageView('e', user!, { props: 'x'.repeat(bytes - empty) })
    const size = Math.floor((FRAME_BYTES_MAX - 10) / 9)
    const last = FRAME_BYTES_MAX - 10 - 8 * size
    const first = [sized(200), sized(200)]
    const exact = [...Array.from({ length: 8 }, () => sized(size)), sized(last)]
    const tooMuch = [...Array.from({ length: 8 }, () => sized(size)), sized(last + 1)]
    await Promise.all([...first, ...exact, ...tooMuch].map((event) => ingest.take([event])))
    const lengths = payloads(1).map((payload) => payload.length)
    expect(lengths).toEqual([200, 200, FRAME_BYTES_MAX, FRAME_BYTES_MAX - last - 1, last + 1])
  })

  it('hear alike of a message that was lost, and later ones go on', async () => {
    const { server, ingest } = await fakeIngest()
    const [user] = usersOf(0, 1)
    server.plan({ kind: 'publishLost' })
    const answers = await Promise.all([1, 2, 3, 4].map((i) => ingest.take([pageView(`e${i}`, user!)])))
    expect(answers.flatMap(kinds).filter((kind) => kind === 'unknown')).toHaveLength(1)
    expect(kinds(await ingest.take([pageView('e5', user!)]))).toEqual(['taken'])
    const ids = server.stored('hf_user-1_0').flatMap(({ payload }) => JSON.parse(Buffer.from(payload).toString()))
    expect(ids.map(({ event_id }: { event_id: string }) => event_id)).toEqual(['e2', 'e3', 'e4', 'e5'])
  })
})

describe('what is refused', () => {
  it.each([
    ['no JSON', Buffer.from('{'), { code: 'EVENT_JSON', field: null }],
    ['no UTF-8', Buffer.concat([pageView('e', 'u'), Buffer.from([0xff])]), { code: 'EVENT_JSON', field: null }],
    ['too large', pageView('e', 'u', { props: 'x'.repeat(EVENT_BYTES_MAX) }), { code: 'EVENT_TOO_LARGE', field: null }],
    [
      'seconds',
      pageView('e', 'u', { event_time: 1.7e9 }),
      { code: 'EVENT_FIELD_INVALID', field: 'event_time', hint: 'milliseconds?' },
    ],
    ['without a user', pageView('e', 'u', { user_id: null }), { code: 'EVENT_FIELD_MISSING', field: 'user_id' }],
    [
      'the future',
      pageView('e', 'u', { event_time: NOW_MS + FUTURE_MS + 1 }),
      { code: 'EVENT_TIME_FUTURE', field: 'event_time' },
    ],
    ['an erasure', pageView('e', 'u', { type: 'erase' }), { code: 'NOT_IMPLEMENTED', field: 'type' }],
    ['a consent', pageView('e', 'u', { type: 'consent' }), { code: 'NOT_IMPLEMENTED', field: 'type' }],
  ])('%s: by its code, beside others that are taken', async (_, bytes, refusal) => {
    const { ingest, payloads } = await fakeIngest()
    const good = pageView('good', 'u', { event_time: NOW_MS + FUTURE_MS })
    const answers = await ingest.take([bytes, good, bytes])
    expect(kinds(answers)).toEqual(['refused', 'taken', 'refused'])
    expect(answers[0]).toEqual({ kind: 'refused', ...refusal })
    expect([0, 1, 2].flatMap(payloads)).toEqual([good.toString()])
  })

  it('follows the settings of the graph: an event without a user goes where its own name leads', async () => {
    const { ingest } = await fakeIngest({ plan: planOf({ anonymous: 'accept' }) })
    const [answer] = await ingest.take([pageView('e7', 'u', { user_id: null })])
    expect(answer).toMatchObject({ kind: 'taken', stream: `hf_user-1_${partitionOf('anon:e7', PARTITIONS)}` })
  })
})

describe('a log that does not take everything', () => {
  it('unknown for what it did not confirm, and nothing of the call follows in that partition', async () => {
    const { server, ingest, payloads } = await fakeIngest()
    const [here, there] = [usersOf(1, 1)[0]!, usersOf(2, 1)[0]!]
    server.plan({ kind: 'publishLost' }, { subject: 'hf.user-1.1.in' })
    const large = Array.from({ length: 12 }, (_, i) => pageView(`e${i}`, here, { props: 'x'.repeat(60_000) }))
    const answers = await ingest.take([...large, pageView('other', there)])
    expect(kinds(answers)).toEqual([...large.map(() => 'unknown'), 'taken'])
    expect(payloads(1)).toEqual([])
    expect(kinds(await ingest.take([pageView('e', here)]))).toEqual(['taken'])
  })

  it('full where a stream has no room, and what was refused is refused all the same', async () => {
    const { ingest } = await fakeIngest({}, 200_000)
    const [user] = usersOf(0, 1)
    const events = Array.from({ length: 10 }, (_, i) => pageView(`e${i}`, user!, { props: 'x'.repeat(9_000) }))
    expect(kinds(await ingest.take([...events, Buffer.from('[]')]))).toEqual([...events.map(() => 'full'), 'refused'])
  })
})

describe('what is under way is bounded', () => {
  it.each([
    ['bytes', { underWayBytesMax: 1_000 }],
    ['messages', { underWayMessagesMax: 2 }],
  ])('in %s: beyond it a call is answered at once, and again taken when there is room', async (_, limit) => {
    const { ingest, payloads } = await fakeIngest(limit)
    const [user] = usersOf(0, 1)
    const event = pageView('e', user!, { props: 'x'.repeat(300) })
    const waiting = [ingest.take([event]), ingest.take([event])]
    expect(await ingest.take([event])).toEqual([{ kind: 'full', cause: 'too much is under way' }])
    expect(payloads(0)).toEqual([])
    expect((await Promise.all(waiting)).flatMap(kinds)).toEqual(['taken', 'taken'])
    expect(kinds(await ingest.take([event]))).toEqual(['taken'])
    expect(payloads(0)).toHaveLength(3)
  })
})

describe('on a real nats-server', () => {
  let harness: NatsHarness
  let log: NatsLog
  beforeAll(async () => {
    harness = await natsHarness()
    log = await harness.connect()
  })
  afterAll(async () => {
    await log.close()
    await harness.close()
  })

  it('the source finds each event at the place that was answered', async () => {
    const plan = planOf()
    await ensureStreams(log, streamSpecs(plan, { totalBytes: 64e6, replicas: 1 }))
    const ingest = new Ingest({ plan, log, runtime: { now: () => NOW_MS } })
    const calls = [1, 2, 50].map((count, call) =>
      Array.from({ length: count }, (_, i) => pageView(`${call}-${i}`, `user${i}`)),
    )
    for (const events of calls) {
      const answers = await ingest.take(events)
      for (const [i, answer] of answers.entries()) {
        if (answer.kind !== 'taken') throw new Error(answer.kind)
        const { stream, seq, index } = answer
        const message = await log.message(stream, seq)
        const arrivals = arrivalsIn(message!.payload, { stream, sequence: seq, ingestMs: null })
        const { raw, value } = arrivals[index]!
        expect(value ?? JSON.parse(raw as string)).toEqual(JSON.parse(events[i]!.toString()))
      }
    }
  })

  it('a broker that does not answer in time is unknown, not an error', async () => {
    const ingest = new Ingest({ plan: planOf(), log, runtime: { now: () => NOW_MS } })
    await harness.pause()
    const answers = await ingest.take([pageView('late', 'u')])
    harness.resume()
    expect(kinds(answers)).toEqual(['unknown'])
  })
})
