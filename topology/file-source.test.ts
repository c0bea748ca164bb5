// The file reader on the simulated log: what each partition gets does not depend on how often the reader was killed, nor on
// what of its last flush had landed where.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type FakeLog, FakeLogServer } from '../log/fake-log.ts'
import { eachRecord, FRAME_HEADER, type FrameHeader, parseFrameHeader, partitionOf } from '../log/frame.ts'
import type { Log } from '../log/log.ts'
import { chunkOf, startOf } from '../log/numbering.ts'
import { SimRandom } from '../log/sim.ts'
import { FileSource } from './file-source.ts'
import { pageViewGraph } from './graph.ts'
import { FILE_WRITER, stageStream, stageSubject } from './plan.ts'
import { ensureStreams, streamSpecs } from './streams.ts'

const PARTITIONS = 3
const LATENESS_MS = 1_000
const START_MS = 1_740_000_000_000
const plan = pageViewGraph({
  ...{ namespace: 'ns', name: 'n', clock: 'data', partitions: PARTITIONS, latenessMs: LATENESS_MS },
  ...{ anonymous: 'accept', accepted: 'off' },
} as const)
const stage = plan.stages[0]!.name
const partitions = Array.from({ length: PARTITIONS }, (_, p) => p)

let directory: string
let server: FakeLogServer

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-file-source-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))
beforeEach(() => freshServer(1))

async function freshServer(seed: number): Promise<void> {
  server = new FakeLogServer({ seed })
  await ensureStreams(server.connect('maker'), streamSpecs(plan, { totalBytes: 1 << 30, replicas: 1 }))
}

async function fileOf(name: string, bytes: string | Buffer): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, bytes)
  return path
}

const event = (i: number, user: string | null, time: number, referrer = '') =>
  JSON.stringify({ type: 'page_view', event_id: `e${i}`, event_time: time, user_id: user, page_id: 'p', referrer })

function sourceOf(path: string, log: Log = server.connect('reader'), waits: string[] = []): FileSource {
  const { runtime } = log as FakeLog
  return new FileSource({
    ...{ plan, log, runtime, path, event: { anonymous: 'accept' } },
    onWait: (cause, on) => waits.push(`${cause ?? 'over'} ${on}`),
  })
}

const headersIn = (partition: number): FrameHeader[] =>
  server.stored(stageStream('ns', stage, partition)).map(({ headers }) => parseFrameHeader(headers![FRAME_HEADER])!)

/** The records of a partition, their numbers and chains checked. */
function recordsIn(partition: number): string[] {
  const texts: string[] = []
  let at = startOf(FILE_WRITER, stageSubject('ns', stage, partition, FILE_WRITER))
  let watermark = -1
  for (const message of server.stored(stageStream('ns', stage, partition))) {
    const header = parseFrameHeader(message.headers![FRAME_HEADER])!
    const records: string[] = []
    eachRecord(message.payload, (from, to) => records.push(Buffer.from(message.payload.subarray(from, to)).toString()))
    expect(header).toMatchObject({ first: at.number + 1, count: records.length, chainBefore: at.chain })
    expect(header.watermark).toBeGreaterThanOrEqual(watermark)
    for (const record of records) {
      const stamp = (JSON.parse(record) as { readonly 1?: number | null })[1]
      if (typeof stamp === 'number') expect(stamp - LATENESS_MS - 1).toBeGreaterThanOrEqual(watermark)
    }
    watermark = header.watermark
    at = chunkOf(records, at).after
    expect(header.chainAfter).toBe(at.chain)
    texts.push(...records)
  }
  return texts
}

const DRAIN = '{"hf":"drain","as_of":null}'

describe('a small file', () => {
  it('goes to the partitions of its users, each line with the highest time of the valid ones before it', async () => {
    const times = [START_MS, START_MS + 50, START_MS + 20, START_MS + 90]
    const lines = [
      event(1, 'u1', times[0]!),
      'no event',
      '',
      event(2, 'u2', times[1]!),
      ' \t',
      event(3, 'u1', times[2]!),
      event(4, null, times[3]!),
      '{"x":',
    ]
    const source = sourceOf(await fileOf('small', lines.join('\n')))
    await source.run()
    const raw = (text: string) => Buffer.from(text).toString('base64')
    const expected = partitions.map((): string[] => [])
    const to = (user: string, record: string) => expected[partitionOf(user, PARTITIONS)]!.push(record)
    to('u1', `[1,null,${JSON.stringify(lines[0])}]`)
    to('', `[2,${times[0]},null,"${raw('no event')}"]`)
    to('u2', `[4,${times[0]},${JSON.stringify(lines[3])}]`)
    to('u1', `[6,${times[1]},${JSON.stringify(lines[5])}]`)
    to('', `[7,${times[1]},${JSON.stringify(lines[6])}]`)
    to('', `[8,${times[3]},null,"${raw('{"x":')}"]`)
    for (const p of partitions) {
      expect(recordsIn(p)).toEqual([...expected[p]!, DRAIN])
      expect(headersIn(p).at(-1)).toMatchObject({ watermark: times[3]! - LATENESS_MS - 1, coveredSeq: 9 })
    }
    expect(source.progress).toMatchObject({ line: 8, read: 6, stamp: times[3], resumedAtLine: 0, done: true })
  })

  it('that is empty is drained', async () => {
    await sourceOf(await fileOf('empty', '')).run()
    for (const p of partitions) expect(recordsIn(p)).toEqual([DRAIN])
  })

  it('that was read to its end says nothing more than a claim', async () => {
    const path = await fileOf('again', [event(1, 'u1', START_MS), event(2, 'u2', START_MS)].join('\n'))
    await sourceOf(path).run()
    const before = partitions.map(headersIn)
    const again = sourceOf(path)
    await again.run()
    for (const p of partitions) {
      const fresh = headersIn(p).slice(before[p]!.length)
      const { number: _, ...last } = { number: 0, ...before[p]!.at(-1)! }
      expect(fresh).toEqual([
        {
          ...last,
          first: last.first + last.count,
          count: 0,
          chainBefore: last.chainAfter,
          generation: 2,
          instance: fresh[0]!.instance,
        },
      ])
    }
    expect(again.progress.resumedAtLine).toBe(3)
  })

  it('packed is the same as unpacked', async () => {
    const text = [event(1, 'u1', START_MS), 'bad', event(2, 'u2', START_MS)].join('\n')
    await sourceOf(await fileOf('plain', text)).run()
    const unpacked = partitions.map(recordsIn)
    await freshServer(1)
    await sourceOf(await fileOf('packed.gz', gzipSync(text))).run()
    expect(partitions.map(recordsIn)).toEqual(unpacked)
  })
})

describe('what cannot be read', () => {
  it.each([
    ['a packed file that is cut off', 'cut.gz', gzipSync('x\n'.repeat(10_000)).subarray(0, 30)],
    ['a file that is not packed', 'plain.gz', Buffer.from('{"a":1}\n')],
  ])('%s: USAGE with its name, and no drain', async (_, name, bytes) => {
    const path = await fileOf(name, bytes)
    await expect(sourceOf(path).run()).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining(path) })
    for (const p of partitions) expect(recordsIn(p)).toEqual([])
  })
})

describe('a broker that is away', () => {
  it('is waited for by its name', async () => {
    const path = await fileOf('away', event(1, 'u1', START_MS))
    const waits: string[] = []
    server.pause()
    const run = sourceOf(path, server.connect('reader'), waits).run()
    while (waits.length === 0) await server.scheduler.sleep(100)
    expect(waits[0]).toMatch(/^broker ns_user-1_/)
    server.resume()
    await run
    for (const p of partitions) expect(recordsIn(p).at(-1)).toBe(DRAIN)
  })
})

/** Lines of the large file; with some 900 bytes each it takes a dozen flushes. */
const LINES = 8_000

describe('a large file', () => {
  const lines: string[] = []
  let path: string
  let expected: string[][]

  beforeAll(async () => {
    const random = new SimRandom(5)
    for (let i = 0; i < LINES; i++) {
      // Long runs for one user, so that partitions fill at different times; times that jump forth and back.
      const user = random.below(20) === 0 ? `u${random.below(50)}` : `u${Math.floor(i / 1_000)}`
      lines.push(
        random.below(50) === 0
          ? 'x'.repeat(random.below(2_000))
          : event(i, user, START_MS + 10 * i + random.below(5_000), 'r'.repeat(random.below(1_600))),
      )
    }
    path = await fileOf('large', `${lines.join('\n')}\n`)
    await freshServer(1)
    await sourceOf(path).run()
    expected = partitions.map(recordsIn)
    expect(expected.flat()).toHaveLength(LINES - lines.filter((line) => line === '').length + PARTITIONS)
    expect(headersIn(0).length).toBeGreaterThan(10)
  })

  it('hears in every partition how far time has come with each flush', () => {
    const times = lines.map((line) => (line.startsWith('{') ? (JSON.parse(line).event_time as number) : 0))
    for (const p of partitions) {
      for (const { watermark, coveredSeq, generation, first, count } of headersIn(p)) {
        if (generation !== 1 || coveredSeq === 0) continue
        expect(watermark).toBe(Math.max(...times.slice(0, coveredSeq)) - LATENESS_MS - 1)
        expect(first + count).toBeGreaterThan(0)
      }
    }
    const covered = partitions.map((p) => headersIn(p).map(({ coveredSeq }) => coveredSeq))
    expect(covered[1]).toEqual(covered[0])
    expect(covered[2]).toEqual(covered[0])
  })

  it('killed again and again, is the same in every partition', async () => {
    let different = 0
    for (let seed = 1; seed <= 6; seed++) {
      await freshServer(seed)
      const random = new SimRandom(seed)
      for (let kills = 0; kills < 4; kills++) {
        const client = server.connect('reader')
        const source = sourceOf(path, killedAfter(client, 4 + random.below(25)))
        await Promise.race([source.run(), untilDead(client)])
        const covered = partitions.map((p) => headersIn(p).at(-1)?.coveredSeq ?? 0)
        if (new Set(covered).size > 1) different++
      }
      await sourceOf(path).run()
      expect(partitions.map(recordsIn)).toEqual(expected)
    }
    expect(different).toBeGreaterThan(3)
  })

  it('a flush of the former reader that lands between look and claim brings its own stamp', async () => {
    const frames = () => partitions.flatMap(headersIn).length
    let wakeUp: () => void = () => {}
    const asleep = new Promise<void>((resolve) => {
      wakeUp = resolve
    })
    let published = 0
    const zombie = server.connect('zombie')
    const former = sourceOf(
      path,
      overlaid(zombie, {
        publish: async (message, expect) => {
          if (++published > 3 * PARTITIONS) await asleep
          return zombie.publish(message, expect)
        },
      }),
    )
      .run()
      .catch((error: unknown) => error)
    while (published <= 3 * PARTITIONS) await server.scheduler.sleep(10)
    const before = frames()
    let looked = false
    const client = server.connect('next')
    await sourceOf(
      path,
      overlaid(client, {
        publish: async (message, expect) => {
          if (!looked) {
            looked = true
            wakeUp()
            while (frames() < before + PARTITIONS) await server.scheduler.sleep(0.1)
          }
          return client.publish(message, expect)
        },
      }),
    ).run()
    expect(await former).toMatchObject({ code: 'FENCED' })
    expect(partitions.map(recordsIn)).toEqual(expected)
  })

  it('read by two: one goes on, the other is FENCED', async () => {
    const [first, second] = [sourceOf(path), sourceOf(path)]
    const results = await Promise.allSettled([first.run(), second.run()])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'FENCED' } })
    expect(partitions.map(recordsIn)).toEqual(expected)
  })

  it('stopped and started again goes on where the log is', async () => {
    const source = sourceOf(path)
    const run = source.run()
    while (source.progress.line < 4_000) await server.scheduler.sleep(1)
    source.stop()
    await run
    expect(source.progress.done).toBe(false)
    const again = sourceOf(path)
    await again.run()
    expect(again.progress.resumedAtLine).toBeGreaterThan(2_000)
    expect(partitions.map(recordsIn)).toEqual(expected)
  })

  const dead = new Set<FakeLog>()

  /** The connection of a reader that is killed at its n-th publish. */
  function killedAfter(client: FakeLog, publishes: number): Log {
    let left = publishes
    return overlaid(client, {
      publish: (message, expect) => {
        const result = client.publish(message, expect)
        if (--left === 0) {
          client.kill()
          dead.add(client)
        }
        return result
      },
    })
  }

  async function untilDead(client: FakeLog): Promise<void> {
    while (!dead.has(client)) await server.scheduler.sleep(10)
    await server.scheduler.sleep(1_000)
  }
})

/** A log of which some methods are others. */
function overlaid(inner: FakeLog, methods: Partial<Log>): Log {
  return new Proxy(inner, {
    get: (target, name) => {
      const method = methods[name as keyof Log] ?? target[name as keyof FakeLog]
      return typeof method === 'function' ? method.bind(target) : method
    },
  })
}
