// Three servers and streams with three replicas: a follower restarts, the leader hands over, the leader is killed, and all
// the while one writer publishes with compare-and-set and one reader reads on. Then what was acknowledged is compared.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type NatsCluster, startNatsCluster } from '../test/nats-cluster.ts'
import { type Log, type LogMessage, LogUnavailable, type ReadFrom, type StreamSpec } from './log.ts'
import { connectLog, type NatsLog } from './nats-log.ts'

const START: ReadFrom = { seq: 0, digest: '', created: '' }
const RECORDS = 240
/** A disturbance after each so many records. */
const DISTURB_EVERY = 40

describe('a stream with three replicas', () => {
  let dir: string
  let cluster: NatsCluster
  let log: NatsLog

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'holdfast-cluster-log-'))
    cluster = await startNatsCluster(dir, { syncAlways: false })
    log = await connect('test')
  })
  afterAll(async () => {
    await log.close()
    await cluster.stop()
    await rm(dir, { recursive: true, force: true })
  })

  const connect = (name: string) => connectLog({ servers: cluster.urls, name, requestTimeoutMs: 2_000 })

  async function stream(name: string): Promise<StreamSpec> {
    const spec = { name, subjects: [`${name}.>`], maxBytes: 16e6, replicas: 3, maxAgeMs: 0, atomic: true }
    await insist(() => log.ensureStream(spec))
    return spec
  }

  async function leaderOf(name: string): Promise<string> {
    while (true) {
      const leader = (await insist(() => log.jsm.streams.info(name))).cluster?.leader
      if (leader) return leader
      await sleep(50)
    }
  }

  async function restart(role: 'leader' | 'follower', name: string): Promise<void> {
    const leader = await leaderOf(name)
    const index = cluster.servers.findIndex((_, i) => (`server-${i + 1}` === leader) === (role === 'leader'))
    cluster.servers[index]!.kill('SIGKILL')
    await cluster.servers[index]!.ready()
  }

  async function handOver(name: string): Promise<void> {
    const before = await leaderOf(name)
    await log.nc.request(`$JS.API.STREAM.LEADER.STEPDOWN.${name}`, '', { timeout: 2_000 }).catch(() => undefined)
    while ((await leaderOf(name)) === before) await sleep(50)
  }

  it('loses, repeats and reorders nothing through restarts and hand-overs, and its reader raises no alarm', async () => {
    const spec = await stream('handover')
    const [writer, reading] = [await connect('writer'), await connect('reader')]
    const watching = readAll(reading, spec.name, RECORDS)
    const acknowledged = new Map<number, string>()
    const disturbances = [
      () => restart('follower', spec.name),
      () => handOver(spec.name),
      () => restart('leader', spec.name),
      () => handOver(spec.name),
      () => restart('follower', spec.name),
    ]
    let disturbing: Promise<void> = Promise.resolve()
    let last = 0
    for (let n = 0; n < RECORDS; n++) {
      const disturb = n > 0 && n % DISTURB_EVERY === 0 ? disturbances[n / DISTURB_EVERY - 1] : undefined
      if (disturb !== undefined) disturbing = disturbing.then(disturb)
      last = await publishCarefully(writer, spec.name, `record ${n}`, last)
      acknowledged.set(last, `record ${n}`)
      await sleep(10)
    }
    await disturbing
    const expected = Array.from({ length: RECORDS }, (_, i) => `record ${i}`)
    const stored = await readAll(log, spec.name, RECORDS)
    expect(stored.map(textOf)).toEqual(expected)
    expect(new Map(stored.map((m) => [m.seq, textOf(m)]))).toEqual(acknowledged)
    expect((await watching).map(textOf)).toEqual(expected)
    expect((await insist(() => log.streamState(spec.name)))!.lastSeq).toBe(last)
    await writer.close()
    await reading.close()
  })

  it('lets one of three writers win each compare-and-set, also while the leader changes', async () => {
    const spec = await stream('race')
    const rivals = await Promise.all(['a', 'b', 'c'].map(connect))
    let handingOver: Promise<void> = Promise.resolve()
    let last = 0
    for (let round = 0; round < 40; round++) {
      if (round % 15 === 14) handingOver = handOver(spec.name)
      const subject = `${spec.name}.w`
      const payload = (rival: number) => Buffer.from(`${round}/${rival}`)
      const offers = rivals.map((l, i) =>
        l.publish({ subject, headers: null, payload: payload(i) }, { lastSubjectSeq: last }),
      )
      const won = (await Promise.all(offers)).filter((r) => r.kind === 'stored')
      expect(won.length).toBeLessThanOrEqual(1)
      const there = await insist(() => log.lastOnSubject(spec.name, subject))
      if (won[0]?.kind === 'stored') expect(there!.seq).toBe(won[0].seq)
      expect([last, last + 1]).toContain(there?.seq ?? 0)
      last = there?.seq ?? 0
    }
    await handingOver
    const stored = await readAll(log, spec.name, last)
    const rounds = stored.map((m) => Number(textOf(m).split('/')[0]))
    expect(rounds).toEqual(rounds.toSorted((a, b) => a - b))
    expect(new Set(rounds).size).toBe(rounds.length)
    expect(rounds.length).toBeGreaterThan(30)
    await Promise.all(rivals.map((l) => l.close()))
  })

  it('stores an atomic batch whole, or not at all, through hand-overs', async () => {
    const spec = await stream('batches')
    let last = 0
    for (let round = 0; round < 12; round++) {
      const handingOver = round % 4 === 3 ? handOver(spec.name) : Promise.resolve()
      const texts = Array.from({ length: 50 }, (_, i) => `${round}.${i}`)
      const batch = texts.map((t) => ({ subject: `${spec.name}.w`, headers: null, payload: Buffer.from(t) }))
      for (let stored = false; !stored; ) {
        const result = await log.publishBatch(batch, { lastSeq: last })
        const state = await insist(() => log.streamState(spec.name))
        expect([last, last + 50]).toContain(state!.lastSeq)
        stored = state!.lastSeq === last + 50
        if (result.kind === 'stored') expect(stored).toBe(true)
        if (!stored) await sleep(50)
      }
      last += 50
      await handingOver
    }
    const stored = await readAll(log, spec.name, last)
    const expected = Array.from({ length: 12 * 50 }, (_, i) => `${Math.floor(i / 50)}.${i % 50}`)
    expect(stored.map(textOf)).toEqual(expected)
  })
})

/** Publishes with compare-and-set; after anything but a positive ack it reads before it tries again. The sequence. */
async function publishCarefully(log: Log, stream: string, text: string, last: number): Promise<number> {
  const subject = `${stream}.w`
  while (true) {
    const result = await log.publish({ subject, headers: null, payload: Buffer.from(text) }, { lastSubjectSeq: last })
    if (result.kind === 'stored') return result.seq
    await sleep(20)
    const there = await insist(() => log.lastOnSubject(stream, subject))
    if (there !== null && textOf(there) === text) return there.seq
    expect(there?.seq ?? 0).toBe(last)
  }
}

async function readAll(log: Log, stream: string, count: number): Promise<LogMessage[]> {
  const reader = await insist(() => log.read(stream, START))
  const messages: LogMessage[] = []
  for (let idle = 0; messages.length < count && idle < 60; ) {
    const more = await reader.next(1_000)
    idle = more.length > 0 ? 0 : idle + 1
    messages.push(...more)
  }
  await reader.stop()
  return messages
}

function textOf(m: LogMessage): string {
  return Buffer.from(m.payload).toString()
}

async function insist<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      const patient = error instanceof LogUnavailable || /timeout|503|unavailable|no responders/i.test(String(error))
      if (!patient || tries > 300) throw error
      await sleep(100)
    }
  }
}
