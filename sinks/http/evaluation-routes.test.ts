// GET /v1/models/evaluation and the metrics of models, on a real host: rows into a task, a report out of it, refusals.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HoldfastClient } from '../../client/holdfast.ts'
import { type Arrival, rawBytes } from '../../operators/arrival.ts'
import { ATTRIBUTION_DEFAULT } from '../../operators/attribution-settings.ts'
import { evaluation } from '../../operators/evaluation.ts'
import type { TrainingRow } from '../../operators/model-records.ts'
import type { Operator } from '../../operators/operator.ts'
import { ReadWorld, readServer, WORLD_GRAPH, WORLD_START_MS } from '../../test/read-world.ts'
import { topology } from '../../topology/dsl.ts'
import { pageViewGraph } from '../../topology/graph.ts'
import { EVALUATION_READ_KEYS } from '../evaluation-reads.ts'
import { evaluationMetrics, METRIC_VERSIONS_MAX } from './evaluation-metrics.ts'
import { HttpMetrics } from './metrics.ts'
import { Quotas } from './quotas.ts'
import type { HttpServer } from './server.ts'

const DAY = 86_400_000
const VERSIONS = METRIC_VERSIONS_MAX + 1
/** Rows as they are, in place of the graph that leads to them. */
const INGRESS: Operator<Arrival, TrainingRow> = {
  ...{ name: 'rows', version: 1, settings: {}, stores: [] },
  process: (batch) =>
    batch.map((rec) => {
      const { row, event_time: at } = JSON.parse(Buffer.from(rawBytes(rec.value)).toString())
      return { ...rec, value: row, at }
    }),
}
const PLAN = topology(WORLD_GRAPH, (t) => {
  t.source<Arrival, TrainingRow>('trainer', INGRESS).through(evaluation(ATTRIBUTION_DEFAULT))
})
const TOUCHES = 200
let world: ReadWorld
let server: HttpServer
let client: HoldfastClient

beforeAll(async () => {
  world = await ReadWorld.of(PLAN)
  server = await readServer(world)
  client = new HoldfastClient({ url: server.url })
  let wait = ''
  // All of one user: one task has all rows, as in the graph.
  const send = async (row: TrainingRow, time: number) => {
    wait = await world.send({ type: 'page_view', event_id: '', user_id: 'ann', event_time: time, row })
  }
  for (let i = 0; i < TOUCHES; i++) {
    const y = i % 10 === 0 ? 1 : 0
    const p = [0.01, y === 1 ? 0.3 : 0.05]
    const ids = {
      touchId: `t${i}`,
      touchType: 'click',
      user: 'ann',
      advertiser: i % 4 === 0 ? 'bank' : 'shop',
    } as const
    const touchTimeMs = WORLD_START_MS + (i % 2) * DAY
    const lanes = [{ window: 1, y, count: y }] as const
    const version = 1 + (i % VERSIONS)
    await send(
      { ...ids, kind: 'M', complete: true, touchTimeMs, lanes, version, p, input: null },
      touchTimeMs + 7 * DAY,
    )
  }
  await client.readEvaluation({ wait, timeout_ms: 10_000 })
})
afterAll(async () => {
  await server.close()
  await world.close()
})

describe('an evaluation', () => {
  it('tells the figures of a window, by day and by slice', async () => {
    const answer = await client.readEvaluation({ window: '7d_click', slice: 'advertiser' })
    expect(answer).toMatchObject({ window: '7d_click', slice: 'advertiser', id: null, estimated: null })
    expect(answer.rows).toMatchObject({ mature: TOUCHES, open: 0, incomplete: 0 })
    const { touches, positives, calibration, calibration_low, calibration_high, auc, auc_error } = answer.total
    expect([touches, positives]).toEqual([TOUCHES, TOUCHES / 10])
    expect(calibration).toBeCloseTo((0.9 * 0.05 + 0.1 * 0.3) / 0.1, 6)
    expect(calibration_low! < calibration! && calibration! < calibration_high!).toBe(true)
    expect([auc, auc_error]).toEqual([1, 0])
    expect(answer.days.map(({ day, mature, touches }) => [day, mature, touches])).toEqual([
      ['2026-01-01', false, TOUCHES / 2],
      ['2026-01-02', false, TOUCHES / 2],
    ])
    expect(answer.curve.map(({ touches, rate }) => [touches, rate])).toEqual([[TOUCHES, 0.1]])
    expect(answer.slices.map(({ id, touches }) => [id, touches])).toEqual([
      ['shop', 150],
      ['bank', 50],
    ])
    expect(answer.snapshot.applied_through).toMatch(/^doors_trainer_[01]:/)
    const bank = await client.readEvaluation({ window: '7d_click', slice: 'advertiser', id: 'bank' })
    expect([bank.total.touches, bank.id]).toEqual([50, 'bank'])
    expect((await client.readEvaluation({ window: '7d_click', days: 1 })).days).toHaveLength(0)
    expect((await client.readEvaluation({})).window).toBe('1d_click')
  })

  it('of a pinned snapshot stays as it was', async () => {
    const { snapshot } = await client.pinSnapshot()
    expect((await client.readEvaluation({ window: '7d_click', snapshot })).total.touches).toBe(TOUCHES)
    await client.unpinSnapshot(snapshot)
    await expect(client.readEvaluation({ snapshot })).rejects.toMatchObject({ code: 'SNAPSHOT_GONE' })
  })

  it('is refused with the parameter that is wrong', async () => {
    const refused = async (query: string) => {
      const answer = await fetch(`${server.url}/v1/models/evaluation?${query}`)
      const { error } = (await answer.json()) as { error: { code: string; field?: string } }
      return [error.code, error.field]
    }
    expect(await refused('window=3d')).toEqual(['UNKNOWN_WINDOW', 'window'])
    expect(await refused('slice=hour')).toEqual(['BAD_PARAMETER', 'slice'])
    expect(await refused('days=0')).toEqual(['BAD_PARAMETER', 'days'])
    expect(await refused('days=121')).toEqual(['BAD_PARAMETER', 'days'])
    expect(await refused('id=shop')).toEqual(['BAD_PARAMETER', 'id'])
    expect(await refused('slice=advertiser&id=%00')).toEqual(['BAD_PARAMETER', 'id'])
    expect(await refused('at=1767225600000')).toEqual(['BAD_PARAMETER', 'at'])
    expect((await refused('colour=red'))[0]).toBe('BAD_PARAMETER')
  })

  it('counts as keys where those are limited', async () => {
    const settings = { quotas: { readKeysPerS: EVALUATION_READ_KEYS } }
    const quotas = new Quotas({ settings: () => settings.quotas, metrics: new HttpMetrics(), now: () => 0 })
    const reads = quotas.reads(world.reads)
    const limited = await readServer(world, null, reads as never)
    const other = new HoldfastClient({ url: limited.url })
    let code = ''
    for (let i = 0; i < 100 && code === ''; i++) await other.readEvaluation({}).catch((error) => (code = error.code))
    expect(code).toBe('OVER_QUOTA')
    await limited.close()
  })
})

describe('metrics of models', () => {
  const series = async (reads: Parameters<typeof evaluationMetrics>[1]) => {
    const metrics = new HttpMetrics()
    evaluationMetrics(metrics, reads, ['1d_click', '7d_click'])
    const text = await metrics.text()
    return text.split('\n').filter((line) => line.startsWith('holdfast_model_'))
  }

  it('are of each window, of all touches and of the newest versions', async () => {
    const lines = await series(world.reads)
    const value = (name: string) => Number(lines.find((line) => line.startsWith(`${name} `))?.split(' ')[1])
    expect(value('holdfast_model_calibration{window="7d_click",version="all"}')).toBeCloseTo(0.75, 6)
    expect(value('holdfast_model_normalised_entropy{window="7d_click",version="all"}')).toBeLessThan(0.6)
    expect(value('holdfast_model_auc{window="7d_click",version="all"}')).toBe(1)
    expect(value('holdfast_model_rows{state="mature"}')).toBe(TOUCHES)
    const versions = lines.filter((line) => line.startsWith('holdfast_model_evaluated_touches{window="7d_click"'))
    expect(versions).toHaveLength(1 + METRIC_VERSIONS_MAX)
    expect(versions.some((line) => line.includes('version="1"'))).toBe(false)
    // What has no meaning has no series.
    expect(lines.some((line) => line.startsWith('holdfast_model_calibration{window="1d_click"'))).toBe(false)
  })

  it('are away while the node cannot say', async () => {
    expect(await series({ evaluation: async () => ({ kind: 'unavailable', why: 'closed' }) })).toEqual([])
  })
})

it('a node that trains nothing says so', async () => {
  const plain = await ReadWorld.of(pageViewGraph({ ...WORLD_GRAPH, anonymous: 'reject', accepted: 'off' }))
  const without = await readServer(plain)
  await expect(new HoldfastClient({ url: without.url }).readEvaluation({})).rejects.toMatchObject({
    code: 'NO_EVALUATION',
  })
  await without.close()
  await plain.close()
})
