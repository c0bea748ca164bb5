// The past of one key, cut into tiles: for each part summaries of events by time, fine where it is recent and coarse where it is old.
// TL1: an event is in exactly one tile of a part. A window with pane r that ends at T has the events whose floor(time / r) lies in
//      (floor(T / r) - W / r, floor(T / r)] (contract.md, section 3); long windows have wider panes than short ones.
// TL2: a tile is joined into one of the next wider panes of its part when no window of the part with narrower panes can still end
//      in it, and goes when none at all can: so one set of tiles serves all windows of a part, a key has a bounded number of
//      them however long the windows are, and no part is kept for the windows of another.
// TL3: what is kept is a function of the events and of the watermarks at which the key was touched.
// The tiles of one width: operators/tile-run.ts.

import { assert } from '../log/errors.ts'
import { ByteReader, type ByteWriter, corrupt } from './bytes.ts'
import type { PartSpec, PartState } from './parts.ts'
import { TileRun } from './tile-run.ts'

/** A window of a part: from `lengthMs` before T to T, in panes of `paneMs`. */
export interface TileWindow {
  readonly lengthMs: number
  readonly paneMs: number
}

/** Widths of the tiles of a part. They ascend, each is a multiple of the one before. */
export type Ladder = readonly {
  readonly paneMs: number
  /** The longest window with panes of this width or narrower, milliseconds. */
  readonly reachMs: number
}[]

/** The ladder for the windows of a part. Throws RangeError where panes do not divide each other. */
export function ladderOf(windows: readonly TileWindow[]): Ladder {
  const panes = [...new Set(windows.map(({ paneMs }) => paneMs))].sort((a, b) => a - b)
  panes.forEach((paneMs, i) => {
    if (i > 0 && paneMs % panes[i - 1]! !== 0)
      throw new RangeError(`a pane of ${paneMs} ms is no multiple of ${panes[i - 1]} ms`)
  })
  return panes.map((pane) => {
    const narrower = windows.filter(({ paneMs }) => paneMs <= pane)
    return { paneMs: pane, reachMs: Math.max(...narrower.map(({ lengthMs }) => lengthMs)) }
  })
}

/** The longest that an event of a part is kept after the watermark passed it, milliseconds. */
export function keptMs(ladder: Ladder, lookbackMs: number): number {
  const { paneMs, reachMs } = ladder.at(-1) ?? { paneMs: 0, reachMs: 0 }
  return reachMs + paneMs + lookbackMs
}

/** Where tiles of one width of a part stand. */
interface Slot {
  readonly part: number
  readonly spec: PartSpec
  readonly paneMs: number
  /** How long after its end, by the watermark, a tile is still needed. */
  readonly keptMs: number
  /** Whether the next slot has wider tiles of the same part. */
  readonly hasWider: boolean
}

/** What the tiles of all keys of a group have in common. */
export interface TilePlan {
  readonly slots: readonly Slot[]
  /** By part. */
  readonly firstSlots: readonly number[]
}

/** `lookbackMs`: how long before the watermark windows can still end, for reads of the past and late records. */
export function tilePlanOf(
  parts: readonly { readonly spec: PartSpec; readonly ladder: Ladder }[],
  lookbackMs: number,
): TilePlan {
  const slots: Slot[] = []
  const firstSlots = parts.map(({ spec, ladder }, part) => {
    const first = slots.length
    assert(ladder.length > 0, 'somebody reads a part over a window')
    ladder.forEach(({ paneMs, reachMs }, level) => {
      slots.push({ part, spec, paneMs, keptMs: reachMs + lookbackMs, hasWider: level + 1 < ladder.length })
    })
    return first
  })
  return { slots, firstSlots }
}

/** The watermark at which a tile is not needed any more. */
const dueMs = ({ paneMs, keptMs: kept }: Slot, pane: number): number => (pane + 1) * paneMs + kept

/** When events are that are in a window which ends at T: from, inclusive, to, exclusive; milliseconds. */
export function spanOf({ lengthMs, paneMs }: TileWindow, T: number): { readonly from: number; readonly to: number } {
  const to = (Math.floor(T / paneMs) + 1) * paneMs
  return { from: to - lengthMs, to }
}

/** A tile as it is, for people who ask what is kept. */
export interface SeenTile {
  /** Milliseconds. */
  readonly start: number
  readonly widthMs: number
  readonly state: PartState
}

/** The tiles of one key. */
export class Tiles {
  readonly #plan: TilePlan
  /** Those with tiles in them, in the order of their slots. */
  readonly #runs: TileRun[]
  /** No tile has to move or go below this watermark. */
  #settledBelow: number

  constructor(plan: TilePlan, runs: TileRun[] = []) {
    this.#plan = plan
    this.#runs = runs
    this.#settledBelow = this.#nextDue()
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0
  }

  /** Begins of the tiles of a part, milliseconds, by its levels: the narrowest first. */
  starts(part: number): number[][] {
    const levels: number[][] = []
    for (let slot = this.#plan.firstSlots[part]!; ; slot++) {
      const { paneMs, hasWider } = this.#plan.slots[slot]!
      const tiles = this.#runAt(slot)?.tiles() ?? []
      levels.push(tiles.map(({ pane }) => pane * paneMs))
      if (!hasWider) return levels
    }
  }

  /** Adds the part of an event, which is taken over. false: no window of this part reaches the event any more. */
  add(part: number, time: number, watermark: number, state: PartState): boolean {
    return this.#addFrom(this.#plan.firstSlots[part]!, time, watermark, state)
  }

  /** TL2. To the tile of the first slot, from one of a part on, in which it is still needed. */
  #addFrom(first: number, time: number, watermark: number, state: PartState): boolean {
    for (let index = first; ; index++) {
      const slot = this.#plan.slots[index]!
      const pane = Math.floor(time / slot.paneMs)
      const due = dueMs(slot, pane)
      if (watermark < due) {
        this.#addTo(index, slot.spec, pane, state)
        if (due < this.#settledBelow) this.#settledBelow = due
        return true
      }
      if (!slot.hasWider) return false
    }
  }

  #addTo(slot: number, spec: PartSpec, pane: number, state: PartState): void {
    let at = this.#runs.length
    while (at > 0 && this.#runs[at - 1]!.slot > slot) at--
    const run = this.#runs[at - 1]
    if (run?.slot === slot) run.add(pane, state)
    else this.#runs.splice(at, 0, TileRun.of(slot, spec, pane, state))
  }

  /** TL2. Joins and drops tiles as far as may be at a watermark. */
  settle(watermark: number): void {
    if (watermark < this.#settledBelow) return
    // What goes on to a wider tile stands in a later run, which comes later here too.
    for (let i = 0; i < this.#runs.length; i++) {
      const run = this.#runs[i]!
      const slot = this.#plan.slots[run.slot]!
      while (!run.isEmpty && dueMs(slot, run.firstPane) <= watermark) {
        const { pane, part } = run.takeFirst()
        if (slot.hasWider) this.#addFrom(run.slot + 1, pane * slot.paneMs, watermark, part)
      }
      if (run.isEmpty) this.#runs.splice(i--, 1)
    }
    this.#settledBelow = this.#nextDue()
  }

  #nextDue(): number {
    let due = Number.POSITIVE_INFINITY
    for (const { slot, firstPane } of this.#runs) due = Math.min(due, dueMs(this.#plan.slots[slot]!, firstPane))
    return due
  }

  #runAt(slot: number): TileRun | undefined {
    return this.#runs.find((run) => run.slot === slot)
  }

  /** A part over a window that ends at T; undefined: no event. Nobody else has it. */
  windowOf(part: number, window: TileWindow, T: number): PartState | undefined {
    const { from, to } = spanOf(window, T)
    let sum: PartState | undefined
    for (let slot = this.#plan.firstSlots[part]!; ; slot++) {
      const { paneMs: own, hasWider } = this.#plan.slots[slot]!
      // By the begins of tiles: one that is wider than the window's panes begins before the window or is not there.
      sum = this.#runAt(slot)?.sum(Math.ceil(from / own), Math.ceil(to / own), sum) ?? sum
      if (!hasWider) return sum
    }
  }

  /** The tiles of which windowOf makes a part, those that begin last first. */
  tilesIn(part: number, window: TileWindow, T: number): SeenTile[] {
    const { from, to } = spanOf(window, T)
    const seen: SeenTile[] = []
    for (let slot = this.#plan.firstSlots[part]!; ; slot++) {
      const { paneMs: widthMs, hasWider } = this.#plan.slots[slot]!
      for (const { pane, part: state } of this.#runAt(slot)?.tiles() ?? []) {
        const start = pane * widthMs
        if (start >= from && start < to) seen.push({ start, widthMs, state })
      }
      if (!hasWider) return seen.sort((a, b) => b.start - a.start || a.widthMs - b.widthMs)
    }
  }

  /** These tiles in another plan, each in the narrowest panes of its part that can hold it. `places`: of each part there; -1: none. */
  movedTo(plan: TilePlan, places: readonly number[]): Tiles {
    const moved = new Tiles(plan)
    for (const run of this.#runs) {
      const { part, paneMs } = this.#plan.slots[run.slot]!
      const slot = plan.slots.findIndex((other) => other.part === places[part] && other.paneMs % paneMs === 0)
      // Without one no window is left that could end in such a tile.
      if (slot === -1) continue
      const to = plan.slots[slot]!
      for (const tile of run.tiles())
        moved.#addTo(slot, to.spec, Math.floor((tile.pane * paneMs) / to.paneMs), tile.part)
    }
    moved.#settledBelow = moved.#nextDue()
    return moved
  }

  /** Bytes: how many runs, of each (distance in slots, its size, distance in panes back from `newestMs`, tiles). */
  write(writer: ByteWriter, newestMs: number): void {
    writer.varint(this.#runs.length)
    let last = -1
    for (const run of this.#runs) {
      assert(!run.isEmpty, 'a run has a tile')
      writer.varint(run.slot - last - 1)
      last = run.slot
      writer.sized(() => {
        writer.varint(Math.floor(newestMs / this.#plan.slots[run.slot]!.paneMs) - run.firstPane)
        run.write(writer)
      })
    }
  }

  /** What `write` wrote. Tiles are not looked at before somebody needs them. */
  static read(reader: ByteReader, plan: TilePlan, newestMs: number): Tiles {
    let last = -1
    const runs = reader.list(() => {
      last += reader.varint() + 1
      const slot = plan.slots[last]
      if (slot === undefined) throw corrupt('a tile has a place that the plan does not have')
      const own = new ByteReader(reader.sized())
      const firstPane = Math.floor(newestMs / slot.paneMs) - own.varint()
      return TileRun.from(last, slot.spec, firstPane, own.rest())
    })
    return new Tiles(plan, runs)
  }
}
