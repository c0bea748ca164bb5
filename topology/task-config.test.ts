// A configuration that changes in the log of one task: from when it holds, for what, and that slices do not matter. And its
// registry: who is first, and what an unknown outcome means.

import { afterEach, expect, it } from 'vitest'
import { FakeLogServer } from '../log/fake-log.ts'
import { duplicates } from '../operators/duplicates.ts'
import { toJoin } from '../operators/joining.ts'
import type { Operator } from '../operators/operator.ts'
import type { JoinRecord } from '../operators/touch.ts'
import { validation } from '../operators/validation.ts'
import { eventStream } from '../sinks/event-stream.ts'
import { MemoryDisk } from '../state/memory-backend.ts'
import { registryStream } from './activation-registry.ts'
import { CONFIGS, ConfigRegistry } from './config-registry.ts'
import { type Configuration, configurationOf } from './configuration.ts'
import { CONFIGURATION, type Config } from './control.ts'
import { topology } from './dsl.ts'
import { CONTROL_WRITER, PLAIN_WRITER, stageSubject } from './plan.ts'
import { ensureStreams, streamSpecs } from './streams.ts'
import { DEFAULT_TUNING, Task } from './task.ts'

const START_MS = Date.UTC(2026, 0, 1)
const LATENESS_MS = 1_000
const OUTPUTS = [
  { name: 'dead_letters', mode: 'records' },
  { name: 'accepted', mode: 'records' },
] as const
const PLAN = topology({ namespace: 'ns', name: 't', clock: 'wall', partitions: 1, latenessMs: LATENESS_MS }, (t) => {
  t.source('s', validation({ anonymous: 'reject', futureMs: 2 ** 50 }), OUTPUTS)
    .through(duplicates())
    .through(eventStream('accepted'))
})

let running: Task | null = null
afterEach(() => running?.stop())

/** An event of nobody, so many milliseconds after the start. */
const nobody = (id: string, afterMs: number) => {
  return { type: 'page_view', event_id: id, event_time: START_MS + afterMs, page_id: 'home' }
}
const config = (activation: number, afterMs: number, body: Configuration): Config => {
  return { hf: 'config', kind: CONFIGURATION, activation, from: START_MS + afterMs, body }
}

/** What a task makes of plain messages (arrays) and control records, in this order. */
async function outcome(input: readonly (object[] | Config)[], sliceMax: number, plan = PLAN) {
  const server = new FakeLogServer({ seed: 3 })
  const log = server.connect('test')
  await ensureStreams(log, streamSpecs(plan, { totalBytes: 1 << 28, replicas: 1 }))
  for (const message of input) {
    const writer = Array.isArray(message) ? PLAIN_WRITER : CONTROL_WRITER
    const payload = Buffer.from(JSON.stringify(Array.isArray(message) ? message : [message]))
    await log.publish({ subject: stageSubject('ns', 's', 0, writer), headers: null, payload }, null)
  }
  const own = server.connect('task')
  const tuning = { ...DEFAULT_TUNING, sliceMax }
  const common = { plan, stage: plan.stages[0]!, partition: 0, backend: new MemoryDisk().open() }
  running = new Task({ ...common, log: own, runtime: own.runtime, role: 'owner', tuning })
  const ended = running.run()
  while (running.status().seq < input.length) await log.runtime.sleep(5)
  running.stop()
  await ended
  const idsIn = async (output: string, idOf: (record: never) => string): Promise<string[]> => {
    const stream = `ns_out_${output}_0`
    const ids: string[] = []
    for (let seq = 1; seq <= (await log.streamState(stream))!.lastSeq; seq++)
      ids.push(idOf(JSON.parse(Buffer.from((await log.message(stream, seq))!.payload).toString()) as never))
    return ids
  }
  const { watermark, config: hash, tally } = running.status()
  const accepted = await idsIn('accepted', ({ event_id }: { event_id: string }) => event_id)
  const dead = await idsIn('dead_letters', ({ raw }) => JSON.parse(Buffer.from(raw, 'base64').toString()).event_id)
  return { accepted, dead, hash, watermark: watermark - START_MS, late: tally.counts.late ?? 0 }
}

const ACCEPT = configurationOf({ anonymous: 'accept', bots: 'count', latenessMs: LATENESS_MS })

it.each([1, 2, 128])('holds from its time, for late records from the watermark on (slices of %i)', async (sliceMax) => {
  const before = [config(2, 5_000, ACCEPT), [nobody('early', 4_999), nobody('at', 5_000), nobody('late-before', 3_000)]]
  // W = 4,000 after `at`: a late record stands at 4,001, before the time. After `far` W = 8,000, and it stands behind it.
  const far = { ...nobody('far', 9_000), user_id: 'ann' }
  const result = await outcome([...before, [far, nobody('late-after', 3_000)]], sliceMax)
  expect(result).toEqual({
    ...{ accepted: ['at', 'far', 'late-after'], dead: ['early', 'late-before'] },
    ...{ hash: ACCEPT.hash, watermark: 8_000, late: 1 },
  })
})

it.each([1, 2, 128])('takes bots away by order time, late ones by the watermark (slices of %i)', async (sliceMax) => {
  const DROP = configurationOf({ anonymous: 'reject', bots: 'drop', latenessMs: LATENESS_MS })
  const bot = (id: string, afterMs: number) => ({ ...nobody(id, afterMs), user_id: 'ann', props: { bot: true } })
  const person = { ...nobody('person', 9_000), user_id: 'ann' }
  const input = [config(2, 5_000, DROP), [bot('early', 4_999), bot('at', 5_000), bot('late-before', 3_000)]]
  const result = await outcome([...input, [person, bot('late-after', 3_000)]], sliceMax)
  expect(result).toMatchObject({ accepted: ['early', 'late-before', 'person'], dead: [], late: 2 })
})

/** Says of each conversion the goals that it is one of, in the place of accepted events. */
const sayGoals: Operator<JoinRecord, JoinRecord> = {
  ...{ name: 'say goals', version: 1, settings: null, stores: [] },
  process(batch, ctx) {
    for (const rec of batch)
      if (rec.value.kind === 'conversion')
        ctx.emit('accepted', { event_id: `${rec.value.id}: ${rec.value.goals.join()}` }, rec)
    return batch
  },
}

it.each([1, 2, 128])(
  'changes goals: an event is judged by those of its order time (slices of %i)',
  async (sliceMax) => {
    const plan = topology(
      { namespace: 'ns', name: 't', clock: 'wall', partitions: 1, latenessMs: LATENESS_MS },
      (t) => {
        t.source('s', validation({ futureMs: 2 ** 50 }), OUTPUTS)
          .through(toJoin({ goals: [{ name: 'own' }] }))
          .through(sayGoals)
      },
    )
    const goalsAre = (...names: string[]) => {
      const attribution = { goals: names.map((name) => ({ name })) }
      return configurationOf({ anonymous: 'reject', bots: 'count', latenessMs: LATENESS_MS, attribution })
    }
    const sale = (id: string, afterMs: number) => {
      return { ...nobody(id, afterMs), type: 'conversion', advertiser_id: 'a', user_id: 'ann' }
    }
    const input = [
      config(2, 5_000, goalsAre('b', 'c')),
      [
        sale('early', 4_999),
        sale('at', 5_000),
        sale('late-before', 3_000),
        sale('far', 9_000),
        sale('late-after', 3_000),
      ],
      config(3, 0, goalsAre()),
      [sale('undeclared', 9_500)],
    ]
    const { accepted, late } = await outcome(input, sliceMax, plan)
    const named = ['early: own', 'at: b,c', 'late-before: own', 'far: b,c', 'late-after: b,c', 'undeclared: ']
    expect({ accepted, late }).toEqual({ accepted: named, late: 2 })
  },
)

it('holds from its place in the log where its time is over; lower activations are ignored, and named is what holds', async () => {
  const reject = configurationOf({ anonymous: 'reject', bots: 'count', latenessMs: LATENESS_MS })
  const input = [[nobody('a', 10)], config(3, 0, ACCEPT), [nobody('b', 20)], config(2, 0, reject), [nobody('c', 30)]]
  expect(await outcome(input, 128)).toMatchObject({ accepted: ['b', 'c'], dead: ['a'], hash: ACCEPT.hash })
  expect((await outcome(input.slice(0, 1), 128)).hash).toBe(PLAN.configHash)
})

it('changes lateness for what comes after it, and the watermark never goes back', async () => {
  const lateness = (ms: number) => configurationOf({ anonymous: 'accept', bots: 'count', latenessMs: ms })
  const up = config(2, 0, lateness(5_000))
  expect((await outcome([[{ ...nobody('a', 0), user_id: 'ann' }], up, [nobody('b', 1_000)]], 128)).watermark).toBe(
    -LATENESS_MS,
  )
  expect((await outcome([up, [nobody('b', 1_000)]], 128)).watermark).toBe(-4_000)
  const down = config(3, 0, lateness(100))
  expect((await outcome([up, [nobody('a', 0)], down, [nobody('b', 1_000)]], 128)).watermark).toBe(900)
})

it('is appended by compare-and-set: of two at once one is refused, and an unknown outcome is looked at', async () => {
  const server = new FakeLogServer({ seed: 3 })
  const log = server.connect('test')
  await ensureStreams(log, streamSpecs(PLAN, { totalBytes: 1 << 28, replicas: 1 }))
  const registry = new ConfigRegistry(log, 'ns')
  const document = (latenessMs: number) => ({ anonymous: 'reject', bots: 'count', latenessMs }) as const
  expect(await registry.append(document(1), 0, null)).toMatchObject({ kind: 'stored', activation: { activation: 1 } })
  const first = await registry.newest()
  expect(await registry.append(document(2), 0, first)).toMatchObject({ kind: 'stored', activation: { activation: 2 } })
  const loser = await registry.append(document(3), 0, first)
  expect(loser).toMatchObject({ kind: 'refused', newest: { activation: 2, body: document(2) } })
  server.plan({ kind: 'publishLost' }, { subject: 'ns.config' })
  const third = await registry.append(document(3), 0, await registry.newest())
  expect(third).toMatchObject({ kind: 'stored', activation: { activation: 3 } })
  expect((await registry.all()).map(({ activation }) => activation)).toEqual([1, 2, 3])
  await log.publish({ subject: 'ns.config', headers: null, payload: Buffer.from('{}') }, null)
  await expect(registry.newest()).rejects.toThrow(expect.objectContaining({ code: 'FOREIGN_WRITE' }))
  expect((await log.streamState(registryStream('ns', CONFIGS)))?.lastSeq).toBe(4)
})
