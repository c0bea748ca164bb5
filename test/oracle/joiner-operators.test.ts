// The operators of the joiner, one behind the other on real stores, against the oracle: whose each conversion is, which are
// duplicates, and who is credited. What carries records between the stages is not here; the whole is compared by test/e2e.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { attribution } from '../../operators/attribution.ts'
import { ATTRIBUTION_DEFAULT, type AttributionSettings } from '../../operators/attribution-settings.ts'
import { clickIndex } from '../../operators/click-index.ts'
import { conversionDuplicates } from '../../operators/conversion-duplicates.ts'
import { duplicates } from '../../operators/duplicates.ts'
import { EVENT_SETTINGS, type Event, isBot, isRejected, parseEventText } from '../../operators/event.ts'
import { hold } from '../../operators/hold.ts'
import { toJoin } from '../../operators/joining.ts'
import type { Rec } from '../../operators/operator.ts'
import type { AttributionRecord, Conversion, JoinRecord, KnownClick } from '../../operators/touch.ts'
import { compareUtf8 } from '../../state/key-layout.ts'
import { runStage } from '../stage-harness.ts'
import { lanesOf } from './goals.ts'
import { recompute } from './recompute.ts'
import { byOrderKey, DEFAULTS, readRecords, type Settings } from './records.ts'

const T = 1_740_268_800_000
const LATENESS = 3_000

const SETTINGS: AttributionSettings = {
  ...ATTRIBUTION_DEFAULT,
  windows: [
    { name: 'click', click: 10_000 },
    { name: 'view', impression: 4_000 },
    { name: 'both', click: 6_000, impression: 4_000, precedence: ['click', 'impression'] },
  ],
  models: [{ name: 'last_touch' }, { name: 'linear' }],
  // The click index forgets by its watermark, the oracle does not: nothing here is as old (operators/click-index.test.ts has that).
  ...{ graceMs: 2_000, pixelDelayMs: 6_000, shortWaitMs: 1_000, clickHorizonMs: 600_000 },
}

type Bots = Settings['bots']
type LateTouches = AttributionSettings['lateTouches']

const judgedBy = (bots: Bots, lateTouches: LateTouches = 'count'): Settings => ({
  ...{ ...DEFAULTS, bots, latenessMs: LATENESS },
  attribution: { ...SETTINGS, lateTouches },
})

/** The valid events of a file in the order of the order key, as the first stage gets them. */
function recordsOf(file: Buffer, bots: Bots): Rec<Event>[] {
  const { records } = readRecords(file, judgedBy(bots))
  return records.toSorted(byOrderKey).map(({ event: { fields, line }, atMs: at, isLate: late }) => {
    const parsed = parseEventText(JSON.stringify(Object.fromEntries(fields)), EVENT_SETTINGS)
    if (isRejected(parsed)) throw new Error(`${parsed.code} ${parsed.field}`)
    const value = bots !== 'count' && isBot(parsed) ? { ...parsed, bots } : parsed
    const { type, id } = value
    return { value, at, watermark: at - 1, late, rank: 1, type, id, number: line, input: 0 }
  })
}

const inOrder = (a: Rec<unknown>, b: Rec<unknown>): number =>
  a.at - b.at || a.rank - b.rank || compareUtf8(a.type, b.type) || compareUtf8(a.id, b.id) || a.number - b.number

/** What goes to the click index; null: it goes past it. */
function askedOf(rec: Rec<JoinRecord>): Rec<KnownClick | Conversion> | null {
  const { value } = rec
  if (value.kind === 'conversion') return value.clickId === null ? null : { ...rec, value }
  const { type, clickId, user, timeMs } = value
  return type === 'click' ? { ...rec, value: { kind: 'known click', clickId: clickId!, user, timeMs } } : null
}

async function joined(events: readonly Rec<Event>[], lateTouches: LateTouches) {
  const drain = { drain: T }
  const first = await runStage(() => [duplicates({}, 'passed'), toJoin(SETTINGS)], events, drain)
  const toHold = first.out as readonly Rec<JoinRecord>[]
  const asked = toHold.flatMap((rec) => askedOf(rec) ?? [])
  const resolved = await runStage(() => [clickIndex(SETTINGS)], asked, {
    ...drain,
    recordsPerSlice: 7,
    restartEvery: 2,
  })
  const past = toHold.filter(({ value }) => value.kind === 'touch' || value.clickId === null)
  const merged = [...past, ...resolved.out].sort(inOrder).map((rec) => ({ ...rec, watermark: rec.at - 1 }))
  const last = () => [
    conversionDuplicates(SETTINGS),
    hold({ ...SETTINGS, lateTouches }),
    attribution(SETTINGS, 'lines'),
  ]
  const end = await runStage(last, merged, { ...drain, outputs: ['lines'], recordsPerSlice: 7, restartEvery: 2 })
  const total = (name: string) => (first.counts[name] ?? 0) + (end.counts[name] ?? 0)
  return {
    lines: (end.emitted.lines as AttributionRecord[]).map(
      ({ conversion_id, user_id, window, model, touch_id, credit, late, revision = 0 }) =>
        JSON.stringify([conversion_id, user_id, window, model, touch_id, credit, late, revision]),
    ),
    counts: ['accepted', 'duplicates', 'late_touch'].map(total),
  }
}

function expectedOf(file: Buffer, bots: Bots, lateTouches: LateTouches) {
  const { summary, attributed } = recompute(file, judgedBy(bots, lateTouches))
  const lanes = lanesOf(SETTINGS)
  const isLate = new Map(readRecords(file, judgedBy(bots)).records.map((record) => [record.event.line, record.isLate]))
  const lines = attributed!.attributions.map(({ event, user, lane, model, touch, credit, revision }) => {
    const window = SETTINGS.windows[lanes[lane]!.window]!.name
    const late = isLate.get(event.line)
    return JSON.stringify([event.eventId, user, window, model, touch?.event.eventId ?? null, credit, late, revision])
  })
  return { lines, counts: [summary.accepted, summary.duplicates, summary.late_touch] }
}

/** Events with few ids, people and orders, out of order by up to the lateness and, some of them, far beyond. */
const randomFile = fc
  .array(
    fc.record({
      type: fc.constantFrom('click', 'click', 'impression', 'conversion', 'conversion', 'lead'),
      event_id: fc.constantFrom('1', '2', '3', '4', '5', '6', '7', '8'),
      user_id: fc.constantFrom('u', 'u', 'v', 'w', null),
      click_id: fc.constantFrom('k', 'k', 'q', null),
      order_id: fc.constantFrom('o', 'p', null, null),
      refund_of: fc.constantFrom('o', null, null, null),
      bot: fc.constantFrom(true, false, false, false),
      step: fc.oneof(fc.nat(10), fc.nat(1_500), fc.nat(4_000)),
      back: fc.oneof(fc.constant(0), fc.nat(LATENESS), fc.nat(4 * LATENESS), fc.nat(30_000)),
    }),
    { maxLength: 60, size: 'max' },
  )
  .map((list) => {
    let now = T
    const lines = list.map(({ step, back, bot, user_id, click_id, type, ...fields }) => {
      now += step
      const click = type === 'click' ? (click_id ?? 'k') : type === 'conversion' ? click_id : null
      const user = user_id ?? (type === 'conversion' && click !== null ? null : 'u')
      const ids = { type, user_id: user, click_id: click, advertiser_id: 'a', campaign_id: 'c', ad_id: 'x' }
      return `${JSON.stringify({ ...fields, ...ids, event_time: now - back, props: { bot } })}\n`
    })
    return Buffer.from(lines.join(''))
  })

const anyBots = fc.constantFrom<Bots>('count', 'mark', 'drop')
const anyLateTouches = fc.constantFrom<LateTouches>('count', 'revise')

test('the operators of the joiner say what the oracle says, of any file', async () => {
  let missed = 0
  await fc.assert(
    fc.asyncProperty(randomFile, anyBots, anyLateTouches, async (file, bots, lateTouches) => {
      const { lines, counts } = await joined(recordsOf(file, bots), lateTouches)
      const expected = expectedOf(file, bots, lateTouches)
      missed += counts.at(-1)!
      expect(lines.toSorted()).toEqual(expected.lines.toSorted())
      expect(counts).toEqual(expected.counts)
    }),
    { numRuns: 60, endOnFailure: true },
  )
  // Some 20 for these files; none would prove nothing.
  expect(missed).toBeGreaterThan(2)
})
