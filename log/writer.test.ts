// The writer against the simulated log: every outcome a publish can have, recovery by number, and what it halts for.
// The oracle is what lies in the stream: numbers without a gap, each record once, the chain over the records themselves.

import { beforeEach, describe, expect, it } from 'vitest'
import type { ErrorCode } from './errors.ts'
import { FAKE_REQUEST_TIMEOUT_MS, type FakeLog, FakeLogServer } from './fake-log.ts'
import {
  eachRecord,
  encodeFrameHeader,
  FRAME_BYTES_MAX,
  FRAME_HEADER,
  type FrameHeader,
  parseFrameHeader,
  RECORD_HEADER,
} from './frame.ts'
import type { Log, LogMessage } from './log.ts'
import { chunkOf, Numbering, type Outbox, startOf } from './numbering.ts'
import type { Destination, Owner, Published } from './recovery.ts'
import { Writer, type WriterOptions } from './writer.ts'

const NAME = 'w'
const FRAMES: Destination = { stream: 'in', subject: 'in.w', mode: 'frames' }
const RECORDS: Destination = { stream: 'out', subject: 'out.w', mode: 'records' }
const BOTH = [FRAMES, RECORDS]
const NOTHING: Published = { number: 0, chain: '', seq: 0 }
const FIRST: Owner = { generation: 1, instance: 'first' }
const SECOND: Owner = { generation: 2, instance: 'second' }
const SMALL_STREAM_BYTES = 64 * 1024

let server: FakeLogServer
let log: FakeLog
let waits: string[]

beforeEach(async () => {
  server = new FakeLogServer({ seed: 7 })
  log = server.connect('a')
  waits = []
  const spec = { maxBytes: 64 * 1024 * 1024, replicas: 1, maxAgeMs: 0, atomic: true }
  await log.ensureStream({ ...spec, name: 'in', subjects: ['in.*'] })
  await log.ensureStream({ ...spec, name: 'out', subjects: ['out.*'] })
  await log.ensureStream({ ...spec, name: 'small', subjects: ['small.*'], maxBytes: SMALL_STREAM_BYTES })
})

function optionsFor(destination: Destination, over: Log = log): WriterOptions {
  const onWait: WriterOptions['onWait'] = (cause, on) => waits.push(`${cause ?? 'over'} ${on}`)
  return { log: over, runtime: log.runtime, writer: NAME, destination, onWait }
}

const open = (destination: Destination, owner = FIRST, state = NOTHING, over: Log = log) =>
  Writer.open(optionsFor(destination, over), owner, state)

const texts = (from: number, count: number) => Array.from({ length: count }, (_, i) => `"record ${from + i}"`)

/** A commit of records; its covered position is its last record's number. */
function take(numbering: Numbering, records: readonly string[], watermark = 100): Outbox {
  const covered = { seq: numbering.computed.number + records.length, index: 0 }
  return numbering.take(records, watermark, covered)
}

const numberingOf = ({ mode, subject }: Destination) => new Numbering(mode, startOf(NAME, subject))

function headerOf(message: LogMessage | undefined): FrameHeader {
  return parseFrameHeader(message?.headers?.[FRAME_HEADER])!
}

/** What a reader finds: every record in its order. Checks numbers, chains and identities on the way. */
function recordsIn({ stream, subject, mode }: Destination): string[] {
  const records: string[] = []
  let chain = startOf(NAME, subject).chain
  let open: string[] = []
  for (const message of server.stored(stream)) {
    const header = parseFrameHeader(message.headers?.[FRAME_HEADER])
    if (mode === 'records') {
      expect(message.headers?.[RECORD_HEADER]).toBe(`${NAME}.${records.length + open.length + 1}`)
      open.push(Buffer.from(message.payload).toString())
    } else
      eachRecord(message.payload, (from, to) => open.push(Buffer.from(message.payload.subarray(from, to)).toString()))
    if (header === null) continue
    const before = { number: records.length, chain }
    expect(header).toMatchObject({ first: records.length + 1, count: open.length, chainBefore: chain })
    chain = chunkOf(open, before).after.chain
    expect(header.chainAfter).toBe(chain)
    records.push(...open)
    open = []
  }
  expect(open).toEqual([])
  return records
}

async function halts(code: ErrorCode, work: Promise<unknown>): Promise<void> {
  await expect(work).rejects.toMatchObject({ code })
}

describe.each(BOTH)('publishing $mode', (destination) => {
  const { stream, subject } = destination

  it('stores each commit once, with watermark and covered position', async () => {
    const writer = await open(destination)
    const numbering = numberingOf(destination)
    for (const watermark of [5, 6, 7])
      await writer.send(take(numbering, texts(numbering.computed.number, 3), watermark), false)
    expect(recordsIn(destination)).toEqual(texts(0, 9))
    expect(headerOf(server.stored(stream).at(-1))).toMatchObject({ watermark: 7, coveredSeq: 9, generation: 1 })
    expect(writer.published).toEqual({ ...numbering.computed, seq: server.stored(stream).length })
  })

  it.each([
    ['landed, ack lost', { kind: 'ackLost' }],
    ['never landed', { kind: 'publishLost' }],
    [
      'landed while the log was looked at or the publish repeated',
      { kind: 'publishLate', afterMs: FAKE_REQUEST_TIMEOUT_MS + 1 },
    ],
    ['landed long after', { kind: 'publishLate', afterMs: 3 * FAKE_REQUEST_TIMEOUT_MS }],
  ] as const)('unknown, %s: stored once', async (_, fault) => {
    const writer = await open(destination)
    const numbering = numberingOf(destination)
    await writer.send(take(numbering, texts(0, 3)), false)
    server.plan(fault)
    await writer.send(take(numbering, texts(3, 3)), false)
    await writer.send(take(numbering, texts(6, 3)), false)
    await server.scheduler.sleep(4 * FAKE_REQUEST_TIMEOUT_MS)
    expect(server.fired[fault.kind]).toBe(1)
    expect(recordsIn(destination)).toEqual(texts(0, 9))
    expect(waits).toContain(`broker ${stream}`)
    expect(waits.at(-1)).toBe(`over ${stream}`)
  })

  it('survives a hundred unknown outcomes of any kind', async () => {
    for (let seed = 1; seed <= 5; seed++) {
      const to = { ...destination, stream: `${stream}${seed}`, subject: `${stream}${seed}.w` }
      await server.connect('maker').ensureStream({
        name: to.stream,
        subjects: [to.subject],
        maxBytes: 1e8,
        replicas: 1,
        maxAgeMs: 0,
        atomic: true,
      })
      const writer = await open(to)
      server.chaos = { publishLate: 0.2, publishLost: 0.2, ackLost: 0.2, cut: 0.05 }
      const numbering = numberingOf(to)
      for (let i = 0; i < 30; i++) await writer.send(take(numbering, texts(2 * i, 2)), false)
      server.chaos = {}
      await server.scheduler.sleep(4 * FAKE_REQUEST_TIMEOUT_MS)
      expect(recordsIn(to)).toEqual(texts(0, 60))
    }
    expect(server.fired.publishLate).toBeGreaterThan(10)
  })

  it('full: waits for room under that name, and goes on when there is some', async () => {
    const small = { ...destination, stream: 'small', subject: 'small.w' }
    const writer = await open(small)
    const numbering = numberingOf(small)
    await writer.send(take(numbering, [JSON.stringify('x'.repeat(SMALL_STREAM_BYTES - 2_000))]), false)
    await writer.send(take(numbering, texts(1, 1)), false)
    waits = []
    const sending = writer.send(take(numbering, [JSON.stringify('y'.repeat(2_000))]), false)
    await server.scheduler.sleep(60_000)
    expect(new Set(waits)).toEqual(new Set(['room small']))
    await log.trim('small', 2)
    await sending
    expect(waits.at(-1)).toBe('over small')
    expect(writer.published.number).toBe(3)
  })

  it('the broker away: waits under that name, publishes once', async () => {
    const writer = await open(destination)
    server.pause()
    const sending = writer.send(take(numberingOf(destination), texts(0, 3)), false)
    await server.scheduler.sleep(60_000)
    expect(waits).toContain(`broker ${stream}`)
    server.resume()
    await sending
    expect(recordsIn(destination)).toEqual(texts(0, 3))
  })

  it('whatever else goes wrong is not waited for', async () => {
    const broken = overlaid(log, { streamState: () => Promise.reject(new TypeError('a bug')) })
    await expect(open(destination, FIRST, NOTHING, broken)).rejects.toThrow('a bug')
  })

  it('a chunk that leaves records out is refused before it is published', async () => {
    const writer = await open(destination)
    const numbering = numberingOf(destination)
    take(numbering, texts(0, 2))
    await expect(writer.send(take(numbering, texts(2, 2)), false)).rejects.toThrow('no record is left out')
    expect(server.stored(stream)).toEqual([])
  })

  describe('recovery', () => {
    /** Publishes ten records in commits of these sizes, then dies. */
    async function formerRun(sizes: readonly number[]): Promise<void> {
      const writer = await open(destination)
      const numbering = numberingOf(destination)
      for (const size of sizes) await writer.send(take(numbering, texts(numbering.computed.number, size)), false)
    }

    it.each([
      ['the same commits', [5, 5], [5, 5, 2]],
      ['smaller commits', [10], [1, 2, 3, 4, 2]],
      ['larger commits', [3, 3, 4], [12]],
      ['a commit across the end of what is published', [5, 5], [7, 5]],
    ])('skips what is published: %s', async (_, before, after) => {
      await formerRun(before)
      const messages = server.stored(stream).length
      const writer = await open(destination, SECOND)
      expect(writer.published.number).toBe(10)
      const numbering = numberingOf(destination)
      for (const size of after) await writer.send(take(numbering, texts(numbering.computed.number, size)), false)
      expect(recordsIn(destination)).toEqual(texts(0, 12))
      expect(server.stored(stream).length).toBe(messages + (destination.mode === 'frames' ? 1 : 2))
    })

    it('another record at a published number: DIVERGED', async () => {
      await formerRun([5, 5])
      for (const size of [10, 12]) {
        const writer = await open(destination, SECOND)
        const other = [...texts(0, 4), '"another"', ...texts(5, size - 5)]
        await halts('DIVERGED', writer.send(take(numberingOf(destination), other), false))
      }
      expect(recordsIn(destination)).toEqual(texts(0, 10))
    })

    it('fewer records although the input that made them is passed: DIVERGED', async () => {
      await formerRun([5, 5])
      const writer = await open(destination, SECOND)
      const numbering = numberingOf(destination)
      await writer.send(numbering.take(texts(0, 9), 100, { seq: 10, index: 0 }), false)
      await halts('DIVERGED', writer.send(numbering.take([], 100, { seq: 10, index: 1 }), false))
    })

    it('goes on from state, and what is ahead of it is adopted', async () => {
      await formerRun([5])
      const state = (await open(destination, SECOND)).published
      const writer = await open(destination, SECOND, state)
      const numbering = new Numbering(destination.mode, state)
      await writer.send(take(numbering, texts(5, 5)), false)
      expect(recordsIn(destination)).toEqual(texts(0, 10))
      await halts('LOG_WENT_BACK', open(destination, SECOND, { ...state, number: 11, seq: 100 }))
    })
  })

  describe('two owners', () => {
    it('of which the newer published: FENCED, and nothing of the older one lands', async () => {
      const zombie = await open(destination, FIRST)
      const numbering = numberingOf(destination)
      await zombie.send(take(numbering, texts(0, 2)), false)
      const owner = await open(destination, SECOND)
      await owner.claim()
      await owner.send(take(numberingOf(destination), texts(0, 3)), false)
      await halts('FENCED', zombie.send(take(numbering, texts(2, 2)), false))
      await halts(
        'FENCED',
        zombie
          .send(take(numbering, texts(4, 2)), false)
          .catch(() => zombie.send(take(numberingOf(destination), texts(0, 6)), false)),
      )
      expect(recordsIn(destination)).toEqual(texts(0, 3))
    })

    it('of one generation: only one of them goes on', async () => {
      const [a, b] = [await open(destination, FIRST), await open(destination, { ...FIRST, instance: 'twin' })]
      await a.send(take(numberingOf(destination), texts(0, 2)), false)
      await halts('FENCED', b.send(take(numberingOf(destination), texts(0, 2)), false))
      expect(recordsIn(destination)).toEqual(texts(0, 2))
    })

    it("a predecessor's last publish lands after the look: adopted, not repeated", async () => {
      const former = await open(destination, FIRST)
      const outbox = take(numberingOf(destination), texts(0, 4))
      const over = beforeFirstPublish(log, () => former.send(outbox, false))
      const owner = await open(destination, SECOND, NOTHING, over)
      await owner.send(take(numberingOf(destination), texts(0, 6)), false)
      expect(recordsIn(destination)).toEqual(texts(0, 6))
    })
  })

  it('a message of a stranger on its subject: FOREIGN_WRITE', async () => {
    const writer = await open(destination)
    await writer.send(take(numberingOf(destination), texts(0, 1)), false)
    server.foreignWrite(subject, Buffer.from('"hello"'))
    const numbering = new Numbering(destination.mode, writer.published)
    await halts('FOREIGN_WRITE', writer.send(take(numbering, texts(1, 1)), false))
    await halts('FOREIGN_WRITE', open(destination))
  })

  it('the stream lost its end, or is gone: LOG_WENT_BACK', async () => {
    const writer = await open(destination)
    await writer.send(take(numberingOf(destination), texts(0, 3)), false)
    const state = writer.published
    server.loseTail(stream, 1)
    await halts('LOG_WENT_BACK', open(destination, SECOND, state))
    server.recreate(stream)
    await halts('LOG_WENT_BACK', open(destination, SECOND, state))
    await halts('LOG_WENT_BACK', open({ ...destination, stream: 'nowhere' }))
  })
})

/** A log of which some methods are others. */
function overlaid(inner: Log, methods: Partial<Log>): Log {
  return new Proxy(inner, {
    get: (target, name) => {
      const method = methods[name as keyof Log] ?? target[name as keyof Log]
      return typeof method === 'function' ? method.bind(target) : method
    },
  })
}

/** The log, where something happens just before the first publish reaches it. */
function beforeFirstPublish(inner: Log, happens: () => Promise<unknown>): Log {
  let happened: Promise<unknown> | null = null
  const once = () => {
    happened ??= happens()
    return happened
  }
  return overlaid(inner, {
    publish: (...given) => once().then(() => inner.publish(...given)),
    publishBatch: (...given) => once().then(() => inner.publishBatch(...given)),
  })
}

describe('frames', () => {
  const large = (i: number) => JSON.stringify(`${i}`.padEnd(FRAME_BYTES_MAX / 2, 'x'))

  it('a commit larger than a frame is several; only the last promises the watermark', async () => {
    const writer = await open(FRAMES)
    const numbering = numberingOf(FRAMES)
    await writer.send(take(numbering, texts(0, 1), 10), false)
    const records = [large(1), large(2), large(3)]
    await writer.send(take(numbering, records, 20), false)
    expect(server.stored('in').map((m) => headerOf(m).watermark)).toEqual([10, 10, 10, 20])
    expect(recordsIn(FRAMES)).toEqual([...texts(0, 1), ...records])
    for (const { payload } of server.stored('in')) expect(payload.length).toBeLessThanOrEqual(FRAME_BYTES_MAX)
  })

  it('killed between two frames of a commit: the rest follows, also where it is framed otherwise', async () => {
    const records = [large(1), large(2), large(3), ...texts(4, 2)]
    const dies = overlaid(log, {
      publish: (...given) => (server.stored('in').length === 1 ? new Promise(() => {}) : log.publish(...given)),
    })
    void (await open(FRAMES, FIRST, NOTHING, dies)).send(take(numberingOf(FRAMES), records), false)
    await server.scheduler.sleep(100)
    expect(server.stored('in')).toHaveLength(1)
    const writer = await open(FRAMES, SECOND)
    await writer.claim()
    const numbering = numberingOf(FRAMES)
    await writer.send(take(numbering, records.slice(0, 3)), false)
    await writer.send(take(numbering, records.slice(3)), false)
    expect(recordsIn(FRAMES)).toEqual(records)
  })

  it('a claim repeats what was found and says nothing new', async () => {
    const former = await open(FRAMES)
    await former.claim()
    await former.send(take(numberingOf(FRAMES), texts(0, 4), 30), false)
    const { number, chain } = former.published
    const writer = await open(FRAMES, SECOND)
    await writer.claim()
    expect(headerOf(server.stored('in').at(-1))).toEqual({
      ...{ first: number + 1, count: 0, chainBefore: chain, chainAfter: chain },
      ...{ generation: 2, instance: 'second', watermark: 30, coveredSeq: 4, coveredIndex: 0 },
    })
    expect(recordsIn(FRAMES)).toEqual(texts(0, 4))
  })

  it.each(['ackLost', 'publishLost'] as const)('a claim with an unknown outcome (%s) is there once', async (kind) => {
    const writer = await open(FRAMES)
    server.plan({ kind })
    await writer.claim()
    expect(server.stored('in').map((m) => headerOf(m).instance)).toEqual(['first'])
  })

  it("a predecessor's frame lands before the claim: the claim comes behind it", async () => {
    const former = await open(FRAMES)
    const outbox = take(numberingOf(FRAMES), texts(0, 4), 30)
    const writer = await open(
      FRAMES,
      SECOND,
      NOTHING,
      beforeFirstPublish(log, () => former.send(outbox, false)),
    )
    await writer.claim()
    expect(server.stored('in').map((m) => headerOf(m).generation)).toEqual([1, 2])
    expect(writer).toMatchObject({ published: { number: 4 }, foundCovered: { seq: 4, index: 0 }, foundWatermark: 30 })
  })

  it('a claim against a newer owner: FENCED', async () => {
    const late = await open(FRAMES)
    await (await open(FRAMES, SECOND)).claim()
    await halts('FENCED', late.claim())
  })

  it('an empty frame is sent where watermark or covered position moved, and only if it may be', async () => {
    const writer = await open(FRAMES)
    const numbering = numberingOf(FRAMES)
    await writer.send(numbering.take(texts(0, 1), 10, { seq: 1, index: 1 }), false)
    const count = () => server.stored('in').length
    await writer.send(numbering.take([], 10, { seq: 1, index: 1 }), true)
    expect(count()).toBe(1)
    await writer.send(numbering.take([], 11, { seq: 1, index: 1 }), false)
    expect(count()).toBe(1)
    await writer.send(numbering.take([], 11, { seq: 1, index: 1 }), true)
    await writer.send(numbering.take([], 11, { seq: 1, index: 2 }), true)
    expect(
      server
        .stored('in')
        .map((m) => headerOf(m))
        .map(({ count: n, watermark, coveredIndex }) => [n, watermark, coveredIndex]),
    ).toEqual([
      [1, 10, 1],
      [0, 11, 1],
      [0, 11, 2],
    ])
  })

  it('the covered position never goes back, though a restart cuts its commits elsewhere', async () => {
    // A commit of two frames, up to input 9, of which the first is stored and the second is not.
    const big = Array.from({ length: 4 }, (_, i) => `"${i}${'x'.repeat(FRAME_BYTES_MAX / 3)}"`)
    const whole = numberingOf(FRAMES).take(big, 10, { seq: 9, index: 0 })
    expect(whole.chunks).toHaveLength(2)
    await (await open(FRAMES)).send({ ...whole, chunks: whole.chunks.slice(0, 1) }, false)
    const writer = await open(FRAMES, SECOND)
    const numbering = numberingOf(FRAMES)
    await writer.send(numbering.take(big.slice(0, 3), 5, { seq: 7, index: 0 }), false)
    await writer.send(numbering.take([], 6, { seq: 8, index: 0 }), true)
    await writer.send(numbering.take(big.slice(3), 10, { seq: 9, index: 1 }), false)
    const covered = server.stored('in').map((m) => headerOf(m).coveredSeq + headerOf(m).coveredIndex / 10)
    expect(covered).toEqual(covered.toSorted((a, b) => a - b))
    expect(recordsIn(FRAMES)).toEqual(big)
  })

  it('while it catches up nothing is said', async () => {
    await (await open(FRAMES)).send(take(numberingOf(FRAMES), texts(0, 4), 10), false)
    const writer = await open(FRAMES, SECOND)
    await writer.send(numberingOf(FRAMES).take(texts(0, 2), 99, { seq: 2, index: 0 }), true)
    await writer.send(
      new Numbering('frames', { number: 2, chain: '0'.repeat(16) }).take([], 99, { seq: 3, index: 0 }),
      true,
    )
    expect(server.stored('in')).toHaveLength(1)
  })

  it('finds its frame among those of other writers', async () => {
    const writer = await open(FRAMES)
    await writer.send(take(numberingOf(FRAMES), texts(0, 2)), false)
    const other = { ...FRAMES, subject: 'in.v' }
    const header = {
      first: 1,
      count: 0,
      chainBefore: '0'.repeat(16),
      chainAfter: '0'.repeat(16),
      generation: 9,
      instance: 'v',
      watermark: 1,
      coveredSeq: 0,
      coveredIndex: 0,
    }
    await log.publish(
      { subject: other.subject, headers: { [FRAME_HEADER]: encodeFrameHeader(header) }, payload: Buffer.from('[]') },
      null,
    )
    expect((await open(FRAMES, SECOND)).published).toEqual(writer.published)
  })
})

describe('records', () => {
  it('are published in atomic batches of at most 1,000; the last of each carries the header', async () => {
    const writer = await open(RECORDS)
    await writer.send(take(numberingOf(RECORDS), texts(0, 2_300)), false)
    expect(recordsIn(RECORDS)).toEqual(texts(0, 2_300))
    const ends = server.stored('out').flatMap((m) => (m.headers?.[FRAME_HEADER] === undefined ? [] : [m.seq]))
    expect(ends).toEqual([1_000, 2_000, 2_300])
  })

  it('have no claims and no empty frames', async () => {
    const writer = await open(RECORDS)
    await writer.claim()
    await writer.send(numberingOf(RECORDS).take([], 50, { seq: 9, index: 0 }), true)
    expect(server.stored('out')).toEqual([])
  })

  it('that retention took are known by their sequences, and not published again', async () => {
    const former = await open(RECORDS)
    const numbering = numberingOf(RECORDS)
    await former.send(take(numbering, texts(0, 4)), false)
    const state = former.published
    await former.send(take(numbering, texts(4, 3)), false)
    server.dropFirst('out', 7)
    const writer = await open(RECORDS, SECOND, state)
    expect(writer.published).toEqual({ number: 7, chain: '', seq: 7 })
    await writer.send(take(new Numbering('records', state), texts(4, 5)), false)
    expect(server.stored('out').map(({ seq, payload }) => [seq, Buffer.from(payload).toString()])).toEqual([
      [8, '"record 7"'],
      [9, '"record 8"'],
    ])
  })

  it('that retention takes while the writer asks are no gap', async () => {
    const former = await open(RECORDS)
    const numbering = numberingOf(RECORDS)
    await former.send(take(numbering, texts(0, 4)), false)
    const state = former.published
    await former.send(take(numbering, texts(4, 1)), false)
    server.dropFirst('out', 3)
    let questions = 0
    const meanwhile = () => {
      if (++questions === 2) server.dropFirst('out', 2)
    }
    const trimmedMeanwhile = overlaid(log, {
      streamState: async (stream) => {
        meanwhile()
        return log.streamState(stream)
      },
      lastOnSubject: async (stream, subject) => {
        meanwhile()
        return log.lastOnSubject(stream, subject)
      },
    })
    const writer = await open(RECORDS, SECOND, state, trimmedMeanwhile)
    expect(questions).toBe(2)
    expect(writer.published.number).toBe(5)
  })
})
