// Questions and answers on a real nats-server.

import { connect, type Msg, type NatsConnection } from 'nats'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type NatsHarness, natsHarness } from '../test/conformance/nats-harness.ts'
import { LogUnavailable } from './log.ts'
import { NatsReplies } from './nats-replies.ts'

let nats: NatsHarness
let nc: NatsConnection

beforeAll(async () => {
  nats = await natsHarness()
  nc = await connect({ servers: nats.url })
})
afterAll(async () => {
  await nc.close()
  await nats.close()
})

/** Short enough to be waited for; an answer has the time of a busy machine. */
const TIMEOUT_MS = 1_000
const text = (value: string) => Buffer.from(value)

/** Answers what is asked on a subject as told. */
function answer(subject: string, how: (msg: Msg) => void): void {
  nc.subscribe(subject, { callback: (_, msg) => how(msg) })
}

test('each question gets its own answer, in whatever order they come', async () => {
  const held: Msg[] = []
  answer('turned', (msg) => {
    if (held.push(msg) === 100) for (const each of held.reverse()) each.respond(each.data)
  })
  const replies = new NatsReplies(nc, TIMEOUT_MS)
  const asked = Array.from({ length: 100 }, (_, i) => replies.ask('turned', text(`${i}`), undefined))
  expect((await Promise.all(asked)).map((msg) => msg.string())).toEqual(Array.from({ length: 100 }, (_, i) => `${i}`))
})

test('no answer in time, or nobody to give one, is LogUnavailable; what comes later is nobody else’s answer', async () => {
  const replies = new NatsReplies(nc, TIMEOUT_MS)
  const held: Msg[] = []
  answer('slow', (msg) => held.push(msg))
  await expect(replies.ask('slow', text('1'), undefined)).rejects.toThrow(new LogUnavailable('timeout'))
  await expect(replies.ask('nobody', text(''), undefined)).rejects.toThrow(new LogUnavailable('no responders'))
  const second = replies.ask('slow', text('2'), undefined)
  await expect.poll(() => held.length, { interval: 5 }).toBe(2)
  held[0]!.respond(text('late'))
  held[1]!.respond(text('in time'))
  expect((await second).string()).toBe('in time')
})

test('an empty answer is one', async () => {
  answer('empty', (msg) => msg.respond())
  expect((await new NatsReplies(nc, TIMEOUT_MS).ask('empty', text(''), undefined)).data).toHaveLength(0)
})

test('with the connection everything under way is lost, at once', async () => {
  const replies = new NatsReplies(nc, 60_000)
  answer('never', () => {})
  const asked = [1, 2].map(() => replies.ask('never', text(''), undefined))
  replies.lost()
  for (const one of asked) await expect(one).rejects.toThrow(new LogUnavailable('connection lost'))
})
