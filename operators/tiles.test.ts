import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter } from './bytes.ts'
import type { PartSpec } from './parts.ts'
import {
  addToTiles,
  keptMs,
  type Ladder,
  ladderOf,
  placeOf,
  readTiles,
  settled,
  type Tiles,
  type TileWindow,
  windowOf,
  writeTiles,
} from './tiles.ts'

const SUM: PartSpec = { kind: 'sum', scale: 1 }
const SPECS: readonly PartSpec[] = [{ kind: 'count' }, SUM]
/** Small times, so that panes and windows meet often; no tile is the first of all. */
const BASE = 1_000_000
const SECOND = 1_000

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

/** Steps of time: `ahead` of the watermark (or behind it) comes an event, after which the watermark rises. */
const steps = fc.array(
  fc.record({
    ahead: fc.oneof(fc.integer({ min: -60, max: 20 }), fc.integer({ min: -400, max: 100 })).map((s) => s * SECOND + 7),
    rise: fc.oneof(fc.nat(3), fc.nat(50), fc.nat(2_000)).map((s) => s * 333),
  }),
  { minLength: 1, maxLength: 60 },
)

interface Run {
  readonly tiles: Tiles
  readonly events: readonly { readonly time: number; readonly weight: number }[]
  readonly watermark: number
}

/** As an operator does it: settle, then add. Also calls `look` after every step. */
function run(ladder: Ladder, moves: readonly { ahead: number; rise: number }[], look?: (run: Run) => void): Run {
  let tiles: Tiles = []
  const events: { time: number; weight: number }[] = []
  let watermark = BASE
  moves.forEach(({ ahead, rise }, i) => {
    tiles = settled(tiles, SPECS, ladder, watermark)
    const time = Math.max(0, watermark + ahead)
    const place = placeOf(ladder, time, watermark)
    // Powers of two: a sum says which events are in it.
    const weight = 2 ** (i % 50)
    events.push({ time, weight })
    if (place !== null) addToTiles(tiles, SPECS, place, [1, weight])
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

const valuesOf = (tiles: Tiles, window: TileWindow, T: number) =>
  SPECS.map((spec, i) => windowOf(tiles, i, spec, window, T) ?? 0)

function bytesOf(tiles: Tiles, ladder: Ladder): Uint8Array {
  const writer = new ByteWriter()
  writeTiles(writer, tiles, SPECS, ladder)
  return writer.done()
}

describe('TL1: windows', () => {
  test('that can still end say what all events say, whatever was joined and dropped', () => {
    const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 3, maxLength: 3 })
    fc.assert(
      fc.property(windowSets, fc.nat(20), steps, fractions, (windows, lookback, moves, places) => {
        const lookbackMs = lookback * SECOND
        const ladder = ladderOf(windows, lookbackMs)
        const latest = keptMs(ladder) + 200 * SECOND
        run(ladder, moves, ({ tiles, events, watermark }) => {
          const from = Math.max(0, watermark - lookbackMs)
          const ends = [from, watermark, ...places.map((place) => Math.floor(from + place * latest))]
          for (const window of windows)
            for (const T of ends) expect(valuesOf(tiles, window, T)).toEqual(bruteForce(events, window, T))
        })
      }),
      { numRuns: 300 },
    )
  })

  test('the last event of a pane, the first of the next', () => {
    const window = { lengthMs: 10 * SECOND, paneMs: SECOND }
    const ladder = ladderOf([window], 0)
    const tiles: Tiles = []
    addToTiles(tiles, SPECS, placeOf(ladder, BASE, 0)!, [1, 1])
    expect([BASE - 1, BASE, BASE + 9_999, BASE + 10_000].map((T) => valuesOf(tiles, window, T)[0])).toEqual([
      0, 1, 1, 0,
    ])
  })

  test('what is read is not changed by reading', () => {
    const spec: PartSpec = { kind: 'distinct' }
    const window = { lengthMs: 10 * SECOND, paneMs: SECOND }
    const tiles: Tiles = []
    for (const [i, id] of ['a', 'b'].entries()) {
      const ids = { ids: new Set([id]), registers: null }
      addToTiles(tiles, [spec], placeOf(ladderOf([window], 0), BASE + i * SECOND, 0)!, [ids])
      ids.ids.add('later')
    }
    for (let times = 0; times < 2; times++)
      expect(windowOf(tiles, 0, spec, window, BASE + SECOND)).toEqual({ ids: new Set(['a', 'b']), registers: null })
    expect(tiles.map(({ parts }) => (parts[0] as { ids: Set<string> }).ids.size)).toEqual([1, 1])
  })
})

describe('TL2: tiles', () => {
  /** Tiles of each level that events up to the watermark can be in: as many panes as its reach has, and those cut by its ends. */
  const tilesMax = ({ levels, lookbackMs }: Ladder, aheadMs: number): number =>
    levels.reduce((sum, { paneMs, reachMs }, i) => {
      const next = levels[i + 1]?.paneMs ?? 0
      const nearer = i === 0 ? -lookbackMs - aheadMs : levels[i - 1]!.reachMs
      return sum + Math.ceil((reachMs - nearer + paneMs + next) / paneMs) + 2
    }, 0)

  test('are as many as the ladder has, however many events there are', () => {
    fc.assert(
      fc.property(windowSets, fc.nat(20), steps, (windows, lookback, moves) => {
        const ladder = ladderOf(windows, lookback * SECOND)
        const aheadMs = 100 * SECOND + 7
        const most = tilesMax(ladder, aheadMs)
        const dense = Array.from({ length: 400 }, () => ({ ahead: 0, rise: 700 }))
        run(ladder, [...dense, ...moves], ({ tiles, watermark }) => {
          expect(tiles.length).toBeLessThanOrEqual(most)
          for (const { start, level } of tiles)
            expect(start + ladder.levels.at(-1)!.paneMs + ladder.levels[level]!.paneMs).toBeGreaterThan(
              watermark - keptMs(ladder),
            )
          const places = tiles.map(({ start, level }) => [start, level] as const)
          const inOrder = [...places].sort(([a, x], [b, y]) => a - b || x - y)
          expect(places).toEqual(inOrder)
          expect(new Set(places.map(String)).size).toBe(places.length)
        })
      }),
      { numRuns: 60 },
    )
  })

  test('of four weeks, by the minute for the last hour: a minute, five, an hour', () => {
    const MINUTE = 60 * SECOND
    const windows = [
      { lengthMs: 60 * MINUTE, paneMs: MINUTE },
      { lengthMs: 12 * 60 * MINUTE, paneMs: 5 * MINUTE },
      { lengthMs: 28 * 24 * 60 * MINUTE, paneMs: 60 * MINUTE },
    ]
    const ladder = ladderOf(windows, 0)
    const halfHours = Array.from({ length: 28 * 48 }, () => ({ ahead: 0, rise: 30 * MINUTE }))
    const moves = [...halfHours, ...Array.from({ length: 13 * 60 }, () => ({ ahead: 0, rise: MINUTE }))]
    const { tiles } = run(ladder, moves)
    const byLevel = [0, 1, 2].map((level) => tiles.filter((tile) => tile.level === level).length)
    expect(byLevel).toEqual([61, 132, 661])
  })

  test('old ones go, and an event that no window reaches has no place', () => {
    const ladder = ladderOf([{ lengthMs: 10 * SECOND, paneMs: SECOND }], 5 * SECOND)
    expect(keptMs(ladder)).toBe(16 * SECOND)
    const place = placeOf(ladder, BASE, BASE)!
    expect(place).toEqual({ level: 0, start: BASE })
    const tiles: Tiles = []
    addToTiles(tiles, SPECS, place, [1, 1])
    expect(settled(tiles, SPECS, ladder, BASE + 15_999)).toHaveLength(1)
    expect(settled(tiles, SPECS, ladder, BASE + 16_000)).toHaveLength(0)
    expect(placeOf(ladder, BASE, BASE + 15_999)).toEqual(place)
    expect(placeOf(ladder, BASE, BASE + 16_000)).toBeNull()
  })

  test('settling twice is settling once', () => {
    fc.assert(
      fc.property(windowSets, steps, fc.nat(200), (windows, moves, later) => {
        const ladder = ladderOf(windows, 0)
        const { tiles, watermark } = run(ladder, moves)
        const once = settled(tiles, SPECS, ladder, watermark + later * SECOND)
        expect(settled(once, SPECS, ladder, watermark + later * SECOND)).toBe(once)
      }),
    )
  })

  test('panes that do not divide each other are refused', () => {
    const window = (paneMs: number) => ({ lengthMs: 30 * SECOND, paneMs })
    expect(() => ladderOf([window(2_000), window(3_000)], 0)).toThrow('a pane of 3000 ms is no multiple of 2000 ms')
  })
})

describe('bytes', () => {
  test('say all there is', () => {
    fc.assert(
      fc.property(windowSets, steps, (windows, moves) => {
        const ladder = ladderOf(windows, 0)
        const { tiles } = run(ladder, moves)
        const reader = new ByteReader(bytesOf(tiles, ladder))
        expect(readTiles(reader, SPECS, ladder)).toStrictEqual(tiles)
        expect(reader.atEnd).toBe(true)
      }),
    )
  })

  test.each<[string, number[]]>([
    ['a level that the plan does not have', [1, 1, 0, 1, 0, 0]],
    ['a part that the plan does not have', [1, 0, 0, 1, 2, 0]],
    ['more tiles than bytes', [0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]],
    ['nothing', []],
  ])('%s', (_, bytes) => {
    const ladder = ladderOf([{ lengthMs: 10 * SECOND, paneMs: SECOND }], 0)
    expect(() => readTiles(new ByteReader(Uint8Array.from(bytes)), SPECS, ladder)).toThrow(
      expect.objectContaining({ code: 'STATE_CORRUPT' }),
    )
  })
})
