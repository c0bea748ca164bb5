import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter } from './bytes.ts'
import { joined, type PartSpec, type PartState, partOf, writePart } from './parts.ts'
import { OPEN_TILES_MAX, TileRun } from './tile-run.ts'
import { ladderOf, Tiles, type TileWindow, tilePlanOf } from './tiles.ts'

const SPECS: readonly PartSpec[] = [{ kind: 'sum', scale: 1 }, { kind: 'distinct' }, { kind: 'tally' }]
const FIRST_PANE = 1_000

/** The part of the i-th event. */
const eventPart = (spec: PartSpec, i: number): PartState =>
  partOf(spec, spec.kind === 'sum' ? (i % 40) - 20 : `id${i % 7}`)!

/** Mostly the newest pane or the next, some before, some far before; now and then a restart, or the first tile is taken. */
const moves = fc.array(
  fc.record({
    back: fc.oneof(
      { weight: 5, arbitrary: fc.integer({ min: -2, max: 1 }) },
      { weight: 1, arbitrary: fc.integer({ min: -2, max: 40 }) },
    ),
    what: fc.constantFrom('add', 'add', 'add', 'add', 'take', 'restart'),
  }),
  { minLength: 1, maxLength: 120 },
)

function bytesOf(run: TileRun): Uint8Array {
  const writer = new ByteWriter()
  run.write(writer)
  return writer.done()
}

function hex(spec: PartSpec, state: PartState | undefined): string {
  if (state === undefined) return 'none'
  const writer = new ByteWriter()
  writePart(spec, state, writer)
  return Buffer.from(writer.done()).toString('hex')
}

const partOfAll = (spec: PartSpec, events: readonly number[]): PartState | undefined =>
  events
    .map((i) => eventPart(spec, i))
    .reduce<PartState | undefined>((sum, part) => (sum === undefined ? part : joined(spec, sum, part)), undefined)

/** A run after these moves, and its slow twin: the events of each pane. */
function played(spec: PartSpec, steps: readonly { back: number; what: string }[]) {
  const twin = new Map<number, number[]>([[FIRST_PANE, [0]]])
  let run = TileRun.of(0, spec, FIRST_PANE, eventPart(spec, 0))
  steps.forEach(({ back, what }, i) => {
    const panes = [...twin.keys()]
    if (what === 'restart') run = TileRun.from(0, spec, run.firstPane, Uint8Array.from(bytesOf(run)))
    else if (what === 'take') {
      if (twin.size === 1) return
      const { pane, part } = run.takeFirst()
      expect([pane, hex(spec, part)]).toEqual([Math.min(...panes), hex(spec, partOfAll(spec, twin.get(pane)!))])
      twin.delete(pane)
    } else {
      const pane = Math.max(...panes) - back
      twin.set(pane, [...(twin.get(pane) ?? []), i])
      run.add(pane, eventPart(spec, i))
    }
  })
  return { run, twin: [...twin].sort(([a], [b]) => a - b) }
}

describe.each(SPECS)('a run of $kind', (spec) => {
  test('says what its slow twin says, after events in any order, restarts and tiles that were taken out', () => {
    fc.assert(
      fc.property(moves, fc.nat(60), fc.nat(60), (steps, from, length) => {
        const { run, twin } = played(spec, steps)
        const panes = twin.map(([pane]) => pane)
        expect([run.tiles().map(({ pane }) => pane), run.firstPane, run.isEmpty]).toEqual([panes, panes[0], false])
        const [first, end] = [panes[0]! - 2 + from, panes[0]! - 2 + from + length]
        const inside = twin.flatMap(([pane, events]) => (pane >= first && pane < end ? events : []))
        // Twice: to read changes nothing.
        for (let times = 0; times < 2; times++)
          expect(hex(spec, run.sum(first, end, undefined))).toBe(hex(spec, partOfAll(spec, inside)))
      }),
      { numRuns: 200 },
    )
  })

  test('TR2: has bytes that only its tiles decide', () => {
    fc.assert(
      fc.property(moves, (steps) => {
        const { run, twin } = played(spec, steps)
        const [[pane, events], ...rest] = twin as [[number, number[]], ...[number, number[]][]]
        const other = TileRun.of(0, spec, pane, partOfAll(spec, events)!)
        for (const [next, more] of rest) other.add(next, partOfAll(spec, more)!)
        expect(bytesOf(run)).toEqual(bytesOf(other))
      }),
      { numRuns: 200 },
    )
  })

  test('does not change the bytes that it was made of', () => {
    fc.assert(
      fc.property(moves, moves, (steps, more) => {
        const { run } = played(spec, steps)
        const bytes = bytesOf(run)
        const before = Uint8Array.from(bytes)
        const again = TileRun.from(0, spec, run.firstPane, bytes)
        const last = run.tiles().at(-1)!.pane
        more.forEach(({ back, what }, i) => {
          if (what === 'take' && again.tiles().length > 1) again.takeFirst()
          else again.add(last - back + i, eventPart(spec, i))
        })
        expect(bytes).toEqual(before)
      }),
      { numRuns: 100 },
    )
  })
})

describe('TR1: what an event costs', () => {
  /** Parts that were written or read while `work` ran: all of a sum are varints, and little else is. */
  function varints(work: () => void): number {
    let count = 0
    const { varint: write } = ByteWriter.prototype
    const { varint: read } = ByteReader.prototype
    ByteWriter.prototype.varint = function (value) {
      count++
      write.call(this, value)
    }
    ByteReader.prototype.varint = function () {
      count++
      return read.call(this)
    }
    try {
      work()
    } finally {
      ByteWriter.prototype.varint = write
      ByteReader.prototype.varint = read
    }
    return count
  }

  const spec = SPECS[0]!
  const runOf = (tiles: number): TileRun => {
    const run = TileRun.of(0, spec, 0, 1)
    for (let pane = 1; pane < tiles; pane++) run.add(pane, 1)
    return run
  }
  /** An event, the tile that leaves for it, and a commit. */
  const step = (tiles: number, back: number) => (run: TileRun) => {
    run.add(tiles - back, 1)
    run.takeFirst()
    run.write(new ByteWriter())
  }
  const cost = (tiles: number, back: number) => {
    const run = runOf(tiles)
    return varints(() => step(tiles, back)(run))
  }

  test('is the same for five tiles and for four thousand, in the newest tiles', () => {
    for (let back = 0; back < OPEN_TILES_MAX; back++) expect(cost(4_000, back)).toBe(cost(2 * OPEN_TILES_MAX, back))
    // Older ones are looked for.
    expect(cost(4_000, OPEN_TILES_MAX + 1)).toBeGreaterThan(4_000)
  })

  test('is the same for a window of five minutes and for one of 28 days, after weeks of an event a minute', () => {
    const MINUTE = 60_000
    const perEvent = (window: TileWindow): number => {
      const tiles = new Tiles(tilePlanOf([{ spec, ladder: ladderOf([window]) }], 60 * MINUTE))
      const event = (minute: number): void => {
        tiles.settle(minute * MINUTE)
        tiles.add(0, minute * MINUTE, minute * MINUTE, 1)
        tiles.write(new ByteWriter(), minute * MINUTE)
      }
      const weeks = 5 * 7 * 24 * 60
      for (let minute = 0; minute < weeks; minute++) event(minute)
      return varints(() => {
        for (let minute = weeks; minute < weeks + 600; minute++) event(minute)
      })
    }
    const short = perEvent({ lengthMs: 5 * MINUTE, paneMs: MINUTE })
    const long = perEvent({ lengthMs: 28 * 24 * 60 * MINUTE, paneMs: 60 * MINUTE })
    // Its tiles are sealed and taken out more seldom.
    expect(long).toBeLessThanOrEqual(short)
  })
})
