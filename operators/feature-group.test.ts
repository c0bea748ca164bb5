import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { type Outcome, recordOf, runOperator } from '../test/operator-harness.ts'
import { runOnTaskState } from '../test/operator-on-state.ts'
import type { Event, Fields } from './event.ts'
import { compileExpressions } from './expression.ts'
import { featureGroup } from './feature-group.ts'
import { type FeatureGroup, generationMs, generationsOf, type KeyRecord, RECORDS_STORE } from './feature-record.ts'
import type { Rec } from './operator.ts'
import type { Tally } from './parts.ts'
import { recordCodec } from './record-forms.ts'
import { countIds, type IdSet } from './sketch.ts'
import { ladderOf } from './tiles.ts'

const SECOND = 1_000
const T0 = 1_700_000_000_000
const YEAR = 365 * 86_400 * SECOND
const WINDOWS = [
  { lengthMs: 10 * SECOND, paneMs: SECOND },
  { lengthMs: 60 * SECOND, paneMs: 10 * SECOND },
] as const
const LOOKBACK_MS = 5 * SECOND
const LADDER = ladderOf(WINDOWS)
const LIST = { length: 3, keptMs: 20 * SECOND }
const value = { field: 'value', as: 'number' } as const
const channel = { field: 'channel', as: 'text' } as const

const GROUP: FeatureGroup = {
  entity: 'user',
  key: { field: 'user_id', as: 'text' },
  lookbackMs: LOOKBACK_MS,
  parts: [
    { types: ['click', 'page_view'], where: null, of: null, spec: { kind: 'count' }, ladder: LADDER },
    {
      types: ['click'],
      where: { op: 'less', args: [value, { constant: 5 }] },
      of: value,
      spec: { kind: 'sum', scale: 1 },
      ladder: LADDER,
    },
    { types: ['page_view'], where: null, of: channel, spec: { kind: 'distinct' }, ladder: LADDER },
    { types: ['page_view'], where: null, of: channel, spec: { kind: 'tally' }, ladder: LADDER },
  ],
  lists: [{ types: ['click'], where: null, of: value, ...LIST }],
}

/** What happens to a key: an event of it, `ahead` of the watermark, after the watermark rose. */
interface Step {
  readonly user: string
  readonly type: 'click' | 'page_view' | 'lead'
  readonly rise: number
  readonly ahead: number
  readonly value: number
  readonly channel: string
}

const rises = fc.oneof(
  { weight: 6, arbitrary: fc.nat(3 * SECOND) },
  { weight: 2, arbitrary: fc.nat(90 * SECOND) },
  { weight: 1, arbitrary: fc.constantFrom(generationMs(GROUP), 2 * generationMs(GROUP), YEAR) },
  // Just before a record is not needed any more, and just after.
  { weight: 1, arbitrary: fc.integer({ min: generationMs(GROUP) - 3, max: generationMs(GROUP) + 3 }) },
)
const aheads = fc.oneof(
  { weight: 4, arbitrary: fc.nat(5 * SECOND) },
  { weight: 3, arbitrary: fc.integer({ min: -100 * SECOND, max: 0 }) },
  { weight: 1, arbitrary: fc.constantFrom(YEAR, 20 * YEAR, generationMs(GROUP)) },
)
const step: fc.Arbitrary<Step> = fc.record({
  user: fc.constantFrom('a', 'b', 'c'),
  type: fc.constantFrom('click', 'click', 'page_view', 'lead'),
  rise: rises,
  ahead: aheads,
  value: fc.integer({ min: -9, max: 9 }),
  channel: fc.constantFrom('x', 'y', 'z'),
})
const stream = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 80 }),
  /** Records before there is a watermark. */
  first: fc.oneof(fc.constant(0), fc.nat(10)),
})

/** Records as a task hands them on: watermarks only rise. */
function recordsOf({ steps, first }: { steps: readonly Step[]; first: number }): Rec<Event>[] {
  let now = T0
  return steps.map((one, number) => {
    now += one.rise
    const watermark = number < first ? -1 : now
    const time = Math.max(0, now + one.ahead)
    const { user, type } = one
    const fields = { user_id: user, value: one.value, channel: one.channel } as unknown as Fields
    const event: Event = { type, id: `e${number}`, time, user, anonymous: false, fields }
    return recordOf(event, { time, watermark, number })
  })
}

const run = (records: readonly Rec<Event>[], sliceRecords = 7) =>
  runOperator(featureGroup(GROUP), records, { sliceRecords })

function recordOfKey(outcome: Pick<Outcome<Event>, 'keyed'>, key: string): KeyRecord | undefined {
  const store = outcome.keyed<KeyRecord>(RECORDS_STORE)
  const found = generationsOf(store.lowestBucket).flatMap((bucket) => store.get(bucket, key) ?? [])
  expect(found.length).toBeLessThanOrEqual(1)
  return found[0]
}

/** What a record says at T, and what all events say. */
function said(record: KeyRecord | undefined, T: number): unknown {
  const windows = WINDOWS.map((window) => {
    const [count, sum, ids, tally] = GROUP.parts.map((_, i) => record?.tiles.windowOf(i, window, T))
    return [count, sum, ids === undefined ? 0 : countIds(ids as IdSet), [...((tally as Tally) ?? [])].sort()]
  })
  const list = (record?.lists[0]?.newestFirst() ?? []).filter(({ time }) => time > T - LIST.keptMs)
  return [windows, list.map((entry) => entry.value)]
}

function naive(events: readonly Event[], T: number): unknown {
  const clicks = events.filter(({ type }) => type === 'click')
  const windows = WINDOWS.map(({ lengthMs, paneMs }) => {
    const last = Math.floor(T / paneMs)
    const inside = ({ time }: Event) => {
      const pane = Math.floor(time / paneMs)
      return pane > last - lengthMs / paneMs && pane <= last
    }
    const counted = events.filter(inside).filter(({ type }) => type !== 'lead')
    const values = clicks.filter(inside).map(({ fields }) => fields.value as number)
    const summed = values.filter((x) => x < 5)
    const views = counted.filter(({ type }) => type === 'page_view').map(({ fields }) => fields.channel as string)
    const times = new Map<string, number>()
    for (const one of views) times.set(one, (times.get(one) ?? 0) + 1)
    const sum = summed.length === 0 ? undefined : summed.reduce((a, b) => a + b)
    return [counted.length === 0 ? undefined : counted.length, sum, times.size, [...times].sort()]
  })
  const newest = clicks.sort((a, b) => b.time - a.time || (a.id < b.id ? 1 : -1)).slice(0, LIST.length)
  return [windows, newest.filter(({ time }) => time > T - LIST.keptMs).map(({ fields }) => fields.value)]
}

describe('FG1: what is kept', () => {
  test('says what all events say, for every key, at every time that can still be asked for', () => {
    fc.assert(
      fc.property(stream, fc.nat(generationMs(GROUP)), (given, later) => {
        const records = recordsOf(given)
        const outcome = run(records)
        const { watermark } = records.at(-1)!
        const now = Math.max(watermark, ...records.map((rec) => rec.value.time))
        for (const user of ['a', 'b', 'c']) {
          const record = recordOfKey(outcome, user)
          const events = records.map((rec) => rec.value).filter((event) => event.user === user)
          // What came last is known for now only, windows from the watermark less what they look back.
          for (const T of [now, now + later]) expect(said(record, T)).toEqual(naive(events, T))
          const past = Math.max(0, watermark - LOOKBACK_MS)
          for (const T of [past, past + later])
            expect((said(record, T) as unknown[])[0]).toEqual((naive(events, T) as unknown[])[0])
        }
      }),
      { numRuns: 500 },
    )
  })

  test('is the same for slices of 1, 7 and 128, on strict stores and on those of a task', async () => {
    const property = fc.asyncProperty(stream, async (given) => {
      const records = recordsOf(given)
      const outcomes = [1, 7, 128].map((sliceRecords) => run(records, sliceRecords))
      for (const { entries, counts, out } of outcomes) {
        expect([entries, counts]).toEqual([outcomes[0]!.entries, outcomes[0]!.counts])
        expect(out.map((rec) => rec.value)).toEqual(records.map((rec) => rec.value))
      }
      const dumps = []
      for (const sliceRecords of [1, 7, 128]) {
        const { dump } = await runOnTaskState(featureGroup(GROUP), records, { sliceRecords })
        dumps.push(dump.filter((line) => !line.startsWith('meta')))
      }
      expect(dumps[1]).toEqual(dumps[0])
      expect(dumps[2]).toEqual(dumps[0])
    })
    await fc.assert(property, { numRuns: 30 })
  })

  test('is the same where a batch looks for each record again, with every event', async () => {
    const alone = () => featureGroup(GROUP, { expressions: compileExpressions, joins: false })
    const property = fc.asyncProperty(stream, fc.constantFrom(1, 7, 128), async (given, sliceRecords) => {
      const records = recordsOf(given)
      const { entries, counts } = runOperator(alone(), records, { sliceRecords })
      expect([entries, counts]).toEqual([run(records, 128).entries, run(records, 128).counts])
      const [apart, joined] = await Promise.all(
        [alone(), featureGroup(GROUP)].map((operator) => runOnTaskState(operator, records, { sliceRecords })),
      )
      expect(apart!.dump).toEqual(joined!.dump)
    })
    await fc.assert(property, { numRuns: 60 })
  })

  test('a batch looks once for a record, however many events of its key are in it', () => {
    const records = recordsOf({ steps: Array.from({ length: 20 }, () => at(1)), first: 0 })
    const looks = (operator: ReturnType<typeof featureGroup>) => {
      let count = 0
      const process: typeof operator.process = (batch, ctx) => {
        const get = vi.spyOn(ctx.keyed(RECORDS_STORE), 'get')
        const out = operator.process(batch, ctx)
        count += get.mock.calls.length
        return out
      }
      runOperator({ ...operator, process }, records, { sliceRecords: 20 })
      return count
    }
    expect(looks(featureGroup(GROUP))).toBe(1)
    expect(looks(featureGroup(GROUP, { expressions: compileExpressions, joins: false }))).toBe(20)
  })

  test('does not depend on the order of events under one watermark', () => {
    const sameWatermark = fc.array(step, { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(sameWatermark, (steps) => {
        const records = recordsOf({ steps: steps.map((one) => ({ ...one, rise: 0 })), first: 0 })
        const entries = (list: readonly Rec<Event>[]) =>
          run(list).entries.filter((entry) => entry.startsWith(RECORDS_STORE))
        expect(entries([...records].reverse())).toEqual(entries(records))
      }),
    )
  })
})

const at = (rise: number, parts: Partial<Step> = {}): Step => ({
  ...{ user: 'a', type: 'click', rise, ahead: 0, value: 1, channel: 'x' },
  ...parts,
})
const keysOf = ({ entries }: Outcome<Event>) =>
  entries.filter((entry) => entry.startsWith(RECORDS_STORE)).map((entry) => /,"(\w+)"\]/.exec(entry)![1])

describe('FG2: how long a record is kept', () => {
  test('a key that is not seen any more goes', () => {
    const others = Array.from({ length: 4 }, () => at(generationMs(GROUP), { user: 'b' }))
    expect(keysOf(run(recordsOf({ steps: [at(0), ...others], first: 0 })))).toEqual(['b'])
    // Also where it came before there was a watermark.
    expect(keysOf(run(recordsOf({ steps: [at(0), ...others], first: 1 })))).toEqual(['b'])
  })

  test('of keys that are seen once there are never more than of three times what is needed', () => {
    const steps = Array.from({ length: 400 }, (_, i) => at(SECOND, { user: `u${i}` }))
    const most = (3 * generationMs(GROUP)) / SECOND
    for (let length = 100; length <= steps.length; length += 100)
      expect(keysOf(run(recordsOf({ steps: steps.slice(0, length), first: 0 }))).length).toBeLessThan(most)
  })

  test('one that came far ahead of the watermark is kept until its own time has passed', () => {
    const ahead = at(0, { ahead: 3 * generationMs(GROUP) })
    const others = Array.from({ length: 30 }, () => at(generationMs(GROUP) / 10, { user: 'b' }))
    const records = recordsOf({ steps: [ahead, ...others], first: 0 })
    const { time } = records[0]!.value
    expect(said(recordOfKey(run(records), 'a'), time)).toEqual(naive([records[0]!.value], time))
  })

  test('after a gap of years the event that ended it is still there', () => {
    for (const first of [0, 2]) {
      // The watermark follows: the next record has it.
      const steps = [at(0), at(0, { ahead: YEAR }), at(YEAR, { user: 'b' })]
      const records = recordsOf({ steps, first })
      const { time } = records[1]!.value
      expect(said(recordOfKey(run(records, 1), 'a'), time)).toEqual(naive([records[1]!.value], time))
    }
  })

  test('a late value is in its list as long as it is not older than it may be', () => {
    for (const ahead of [-LIST.keptMs + 1, -LIST.keptMs]) {
      const [record] = recordsOf({ steps: [at(0, { ahead })], first: 0 })
      const T = record!.watermark
      expect(said(recordOfKey(run([record!]), 'a'), T)).toEqual(naive([record!.value], T))
    }
  })

  test('to the last moment in which a window can still end in it', () => {
    const lastMs = WINDOWS[1].lengthMs + LOOKBACK_MS - 1
    // Others bring the watermark there, in steps that begin another generation wherever one may begin.
    for (let step = SECOND; step <= lastMs; step += 3_333) {
      const others = Array.from({ length: Math.floor(lastMs / step) }, () => at(step, { user: 'b' }))
      const rest = at(lastMs % step, { user: 'b' })
      for (const before of [0, 20 * SECOND, 50 * SECOND, generationMs(GROUP)]) {
        const steps = [at(0, { user: 'b' }), at(before), ...others, rest]
        const records = recordsOf({ steps, first: 0 })
        const T = records.at(-1)!.watermark - LOOKBACK_MS
        expect(said(recordOfKey(run(records), 'a'), T)).toEqual(naive([records[1]!.value], T))
      }
    }
  })

  test('one that became empty begins anew, in the same batch or not', () => {
    const [short, long] = [ladderOf(WINDOWS.slice(0, 1)), ladderOf(WINDOWS.slice(1))]
    const count = { where: null, of: null, spec: { kind: 'count' } } as const
    const parts = [
      { ...count, types: ['click' as const], ladder: short },
      { ...count, types: ['page_view' as const], ladder: long },
    ]
    const operator = featureGroup({ ...GROUP, parts, lists: [] })
    // The click goes when another comes that is too old, before a page view from before it.
    const late = at(0, { type: 'page_view', ahead: -31 * SECOND })
    const records = recordsOf({ steps: [at(0), at(30 * SECOND, { ahead: -YEAR }), late], first: 0 })
    const [apart, together] = [1, 7].map((sliceRecords) => runOperator(operator, records, { sliceRecords }).entries)
    expect(together).toEqual(apart)
    expect(together).toHaveLength(2)
  })

  test('an event of which nothing is kept makes no record', () => {
    const outcome = run(recordsOf({ steps: [at(0, { type: 'lead' }), at(1, { ahead: -YEAR })], first: 0 }))
    expect(keysOf(outcome)).toEqual([])
    expect(outcome.counts).toEqual({ features_expired: 1 })
  })

  test('a text that is too long is in no set, tally or list, and is counted', () => {
    // Three bytes each, so that units and bytes differ.
    const texts = [42, 43].map((count) => '€'.repeat(count))
    const steps = texts.map((channel) => at(0, { type: 'page_view', channel }))
    const group = { ...GROUP, lists: [{ ...LIST, types: ['page_view' as const], where: null, of: channel }] }
    const outcome = runOperator(featureGroup(group), recordsOf({ steps, first: 0 }), { sliceRecords: 7 })
    const record = recordOfKey(outcome, 'a')!
    expect(record.tiles.windowOf(0, WINDOWS[0], T0)).toBe(2)
    expect(countIds(record.tiles.windowOf(2, WINDOWS[0], T0) as IdSet)).toBe(1)
    expect([...(record.tiles.windowOf(3, WINDOWS[0], T0) as Tally).keys()]).toEqual([texts[0]])
    expect(record.lists[0]!.newestFirst().map((entry) => entry.value)).toEqual([texts[0]])
    expect(outcome.counts).toEqual({ features_text_too_long: 3 })
  })

  test('an event without the key goes on and is not kept', () => {
    const [record] = recordsOf({ steps: [at(0)], first: 0 })
    const fields = { ...record!.value.fields, user_id: undefined } as unknown as Fields
    const outcome = run([{ ...record!, value: { ...record!.value, fields } }])
    expect([outcome.entries, outcome.out.length]).toEqual([[], 1])
  })

  test('an event reads and writes one record, in one of two places', () => {
    const { touched } = run(recordsOf({ steps: [at(0), at(1), at(1)], first: 0 }), 128)
    expect([...new Set(touched)]).toEqual(['[0,""]', '[1,"a"]', '[0,"a"]'])
  })
})

describe('bytes of a record', () => {
  test('that were damaged are STATE_CORRUPT or another record, and never anything else', () => {
    const { encode, decode } = recordCodec(GROUP)
    fc.assert(
      fc.property(stream, fc.nat(), fc.nat(255), fc.boolean(), (given, place, byte, cut) => {
        const record = recordOfKey(run(recordsOf(given)), 'a')
        if (record === undefined) return
        const bytes = encode(record)
        expect(encode(decode(bytes))).toEqual(bytes)
        const damaged = cut ? bytes.slice(0, place % bytes.length) : Uint8Array.from(bytes)
        if (!cut) damaged[place % bytes.length] = byte
        try {
          // All of it: tiles and lists are bytes until somebody needs them.
          said(decode(damaged), T0)
        } catch (error) {
          expect(error).toEqual(expect.objectContaining({ code: 'STATE_CORRUPT' }))
        }
        if (cut) expect(() => decode(damaged)).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }))
        expect(() => decode(Uint8Array.from([...bytes, 0]))).toThrow('longer than what is in it')
      }),
      { numRuns: 300 },
    )
  })
})
