import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter } from './bytes.ts'
import type { PartSpec, PartState } from './parts.ts'
import { keptMs, type Ladder, ladderOf, Tiles, type TileWindow, tilePlanOf } from './tiles.ts'

const SPECS: readonly PartSpec[] = [{ kind: 'count' }, { kind: 'sum', scale: 1 }]
/** Small times, so that panes and windows meet often; no tile is the first of all. */
const BASE = 1_000_000
const SECOND = 1_000
const MINUTE = 60 * SECOND

function panesOf(first: number, factors: readonly number[]): number[] {
  const panes = [first]
  for (const factor of factors) panes.push(panes.at(-1)! * factor)
  return panes
}

/** Panes that divide each other, windows of whole panes, a wider pane never with a shorter window than it is long. */
const windowSets: fc.Arbitrary<readonly TileWindow[]> = fc
  .tuple(fc.constantFrom(1, 2, 5), fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 2 }))
  .map(([first, factors]) => panesOf(first * SECOND, factors))
  .chain((panes) =>
    fc.array(
      fc
        .record({ pane: fc.constantFrom(...panes), count: fc.integer({ min: 1, max: 40 }) })
        .map(({ pane, count }) => ({ paneMs: pane, lengthMs: pane * count })),
      { minLength: 1, maxLength: 4 },
    ),
  )
/** Windows of each part: of one they say nothing about the other. */
const plans = fc.record({
  windows: fc.tuple(windowSets, windowSets),
  lookbackMs: fc.nat(20).map((seconds) => seconds * SECOND),
})
type Plan = typeof plans extends fc.Arbitrary<infer P> ? P : never

/** Steps of time: `ahead` of the watermark (or behind it) comes an event, after which the watermark rises. */
const steps = fc.array(
  fc.record({
    ahead: fc.oneof(fc.integer({ min: -60, max: 20 }), fc.integer({ min: -400, max: 100 })).map((s) => s * SECOND + 7),
    rise: fc.oneof(fc.nat(3), fc.nat(50), fc.nat(2_000)).map((s) => s * 333),
    /** Whether what is kept goes through its bytes, as after a restart. */
    restart: fc.boolean(),
  }),
  { minLength: 1, maxLength: 60 },
)
type Steps = readonly { readonly ahead: number; readonly rise: number; readonly restart?: boolean }[]

interface Run {
  readonly tiles: Tiles
  readonly events: readonly { readonly time: number; readonly weight: number }[]
  readonly watermark: number
}

const laddersOf = ({ windows }: Plan): Ladder[] => windows.map(ladderOf)
const tilePlan = (plan: Plan) =>
  tilePlanOf(
    laddersOf(plan).map((ladder, i) => ({ spec: SPECS[i]!, ladder })),
    plan.lookbackMs,
  )

/** As an operator does it: settle, then add. Also calls `look` after every step. */
function run(plan: Plan, moves: Steps, look?: (run: Run) => void): Run {
  let tiles = new Tiles(tilePlan(plan))
  const events: { time: number; weight: number }[] = []
  let watermark = BASE
  let newest = 0
  moves.forEach(({ ahead, rise, restart = false }, i) => {
    tiles.settle(watermark)
    const time = Math.max(0, watermark + ahead)
    newest = Math.max(newest, time)
    // Powers of two: a sum says which events are in it.
    const weight = 2 ** (i % 50)
    events.push({ time, weight })
    tiles.add(0, time, watermark, 1)
    tiles.add(1, time, watermark, weight)
    if (restart) tiles = Tiles.read(new ByteReader(bytesOf(tiles, newest)), tilePlan(plan), newest)
    look?.({ tiles, events, watermark })
    watermark += rise
  })
  return { tiles, events, watermark }
}

/** contract.md, section 3, read over all events. */
function bruteForce(events: Run['events'], { lengthMs, paneMs }: TileWindow, T: number): [number, number] {
  const last = Math.floor(T / paneMs)
  const inside = events.filter(({ time }) => {
    const pane = Math.floor(time / paneMs)
    return pane > last - lengthMs / paneMs && pane <= last
  })
  return [inside.length, inside.reduce((sum, { weight }) => sum + weight, 0)]
}

function bytesOf(tiles: Tiles, newestMs = 10 * BASE): Uint8Array {
  const writer = new ByteWriter()
  tiles.write(writer, newestMs)
  return writer.done()
}

const one = (windows: readonly TileWindow[], spec: PartSpec, lookbackMs = 0) =>
  new Tiles(tilePlanOf([{ spec, ladder: ladderOf(windows) }], lookbackMs))

describe('TL1: windows', () => {
  test('that can still end say what all events say, whatever was joined and dropped', () => {
    const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 })
    fc.assert(
      fc.property(plans, steps, fractions, (plan, moves, places) => {
        const latest = Math.max(...laddersOf(plan).map((ladder) => keptMs(ladder, plan.lookbackMs))) + 200 * SECOND
        run(plan, moves, ({ tiles, events, watermark }) => {
          const from = Math.max(0, watermark - plan.lookbackMs)
          const ends = [from, watermark, ...places.map((place) => Math.floor(from + place * latest))]
          plan.windows.forEach((windows, part) => {
            for (const window of windows)
              for (const T of ends)
                expect(tiles.windowOf(part, window, T) ?? 0).toEqual(bruteForce(events, window, T)[part])
          })
        })
      }),
      { numRuns: 300 },
    )
  })

  test('the last event of a pane, the first of the next', () => {
    const window = { lengthMs: 10 * SECOND, paneMs: SECOND }
    const tiles = one([window], SPECS[0]!)
    tiles.add(0, BASE, 0, 1)
    expect([BASE - 1, BASE, BASE + 9_999, BASE + 10_000].map((T) => tiles.windowOf(0, window, T) ?? 0)).toEqual([
      0, 1, 1, 0,
    ])
  })

  test('what is read is not changed by reading', () => {
    const window = { lengthMs: 10 * SECOND, paneMs: SECOND }
    const tiles = one([window], { kind: 'distinct' })
    const ids = (...texts: string[]): PartState => ({ ids: new Set(texts), registers: null })
    tiles.add(0, BASE, 0, ids('a'))
    tiles.add(0, BASE + SECOND, 0, ids('b'))
    for (let times = 0; times < 2; times++)
      expect(tiles.windowOf(0, window, BASE + SECOND)).toEqual({ ids: new Set(['a', 'b']), registers: null })
    expect(tiles.windowOf(0, window, BASE)).toEqual(ids('a'))
  })
})

describe('TL2: tiles', () => {
  /** Tiles of each level that events up to the watermark can be in: as many panes as its reach has, and those cut by its ends. */
  const tilesMax = (ladder: Ladder, lookbackMs: number, aheadMs: number): number =>
    ladder.reduce((sum, { paneMs, reachMs }, i) => {
      const next = ladder[i + 1]?.paneMs ?? 0
      const nearer = i === 0 ? -lookbackMs - aheadMs : ladder[i - 1]!.reachMs
      return sum + Math.ceil((reachMs - nearer + paneMs + next) / paneMs) + 2
    }, 0)

  test('are as many as the ladder of their part has, however many events there are, and none is older than its own windows', () => {
    fc.assert(
      fc.property(plans, steps, (plan, moves) => {
        const aheadMs = 100 * SECOND + 7
        const dense = Array.from({ length: 400 }, () => ({ ahead: 0, rise: 700 }))
        run(plan, [...dense, ...moves], ({ tiles, watermark }) => {
          laddersOf(plan).forEach((ladder, part) => {
            const starts = tiles.starts(part)
            expect(starts.flat().length).toBeLessThanOrEqual(tilesMax(ladder, plan.lookbackMs, aheadMs))
            starts.forEach((of, level) => {
              const { paneMs, reachMs } = ladder[level]!
              expect(of).toEqual([...new Set(of)].sort((a, b) => a - b))
              for (const start of of) expect(start + paneMs).toBeGreaterThan(watermark - plan.lookbackMs - reachMs)
            })
          })
        })
      }),
      { numRuns: 60 },
    )
  })

  test('of four weeks, by the minute for the last hour: a minute, five, an hour', () => {
    const windows = [
      { lengthMs: 60 * MINUTE, paneMs: MINUTE },
      { lengthMs: 12 * 60 * MINUTE, paneMs: 5 * MINUTE },
      { lengthMs: 28 * 24 * 60 * MINUTE, paneMs: 60 * MINUTE },
    ]
    const halfHours = Array.from({ length: 28 * 48 }, () => ({ ahead: 0, rise: 30 * MINUTE }))
    const moves = [...halfHours, ...Array.from({ length: 13 * 60 }, () => ({ ahead: 0, rise: MINUTE }))]
    const { tiles } = run({ windows: [windows, [windows[0]!]], lookbackMs: 0 }, moves)
    expect(tiles.starts(0).map(({ length }) => length)).toEqual([61, 132, 661])
    // A part that nothing reads further back than an hour is kept for an hour, whatever the others are kept for.
    expect(tiles.starts(1).map(({ length }) => length)).toEqual([61])
  })

  test('old ones go, and an event that no window reaches has no place', () => {
    const windows = [{ lengthMs: 10 * SECOND, paneMs: SECOND }]
    expect(keptMs(ladderOf(windows), 5 * SECOND)).toBe(16 * SECOND)
    const added = (watermark: number) => {
      const tiles = one(windows, SPECS[0]!, 5 * SECOND)
      return [tiles.add(0, BASE, watermark, 1), tiles.isEmpty]
    }
    expect(added(BASE + 15_999)).toEqual([true, false])
    expect(added(BASE + 16_000)).toEqual([false, true])
    const tiles = one(windows, SPECS[0]!, 5 * SECOND)
    tiles.add(0, BASE, BASE, 1)
    tiles.settle(BASE + 15_999)
    expect(tiles.isEmpty).toBe(false)
    tiles.settle(BASE + 16_000)
    expect(tiles.isEmpty).toBe(true)
  })

  test('settling twice is settling once', () => {
    fc.assert(
      fc.property(plans, steps, fc.nat(200), (plan, moves, later) => {
        const { tiles, watermark } = run(plan, moves)
        tiles.settle(watermark + later * SECOND)
        const once = bytesOf(tiles)
        tiles.settle(watermark + later * SECOND)
        expect(bytesOf(tiles)).toEqual(once)
      }),
    )
  })

  test('panes that do not divide each other are refused', () => {
    const window = (paneMs: number) => ({ lengthMs: 30 * SECOND, paneMs })
    expect(() => ladderOf([window(2_000), window(3_000)])).toThrow('a pane of 3000 ms is no multiple of 2000 ms')
  })
})

describe('TL3: bytes', () => {
  test('say all there is, and are the same whether or not tiles went through them on the way', () => {
    fc.assert(
      fc.property(plans, steps, (plan, moves) => {
        const { tiles } = run(plan, moves)
        const never = run(
          plan,
          moves.map((move) => ({ ...move, restart: false })),
        )
        expect(bytesOf(tiles)).toEqual(bytesOf(never.tiles))
        const reader = new ByteReader(bytesOf(tiles))
        const read = Tiles.read(reader, tilePlan(plan), 10 * BASE)
        expect(reader.atEnd).toBe(true)
        expect(bytesOf(read)).toEqual(bytesOf(tiles))
        expect([read.starts(0), read.starts(1)]).toEqual([tiles.starts(0), tiles.starts(1)])
      }),
    )
  })

  test.each<[string, number[]]>([
    ['a place that the plan does not have', [1, 2, 2, 0, 4]],
    ['more runs than bytes', [0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]],
    ['no tile', [1, 0, 1, 0]],
    ['a tile cut short', [1, 0, 2, 0, 0x80]],
    ['two tiles in one place', [1, 0, 4, 0, 4, 0, 4]],
    ['nothing', []],
  ])('%s', (_, bytes) => {
    const window = { lengthMs: 10 * SECOND, paneMs: SECOND }
    const read = () =>
      Tiles.read(
        new ByteReader(Uint8Array.from(bytes)),
        tilePlan({ windows: [[window], [window]], lookbackMs: 0 }),
        BASE,
      )
    expect(() => read().windowOf(0, window, BASE)).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }))
  })
})
