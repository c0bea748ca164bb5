// What the reader does when its consumer is not what it was, on a real server: a second connection listens to its pulls and
// sends into its inbox what a confused or dying server would send.

import { createInbox, headers, type NatsConnection } from 'nats'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type NatsHarness, natsHarness } from '../test/conformance/nats-harness.ts'
import type { LogReader, StreamSpec } from './log.ts'
import type { NatsLog } from './nats-log.ts'

interface Pull {
  readonly consumer: string
  readonly inbox: string
  readonly maxBytes: number
}

const NEXT_MS = 10_000
const PULLS_FROM_THE_START = 2
/** Below the three seconds after which a reader takes a consumer for dead. */
const SILENCE_MS = 2_500

describe('a reader and its consumer', () => {
  let harness: NatsHarness
  let log: NatsLog
  let intruder: NatsConnection
  let pulls: Pull[] = []
  let name = ''
  let streams = 0
  let reader: LogReader

  beforeAll(async () => {
    harness = await natsHarness()
    log = await harness.connect()
    intruder = (await harness.connect()).nc
    intruder.subscribe('$JS.API.CONSUMER.MSG.NEXT.>', {
      callback: (_, msg) => {
        const [stream, consumer] = msg.subject.split('.').slice(-2) as [string, string]
        // Not those of a test before this one, nor our own, below.
        if (stream !== name || !consumer.startsWith('hf-')) return
        pulls.push({ consumer, inbox: msg.reply!, maxBytes: msg.json<{ max_bytes: number }>().max_bytes })
      },
    })
    await intruder.flush()
  })
  afterAll(async () => {
    await intruder.close()
    await log.close()
    await harness.close()
  })

  /** A reader that has read three messages and waits for more. */
  beforeEach(async () => {
    pulls = []
    name = `reader-${++streams}`
    await log.ensureStream(specOf(name))
    await publish(name, ['1', '2', '3'])
    reader = await log.read(name, { seq: 0, digest: '', created: '' })
    expect(await read(3)).toEqual(['1', '2', '3'])
    await pulled(() => pulls.length === PULLS_FROM_THE_START)
    return () => reader.stop()
  })

  function specOf(stream: string): StreamSpec {
    return { name: stream, subjects: [`${stream}.>`], maxBytes: 16e6, replicas: 1, maxAgeMs: 0, atomic: false }
  }

  async function publish(stream: string, texts: readonly string[]): Promise<void> {
    for (const text of texts) {
      const result = await log.publish({ subject: `${stream}.a`, headers: null, payload: Buffer.from(text) }, null)
      expect(result.kind).toBe('stored')
    }
  }

  async function read(count: number): Promise<string[]> {
    const texts: string[] = []
    while (texts.length < count) {
      const more = await reader.next(NEXT_MS)
      expect(more.length).toBeGreaterThan(0)
      texts.push(...more.map((m) => Buffer.from(m.payload).toString()))
    }
    return texts
  }

  async function pulled(is: () => boolean): Promise<void> {
    await expect.poll(is, { timeout: NEXT_MS, interval: 5 }).toBe(true)
  }

  /** A pull of somebody else: the server sends the messages of that consumer to `inbox`. */
  function pullFor(stream: string, consumer: string, batch: number, inbox: string): void {
    const request = JSON.stringify({ batch, expires: 5e9 })
    intruder.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, request, { reply: inbox })
  }

  async function pullElsewhere(stream: string, consumer: string, count: number): Promise<void> {
    let got = 0
    const inbox = createInbox()
    intruder.subscribe(inbox, {
      callback: () => {
        got++
      },
    })
    pullFor(stream, consumer, count, inbox)
    await pulled(() => got === count)
  }

  async function replacedAfter(intrusion: () => void): Promise<void> {
    const { consumer, inbox } = pulls[0]!
    intrusion()
    // Heartbeats, so that it cannot be its silence that gave the consumer away.
    const beating = setInterval(() => intruder.publish(inbox, '', { headers: headers(100, 'Idle Heartbeat') }), 300)
    await pulled(() => pulls.some((p) => p.consumer !== consumer)).finally(() => clearInterval(beating))
    await publish(name, ['4', '5'])
    expect(await read(2)).toEqual(['4', '5'])
    expect(new Set(pulls.map((p) => p.consumer)).size).toBe(2)
  }

  function forgeStatus(code: number, description: string, pendingBytes = 0): void {
    const status = headers(code, description)
    status.set('Nats-Pending-Bytes', String(pendingBytes))
    intruder.publish(pulls[0]!.inbox, '', { headers: status })
  }

  it('takes another after a message of a consumer that it does not know, though all its numbers would fit', async () => {
    // Its reply subjects are as long as ours.
    const alien = `${name}a`
    const stranger = 'stranger'.padEnd(pulls[0]!.consumer.length - 1, 'x')
    await log.ensureStream(specOf(alien))
    await publish(alien, ['a', 'a', 'a', 'not of this stream'])
    await log.jsm.consumers.add(alien, { name: stranger, ack_policy: 'none', deliver_policy: 'all' })
    await pullElsewhere(alien, stranger, 3)
    await replacedAfter(() => pullFor(alien, stranger, 1, pulls[0]!.inbox))
  })

  it('takes another when a message went elsewhere, and misses nothing', async () => {
    const texts = Array.from({ length: 12 }, (_, i) => String(i).padEnd(400_000, '.'))
    await publish(name, texts)
    // Its buffer is full now, so that it waits with its pulls, and somebody else's is served.
    const waiting = async () => (await log.jsm.consumers.info(name, pulls[0]!.consumer)).num_waiting
    await expect.poll(waiting, { timeout: NEXT_MS }).toBe(0)
    await pullElsewhere(name, pulls[0]!.consumer, 1)
    expect(await read(12)).toEqual(texts)
    expect(pulls.at(-1)!.consumer).not.toBe(pulls[0]!.consumer)
  })

  it.each([
    [409, 'Consumer Deleted'],
    [409, 'Leadership Change'],
    [409, 'Server Shutdown'],
    [503, 'No Responders'],
    [404, 'No Messages'],
  ])('takes another after status %i %s', async (code, description) => {
    await replacedAfter(() => forgeStatus(code, description))
  })

  it('asks again when a pull has ended, and for more bytes when a message did not fit', async () => {
    const bytes = pulls[0]!.maxBytes
    forgeStatus(408, 'Request Timeout', bytes)
    await pulled(() => pulls.length === PULLS_FROM_THE_START + 1)
    expect(pulls.map((p) => p.maxBytes)).toEqual([bytes, bytes, bytes])
    forgeStatus(409, 'Message Size Exceeds MaxBytes', bytes / 2 - 1)
    forgeStatus(409, 'Batch Completed', bytes / 2)
    await pulled(() => pulls.length === PULLS_FROM_THE_START + 2)
    expect(pulls.at(-1)!.maxBytes).toBe(bytes)
    forgeStatus(409, 'Message Size Exceeds MaxBytes', bytes)
    await pulled(() => pulls.length === PULLS_FROM_THE_START + 3)
    expect(pulls.at(-1)!.maxBytes).toBe(2 * bytes)
    expect(new Set(pulls.map((p) => p.consumer)).size).toBe(1)
    await publish(name, ['4'])
    expect(await read(1)).toEqual(['4'])
  })

  it('asks again when a pull was used up to the last byte, of which the server does not tell', async () => {
    const bytes = pulls[0]!.maxBytes
    const consumer = () => log.jsm.consumers.info(name, pulls[0]!.consumer)
    // Each message takes the whole of a pull that is new: twice the two from the start are gone without a word.
    for (let i = 0; i < 2 * PULLS_FROM_THE_START; i++) {
      const { delivered, num_waiting } = await consumer()
      const [seq, time] = [delivered.stream_seq + 1, '1'.padEnd(19, '0')]
      const reply = `$JS.ACK.${name}.${pulls[0]!.consumer}.1.${seq}.${seq}.${time}.0`
      // What the three messages took of the first pulls is in their rests, which this one ends with a status.
      await publish(name, ['x'.repeat(bytes - `${name}.a`.length - reply.length)])
      expect((await read(1))[0]!.length).toBeLessThan(bytes)
      expect(num_waiting).toBeGreaterThan(0)
    }
    const before = performance.now()
    await publish(name, ['4'])
    expect(await read(1)).toEqual(['4'])
    expect(performance.now() - before).toBeLessThan(SILENCE_MS)
    expect(new Set(pulls.map((p) => p.consumer)).size).toBe(1)
  })

  it('does not mind a heartbeat', async () => {
    forgeStatus(100, 'Idle Heartbeat')
    await publish(name, ['4'])
    expect(await read(1)).toEqual(['4'])
    expect(pulls).toHaveLength(PULLS_FROM_THE_START)
  })
})
