// What every Log promises (log/log.ts), run by log/fake-log.test.ts on the simulated one and by log/nats-log.test.ts on
// the real one: a simulation proves something only as far as both pass the same suite.
// Times are those of the log under test: logical for the fake, real for nats-server.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HoldfastError } from '../../log/errors.ts'
import { messageDigest } from '../../log/frame.ts'
import {
  type Expect,
  type Log,
  type LogMessage,
  type LogReader,
  LogUnavailable,
  type Outgoing,
  type PublishResult,
  type ReadFrom,
  type StreamSpec,
} from '../../log/log.ts'

/** The world of one log: more connections, and what can be done to the broker behind it. */
export interface LogHarness {
  connect(): Promise<Log>
  /** The broker stops answering (SIGSTOP; settles when it has stopped) and goes on. */
  pause(): Promise<void>
  resume(): void
  /** kill -9, `whileDown`, start again on the same store. */
  restart(): Promise<void>
  /**
   * A copy of the store now; the function it resolves to puts that copy back (kill -9, replace, start). What `fill` does
   * with its connection is done before the others are connected again.
   */
  backup(): Promise<(fill?: (log: Log) => Promise<void>) => Promise<void>>
  /** Deletes the stream and creates it again while everybody is connected. */
  recreate(spec: StreamSpec): Promise<void>
  /** Takes the consumers of all readers away while they are connected. */
  dropConsumers(stream: string): Promise<void>
  /** Lets `ms` pass. */
  sleep(ms: number): Promise<void>
  close(): Promise<void>
}

/** Bytes the broker under test may store: small, so that NO_ROOM is reached. */
export const CONFORMANCE_STORE_BYTES = 512 * 1024 * 1024
const STREAM_BYTES = 2 * 1024 * 1024
const NEXT_MS = 10_000
const START: ReadFrom = { seq: 0, digest: '', created: '' }
const ANY: Expect = null

let streamCount = 0

/** A spec of its own for each test. */
function freshSpec(overrides: Partial<StreamSpec> = {}): StreamSpec {
  const name = `conf-${++streamCount}`
  const fixed = { name, subjects: [`${name}.>`], maxBytes: STREAM_BYTES, replicas: 1, maxAgeMs: 0, atomic: true }
  return { ...fixed, ...overrides }
}

function message(subject: string, text: string, headers: Record<string, string> | null = null): Outgoing {
  return { subject, headers, payload: Buffer.from(text) }
}

function textOf(m: LogMessage): string {
  return Buffer.from(m.payload).toString()
}

function expectStored(result: PublishResult): number {
  expect(result).toMatchObject({ kind: 'stored' })
  return result.kind === 'stored' ? result.seq : 0
}

/** Publishes texts one after the other; the sequences. */
async function publishAll(log: Log, subject: string, texts: readonly string[]): Promise<number[]> {
  const seqs: number[] = []
  for (const text of texts) seqs.push(expectStored(await log.publish(message(subject, text), ANY)))
  return seqs
}

function numbered(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}`)
}

/** Reads until `count` messages came or nothing comes for NEXT_MS. */
async function readCount(reader: LogReader, count: number): Promise<LogMessage[]> {
  const messages: LogMessage[] = []
  while (messages.length < count) {
    const more = await reader.next(NEXT_MS)
    if (more.length === 0) break
    messages.push(...more)
  }
  return messages
}

/** Asks again while the broker is away; protocol.md: retried for ever. */
async function insist<T>(harness: LogHarness, ask: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof LogUnavailable) || tries > 200) throw error
      await harness.sleep(50)
    }
  }
}

/** Publishes with compare-and-set until it is stored, as a writer does: after an unknown outcome it reads the log first. */
async function publishChained(harness: LogHarness, log: Log, stream: string, subject: string, texts: string[]) {
  let last = (await insist(harness, () => log.lastOnSubject(stream, subject)))?.seq ?? 0
  for (const text of texts) {
    while (true) {
      const result = await log.publish(message(subject, text), { lastSubjectSeq: last })
      if (result.kind === 'stored') {
        last = result.seq
        break
      }
      await harness.sleep(50)
      const there = await insist(harness, () => log.lastOnSubject(stream, subject))
      if (there !== null && textOf(there) === text) {
        last = there.seq
        break
      }
    }
  }
  return last
}

async function positionAt(log: Log, stream: string, seq: number): Promise<ReadFrom> {
  const state = await log.streamState(stream)
  const at = await log.message(stream, seq)
  return { seq, digest: messageDigest(at!), created: state!.created }
}

/** Whether the rejection (or throw) is a HoldfastError with this code. */
async function expectCode(work: Promise<unknown>, code: string): Promise<HoldfastError> {
  const error = await work.then(
    () => new Error(`resolved, ${code} expected`),
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(HoldfastError)
  expect((error as HoldfastError).code).toBe(code)
  return error as HoldfastError
}

/** Reads on until the reader throws; what it handed out meanwhile. */
async function readUntilHalt(reader: LogReader): Promise<{ error: unknown; messages: LogMessage[] }> {
  const messages: LogMessage[] = []
  const deadline = 60
  for (let i = 0; i < deadline; i++) {
    try {
      messages.push(...(await reader.next(500)))
    } catch (error) {
      return { error, messages }
    }
  }
  return { error: null, messages }
}

/** One suite for every Log. */
export function logConformance(name: string, makeHarness: () => Promise<LogHarness>): void {
  describe(`${name} keeps the promises of a log`, () => {
    let harness: LogHarness
    let log: Log

    beforeAll(async () => {
      harness = await makeHarness()
      log = await harness.connect()
    }, 60_000)
    afterAll(async () => {
      await log.close()
      await harness.close()
    })

    async function stream(overrides: Partial<StreamSpec> = {}): Promise<StreamSpec> {
      const spec = freshSpec(overrides)
      await log.ensureStream(spec)
      return spec
    }

    async function whilePaused<T>(work: () => Promise<T>): Promise<T> {
      await harness.pause()
      try {
        return await work()
      } finally {
        harness.resume()
      }
    }

    describe('streams', () => {
      it('creates one, and finds it unchanged the second time', async () => {
        const spec = freshSpec()
        expect(await log.streamState(spec.name)).toBeNull()
        const state = await log.ensureStream(spec)
        expect(state).toMatchObject({ firstSeq: 1, lastSeq: 0, bytes: 0 })
        expect(await log.ensureStream(spec)).toEqual(state)
        await publishAll(log, `${spec.name}.a`, ['x'])
        const after = await log.streamState(spec.name)
        expect(after).toMatchObject({ created: state.created, firstSeq: 1, lastSeq: 1 })
        expect(after!.bytes).toBeGreaterThan(0)
      })

      it.each<[keyof StreamSpec, Partial<StreamSpec>]>([
        ['subjects', { subjects: ['other-subject.>'] }],
        ['maxBytes', { maxBytes: STREAM_BYTES * 2 }],
        ['maxAgeMs', { maxAgeMs: 60_000 }],
        ['atomic', { atomic: false }],
      ])('refuses one that is there with another %s', async (_, change) => {
        const spec = await stream()
        await expectCode(log.ensureStream({ ...spec, ...change }), 'SETTINGS_DROPPED')
        expect(await log.ensureStream(spec)).toMatchObject({ lastSeq: 0 })
      })

      it('says NO_ROOM when the server cannot hold it', async () => {
        await expectCode(log.ensureStream(freshSpec({ maxBytes: CONFORMANCE_STORE_BYTES * 2 })), 'NO_ROOM')
      })

      it('knows nothing of one that is not there', async () => {
        const name = freshSpec().name
        expect(await log.streamState(name)).toBeNull()
        expect(await log.lastOnSubject(name, `${name}.a`)).toBeNull()
        expect(await log.message(name, 1)).toBeNull()
        expect(await log.subjects(name)).toEqual(new Map())
        await log.trim(name, 10)
      })

      it('counts messages by subject', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, ['1', '2'])
        await publishAll(log, `${spec.name}.b`, ['3'])
        const expected = new Map([
          [`${spec.name}.a`, 2],
          [`${spec.name}.b`, 1],
        ])
        expect(await log.subjects(spec.name)).toEqual(expected)
      })
    })

    describe('publish', () => {
      it('stores subject, headers and payload, and gives out rising sequences', async () => {
        const spec = await stream()
        const subject = `${spec.name}.a`
        const headers = { 'Hf-Frame': '1 2 3', 'Hf-Other': 'a: b, c' }
        expect(expectStored(await log.publish(message(subject, 'one', headers), ANY))).toBe(1)
        expect(expectStored(await log.publish(message(subject, ''), ANY))).toBe(2)
        const first = await log.message(spec.name, 1)
        expect(first).toMatchObject({ seq: 1, subject, headers })
        expect(textOf(first!)).toBe('one')
        const last = await log.lastOnSubject(spec.name, subject)
        expect(last!.seq).toBe(2)
        expect(last!.headers).toBeNull()
        expect(last!.payload.length).toBe(0)
        expect(last!.timeNs).toBeGreaterThan(first!.timeNs)
        const reader = await log.read(spec.name, START)
        const delivered = await readCount(reader, 2)
        await reader.stop()
        expect(delivered.map(({ timeNs }) => timeNs)).toEqual([first!.timeNs, last!.timeNs])
        for (const { timeNs, timeMs } of [first!, last!, ...delivered]) expect(timeMs).toBe(Number(timeNs / 1_000_000n))
        expect(await log.message(spec.name, 3)).toBeNull()
        expect(await log.lastOnSubject(spec.name, `${spec.name}.none`)).toBeNull()
      })

      it('compares the last sequence of the subject, whatever other subjects do', async () => {
        const spec = await stream()
        const [a, b] = [`${spec.name}.a`, `${spec.name}.b`]
        const first = expectStored(await log.publish(message(a, '1'), { lastSubjectSeq: 0 }))
        expect(await log.publish(message(a, 'again'), { lastSubjectSeq: 0 })).toMatchObject({ kind: 'refused' })
        await publishAll(log, b, ['x', 'y'])
        expectStored(await log.publish(message(a, '2'), { lastSubjectSeq: first }))
        expect(await log.publish(message(a, 'late'), { lastSubjectSeq: first })).toMatchObject({ kind: 'refused' })
        expect((await log.streamState(spec.name))!.lastSeq).toBe(4)
      })

      it('compares the last sequence of the stream', async () => {
        const spec = await stream()
        const [a, b] = [`${spec.name}.a`, `${spec.name}.b`]
        expectStored(await log.publish(message(a, '1'), { lastSeq: 0 }))
        expectStored(await log.publish(message(b, '2'), { lastSeq: 1 }))
        expect(await log.publish(message(a, '3'), { lastSeq: 1 })).toMatchObject({ kind: 'refused' })
        expect((await log.streamState(spec.name))!.lastSeq).toBe(2)
      })

      it('lets exactly one of many win the same compare-and-set', async () => {
        const spec = await stream()
        const others = await Promise.all([harness.connect(), harness.connect(), harness.connect()])
        let last = 0
        for (let round = 0; round < 10; round++) {
          const tries = [log, ...others, log].map((l, i) =>
            l.publish(message(`${spec.name}.a`, `${round}/${i}`), { lastSubjectSeq: last }),
          )
          const results = await Promise.all(tries)
          const winners = results.filter((r) => r.kind === 'stored')
          expect(winners).toHaveLength(1)
          expect(results.filter((r) => r.kind === 'refused')).toHaveLength(4)
          last = expectStored(winners[0]!)
        }
        expect((await log.streamState(spec.name))!.lastSeq).toBe(10)
        for (const other of others) await other.close()
      })

      it('refuses every publish of a zombie once its successor has claimed the subject', async () => {
        const spec = await stream()
        const subject = `${spec.name}.writer`
        const zombie = await harness.connect()
        const held = expectStored(await zombie.publish(message(subject, 'mine'), { lastSubjectSeq: 0 }))
        const claimed = expectStored(await log.publish(message(subject, 'claim'), { lastSubjectSeq: held }))
        const tries = numbered('zombie', 100).map((t) => zombie.publish(message(subject, t), { lastSubjectSeq: held }))
        const results = await Promise.all(tries)
        expect(results.every((r) => r.kind === 'refused')).toBe(true)
        expect((await log.lastOnSubject(spec.name, subject))!.seq).toBe(claimed)
        await zombie.close()
      })

      it('takes publishes to several streams side by side, each in its order', async () => {
        const specs = await Promise.all([stream(), stream(), stream()])
        const seqs = await Promise.all(specs.map((s) => publishAll(log, `${s.name}.a`, numbered('m', 50))))
        for (const list of seqs) expect(list).toEqual(Array.from({ length: 50 }, (_, i) => i + 1))
      })

      it('is unknown without a stream behind the subject', async () => {
        expect(await log.publish(message('conf-nobody.a', 'x'), ANY)).toMatchObject({ kind: 'unknown' })
      })
    })

    describe('an atomic batch', () => {
      const batchOf = (spec: StreamSpec, count: number, text = 'r') =>
        numbered(text, count).map((t, i) => message(`${spec.name}.a`, t, { 'Hf-Record': `w.${i + 1}` }))

      it.each([1, 2, 1000])('of %i messages is stored whole and in order', async (count) => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.b`, ['before'])
        expect(expectStored(await log.publishBatch(batchOf(spec, count), { lastSeq: 1 }))).toBe(count + 1)
        const reader = await log.read(spec.name, START)
        const messages = await readCount(reader, count + 1)
        expect(messages.slice(1).map(textOf)).toEqual(numbered('r', count))
        expect(messages.at(-1)!.headers).toMatchObject({ 'Hf-Record': `w.${count}` })
        await reader.stop()
      })

      it.each<[string, Expect]>([
        ['the stream', { lastSeq: 0 }],
        ['the subject', { lastSubjectSeq: 0 }],
      ])('is refused whole when the last sequence of %s is another', async (_, wrong) => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, ['before'])
        expect(await log.publishBatch(batchOf(spec, 20), wrong)).toMatchObject({ kind: 'refused' })
        expect((await log.streamState(spec.name))!.lastSeq).toBe(1)
      })

      it('compares the last sequence of the subject for its first message only', async () => {
        const spec = await stream()
        const [before] = await publishAll(log, `${spec.name}.a`, ['before'])
        expectStored(await log.publishBatch(batchOf(spec, 20), { lastSubjectSeq: before! }))
        expect((await log.streamState(spec.name))!.lastSeq).toBe(21)
      })

      it('stores nothing when it does not fit', async () => {
        const spec = await stream({ maxBytes: 100_000 })
        const big = numbered('b', 20).map((t) => message(`${spec.name}.a`, t.padEnd(10_000, '.')))
        expect(await log.publishBatch(big, ANY)).toMatchObject({ kind: 'full' })
        expect((await log.streamState(spec.name))!.lastSeq).toBe(0)
        expectStored(await log.publishBatch(big.slice(0, 5), ANY))
      })

      it('is a mistake of the program on a stream without batches, and above 1,000 messages', async () => {
        const spec = await stream({ atomic: false })
        await expectCode(log.publishBatch(batchOf(spec, 2), ANY), 'SETTINGS_DROPPED')
        const atomic = await stream()
        await expect(log.publishBatch(batchOf(atomic, 1001), ANY)).rejects.toThrow(/assertion/)
      })
    })

    describe('a full stream', () => {
      it('refuses with `full`, stores nothing, keeps what it has, and takes more after a trim', async () => {
        const spec = await stream({ maxBytes: 50_000 })
        const big = message(`${spec.name}.a`, 'x'.repeat(9_000))
        let result: PublishResult = { kind: 'stored', seq: 0 }
        let stored = 0
        while (result.kind === 'stored') {
          stored = result.seq
          result = await log.publish(big, ANY)
        }
        expect(result).toMatchObject({ kind: 'full' })
        expect(stored).toBe(5)
        expect(await log.streamState(spec.name)).toMatchObject({ firstSeq: 1, lastSeq: stored })
        await log.trim(spec.name, 3)
        expect(expectStored(await log.publish(big, ANY))).toBe(stored + 1)
      })
    })

    describe('an unknown outcome', () => {
      it('may land later, and compare-and-set makes the second try harmless', async () => {
        const spec = await stream()
        const subject = `${spec.name}.a`
        const first = expectStored(await log.publish(message(subject, 'one'), { lastSubjectSeq: 0 }))
        const result = await whilePaused(() => log.publish(message(subject, 'two'), { lastSubjectSeq: first }))
        expect(result).toMatchObject({ kind: 'unknown' })
        let last = await insist(harness, () => log.lastOnSubject(spec.name, subject))
        for (let i = 0; i < 100 && last!.seq === first; i++) {
          await harness.sleep(50)
          last = await insist(harness, () => log.lastOnSubject(spec.name, subject))
        }
        expect(textOf(last!)).toBe('two')
        const again = await log.publish(message(subject, 'two'), { lastSubjectSeq: first })
        expect(again).toMatchObject({ kind: 'refused' })
        expect((await log.streamState(spec.name))!.lastSeq).toBe(2)
      })

      it('is what a batch has, too; and a question without an answer throws LogUnavailable', async () => {
        const spec = await stream()
        const two = [message(`${spec.name}.a`, '1'), message(`${spec.name}.a`, '2')]
        await whilePaused(async () => {
          const batch = log.publishBatch(two, { lastSeq: 0 })
          const pinged = log.ping()
          await expect(log.streamState(spec.name)).rejects.toBeInstanceOf(LogUnavailable)
          expect(await batch).toMatchObject({ kind: 'unknown' })
          expect(await pinged).toBe(false)
        })
        const state = await insist(harness, () => log.streamState(spec.name))
        expect([0, 2]).toContain(state!.lastSeq)
        expect(await log.ping()).toBe(true)
      })

      it('loses and duplicates nothing for a writer that reads before it retries, over a kill of the broker', async () => {
        const spec = await stream()
        const subject = `${spec.name}.w`
        const texts = numbered('m', 120)
        const writing = publishChained(harness, log, spec.name, subject, texts)
        await harness.sleep(30)
        await harness.restart()
        await writing
        const reader = await insist(harness, () => log.read(spec.name, START))
        expect((await readCount(reader, texts.length)).map(textOf)).toEqual(texts)
        expect(await reader.next(100)).toEqual([])
        await reader.stop()
      })
    })

    describe('a reader', () => {
      it('hands out everything from the start, in order, then what comes, then nothing', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, numbered('m', 30))
        const reader = await log.read(spec.name, START)
        const first = await readCount(reader, 30)
        expect(first.map((m) => m.seq)).toEqual(Array.from({ length: 30 }, (_, i) => i + 1))
        expect(first.map(textOf)).toEqual(numbered('m', 30))
        expect(reader.pending).toBe(0)
        expect(await reader.next(50)).toEqual([])
        const waiting = reader.next(NEXT_MS)
        await publishAll(log, `${spec.name}.b`, ['live'])
        expect((await waiting).map(textOf)).toEqual(['live'])
        await reader.stop()
        expect(await reader.next(50)).toEqual([])
      })

      it('ends a waiting next() when it is stopped', async () => {
        const spec = await stream()
        const reader = await log.read(spec.name, START)
        const waiting = reader.next(NEXT_MS)
        await reader.stop()
        expect(await waiting).toEqual([])
      })

      it('starts with the message at its position, and counts what is behind', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, numbered('m', 10))
        const reader = await log.read(spec.name, await positionAt(log, spec.name, 7))
        const messages = await readCount(reader, 4)
        expect(messages.map((m) => m.seq)).toEqual([7, 8, 9, 10])
        await reader.stop()
      })

      it('gives the same digest as the same message asked for by sequence or subject', async () => {
        const spec = await stream()
        const [a, b] = [`${spec.name}.a`, `${spec.name}.b`]
        await log.publish(message(a, 'plain'), ANY)
        await log.publish(message(a, 'headers', { 'Hf-Frame': '1 2', Zulu: 'z', alpha: 'a' }), { lastSubjectSeq: 1 })
        await log.publish(message(b, 'cas', {}), { lastSeq: 2 })
        await log.publishBatch([message(a, 'b1', { 'Hf-Record': 'w.1' }), message(b, 'b2')], { lastSeq: 3 })
        const reader = await log.read(spec.name, START)
        const messages = await readCount(reader, 5)
        for (const m of messages) {
          expect(messageDigest((await log.message(spec.name, m.seq))!)).toBe(messageDigest(m))
        }
        expect(new Set(messages.map(messageDigest)).size).toBe(5)
        expect(messageDigest((await log.lastOnSubject(spec.name, a))!)).toBe(messageDigest(messages[3]!))
        await reader.stop()
      })

      it('brings large frames without stalling, and gets its turn between many small ones', async () => {
        const spec = await stream({ maxBytes: 64 * 1024 * 1024 })
        const big = 'x'.repeat(512 * 1024)
        for (let i = 0; i < 40; i++) await log.publish(message(`${spec.name}.big`, big), ANY)
        for (let i = 0; i < 8; i++) {
          const small = numbered(`${i}-`, 1000).map((t) => message(`${spec.name}.small`, t))
          expectStored(await log.publishBatch(small, ANY))
        }
        await log.publish(message(`${spec.name}.big`, big), ANY)
        const reader = await log.read(spec.name, START)
        const messages = await readCount(reader, 8041)
        expect(messages).toHaveLength(8041)
        expect(messages.at(-1)!.payload.length).toBe(big.length)
        await reader.stop()
      })

      it('hands out each message once when its consumer is taken away', async () => {
        const spec = await stream()
        const reader = await log.read(spec.name, START)
        const seqs: number[] = []
        for (let round = 0; round < 4; round++) {
          await publishAll(log, `${spec.name}.a`, numbered('m', 25))
          seqs.push(...(await readCount(reader, 25)).map((m) => m.seq))
          await harness.dropConsumers(spec.name)
        }
        await publishAll(log, `${spec.name}.a`, ['last'])
        seqs.push(...(await readCount(reader, 1)).map((m) => m.seq))
        expect(seqs).toEqual(Array.from({ length: 101 }, (_, i) => i + 1))
        await reader.stop()
      }, 60_000)

      it('goes on after clean restarts of the broker: each message once, no false alarm', async () => {
        const spec = await stream()
        const reader = await log.read(spec.name, START)
        const seqs: number[] = []
        for (let round = 0; round < 3; round++) {
          await publishChained(harness, log, spec.name, `${spec.name}.a`, numbered(`${round}-`, 20))
          seqs.push(...(await readCount(reader, 20)).map((m) => m.seq))
          await harness.restart()
        }
        await publishChained(harness, log, spec.name, `${spec.name}.a`, ['last'])
        seqs.push(...(await readCount(reader, 1)).map((m) => m.seq))
        expect(seqs).toEqual(Array.from({ length: 61 }, (_, i) => i + 1))
        await reader.stop()
      }, 60_000)

      it('only waits while the broker is away', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, ['one'])
        const reader = await log.read(spec.name, START)
        expect(await readCount(reader, 1)).toHaveLength(1)
        await whilePaused(async () => expect(await reader.next(200)).toEqual([]))
        await publishChained(harness, log, spec.name, `${spec.name}.a`, ['two'])
        expect((await readCount(reader, 1)).map(textOf)).toEqual(['two'])
        await reader.stop()
      })
    })

    describe('continuity, when a reader opens', () => {
      it('halts on another message at its position', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, numbered('m', 5))
        const at3 = await positionAt(log, spec.name, 3)
        const reader = await log.read(spec.name, { ...at3, seq: 4 })
        const { error, messages } = await readUntilHalt(reader)
        expect(error).toMatchObject({ code: 'LOG_WENT_BACK', numbers: { position: 4 } })
        expect(messages).toEqual([])
        await expectCode(reader.next(50), 'LOG_WENT_BACK')
      })

      it('halts on a stream created at another time', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, numbered('m', 5))
        const position = await positionAt(log, spec.name, 3)
        await expectCode(log.read(spec.name, { ...position, created: '2020-01-01T00:00:00Z' }), 'LOG_WENT_BACK')
        await expectCode(log.read(`${spec.name}-gone`, position), 'LOG_WENT_BACK')
      })

      it('halts on a stream that ends before its position', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, numbered('m', 5))
        const position = await positionAt(log, spec.name, 5)
        const error = await expectCode(log.read(spec.name, { ...position, seq: 15 }), 'LOG_WENT_BACK')
        expect(error.numbers).toMatchObject({ position: 15, lastSeq: 5 })
      })

      it('halts when records between its position and the first message are gone', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, numbered('m', 10))
        const position = await positionAt(log, spec.name, 3)
        await log.trim(spec.name, 6)
        const error = await expectCode(log.read(spec.name, position), 'GAP')
        expect(error.numbers).toMatchObject({ position: 3, firstSeq: 6 })
        await expectCode(log.read(spec.name, START), 'GAP')
      })

      it('goes on when just the message at its position is gone', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, numbered('m', 10))
        const position = await positionAt(log, spec.name, 5)
        await log.trim(spec.name, 6)
        const reader = await log.read(spec.name, position)
        expect((await readCount(reader, 5)).map((m) => m.seq)).toEqual([6, 7, 8, 9, 10])
        await reader.stop()
      })
    })

    describe('continuity, while a reader is connected', () => {
      /** A reader that has read `count` messages, ten of them after the backup was taken. */
      async function readerAheadOfBackup() {
        const spec = await stream()
        const subject = `${spec.name}.a`
        await publishAll(log, subject, numbered('old', 20))
        const reader = await log.read(spec.name, START)
        await readCount(reader, 20)
        const putBack = await harness.backup()
        await publishAll(log, subject, numbered('lost', 10))
        expect(await readCount(reader, 10)).toHaveLength(10)
        return { subject, reader, putBack }
      }

      it('halts on an older copy of the store, at once', async () => {
        const { reader, putBack } = await readerAheadOfBackup()
        await putBack()
        const { error, messages } = await readUntilHalt(reader)
        expect(error).toMatchObject({ code: 'LOG_WENT_BACK', numbers: { position: 30, lastSeq: 20 } })
        expect(messages).toEqual([])
      }, 60_000)

      it('halts on an older copy that others have already filled up again', async () => {
        const { subject, reader, putBack } = await readerAheadOfBackup()
        await putBack(async (other) => {
          expect(await publishAll(other, subject, numbered('new', 15))).toContain(30)
        })
        const { error, messages } = await readUntilHalt(reader)
        expect(error).toMatchObject({ code: 'LOG_WENT_BACK', numbers: { position: 30 } })
        expect(messages.map(textOf)).toEqual([])
      }, 60_000)

      it('halts on a stream that was deleted and created again', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, numbered('m', 5))
        const reader = await log.read(spec.name, START)
        await readCount(reader, 5)
        await harness.recreate(spec)
        await publishAll(log, `${spec.name}.a`, numbered('n', 10))
        const { error, messages } = await readUntilHalt(reader)
        expect(error).toMatchObject({ code: 'LOG_WENT_BACK' })
        expect(messages).toEqual([])
      }, 60_000)

      it('halts when what it has not read yet is taken away', async () => {
        const spec = await stream({ maxBytes: 32 * 1024 * 1024 })
        const reader = await log.read(spec.name, START)
        // Far more than a reader fetches ahead of next().
        for (let i = 0; i < 48; i++) await log.publish(message(`${spec.name}.a`, 'x'.repeat(512 * 1024)), ANY)
        await log.trim(spec.name, 48)
        const { error, messages } = await readUntilHalt(reader)
        expect(error).toMatchObject({ code: 'GAP', numbers: { position: messages.length, seq: 48 } })
        expect(messages.length).toBeLessThan(16)
        expect(messages.map((m) => m.seq)).toEqual(messages.map((_, i) => i + 1))
      }, 60_000)
    })

    describe('after a restart of the broker', () => {
      it('knows the last message of each subject and the state of the stream', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, ['a1', 'a2'])
        await publishAll(log, `${spec.name}.b`, ['b1'])
        const before = await log.streamState(spec.name)
        await harness.restart()
        const last = await insist(harness, () => log.lastOnSubject(spec.name, `${spec.name}.a`))
        expect(last).toMatchObject({ seq: 2, subject: `${spec.name}.a` })
        expect(await log.streamState(spec.name)).toEqual(before)
        expect(await log.publish(message(`${spec.name}.a`, 'stale'), { lastSubjectSeq: 1 })).toMatchObject({
          kind: 'refused',
        })
        expectStored(await log.publish(message(`${spec.name}.a`, 'a3'), { lastSubjectSeq: 2 }))
      }, 60_000)
    })

    describe('trim and retention', () => {
      it('removes what is below, keeps the numbering, and does not disturb a reader that is past it', async () => {
        const spec = await stream()
        await publishAll(log, `${spec.name}.a`, numbered('m', 10))
        const reader = await log.read(spec.name, START)
        await readCount(reader, 10)
        await log.trim(spec.name, 10)
        expect(await log.streamState(spec.name)).toMatchObject({ firstSeq: 10, lastSeq: 10 })
        await log.trim(spec.name, 1)
        await log.trim(spec.name, 0)
        expect(await log.streamState(spec.name)).toMatchObject({ firstSeq: 10, lastSeq: 10 })
        await publishAll(log, `${spec.name}.a`, ['next'])
        expect((await readCount(reader, 1)).map((m) => m.seq)).toEqual([11])
        await log.trim(spec.name, 1_000_000)
        expect(await log.streamState(spec.name)).toMatchObject({ firstSeq: 12, lastSeq: 11 })
        expect(expectStored(await log.publish(message(`${spec.name}.a`, 'on'), { lastSeq: 11 }))).toBe(12)
        await reader.stop()
      })

      it('takes messages by age, and lastOnSubject is null while the sequence stays', async () => {
        const spec = await stream({ maxAgeMs: 1000 })
        await publishAll(log, `${spec.name}.a`, ['one', 'two'])
        for (let i = 0; i < 40 && (await log.lastOnSubject(spec.name, `${spec.name}.a`)) !== null; i++) {
          await harness.sleep(250)
        }
        expect(await log.lastOnSubject(spec.name, `${spec.name}.a`)).toBeNull()
        expect(await log.streamState(spec.name)).toMatchObject({ firstSeq: 3, lastSeq: 2 })
      }, 30_000)
    })

    describe('announcements', () => {
      it('reach who listens now, and nobody after that', async () => {
        const other = await harness.connect()
        const heard: string[] = []
        const stopListening = other.listen('conf-announce.*', (payload) => heard.push(Buffer.from(payload).toString()))
        await other.ping()
        log.announce('conf-announce.a', Buffer.from('one'))
        await log.ping()
        await other.ping()
        stopListening()
        log.announce('conf-announce.a', Buffer.from('two'))
        await log.ping()
        await other.ping()
        expect(heard).toEqual(['one'])
        await other.close()
      })
    })

    describe('a closed connection', () => {
      it('publishes nothing, answers nothing, and its readers end', async () => {
        const spec = await stream()
        const other = await harness.connect()
        const reader = await other.read(spec.name, START)
        const waiting = reader.next(NEXT_MS)
        await other.close()
        expect(await waiting).toEqual([])
        expect(await other.publish(message(`${spec.name}.a`, 'x'), ANY)).toMatchObject({ kind: 'unknown' })
        expect(await other.ping()).toBe(false)
        await expect(other.streamState(spec.name)).rejects.toBeInstanceOf(LogUnavailable)
        expect((await log.streamState(spec.name))!.lastSeq).toBe(0)
      })
    })
  })
}
