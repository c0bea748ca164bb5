// The simulated log keeps the promises of a log; below that, what only it can do: faults, by script and by seed.

import { describe, expect, it } from 'vitest'
import { fakeHarness } from '../test/conformance/fake-harness.ts'
import { logConformance } from '../test/conformance/log.ts'
import type { HoldfastError } from './errors.ts'
import { type Chaos, type FakeLog, FakeLogServer } from './fake-log.ts'
import { type LogReader, LogUnavailable, type Outgoing, type ReadFrom, type StreamSpec } from './log.ts'

for (const seed of [1, 2, 3]) logConformance(`the simulated log (seed ${seed})`, async () => fakeHarness(seed))

const SPEC: StreamSpec = { name: 's', subjects: ['s.>'], maxBytes: 1e7, replicas: 1, maxAgeMs: 0, atomic: true }
const START: ReadFrom = { seq: 0, digest: '', created: '' }
const CHAOS: Chaos = { publishLate: 0.04, publishLost: 0.04, ackLost: 0.04, cut: 0.02, pause: 0.01, readerReset: 0.05 }
const RECORDS = 60

function record(number: number): Outgoing {
  return { subject: 's.w', headers: null, payload: Buffer.from(String(number)) }
}

function numberOf(m: { payload: Uint8Array }): number {
  return Number(Buffer.from(m.payload))
}

async function insist<T>(log: FakeLog, ask: () => Promise<T>): Promise<T> {
  while (true) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof LogUnavailable)) throw error
      await log.runtime.sleep(100)
    }
  }
}

/** Publishes `RECORDS` numbered records with compare-and-set; after an unknown outcome it reads before it goes on. */
async function writeAll(log: FakeLog, from = 0): Promise<void> {
  await insist(log, () => log.ensureStream(SPEC))
  let last = from
  let next = from
  while (next < from + RECORDS) {
    const result = await log.publish(record(next), { lastSubjectSeq: last })
    if (result.kind !== 'stored') {
      await log.runtime.sleep(100)
      const there = await insist(log, () => log.lastOnSubject('s', 's.w'))
      last = there?.seq ?? 0
      next = there === null ? 0 : numberOf(there) + 1
    } else {
      last = result.seq
      next++
    }
  }
}

async function readAll(log: FakeLog, count: number): Promise<{ reader: LogReader; numbers: number[] }> {
  const reader = await insist(log, () => log.read('s', START))
  const numbers: number[] = []
  while (numbers.length < count) numbers.push(...(await reader.next(1000)).map(numberOf))
  return { reader, numbers }
}

/** One run under chaos; everything that makes two runs comparable. */
async function chaosRun(seed: number) {
  const server = new FakeLogServer({ seed, chaos: CHAOS })
  const [writer, reading] = [server.connect('writer'), server.connect('reader')]
  await insist(writer, () => writer.ensureStream(SPEC))
  const [, { numbers }] = await Promise.all([writeAll(writer), readAll(reading, RECORDS)])
  const { trace, steps, nowMs } = server.scheduler
  await Promise.all([writer.close(), reading.close()])
  return { numbers, trace, steps, nowMs, fired: server.fired, stored: server.stored('s').map(numberOf) }
}

const IN_ORDER = Array.from({ length: RECORDS }, (_, i) => i)

describe('chaos by seed', () => {
  it('never makes a careful writer lose or duplicate, nor a reader skip or repeat, over 200 seeds', async () => {
    const fired: Record<string, number> = {}
    for (let seed = 1; seed <= 200; seed++) {
      const run = await chaosRun(seed)
      expect(run.stored, `seed ${seed}`).toEqual(IN_ORDER)
      expect(run.numbers, `seed ${seed}`).toEqual(IN_ORDER)
      for (const [kind, count] of Object.entries(run.fired)) fired[kind] = (fired[kind] ?? 0) + count
    }
    for (const kind of Object.keys(CHAOS)) expect(fired[kind], `${kind} never fired`).toBeGreaterThan(20)
  })

  it('is the same for the same seed, and another for another', async () => {
    const [first, again, other] = [await chaosRun(7), await chaosRun(7), await chaosRun(8)]
    expect(again).toEqual(first)
    expect(other.trace).not.toBe(first.trace)
  })

  it('runs by hand, too: nothing moves but what settle() moves', async () => {
    const server = new FakeLogServer({ seed: 1, drive: 'manual' })
    const log = server.connect('a')
    let done = false
    void writeAll(log).then(() => {
      done = true
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(done).toBe(false)
    await server.scheduler.settle(() => done)
    expect(server.stored('s').map(numberOf)).toEqual(IN_ORDER)
  })
})

describe('planned faults of a publish', () => {
  async function connected() {
    const server = new FakeLogServer({ seed: 1 })
    const log = server.connect('a')
    await log.ensureStream(SPEC)
    return { server, log }
  }

  it('late: unknown, nothing there, and there after its time', async () => {
    const { server, log } = await connected()
    server.plan({ kind: 'publishLate', afterMs: 9_000 }, { client: 'a', subject: 's.*' })
    expect(await log.publish(record(1), { lastSubjectSeq: 0 })).toEqual({ kind: 'unknown', cause: 'timeout' })
    expect(await log.lastOnSubject('s', 's.w')).toBeNull()
    await server.scheduler.sleep(5_000)
    expect((await log.lastOnSubject('s', 's.w'))!.seq).toBe(1)
  })

  it('late, but overtaken: compare-and-set refuses it where it lands', async () => {
    const { server, log } = await connected()
    server.plan({ kind: 'publishLate', afterMs: 9_000 })
    expect(await log.publish(record(1), { lastSubjectSeq: 0 })).toMatchObject({ kind: 'unknown' })
    expect(await log.publish(record(1), { lastSubjectSeq: 0 })).toMatchObject({ kind: 'stored' })
    await server.scheduler.sleep(10_000)
    expect(server.stored('s')).toHaveLength(1)
  })

  it('lost: unknown and never there', async () => {
    const { server, log } = await connected()
    server.plan({ kind: 'publishLost' })
    expect(await log.publish(record(1), null)).toMatchObject({ kind: 'unknown' })
    await server.scheduler.sleep(100_000)
    expect(server.stored('s')).toEqual([])
  })

  it('ack lost: unknown, and there at once; only the publish that was meant suffers', async () => {
    const { server, log } = await connected()
    server.plan({ kind: 'ackLost' }, { subject: 's.other' })
    expect(await log.publish(record(1), null)).toMatchObject({ kind: 'stored' })
    server.plan({ kind: 'ackLost' }, { subject: 's.w' })
    expect(await log.publish(record(2), null)).toMatchObject({ kind: 'unknown' })
    expect(server.stored('s').map(numberOf)).toEqual([1, 2])
    expect(server.fired).toMatchObject({ ackLost: 1, publishLate: 0, publishLost: 0 })
  })
})

describe('processes', () => {
  it('a stopped one wakes up after its successor took over, and everything it offers is refused', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const server = new FakeLogServer({ seed })
      const [zombie, successor] = [server.connect('zombie'), server.connect('successor')]
      await zombie.ensureStream(SPEC)
      await zombie.publish(record(0), { lastSubjectSeq: 0 })
      zombie.freeze()
      const offered = zombie.publish(record(66), { lastSubjectSeq: 1 })
      await successor.publish(record(1), { lastSubjectSeq: 1 })
      await server.scheduler.sleep(60_000)
      zombie.thaw()
      // Refused, or its own clock says that it waited too long: never stored.
      expect((await offered).kind, `seed ${seed}`).toMatch(/refused|unknown/)
      expect(server.stored('s').map(numberOf), `seed ${seed}`).toEqual([0, 1])
    }
  })

  it('a killed one settles nothing any more; what it had sent may still land', async () => {
    const landed = new Set<number>()
    for (let seed = 1; seed <= 30; seed++) {
      const server = new FakeLogServer({ seed })
      const [victim, other] = [server.connect('victim'), server.connect('other')]
      await other.ensureStream(SPEC)
      let settled = false
      const offers = [victim.publish(record(1), null), victim.runtime.sleep(10), victim.runtime.turn()]
      void Promise.race(offers).then(() => {
        settled = true
      })
      victim.kill()
      await other.ping()
      await server.scheduler.sleep(1_000)
      expect(settled).toBe(false)
      landed.add(server.stored('s').length)
    }
    expect([...landed].sort()).toEqual([0, 1])
  })
})

describe('damage while a reader is connected', () => {
  type Damage = (server: FakeLogServer) => void
  const damages: Record<string, { damage: Damage; code: string }> = {
    'lost tail': { damage: (s) => s.loseTail('s', 10), code: 'LOG_WENT_BACK' },
    'message changed in place': { damage: (s) => s.overwrite('s', RECORDS, Buffer.from('x')), code: 'LOG_WENT_BACK' },
    'stream created anew': { damage: (s) => s.recreate('s'), code: 'LOG_WENT_BACK' },
  }

  async function readerAtTheEnd(seed: number) {
    const server = new FakeLogServer({ seed })
    const [writer, reading] = [server.connect('writer'), server.connect('reader')]
    await writeAll(writer)
    const { reader } = await readAll(reading, RECORDS)
    return { server, writer, reading, reader }
  }

  /** The code it halts with and what it handed out before; null if it never halts. */
  async function halt(reader: LogReader) {
    const numbers: number[] = []
    for (let i = 0; i < 30; i++) {
      try {
        numbers.push(...(await reader.next(1000)).map(numberOf))
      } catch (error) {
        return { code: (error as HoldfastError).code, numbers }
      }
    }
    return { code: null, numbers }
  }

  it.each(Object.entries(damages))('%s: halts in every one of 50 orders, also when others write on', async (_, d) => {
    for (let seed = 1; seed <= 50; seed++) {
      const { server, writer, reader } = await readerAtTheEnd(seed)
      d.damage(server)
      // Others fill the lost sequences up again, racing with the reader's comparison.
      const others = (async () => {
        for (let i = 0; i < 20; i++) {
          await writer.publish(record(1000 + i), null)
          await writer.runtime.sleep(20)
        }
      })()
      expect(await halt(reader), `seed ${seed}`).toEqual({ code: d.code, numbers: [] })
      await others
    }
  })

  it('an older copy put back: halts in every one of 50 orders', async () => {
    for (let seed = 1; seed <= 50; seed++) {
      const { server, writer, reading } = await readerAtTheEnd(seed)
      const backup = server.backup()
      await writeAll(writer, RECORDS)
      const { reader } = await readAll(reading, 2 * RECORDS)
      server.restore(backup)
      const others = writeAll(writer, RECORDS)
      expect(await halt(reader), `seed ${seed}`).toEqual({ code: 'LOG_WENT_BACK', numbers: [] })
      await others
    }
  })

  it('retention of what it has not read: GAP', async () => {
    const server = new FakeLogServer({ seed: 1 })
    const [writer, reading] = [server.connect('writer'), server.connect('reader')]
    await writeAll(writer)
    const { reader } = await readAll(reading, RECORDS)
    reading.cut(10_000)
    await writeAll(writer, RECORDS)
    server.dropFirst('s', RECORDS + 5)
    expect(await halt(reader)).toEqual({ code: 'GAP', numbers: [] })
  })

  it('no damage, only restarts, cuts and resets: 500 of them without a false alarm', async () => {
    const { server, writer, reading, reader } = await readerAtTheEnd(5)
    let expected = RECORDS
    for (let i = 0; i < 500; i++) {
      if (i % 3 === 0) server.restart()
      if (i % 3 === 1) reading.cut()
      if (i % 3 === 2) reading.resetReaders()
      await insist(writer, async () => {
        const stored = await writer.publish(record(expected), { lastSubjectSeq: expected })
        if (stored.kind !== 'stored') throw new LogUnavailable(stored.kind)
      })
      let got: number[] = []
      while (got.length === 0) got = (await reader.next(1000)).map(numberOf)
      expect(got).toEqual([expected])
      expected++
    }
    expect(server.fired.cut).toBeGreaterThan(300)
  })

  it('a foreign write is an ordinary message to the log: finding it is the business of the task', async () => {
    const { server, reader } = await readerAtTheEnd(1)
    expect(server.foreignWrite('s.w', Buffer.from('77'))).toBe(RECORDS + 1)
    expect((await reader.next(1000)).map(numberOf)).toEqual([77])
    expect(server.fired.foreignWrite).toBe(1)
  })
})
