// Models that learn from a live node, the commands that say which of them scores, and one that is only looked at: a real node, its own
// server, the command line.
// ML1: time is moved by events that are ahead of the clock, which a source takes up to ten minutes of: ticks never overtake them.
// ML2: a touch whose row must not come before a candidate is at most a second before its time; `advance` stops short of the row.

import { createHash } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type NatsConnection } from 'nats'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { readShape } from '../../cli/data-directory.ts'
import { freeLoopbackPort } from '../../log/nats-supervisor.ts'
import type { ScoreRecord } from '../../operators/scorer.ts'
import { SOUND_WINDOW, soundModel } from '../models/sound-model.ts'
import { holdfast, leftoversOf, Running, workDirectory } from './command.ts'

const PARTITIONS = 2
const SECOND = 1_000
const PERIOD = 60 * SECOND
/** Rows come within three seconds; any metrics are good enough, as it is not the gates that are tried. */
const CONFIG = {
  latenessMs: SECOND,
  attribution: { windows: [{ name: '1d_click', click: '1d' }], shortWait: '1s', grace: '1s' },
  scoring: {
    ...{ period: '1m', activationDelay: 1, settledRows: 10 },
    gates: { rowsMin: 1, positivesMin: 1, entropyRise: 1_000, calibration: [0.000_01, 100_000] },
  },
}
/** Until a version that scores is missed; those that a second has room for. */
const TOUCHES_MAX = 800
const USERS = Array.from({ length: 20 }, (_, i) => `u${i}`)

let work: Awaited<ReturnType<typeof workDirectory>>
let port: number
let node: Running
let url: string
let client: NatsConnection
/** By touch: which version said its score. */
const versions = new Map<string, string>()
/** What was said beside the newest score. */
let shadows: ScoreRecord['shadows']
/** A window that the node does not have: a shadow says what it knows. */
const SHADOW = soundModel(1)
const data = () => join(work.path, 'data')

async function start(...more: string[]): Promise<void> {
  const shape = ['--data-dir', data(), '--partitions', String(PARTITIONS), '--log-bytes', '512000000']
  node = new Running(['node', ...shape, '--port', String(port), '--http-port', '0', ...more])
  await node.says(/accepted events: stream/)
  url = /over HTTP: (\S+)/.exec(node.stderr)![1]!
}

beforeAll(async () => {
  work = await workDirectory()
  await writeFile(join(work.path, 'config.json'), JSON.stringify(CONFIG))
  await writeFile(join(work.path, 'shadow.onnx'), SHADOW)
  port = await freeLoopbackPort()
  await start('--config', join(work.path, 'config.json'), '--shadow', join(work.path, 'shadow.onnx'))
  client = await connect({ servers: nats(), maxReconnectAttempts: -1, reconnectTimeWait: 100 })
  client.subscribe('holdfast.out.scores.*', {
    callback: (_, message) => {
      for (const { event_id, model_version, ...more } of message.json<ScoreRecord[]>()) {
        versions.set(event_id, model_version)
        shadows = more.shadows
      }
    },
  })
})
afterAll(async () => {
  node.kill('SIGKILL')
  await node.ended
  await client.close()
  await leftoversOf(work.path)
  await work[Symbol.asyncDispose]()
})

const nats = (): string => `nats://127.0.0.1:${port}`
const model = (...args: string[]) => holdfast(['model', ...args, '--nats', nats()])

async function send(events: readonly object[]): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${url}/v1/events`, { method: 'POST', headers, body: JSON.stringify(events) })
  expect(await answer.json()).toMatchObject({ refused: 0 })
}

/** One in each partition of the stage that scores. */
const shopOf = (user: string): string => `shop${Number(user.slice(1)) % PARTITIONS}`

let sent = 0
function touch(user: string, at: number): { event_id: string } {
  const id = `t${sent++}`
  const ad = { advertiser_id: shopOf(user), campaign_id: 'c', ad_id: `ad${sent % 3}` }
  return { ...{ type: 'click', event_id: id, click_id: id, event_time: at, user_id: user }, ...ad }
}

/** Touches of every user, every other pair of which converts; settles when all are scored, and gives their versions. */
async function touches(at: number): Promise<string[]> {
  const clicks = USERS.map((user) => touch(user, at))
  const bought = clicks.flatMap(({ event_id }, i) => {
    const user = USERS[i]!
    const sale = { event_id: `b-${event_id}`, user_id: user, advertiser_id: shopOf(user), value: 9 }
    return i % 4 < 2 ? [{ ...{ type: 'conversion', order_id: event_id, event_time: at + 500 }, ...sale }] : []
  })
  await send([...clicks, ...bought])
  await node.until(() => clicks.every(({ event_id }) => versions.has(event_id)), 'scores')
  return [...new Set(clicks.map(({ event_id }) => versions.get(event_id)!))]
}

/** The watermark of every partition of the source comes to a second before that. */
const advance = (to: number): Promise<void> =>
  send(USERS.map((user) => ({ ...touch(user, to), type: 'page_view', page_id: 'home' })))

/** A touch of each shop, and the next ones a millisecond later, until that version says their scores; milliseconds since the call. */
async function untilScoredBy(version: string, from: number): Promise<number> {
  const since = performance.now()
  for (let i = 0; i < TOUCHES_MAX; i++) {
    const clicks = USERS.slice(0, 2).map((user) => touch(user, from + i))
    await send(clicks)
    await node.until(() => clicks.every(({ event_id }) => versions.has(event_id)), 'scores')
    if (clicks.every(({ event_id }) => versions.get(event_id) === version)) return performance.now() - since
    await sleep(20)
  }
  throw new Error(`version ${version} scores nothing`)
}

const standings = async (): Promise<unknown[]> => {
  const { stdout } = await model('list', '--json')
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line).standing.kind)
}

it('versions are trained and become live; people go back, and what they said holds across a kill', async () => {
  const begin = Math.ceil(Date.now() / PERIOD) * PERIOD
  /** A multiple of the period, and milliseconds after it. */
  const at = (period: number, ms = 0): number => begin + period * PERIOD + ms
  /** A candidate is made at a multiple, of rows of touches up to a second and a half before it. */
  const train = (period: number): Promise<void> => advance(at(period, 1.5 * SECOND))

  expect(await touches(at(0, SECOND))).toEqual(['0'])
  // The first one has learned for a period at least.
  await train(2)
  await untilScoredBy('1', at(2, 5 * SECOND))
  expect(await touches(at(2, 10 * SECOND))).toEqual(['1'])
  await train(3)
  await untilScoredBy('2', at(3, 5 * SECOND))
  expect(await touches(at(3, 10 * SECOND))).toEqual(['2'])
  expect(node.stderr).toMatch(
    /model version 1 is live \(activation 1\)\n(.*\n)*.*model version 2 is live \(activation 2\)/,
  )

  const [list, show, diff] = await Promise.all([model('list'), model('show', '2'), model('diff', '1', '2')])
  expect(list.stdout).toMatch(/^1 +0 .* was live from .*\n2 +1 .* live since /m)
  expect([show.code, show.stdout]).toEqual([0, expect.stringMatching(/^version +2, after 1$/m)])
  expect([diff.code, diff.stdout]).toEqual([1, expect.stringMatching(/^parent +0 +1$/m)])

  const since = performance.now()
  const rollback = model('rollback').then((ended) => ({ ...ended, took: performance.now() - since }))
  const [took, back] = await Promise.all([untilScoredBy('1', at(4, -SECOND)), rollback])
  expect([back.code, back.stdout]).toEqual([0, expect.stringMatching(/^activation 3: model version 1, /)])
  console.log(
    `to a score of the older version: ${Math.round(took)} ms, to the end of the command ${Math.round(back.took)} ms`,
  )

  node.kill('SIGKILL')
  await node.ended
  expect(await leftoversOf(work.path)).toEqual([])
  await start('--shadow', join(work.path, 'shadow.onnx'))
  expect(await touches(at(4, -100))).toEqual(['1'])
  const sha256 = createHash('sha256').update(SHADOW).digest('hex')
  const said = { [SOUND_WINDOW]: expect.any(Number) }
  expect(shadows).toEqual([{ model_version: sha256, p: said, expected: said }])

  // Version 2 was live when the touches came whose rows are there: it is what 3 was compared with.
  await train(4)
  await node.says(/model version 3 does not become live: it was compared with another/)
  expect(await standings()).toEqual(['live', 'was live', 'not live'])
  expect(await touches(at(4, 5 * SECOND))).toEqual(['1'])
  // A later one was compared with the one that people went back to.
  await train(5)
  await untilScoredBy('4', at(5, 5 * SECOND))
  const activated = await model('activate', '3')
  expect([activated.code, activated.stdout]).toEqual([0, expect.stringMatching(/^activation 5: model version 3, /)])
  await untilScoredBy('3', at(5, 10 * SECOND))

  expect((await readShape(data())).shadows).toEqual([{ sha256, bytes: Buffer.from(SHADOW) }])
  node.kill('SIGTERM')
  expect((await node.ended).code).toBe(0)
  await start()
  expect([await touches(at(5, 15 * SECOND)), shadows]).toEqual([['3'], undefined])
  expect([(await readShape(data())).shadows, await readdir(join(data(), 'shadows'))]).toEqual([[], []])
})
