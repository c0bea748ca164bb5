// Records of several forms: a group whose parts, lists and windows change twice while events come, on the stores of a task.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MemoryDisk } from '../state/memory-backend.ts'
import { TaskState } from '../state/task-state.ts'
import { Context, Runner, recordOf, slicesOf } from '../test/operator-harness.ts'
import { commitSlice } from '../test/operator-on-state.ts'
import type { Event, Fields } from './event.ts'
import { featureGroup } from './feature-group.ts'
import {
  type FeatureGroup,
  type GroupPart,
  generationMs,
  generationsOf,
  type KeyRecord,
  RECORDS_STORE,
} from './feature-record.ts'
import type { Rec } from './operator.ts'
import { recordCodec } from './record-forms.ts'
import { ladderOf } from './tiles.ts'

const SECOND = 1_000
const T0 = 1_700_000_000_000
const LOOKBACK_MS = 20 * SECOND
const value = { field: 'value', as: 'number' } as const
const PARTS: readonly Omit<GroupPart, 'ladder'>[] = [
  { types: ['click', 'page_view'], where: null, of: null, spec: { kind: 'count' } },
  { types: ['click'], where: null, of: value, spec: { kind: 'sum', scale: 1 } },
  { types: ['page_view'], where: null, of: value, spec: { kind: 'greatest', scale: 1 } },
]
const WINDOWS = [1, 5, 20].map((panes) => ({ lengthMs: 10 * panes * SECOND, paneMs: panes * SECOND }))
const LISTS: FeatureGroup['lists'] = [20, 60].map((seconds) => {
  return { types: ['click'], where: null, of: value, length: 3, keptMs: seconds * SECOND }
})

/** What is kept in one phase, by places in PARTS, WINDOWS and LISTS. */
interface Phase {
  readonly parts: readonly number[]
  readonly windows: readonly number[]
  readonly lists: readonly number[]
}
const some = (length: number, minLength: number) => fc.subarray([...Array(length).keys()], { minLength })
const phase = fc.record({ parts: some(3, 2), windows: some(3, 2), lists: some(2, 0) })

function formsOf(phases: readonly Phase[]): FeatureGroup[] {
  const forms = phases.map(({ parts, windows, lists }): FeatureGroup => {
    const ladder = ladderOf(windows.map((i) => WINDOWS[i]!))
    // A part that nothing reads is not kept.
    const read = windows.length === 0 ? [] : parts
    const kept = { parts: read.map((i) => ({ ...PARTS[i]!, ladder })), lists: lists.map((i) => LISTS[i]!) }
    return { entity: 'user', key: { field: 'user_id', as: 'text' }, lookbackMs: LOOKBACK_MS, ...kept }
  })
  return forms.map((form, i) => ({ ...form, earlier: forms.slice(0, i) }))
}

const steps = fc.array(
  fc.record({
    user: fc.constantFrom('a', 'b'),
    type: fc.constantFrom('click', 'page_view'),
    rise: fc.oneof({ weight: 9, arbitrary: fc.nat(3 * SECOND) }, { weight: 1, arbitrary: fc.nat(300 * SECOND) }),
    ahead: fc.integer({ min: -30 * SECOND, max: 5 * SECOND }),
    value: fc.integer({ min: -9, max: 9 }),
  }),
  { minLength: 20, maxLength: 60 },
)

function recordsOf(given: ReturnType<typeof steps.generate>['value']): Rec<Event>[] {
  let watermark = T0
  return given.map(({ user, type, rise, ahead, value: x }, number) => {
    watermark += rise
    const time = watermark + ahead
    const fields = { user_id: user, value: x } as unknown as Fields
    return recordOf({ type, id: `e${number}`, time, user, anonymous: false, fields } as Event, {
      time,
      watermark,
      number,
    })
  })
}

/** The record of a key after each form had its share of the records, each with a process of its own. */
async function runForms(forms: readonly FeatureGroup[], records: readonly Rec<Event>[], key: string) {
  const disk = new MemoryDisk()
  let record: KeyRecord | undefined
  for (const [i, form] of forms.entries()) {
    const operator = featureGroup(form)
    const state = await TaskState.open(disk.open(), operator.stores, { keyedCacheEntries: 4 })
    const context = new Context(state)
    const runner = new Runner(operator, context)
    const share = records.slice((i * records.length) / forms.length, ((i + 1) * records.length) / forms.length)
    for (const slice of slicesOf(share, 7)) {
      await commitSlice(state, operator, { context, runner, slice })
    }
    const snapshot = state.acquireSnapshot()
    const places = generationsOf(snapshot.lowestBucket(RECORDS_STORE)).map((bucket) => [bucket, key] as const)
    record = (await snapshot.multiGet<KeyRecord>(RECORDS_STORE, places)).find((found) => found !== undefined)
    snapshot.release()
    await state.close()
  }
  return record
}

describe('RF1, RF2: after changes', () => {
  test('parts, windows and lists that were there all the time say what they say without a change', async () => {
    let compared = 0
    const property = fc.asyncProperty(fc.tuple(phase, phase, phase), steps, async (phases, given) => {
      const records = recordsOf(given)
      const always = (kept: keyof Phase) => phases[0][kept].filter((i) => phases.every((one) => one[kept].includes(i)))
      const last = phases[2]
      const alone = formsOf([{ parts: always('parts'), windows: always('windows'), lists: always('lists') }])
      for (const key of ['a', 'b']) {
        const [changed, same] = [await runForms(formsOf(phases), records, key), await runForms(alone, records, key)]
        const { watermark } = records.at(-1)!
        for (const i of always('parts')) {
          for (const w of always('windows')) {
            for (const T of [watermark - LOOKBACK_MS, watermark, watermark + 7 * SECOND, watermark + 60 * SECOND]) {
              const place = [last.parts.indexOf(i), always('parts').indexOf(i)]
              const [is, was] = [changed, same].map((record, j) => record?.tiles.windowOf(place[j]!, WINDOWS[w]!, T))
              expect([key, i, w, T - watermark, is]).toEqual([key, i, w, T - watermark, was])
              if (was !== undefined) compared++
            }
          }
        }
        for (const i of always('lists')) {
          const inTime = (record: KeyRecord | undefined, place: number) =>
            (record?.lists[place]?.newestFirst() ?? []).filter(({ time }) => time > watermark - LISTS[i]!.keptMs)
          const was = inTime(same, always('lists').indexOf(i))
          expect(inTime(changed, last.lists.indexOf(i))).toEqual(was)
          compared += was.length
        }
      }
    })
    await fc.assert(property, { numRuns: 200 })
    expect(compared).toBeGreaterThan(1_000)
  })

  test('a key that is not seen any more goes also where records are kept longer than before', async () => {
    const forms = formsOf([
      { parts: [0], windows: [0], lists: [] },
      { parts: [0], windows: [0, 2], lists: [] },
    ])
    const rise = generationMs(forms[1]!) - 1
    const others = Array.from({ length: 8 }, () => ({
      user: 'b' as const,
      type: 'click' as const,
      rise,
      ahead: 0,
      value: 1,
    }))
    const records = recordsOf([{ user: 'a', type: 'click', rise: 0, ahead: 0, value: 1 }, ...others])
    expect(await runForms(forms, records.slice(0, 2), 'a')).toBeDefined()
    expect(await runForms(forms, records, 'a')).toBeUndefined()
  })

  test('what was away in between is empty, and a form that is not known is refused', () => {
    const [first, , third] = formsOf([
      { parts: [0, 1], windows: [1], lists: [0] },
      { parts: [1], windows: [0], lists: [] },
      { parts: [0, 1], windows: [0, 2], lists: [0] },
    ])
    const record = recordCodec(first!).empty()
    record.tiles.add(0, T0, T0, 3)
    record.tiles.add(1, T0, T0, 7)
    record.lists[0]!.add({ time: T0, type: 'click', id: 'e', value: 1 })
    record.newestMs = T0
    const { tiles, lists } = recordCodec(third!).decode(recordCodec(first!).encode(record))
    expect([tiles.starts(0), tiles.starts(1)]).toEqual([
      [[], []],
      [[], [Math.floor(T0 / 20_000) * 20_000]],
    ])
    expect([tiles.windowOf(1, WINDOWS[2]!, T0), lists.map((list) => list.isEmpty)]).toEqual([7, [true]])
    expect(() => recordCodec(first!).decode(recordCodec(third!).encode(recordCodec(third!).empty()))).toThrow(
      'a form that the plan does not have',
    )
  })
})
