// Files of a run become touches, rows and steps in the order in which they were known; what does not fit is named with its line.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ATTRIBUTION_DEFAULT } from '../../operators/attribution-settings.ts'
import { readLabelledTouches, type TrainingAsk } from './labelled-touches.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const GRACE = ATTRIBUTION_DEFAULT.graceMs
const T = 1_750_000_000_000

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'holdfast-train-'))
})
afterEach(() => rm(dir, { recursive: true }))

const click = (id: string, at: number, over: object = {}) => ({
  ...{ type: 'click', event_id: id, event_time: at, user_id: 'u', advertiser_id: 'adv', campaign_id: 'c', ad_id: 'a' },
  ...{ click_id: id, ...over },
})
const label = (id: string, at: number, kind: string, y: number, over: object = {}) => ({
  ...{ row_id: 'r', touch_id: id, touch_time: at, user_id: 'u', window: '7d_click', kind, y, count: y, value: 0 },
  ...{ complete: true, ...over },
})
const credit = (id: string, at: number, conversionTime: number, over: object = {}) => ({
  ...{ user_id: 'u', touch_id: id, touch_time: at, conversion_time: conversionTime, window: '7d_click' },
  ...{ model: 'last_touch', ...over },
})

async function read(
  labels: readonly unknown[],
  touches: readonly unknown[],
  credits: readonly unknown[] = [],
  over: Partial<TrainingAsk> = {},
) {
  const file = async (name: string, lines: readonly unknown[]) => {
    const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n')
    await writeFile(join(dir, name), text)
    return join(dir, name)
  }
  const files = {
    labels: await file('labels.ndjson', labels),
    touches: await file('touches.ndjson', touches),
    attributions: await file('attributions.ndjson', credits),
  }
  const ask = { window: '7d_click', settings: ATTRIBUTION_DEFAULT, incomplete: false, ...over }
  return readLabelledTouches(files, ask)
}

const early = [label('k1', T, 'O', 1), label('k1', T, 'M', 1, { count: 2 })]
const late = [label('k2', T + 10, 'O', 0), label('k2', T + 10, 'D', 1), label('k2', T + 10, 'M', 1)]
const never = [label('k3', T + 20, 'O', 0), label('k3', T + 20, 'M', 0, { complete: false })]
const clicks = [click('k3', T + 20), click('k1', T), click('k2', T + 10)]

it('puts rows in the order in which they became known, whatever that of the lines', async () => {
  const conversion = T + 2 * DAY
  const lines = [...never, ...late, ...early]
  const credits = [credit('k2', T + 10, conversion + DAY), credit('k2', T + 10, conversion), credit('k1', T, T + HOUR)]
  const { steps, timesMs } = await read(lines, clicks, credits)
  expect([...timesMs]).toEqual([T, T + 10, T + 20])
  const O = HOUR + GRACE
  const M = 7 * DAY + GRACE
  expect(steps.map(({ timeMs, told, touch, y }) => [timeMs - T, told, touch, y])).toEqual([
    ...[
      [0, 'touch', 0, 0],
      [10, 'touch', 1, 0],
      [20, 'touch', 2, 0],
    ],
    ...[
      [O, 'O', 0, 1],
      [O + 10, 'O', 1, 0],
      [O + 20, 'O', 2, 0],
    ],
    [2 * DAY + GRACE, 'D', 1, 1],
    // The third has no complete M row: nothing is learned of it.
    ...[
      [M, 'M', 0, 1],
      [M + 10, 'M', 1, 1],
    ],
  ])
  expect(await read([...lines].reverse(), [...clicks].reverse(), credits)).toEqual(await read(lines, clicks, credits))
})

it('what happened is the last word, believed where the M row is complete or incomplete ones are taken', async () => {
  const lines = [
    ...early,
    ...never,
    label('k3', T + 20, 'C', 1, { count: 3 }),
    label('k3', T + 20, 'R', 0, { count: -1 }),
  ]
  const read3 = (over: Partial<TrainingAsk>) => read(lines, clicks, [], over)
  const set = await read3({})
  expect([[...set.converted], [...set.conversions], [...set.known]]).toEqual([
    [1, 1],
    [2, 3],
    [1, 0],
  ])
  expect([...(await read3({ incomplete: true })).known]).toEqual([1, 1])
  expect(set.tally).toEqual({ O: 2, D: 0, M: 2, complete: 1, C: 1, R: 1, shorter: 0, other: 0 })
})

it('a conversion that was attributed before O spoke makes D follow O at once', async () => {
  const { steps } = await read(late, clicks, [credit('k2', T + 10, T + 20)])
  expect(steps.find(({ told }) => told === 'D')!.timeMs).toBe(T + 10 + HOUR + GRACE)
})

it('counts the rows of other windows and goals', async () => {
  const others = [label('k1', T, 'O', 1, { window: '1d_click' }), label('k1', T, 'M', 1, { goal: 'g' })]
  expect((await read([...early, ...others], clicks)).tally.other).toBe(2)
  expect((await read([...early, ...others], clicks, [], { goal: 'g' })).tally).toMatchObject({ M: 1, other: 3 })
})

it('shorter windows of the same kind make bins: at risk until they convert, as far as their windows were seen', async () => {
  const day = (y: number, over: object = {}) => label('k2', T + 10, 'M', y, { window: '1d_click', ...over })
  const binsOf = async (...rows: object[]) => {
    const { binSteps, bins } = await read([...late, ...rows], clicks, [credit('k2', T + 10, T + 2 * DAY)])
    expect(bins).toEqual(['1d_click', '7d_click'])
    return binSteps.map(({ timeMs, told, bin, before, y }) => [timeMs - T - 10, told, bin, before, y])
  }
  const touch = [0, 'touch', 0, 0, 0]
  expect(await binsOf(day(0))).toEqual([touch, [DAY + GRACE, 'M', 0, 0, 0], [7 * DAY + GRACE, 'M', 1, 0, 1]])
  expect(await binsOf(day(1))).toEqual([touch, [DAY + GRACE, 'M', 0, 0, 1], [7 * DAY + GRACE, 'M', 1, 1, 1]])
  expect(await binsOf(day(0, { complete: false }))).toEqual([touch])
  // Windows may credit different touches: who converted within a shorter one is at risk in none after it.
  const of = (window: string, y: number) => label('k1', T, 'M', y, { window })
  const lanes = [of('1d_click', 1), of('7d_click', 0), of('28d_click', 0)]
  const { binSteps } = await read(lanes, clicks, [], { window: '28d_click' })
  expect(binSteps.map(({ bin, before, y }) => [bin, before, y]).slice(1)).toEqual([
    ...[
      [0, 0, 1],
      [1, 1, 1],
      [2, 1, 1],
    ],
  ])
  await expect(binsOf(day(0), day(0))).rejects.toThrow(/1d_click without one of 7d_click, or a second one/)
})

it('takes the values of vectors as features, duplicates and lines that are no touch of ours as nothing', async () => {
  const others = ['no event', { type: 'page_view' }, click('k1', T, { ad_id: null })]
  const plain = await read(early, [...others, click('k1', T), click('k1', T, { ad_id: 'other' })])
  expect(plain.advertisers).toEqual(['adv'])
  // As `run --vectors` writes it: without the click's id.
  const { click_id: _, ...line } = click('k1', T)
  const vectorOf = async (values: object) => {
    const { rows } = await read(early, [{ ...line, schema: 's', values }])
    return [...rows.keys.subarray(0, rows.starts[1])]
  }
  const ofPlain = [...plain.rows.keys.subarray(0, plain.rows.starts[1])]
  expect(await vectorOf({})).toEqual(ofPlain)
  const filled = await vectorOf({ clicks: 3, pages: ['a', 'b'], tops: [['a', 2]], none: null })
  expect([filled.length, filled.slice(0, ofPlain.length)]).toEqual([ofPlain.length + 4, ofPlain])
  const two = [
    { ...line, schema: 's', values: {} },
    { ...line, event_id: 'k2', event_time: T + 10, schema: 't', values: {} },
  ]
  await expect(read([...early, ...late], two)).rejects.toThrow(/several schemas, or none for some: s, t/)
  await expect(vectorOf({ clicks: { no: 'value' } })).rejects.toThrow(/has not 1 of the touches/)
})

it.each([
  ['a line that is no JSON', ['{"a"'], /labels.ndjson, line 2: it is no label row/],
  ['a label of no kind', [label('k1', T, 'X', 1)], /line 2: it is no label row/],
  ['a y that is neither', [label('k1', T, 'O', 2)], /line 2: it is no label row/],
  ['a second M row', [label('k3', T + 20, 'M', 0), label('k3', T + 20, 'M', 0)], /line 3: a second M row of touch k3/],
  ['a touch that is nowhere', [label('k9', T, 'O', 0)], /has not 1 of the touches .* k9 of u/],
  ['a D row without its conversion', [label('k2', T + 10, 'D', 1)], /no conversion for the D row of touch k2/],
])('names %s', async (_, lines, message) => {
  await expect(read([label('k1', T, 'O', 0), ...lines], clicks)).rejects.toThrow(message)
})

it('refuses a window that is not there, one without rows, and more touches than its limit', async () => {
  await expect(read(early, clicks, [], { window: '2d' })).rejects.toThrow(/no window 2d; there are 1d_click/)
  await expect(read(early, clicks, [], { window: '1d_view' })).rejects.toThrow(/no rows of 1d_view/)
  await expect(read([...early, ...late], clicks, [], { touchesMax: 1 })).rejects.toThrow(/line 3: more than 1 touches/)
  const files = { labels: join(dir, 'none'), touches: join(dir, 'none'), attributions: join(dir, 'none') }
  const ask = { window: '7d_click', settings: ATTRIBUTION_DEFAULT, incomplete: false }
  await expect(readLabelledTouches(files, ask)).rejects.toThrow(/cannot read .*none/)
  await expect(read(early, clicks, [credit('k1', T, T, { user_id: 3 })])).rejects.toThrow(/attributions.ndjson, line 1/)
})
