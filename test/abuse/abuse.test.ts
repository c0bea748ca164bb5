// A share of the abuse that `node test/abuse/main.ts` sends at length: never a 5xx, no connection left open, and a client that
// behaves is served meanwhile, its events in the log. On a real nats-server.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { SimRandom } from '../../log/sim.ts'
import { newToken, Tokens } from '../../sinks/http/auth.ts'
import { type NatsHarness, natsHarness } from '../conformance/nats-harness.ts'
import { type AbuseReport, abuse } from './abuse.ts'
import { ATTACK_NAMES, attackFrom } from './attacks.ts'
import { Bystander } from './bystander.ts'
import { NAMESPACE, openDoor } from './door.ts'

const REQUESTS = 1_000

let harness: NatsHarness
beforeAll(async () => {
  harness = await natsHarness()
})
afterAll(() => harness.close())

/** Every answer to abuse is a 2xx or a 4xx; a connection may also be closed without one. */
function expectUnharmed({ statuses, failures, hung, sent }: AbuseReport): void {
  expect(failures).toEqual([])
  expect(hung).toEqual([])
  expect(Object.keys(statuses).filter((status) => !/^([24]\d\d|100|none)$/.test(status))).toEqual([])
  expect(Object.keys(sent).sort()).toEqual([...ATTACK_NAMES].sort())
}

it.each([
  ['without tokens', 1],
  ['with tokens', 2],
])('%s: no 5xx, and others are served', async (_, seed) => {
  const log = await harness.connect()
  const attacker = newToken(['read', 'write', 'metrics'], NAMESPACE)
  const other = newToken(['write'], NAMESPACE)
  const tokens = seed === 2 ? Tokens.parse(`${attacker.line}\n${other.line}`) : null
  const logged: string[] = []
  const logging = { to: { write: (line: string) => void logged.push(line) }, level: 'warn' as const }
  const door = await openDoor({ log, tokens, logging })
  const [token, otherToken] = tokens === null ? [null, null] : [attacker.token, other.token]
  const bystander = new Bystander({ url: door.url, token: otherToken, everyMs: 5 })
  const report = await abuse(door.url, { requests: REQUESTS, seed, token })
  const { failed, taken, requests } = await bystander.stop()
  expectUnharmed(report)
  expect(failed).toEqual([])
  expect(requests).toBeGreaterThan(20)
  expect(await idsInLog()).toEqual(expect.arrayContaining([...taken]))
  // F23: nothing of a token is logged, and nothing of what clients do wrong at all.
  expect(logged).toEqual([])
  for (const status of ['200', '400', '404', '405', '413', '415', '431'])
    expect(report.statuses[status]).toBeGreaterThan(0)
  if (tokens !== null) for (const status of ['401', '429']) expect(report.statuses[status]).toBeGreaterThan(0)
  await door.close()
  await log.close()
})

/** Ids of every event in the log. */
async function idsInLog(): Promise<string[]> {
  const log = await harness.connect()
  const ids: string[] = []
  for (const stream of ['hf_user-1_0', 'hf_user-1_1']) {
    const { lastSeq, created } = (await log.streamState(stream))!
    const reader = await log.read(stream, { seq: 0, digest: '', created })
    for (let seq = 0; seq < lastSeq; ) {
      const messages = await reader.next(5_000)
      for (const { payload } of messages)
        ids.push(...[JSON.parse(Buffer.from(payload).toString())].flat().map(({ event_id }) => event_id))
      seq = messages.at(-1)!.seq
    }
    await reader.stop()
  }
  await log.close()
  return ids
}

it('sound requests of the same sizes are all taken, and as large as one may be', async () => {
  const log = await harness.connect()
  const { token, line } = newToken(['write'], NAMESPACE)
  const door = await openDoor({ log, tokens: Tokens.parse(line) })
  const { statuses, bytes } = await abuse(door.url, { requests: 200, seed: 3, token, isSound: true })
  expect(statuses).toEqual({ 200: 200 })
  const attacks = await abuse(door.url, { requests: 200, seed: 3, token })
  expect(bytes / attacks.bytes).toBeGreaterThan(0.8)
  expect(bytes / attacks.bytes).toBeLessThan(1.2)
  await door.close()
  await log.close()
})

it('the same seed draws the same attacks', () => {
  const draw = (seed: number) => {
    const random = new SimRandom(seed)
    return Array.from({ length: 50 }, () => attackFrom(random, 'token').bytes.toString('latin1'))
  }
  expect(draw(7)).toEqual(draw(7))
  expect(draw(8)).not.toEqual(draw(7))
})
