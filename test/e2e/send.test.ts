// `holdfast send --bulk` against the door of a node whose log can be made to fail, over connections that break: no event is lost, none is
// counted twice, and nothing that the log has for sure is sent again. What becomes of events that come twice: bulk.test.ts.

import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { FakeLogServer } from '../../log/fake-log.ts'
import type { EventAnswer } from '../../sinks/event-intake.ts'
import { bulkRoutes } from '../../sinks/http/bulk-routes.ts'
import { HttpError } from '../../sinks/http/errors.ts'
import { HttpMetrics } from '../../sinks/http/metrics.ts'
import { type Door, openDoor } from '../abuse/door.ts'
import { type Ended, Running, workDirectory } from './command.ts'

/** Of 16 KiB each: three uploads of 4 MiB at most. */
const EVENTS = 640
const PAD = 'x'.repeat(16_000)
const UPLOAD_EVENTS = 262
const ALL = Array.from({ length: EVENTS }, (_, i) => `e${i}`)

let work: Awaited<ReturnType<typeof workDirectory>>
const closing: (() => Promise<void>)[] = []

beforeAll(async () => {
  work = await workDirectory()
  writeFileSync(file(), ALL.map((event_id) => `${JSON.stringify({ event_id, pad: PAD })}\n`).join(''))
})
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})
afterAll(() => work[Symbol.asyncDispose]())

const file = (): string => join(work.path, 'events.ndjson')
const TAKEN: EventAnswer = { kind: 'taken', stream: 's', seq: 1, index: 0 }

/** A door; `seen`: the events that its log was given, in their order. `answer` says of each what the log does, and may wait. */
async function open(answer: (event: string, nth: number) => EventAnswer | Promise<EventAnswer> = () => TAKEN) {
  const seen: string[] = []
  const take = async (events: readonly Uint8Array[]) => {
    const answers: EventAnswer[] = []
    for (const bytes of events) {
      const { event_id } = JSON.parse(Buffer.from(bytes).toString()) as { event_id: string }
      seen.push(event_id)
      answers.push(await answer(event_id, seen.length))
    }
    return answers
  }
  const bulk = { intake: { take }, metrics: new HttpMetrics() }
  const log = new FakeLogServer({ seed: 1 }).connect('door')
  const door: Door = await openDoor({ log, more: [(app) => bulkRoutes(app, bulk)] })
  closing.push(() => door.close())
  return { seen, url: door.url }
}

/** A way to the door on which connections end as `breaks` says of each: after so many bytes of the request, or before the answer. */
async function brokenWay(doorUrl: string, breaks: (connection: number) => number | 'answer' | null): Promise<string> {
  let connections = 0
  const way: Server = createServer((client) => {
    const end = breaks(connections++)
    const door = connect(Number(new URL(doorUrl).port), '127.0.0.1')
    const cut = () => {
      client.destroy()
      door.destroy()
    }
    let bytes = 0
    client.on('data', (data: Buffer) => {
      bytes += data.length
      door.write(data)
      if (typeof end === 'number' && bytes >= end) cut()
    })
    door.on('data', (data) => (end === 'answer' ? cut() : client.write(data)))
    for (const socket of [client, door]) socket.on('error', cut).on('close', cut)
  })
  way.listen(0, '127.0.0.1')
  await once(way, 'listening')
  closing.push(async () => {
    way.close()
  })
  return `http://127.0.0.1:${(way.address() as AddressInfo).port}`
}

const sending = (url: string): Running => new Running(['send', '--bulk', file(), '--url', url])
const said = ({ code, stderr }: Ended) => [code, stderr.trim().split('\n').at(-1)]
const WHOLE = [0, 'sent 640 · taken 640 · refused 0']

it('a connection that breaks in the middle of an upload: it is sent again, and counted once', async () => {
  const { seen, url } = await open()
  const way = await brokenWay(url, (connection) => (connection === 0 ? 6 * 2 ** 20 : null))
  expect(said(await sending(way).ended)).toEqual(WHOLE)
  expect([...new Set(seen)]).toEqual(ALL)
  // The first upload was answered: it is not sent again.
  expect(seen.filter((event) => event === 'e0')).toHaveLength(1)
})

it('an answer that gets lost: what the log has is sent again, and counted once', async () => {
  const { seen, url } = await open()
  const way = await brokenWay(url, (connection) => (connection === 0 ? 'answer' : null))
  expect(said(await sending(way).ended)).toEqual(WHOLE)
  expect([...new Set(seen)]).toEqual(ALL)
  expect(seen.length).toBeGreaterThanOrEqual(EVENTS + UPLOAD_EVENTS)
  expect(seen.length).toBeLessThan(EVENTS + UPLOAD_EVENTS + 10)
})

it('a log that has a part: it is sent on from there', async () => {
  const full: EventAnswer = { kind: 'full', cause: '' }
  let isFull = true
  const { seen, url } = await open((event) => {
    if (event !== 'e300' || !isFull) return TAKEN
    isFull = false
    return full
  })
  expect(said(await sending(url).ended)).toEqual(WHOLE)
  for (const event of ALL.slice(0, 300)) expect(seen.filter((other) => other === event)).toHaveLength(1)
  expect([...new Set(seen)].toSorted()).toEqual(ALL.toSorted())
})

it('an upload that is refused for good ends it, with what the log has for sure', async () => {
  const { url } = await open((event) => {
    if (event !== 'e400') return TAKEN
    throw new HttpError({ status: 403, code: 'FORBIDDEN', message: 'no longer' })
  })
  const { code, stderr } = await sending(url).ended
  expect(code).not.toBe(0)
  const count = Number(/sent (\d+) · taken \1 · refused 0/.exec(stderr)?.[1])
  expect(count).toBeGreaterThanOrEqual(UPLOAD_EVENTS - 5)
  expect(count).toBeLessThan(400)
})

it.each(['SIGKILL', 'SIGTERM'] as const)(
  'the command that is ended by %s begins anew: nothing is lost',
  async (signal) => {
    const held = Promise.withResolvers<EventAnswer>()
    const { seen, url } = await open((_, nth) => (nth === 400 ? held.promise : TAKEN))
    const first = sending(url)
    await expect.poll(() => seen.length, { timeout: 60_000 }).toBe(400)
    first.kill(signal)
    const { code, stderr } = await first.ended
    expect(code).not.toBe(0)
    // It says what was answered, and not what was on its way.
    if (signal === 'SIGTERM') {
      const count = Number(/sent (\d+) · taken \1 · refused 0/.exec(stderr)?.[1])
      expect(count).toBeGreaterThanOrEqual(UPLOAD_EVENTS - 5)
      expect(count).toBeLessThan(400)
    }
    held.resolve(TAKEN)
    expect(said(await sending(url).ended)).toEqual(WHOLE)
    expect([...new Set(seen)].toSorted()).toEqual(ALL.toSorted())
  },
)
