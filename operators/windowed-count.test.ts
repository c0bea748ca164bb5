import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { recordOf, runOperator } from '../test/operator-harness.ts'
import { runOnTaskState } from '../test/operator-on-state.ts'
import {
  bucketsFor,
  countAt,
  HOUR_MS,
  heldFrom,
  PANES_STORE,
  type Panes,
  panesCodec,
  WINDOW_MS_MAX,
  type WindowedCount,
  windowedCount,
} from './windowed-count.ts'

/** A whole number of hours, so that panes and buckets begin here. */
const T0 = 486_000 * HOUR_MS
const MINUTE = 60_000
const DAY = 24 * HOUR_MS

interface View {
  readonly page: string | null
  readonly time: number
  readonly bot?: boolean
}

const common = {
  feature: 'views',
  entity: 'page',
  key: (view: View) => view.page,
  time: (view: View) => view.time,
}

const hourly = () => windowedCount<View>({ ...common, windowsMs: [HOUR_MS] })

function run(
  operator: WindowedCount<View>,
  views: readonly View[],
  watermarks: readonly number[] = [],
  sliceRecords = 128,
) {
  const records = views.map((view, number) =>
    recordOf(view, { time: view.time, watermark: watermarks[number] ?? -1, number }),
  )
  const outcome = runOperator(operator, records, { sliceRecords })
  const store = outcome.keyed<Panes>(PANES_STORE)
  const count = (key: string, T: number, windowMs = HOUR_MS) =>
    countAt(operator.layout, (bucket) => store.get(bucket, key), T, windowMs)
  return { ...outcome, count, lowestBucket: store.lowestBucket }
}

const at = (time: number, page: string | null = 'p'): View => ({ page, time })

describe('what is counted', () => {
  test('each key by itself; nothing goes on and nothing is emitted', () => {
    const result = run(hourly(), [at(T0), at(T0 + 1), at(T0, 'q'), at(T0, null)])
    expect([result.count('p', T0 + 1), result.count('q', T0 + 1), result.count('r', T0 + 1)]).toEqual([2, 1, 0])
    expect(result.out).toEqual([])
    expect(result.emitted).toEqual([])
    expect(result.counts).toEqual({})
  })

  test('where chooses', () => {
    const operator = windowedCount<View>({ ...common, windowsMs: [HOUR_MS], where: (view) => view.bot !== true })
    expect(run(operator, [at(T0), { ...at(T0), bot: true }]).count('p', T0)).toBe(1)
  })

  test('one entry per key and bucket is touched, and written once a slice', () => {
    const result = run(hourly(), [at(T0), at(T0 + 1), at(T0 + MINUTE), at(T0 + HOUR_MS), at(T0, 'q'), at(T0, null)])
    const bucket = T0 / HOUR_MS
    const places = [`[${bucket},"p"]`, `[${bucket + 1},"p"]`, `[${bucket},"q"]`]
    expect([...new Set(result.touched)]).toEqual(places)
    expect(result.entries).toEqual([
      `panes ${places[0]} 00020101`,
      `panes ${places[2]} 0001`,
      `panes ${places[1]} 0001`,
    ])
  })
})

describe('the window that ends at T', () => {
  test('panes: from one hour less one pane to one hour', () => {
    const { count } = run(hourly(), [at(T0)])
    expect(count('p', T0)).toBe(1)
    expect(count('p', T0 + HOUR_MS - 1)).toBe(1)
    expect(count('p', T0 + HOUR_MS)).toBe(0)
    // The pane that T stands in counts whole, as it is in state.
    expect(run(hourly(), [at(T0 + MINUTE - 1)]).count('p', T0)).toBe(1)
    expect(run(hourly(), [at(T0 + MINUTE)]).count('p', T0)).toBe(0)
  })

  test('exact: after T - 1 h, up to and with T', () => {
    const exact = windowedCount<View>({ ...common, mode: 'exact', windowsMs: [HOUR_MS] })
    const { count } = run(exact, [at(T0 + 5), at(T0 + 5)])
    expect(count('p', T0 + 4)).toBe(0)
    expect(count('p', T0 + 5)).toBe(2)
    expect(count('p', T0 + HOUR_MS + 4)).toBe(2)
    expect(count('p', T0 + HOUR_MS + 5)).toBe(0)
  })

  test('several windows share one set of panes', () => {
    const windowsMs = [5 * MINUTE, HOUR_MS, DAY]
    const operator = windowedCount<View>({ ...common, windowsMs })
    const { count } = run(operator, [at(T0), at(T0 + 23 * HOUR_MS), at(T0 + DAY - 3 * MINUTE), at(T0 + DAY - 1)])
    expect(windowsMs.map((ms) => count('p', T0 + DAY - 1, ms))).toEqual([2, 3, 4])
    expect(operator.stores).toHaveLength(1)
  })

  test('a late event lands in its own pane, before others', () => {
    const { count } = run(
      hourly(),
      [at(T0 + 50 * MINUTE), at(T0 + 10 * MINUTE), at(T0 + 10 * MINUTE), at(T0)],
      [-1, T0 + 40 * MINUTE, -1, -1],
    )
    expect(
      [T0, T0 + 10 * MINUTE, T0 + 50 * MINUTE, T0 + 69 * MINUTE, T0 + 70 * MINUTE].map((T) => count('p', T)),
    ).toEqual([1, 3, 4, 3, 1])
  })
})

describe('expiry', () => {
  const bucketEnd = T0 + HOUR_MS

  test('a bucket goes when the watermark reaches its end + the longest window', () => {
    const before = run(hourly(), [at(T0), at(T0, 'q')], [-1, bucketEnd + HOUR_MS - 1])
    expect(before.entries).toHaveLength(2)
    expect(before.counts).toEqual({})
    const after = run(hourly(), [at(T0), at(T0, 'q')], [-1, bucketEnd + HOUR_MS])
    expect(after.entries).toEqual([])
    expect(after.counts).toEqual({ count_expired: 1 })
  })

  test('what no longer counts is not even asked for', () => {
    const result = run(hourly(), [at(T0 + DAY), at(T0, 'q')], [T0 + DAY - 1, T0 + DAY - 1], 1)
    expect(result.touched).toEqual([JSON.stringify([(T0 + DAY) / HOUR_MS, 'p'])])
    expect(result.counts).toEqual({ count_expired: 1 })
  })

  test('no window that ends at or after the watermark misses anything, and heldFrom says how far back that goes', () => {
    const { layout } = hourly()
    const watermark = T0 + 10 * HOUR_MS + 17
    const { lowestBucket } = run(hourly(), [at(T0 + 11 * HOUR_MS)], [watermark])
    const from = heldFrom(layout, lowestBucket, HOUR_MS)
    expect(from).toBeLessThanOrEqual(watermark)
    expect(bucketsFor(layout, from, HOUR_MS)[0]).toBe(lowestBucket)
    expect(bucketsFor(layout, from - 1, HOUR_MS)[0]).toBe(lowestBucket - 1)
  })
})

describe('layout', () => {
  test.each([
    [[HOUR_MS], 1],
    [[MINUTE, DAY], 1],
    [[DAY + MINUTE], 2],
    [[7 * DAY], 7],
    [[28 * DAY], 28],
  ])('windows %j are kept in buckets of %d h', (windowsMs, hours) => {
    const { layout } = windowedCount<View>({ ...common, windowsMs })
    expect(layout).toEqual({ paneMs: MINUTE, bucketMs: hours * HOUR_MS, retentionMs: Math.max(...windowsMs) })
    expect(bucketsFor(layout, T0, Math.max(...windowsMs)).length).toBeLessThanOrEqual(26)
  })

  test('an hour touches two buckets, its last pane alone touches one', () => {
    const { layout } = hourly()
    expect(bucketsFor(layout, T0 + 1, HOUR_MS)).toEqual([T0 / HOUR_MS - 1, T0 / HOUR_MS])
    expect(bucketsFor(layout, T0 + HOUR_MS - 1, HOUR_MS)).toEqual([T0 / HOUR_MS])
  })

  test.each([
    [{ paneMs: 999 }, /views: paneMs .* not 999/],
    [{ paneMs: 0 }, /paneMs/],
    [{ paneMs: 7000 }, /paneMs/],
    [{ paneMs: 2 * HOUR_MS }, /paneMs/],
    [{ paneMs: 1500.5 }, /paneMs/],
    [{ paneMs: 5000, mode: 'exact' as const }, /paneMs has no meaning/],
    [{ mode: 'both' as 'exact' }, /mode/],
    [{ windowsMs: [] }, /windowsMs/],
    [{ windowsMs: [90_000] }, /windowsMs must be multiples of 60000/],
    [{ windowsMs: [HOUR_MS, -HOUR_MS] }, /windowsMs/],
    [{ windowsMs: [WINDOW_MS_MAX + MINUTE] }, /windowsMs/],
    [{ windowsMs: [Number.NaN] }, /windowsMs/],
  ])('settings that cannot be are refused by name: %j', (settings, message) => {
    expect(() => windowedCount<View>({ ...common, windowsMs: [HOUR_MS], ...settings })).toThrow(message)
  })

  test('what changes a result is part of the settings', () => {
    const settings = [
      {},
      { paneMs: 1000 },
      { mode: 'exact' as const },
      { windowsMs: [DAY] },
      { entity: 'user' },
      { feature: 'x' },
    ]
    const texts = settings.map((some) =>
      JSON.stringify(windowedCount<View>({ ...common, windowsMs: [HOUR_MS], ...some }).settings),
    )
    expect(new Set(texts).size).toBe(settings.length)
  })
})

describe('panesCodec', () => {
  test.each<[Panes, string]>([
    [[0, 1], '0001'],
    [[59, 127, 60, 128], '3b7f018001'],
    [[0, 2 ** 32, 3_599_999, 1], '008080808010ffdcdb0101'],
    [[300, 2 ** 53 - 1], 'ac02ffffffffffffff0f'],
  ])('golden bytes of %j', (panes, hex) => {
    expect(Buffer.from(panesCodec.encode(panes)).toString('hex')).toBe(hex)
    expect(panesCodec.decode(Buffer.from(hex, 'hex'))).toEqual(panes)
  })

  test.each(['', '00', '0080', '000101', '80', '00010001'])('refuses %j', (hex) => {
    expect(() => panesCodec.decode(Buffer.from(hex, 'hex'))).toThrow()
  })

  test('decodes what it encodes', () => {
    const pair = fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }))
    fc.assert(
      fc.property(fc.array(pair, { minLength: 1, maxLength: 50 }), (pairs) => {
        let pane = -1
        const panes = pairs.flatMap(([gap, count]) => {
          pane += gap
          return [pane, count]
        })
        expect(panesCodec.decode(panesCodec.encode(panes))).toEqual(panes)
      }),
    )
  })
})

// --- the twin: all events kept, the rule of contract.md section 3 asked of each

test.each(['panes', 'exact'] as const)('the twin agrees on random events, windows and times: %s', (mode) => {
  const view = fc.record({
    page: fc.constantFrom('p', 'q', null),
    step: fc.nat(20 * MINUTE),
    back: fc.nat(90 * MINUTE),
  })
  const windows = fc.uniqueArray(
    fc.constantFrom(5, 60, 90, 1440, 1500).map((minutes) => minutes * MINUTE),
    { minLength: 1 },
  )
  const panes = fc.constantFrom(1000, 30_000, MINUTE, 5 * MINUTE)
  fc.assert(
    fc.property(fc.array(view, { maxLength: 150 }), windows, panes, fc.integer(), (list, windowsMs, paneMs, salt) => {
      if (windowsMs.some((ms) => ms % paneMs !== 0)) return
      const operator = windowedCount<View>({ ...common, mode, windowsMs, ...(mode === 'exact' ? {} : { paneMs }) })
      let now = T0
      const watermarks: number[] = []
      const views = list.map(({ page, step, back }): View => {
        watermarks.push(now - 10 * MINUTE)
        now += step
        return at(now - back, page)
      })
      const whole = run(operator, views, watermarks)
      const r = mode === 'exact' ? 1 : paneMs
      // Windows that end at or after the watermark, whatever has expired by then.
      for (const T of [now, now - 9 * MINUTE, now + (Math.abs(salt) % DAY)]) {
        for (const windowMs of windowsMs) {
          for (const page of ['p', 'q']) {
            const low = Math.floor(T / r) - windowMs / r
            const expected = views.filter((v) => {
              const pane = Math.floor(v.time / r)
              return v.page === page && pane > low && pane <= Math.floor(T / r)
            }).length
            expect(whole.count(page, T, windowMs)).toBe(expected)
          }
        }
      }
      for (const sliceRecords of [1, 7]) {
        const sliced = run(operator, views, watermarks, sliceRecords)
        expect(sliced.entries).toEqual(whole.entries)
        expect(sliced.counts).toEqual(whole.counts)
      }
    }),
    { numRuns: 150 },
  )
})

test('what is stored does not depend on the order of events', () => {
  const times = fc.array(fc.nat(3 * HOUR_MS), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(times, fc.constantFrom('panes' as const, 'exact' as const), (offsets, mode) => {
      const operator = windowedCount<View>({ ...common, mode, windowsMs: [HOUR_MS] })
      const views = offsets.map((offset) => at(T0 + offset))
      const sorted = views.toSorted((a, b) => a.time - b.time)
      expect(run(operator, views, [], 7).entries).toEqual(run(operator, sorted).entries)
    }),
  )
})

test('on the real stores, through evictions, commits and restarts, the same entries', async () => {
  const view = fc.record({ page: fc.nat(20), step: fc.nat(9 * MINUTE), back: fc.nat(60 * MINUTE) })
  await fc.assert(
    fc.asyncProperty(fc.array(view, { maxLength: 120 }), fc.constantFrom(1, 7, 128), async (list, sliceRecords) => {
      let now = T0
      const records = list.map(({ page, step, back }, number) => {
        const watermark = now - 10 * MINUTE
        now += step
        return recordOf(at(now - back, `p${page}`), { time: now - back, watermark, number })
      })
      const strict = runOperator(hourly(), records, { sliceRecords: 128 })
      const real = await runOnTaskState(hourly(), records, { sliceRecords })
      const entries = real.dump.map((line) => {
        const [store, bucket, key, bytes] = JSON.parse(line) as [string, number, string, string]
        return `${store} ${JSON.stringify([bucket, key])} ${Buffer.from(bytes, 'base64').toString('hex')}`
      })
      expect(entries.sort()).toEqual(strict.entries)
      expect(real.counts).toEqual(strict.counts)
    }),
    { numRuns: 60 },
  )
})
