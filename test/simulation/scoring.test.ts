// Touches scored on their way: whatever the partitions, slices, faults and kills, each row that teaches has the score that was published
// of its touch, and who is credited and labelled is as without scores.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random } from '../../cli/generate/random.ts'
import { ATTRIBUTION_DEFAULT } from '../../operators/attribution-settings.ts'
import type { ActiveModel, ModelRecord, Scored, TrainingRow } from '../../operators/model-records.ts'
import type { Operator, OperatorContext, Rec } from '../../operators/operator.ts'
import { inSingle } from '../../operators/scored.ts'
import type { ScoreRecord } from '../../operators/scorer.ts'
import { APPLICATION } from '../../topology/features/application.ts'
import { type GraphOptions, pageViewGraph, scoringStage, TRAINING_STAGE } from '../../topology/graph.ts'
import { SCORING_DEFAULT } from '../../topology/models/scoring-settings.ts'
import type { Plan } from '../../topology/plan.ts'
import { DEFAULT_TUNING } from '../../topology/task.ts'
import { describeFailure } from './campaign.ts'
import { EVENTS_START_MS } from './events.ts'
import { recordedSubjects } from './loop-campaign.ts'
import { ordeal } from './ordeal.ts'
import type { SubjectWithTwin } from './subjects.ts'
import { ANONYMOUS, LATENESS_MS, NAMESPACE } from './topologies.ts'
import { runTopology, type TopologyOutcome } from './topology-run.ts'

const TOUCHES = 300
const ORDEALS = 14
/** Among those from here on is one that notices a version which a restart forgets, and one that notices rows it does not learn again. */
const FIRST_ORDEAL = 30
const DAY_MS = 86_400_000
const GAP_MS = 30 * 60_000
const CHAOS = { publishLate: 0.01, publishLost: 0.01, ackLost: 0.02, cut: 0.001, readerReset: 0.01 }

/** Few windows: each is some MB of every version. */
const ATTRIBUTION = {
  ...ATTRIBUTION_DEFAULT,
  windows: ATTRIBUTION_DEFAULT.windows.filter(({ name }) => ['7d_click', '7d_click_1d_view'].includes(name)),
}

let dir: string
const path = () => join(dir, 'touches.ndjson')

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'holdfast-scoring-'))
  writeFileSync(path(), `${eventLines(new Random(8)).join('\n')}\n`)
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** Event times of touches that are not late, which are their order times. */
const onTime = new Map<string, number>()

/** Touches of some days, a tenth of them late or of nobody; one ad of three converts, soon or after a day. */
function eventLines(random: Random): string[] {
  let timeMs = EVENTS_START_MS
  return Array.from({ length: TOUCHES }, (_, i) => {
    timeMs += Math.floor(random.wait(GAP_MS))
    const ad = random.below(3)
    const where = { advertiser_id: `s${ad % 2}`, campaign_id: `c${ad}`, ad_id: `a${ad}` }
    const user_id = random.chance(0.05) ? null : `u${random.below(9)}`
    const at = random.chance(0.9) ? timeMs : timeMs - random.below(2 * LATENESS_MS)
    const type = random.chance(0.7) ? 'click' : 'impression'
    if (at === timeMs) onTime.set(`e${i}`, at)
    const touch = { type, event_id: `e${i}`, event_time: at, user_id, click_id: `k${i}`, ...where }
    if (ad !== 0 || user_id === null || random.chance(0.3)) return [touch]
    const late = random.chance(0.5) ? 600_000 : 30 * 3_600_000
    const sale = {
      type: 'conversion',
      event_id: `s${i}`,
      event_time: at + late,
      user_id,
      advertiser_id: 's0',
      value: 1,
    }
    return [touch, sale]
  })
    .flat()
    .sort((a, b) => Math.max(a.event_time, 0) - Math.max(b.event_time, 0))
    .map((event) => JSON.stringify(event))
}

/** Publishes what comes to the trainer. */
const TAUGHT = 'taught'
const tap: Operator<TrainingRow, never> = {
  ...{ name: 'tap', version: 1, settings: {}, stores: [] },
  process(batch, ctx) {
    for (const rec of batch) ctx.emit(TAUGHT, rec.value, rec)
    return []
  },
}

function tapped(plan: Plan): Plan {
  const stages = plan.stages.map((stage) => {
    if (stage.name !== TRAINING_STAGE) return stage
    const from = stage.nodes.findIndex(({ operator }) => operator.name === 'each row')
    const nodes = [...stage.nodes, { operator: tap, from, stores: [] }]
    return { ...stage, nodes, outputs: [...stage.outputs, { name: TAUGHT, mode: 'records' } as const] }
  })
  return { ...plan, stages }
}

/** The record of the second version is of other features than touches have here. */
function withoutSecond(plan: Plan): Plan {
  const spoil = (rec: Rec<ActiveModel>): Rec<ActiveModel> =>
    rec.value.version === 2 ? { ...rec, value: { ...rec.value, schema: 'of vectors' } } : rec
  const stages = plan.stages.map((stage) => ({
    ...stage,
    nodes: stage.nodes.map((node) => {
      const { operator } = node
      if (operator.name !== 'published versions') return node
      const process = (batch: readonly Rec<ModelRecord>[], ctx: OperatorContext) =>
        operator.process(batch, ctx).map(spoil)
      return { ...node, operator: { ...operator, process } }
    }),
  }))
  return { ...plan, stages }
}

/** Last bits of what a model says: never the same twice, as if each task went on on another kind of processor after each of its batches. */
let said = 0
const wobbled = (p: number): number => inSingle(p * (1 - (++said % 8) * 2 ** -23))

/** The scores of the plan, computed again, have other last bits. */
function onAnyProcessor(plan: Plan): Plan {
  const text = (json: string): string => {
    const record = JSON.parse(json) as ScoreRecord
    const p = Object.entries(record.p).map(([window, one]) => [window, wobbled(one)])
    return json.replace(JSON.stringify(record.p), JSON.stringify(Object.fromEntries(p)))
  }
  const elsewhere = (ctx: OperatorContext): OperatorContext => {
    const emitJson: OperatorContext['emitJson'] = (output, json, cause) => ctx.emitJson(output, text(json), cause)
    return { emitJson, count: ctx.count.bind(ctx) } as OperatorContext
  }
  const otherwise = (rec: Rec<{ scored: Scored }>) => {
    const { scored } = rec.value
    return { ...rec, value: { ...rec.value, scored: { ...scored, p: scored.p.map(wobbled) } } }
  }
  const stages = plan.stages.map((stage) => ({
    ...stage,
    nodes: stage.nodes.map((node) => {
      const { operator } = node
      if (operator.name !== 'scorer') return node
      const process = (batch: readonly Rec<unknown>[], ctx: OperatorContext) =>
        (operator.process(batch, elsewhere(ctx)) as Rec<{ scored: Scored }>[]).map(otherwise)
      return { ...node, operator: { ...operator, process } }
    }),
  }))
  return { ...plan, stages }
}

/** Of each score what is exact, and the probabilities beside it. */
const exactly = (records: readonly string[] | undefined) =>
  parsed<ScoreRecord>(records).map(({ p, ...exact }) => ({ exact, p }))

const planOf = (partitions: number, more: Partial<GraphOptions>): Plan =>
  pageViewGraph({
    ...{ namespace: NAMESPACE, name: 'scored', clock: 'data', latenessMs: LATENESS_MS, partitions },
    ...{ anonymous: ANONYMOUS, accepted: 'off', attribution: ATTRIBUTION, ...more },
  })

const run = (plan: Plan, { sliceMax = 128, kills = 0 } = {}): Promise<TopologyOutcome> => {
  const tuning = { ...DEFAULT_TUNING, sliceMax, commitRecordsMax: kills === 0 ? 20_000 : 60 }
  return runTopology({ plan, path: path(), seed: 5 + kills, tuning, chaos: kills === 0 ? {} : CHAOS, kills })
}

const parsed = <T>(records: readonly string[] | undefined): T[] => records!.map((text) => JSON.parse(text) as T)

describe('touches that are scored', () => {
  const scoring = { ...SCORING_DEFAULT, train: 'off' } as const
  let alone: TopologyOutcome
  let scored: TopologyOutcome
  beforeAll(async () => {
    alone = await run(planOf(1, {}))
    scored = await run(tapped(planOf(1, { scoring })))
  }, 120_000)

  it('are credited and labelled as ever', () => {
    expect(scored.outputs.labels).toEqual(alone.outputs.labels)
    expect(scored.outputs.attributions).toEqual(alone.outputs.attributions)
    expect(scored.outputs.scores!.length).toBe(TOUCHES)
  })

  it('teach by rows that have the score that was published of the touch', () => {
    const scores = new Map(
      parsed<ScoreRecord>(scored.outputs.scores).map((score) => [`${score.user_id} ${score.event_id}`, score]),
    )
    const kinds = new Set<string>()
    const names = ATTRIBUTION.windows.map(({ name }) => name)
    for (const { kind, user, touchId, version, p, input } of parsed<TrainingRow>(scored.outputs[TAUGHT])) {
      const score = scores.get(`${user} ${touchId}`)!
      expect([String(version), p]).toEqual([score.model_version, names.map((name) => score.p[name] ?? 0)])
      expect(input === null).toBe(kind === 'M')
      kinds.add(kind)
    }
    expect([...kinds].sort()).toEqual(['D', 'M', 'O'])
  })

  it.each([
    [3, 128, 0],
    [4, 7, 0],
    [3, 1, 3],
  ])('are the same in %i partitions, slices of %i and with %i kills', async (partitions, sliceMax, kills) => {
    const outcome = await run(tapped(planOf(partitions, { scoring })), { sliceMax, kills })
    expect(outcome.outputs).toEqual(scored.outputs)
    expect(outcome.counts).toEqual(scored.counts)
  })
})

describe('touches that are scored on processors whose last bits differ', () => {
  const scoring = { ...SCORING_DEFAULT, train: 'off' } as const

  it.each([1, 2, 3])('keep the score that was published, and everything else to the bit: trial %i', async (trial) => {
    const same = await run(tapped(planOf(2, { scoring })))
    const { outputs, counts } = await run(onAnyProcessor(tapped(planOf(2, { scoring }))), { kills: 5 + trial })
    expect([outputs.labels, outputs.attributions]).toEqual([same.outputs.labels, same.outputs.attributions])
    expect(counts).toEqual(same.counts)
    const [found, must] = [exactly(outputs.scores), exactly(same.outputs.scores)]
    expect(found.map(({ exact }) => exact)).toEqual(must.map(({ exact }) => exact))
    for (const [i, { p }] of found.entries())
      for (const [window, one] of Object.entries(p)) expect(one / must[i]!.p[window]!).toBeCloseTo(1, 5)
    expect(found).not.toEqual(must)
  })
})

describe('models that learn while they score', () => {
  const gates = {
    ...SCORING_DEFAULT.gates,
    entropyRise: 100,
    calibration: [0.001, 1_000],
    rowsMin: 1,
    positivesMin: 1,
  } as const
  const scoring = { ...SCORING_DEFAULT, period: DAY_MS, settledRows: 5, gates }
  let calm: TopologyOutcome
  beforeAll(async () => {
    calm = await run(tapped(planOf(1, { scoring })))
  }, 120_000)

  it('publish versions, and each touch is scored by the one that holds at its time', () => {
    const published = parsed<ModelRecord>(calm.outputs.models).filter((record) => record.kind === 'published')
    expect(published.length).toBeGreaterThan(3)
    const met = new Set<number>()
    const scores = parsed<ScoreRecord>(calm.outputs.scores).filter(({ event_id }) => onTime.has(event_id))
    for (const { event_id, model_version } of scores) {
      const holds = published.findLast(({ from }) => from <= onTime.get(event_id)!)?.version ?? 0
      expect(Number(model_version)).toBe(holds)
      met.add(holds)
    }
    expect(met.size).toBeGreaterThan(3)
  })

  it.each([
    [3, 128, 0],
    [4, 7, 4],
  ])(
    'say the same in %i partitions, slices of %i and with %i kills',
    async (partitions, sliceMax, kills) => {
      const outcome = await run(tapped(planOf(partitions, { scoring })), { sliceMax, kills })
      expect(outcome.outputs).toEqual(calm.outputs)
      expect(outcome.counts).toEqual(calm.counts)
    },
    120_000,
  )

  it.each<[string, Partial<GraphOptions>]>([
    ['that learn by the day', { scoring: { ...scoring, train: 'recurring' } }],
    ['that read vectors', { scoring, features: APPLICATION, vectors: 'all' }],
  ])('%s say the same in 3 partitions', async (_, more) => {
    const [one, other] = [await run(planOf(1, more)), await run(planOf(3, more))]
    expect([other.outputs, other.counts]).toEqual([one.outputs, one.counts])
    const versions = new Set(parsed<ScoreRecord>(one.outputs.scores).map(({ model_version }) => model_version))
    expect(versions.size).toBeGreaterThan(3)
    expect(one.outputs.models).not.toEqual(calm.outputs.models)
  })

  it('end where nothing comes', async () => {
    const empty = join(dir, 'empty.ndjson')
    writeFileSync(empty, '')
    for (const partitions of [1, 3])
      for (const train of ['online', 'off'] as const) {
        const plan = planOf(partitions, { scoring: { ...scoring, train } })
        const tuning = DEFAULT_TUNING
        const { outputs } = await runTopology({ plan, path: empty, seed: 3, tuning, chaos: {}, kills: 0 })
        expect(Object.values(outputs).flat()).toEqual([])
      }
  })

  it(`keep every byte through ${ORDEALS} ordeals of the tasks that score and train: kills, standbys that take over`, async () => {
    const stages = [scoringStage({}), TRAINING_STAGE]
    const all = await recordedSubjects(planOf(2, { scoring }), { path: path(), seed: 5, stages })
    const said = ({ twin }: SubjectWithTwin) => [...twin.outputs.values()].flat().join('\n')
    const subjects = all.filter((subject) => said(subject) !== '')
    expect(subjects.some((subject) => /"model_version":"[3-9]"/.test(said(subject)))).toBe(true)
    const fired: Record<string, number> = {}
    for (let seed = FIRST_ORDEAL; seed < FIRST_ORDEAL + ORDEALS; seed++) {
      const result = await ordeal(seed, subjects[seed % subjects.length]!)
      expect(result.findings.length === 0 ? '' : describeFailure(result)).toBe('')
      for (const [fault, count] of Object.entries(result.fired)) fired[fault] = (fired[fault] ?? 0) + count
    }
    expect(['failover', 'promotion', 'standby'].filter((each) => !fired[each])).toEqual([])
  }, 120_000)

  it('lose no score where a version is refused: the one before it answers, in any partitions', async () => {
    const whole = parsed<ScoreRecord>(calm.outputs.scores)
    const [one, other] = [
      await run(withoutSecond(planOf(1, { scoring }))),
      await run(withoutSecond(planOf(3, { scoring }))),
    ]
    expect(other.outputs.scores).toEqual(one.outputs.scores)
    const versions = new Map(
      parsed<ScoreRecord>(one.outputs.scores).map(({ user_id, event_id, model_version }) => [
        `${user_id} ${event_id}`,
        model_version,
      ]),
    )
    expect(versions.size).toBe(TOUCHES)
    const second = whole.filter(({ model_version }) => model_version === '2')
    expect(second.length).toBeGreaterThan(5)
    for (const { user_id, event_id } of second) expect(versions.get(`${user_id} ${event_id}`)).toBe('1')
    for (const { counts } of [one, other]) expect(counts['ad model_refused schema']).toBe(second.length)
  })
})
