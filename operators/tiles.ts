// The past of one key, cut into tiles: summaries of events by time, fine where it is recent and coarse where it is old.
// TL1: an event is in exactly one tile. A window with pane r that ends at T has the events whose floor(time / r) lies in
//      (floor(T / r) - W / r, floor(T / r)] (contract.md, section 3); long windows have wider panes than short ones.
// TL2: a tile is joined into one of the next wider panes when no window with narrower panes can still end in it: so one
//      set of tiles serves all windows, and a key has a bounded number of them however long its windows are.
// TL3: what is kept is a function of the events and of the watermarks at which the key was touched.

import { assert } from '../log/errors.ts'
import { type ByteReader, type ByteWriter, corrupt } from './bytes.ts'
import { copyOf, joined, type PartSpec, type PartState, readPart, writePart } from './parts.ts'

/** A window of a part: from `lengthMs` before T to T, in panes of `paneMs`. */
export interface TileWindow {
  readonly lengthMs: number
  readonly paneMs: number
}

/** How tiles of one group of keys grow. Levels ascend, each pane is a multiple of the one before. */
export interface Ladder {
  readonly levels: readonly {
    readonly paneMs: number
    /** The longest window with panes of this width or narrower, milliseconds. */
    readonly reachMs: number
  }[]
  /** How long before the watermark windows can still end: for reads of the past and late records. */
  readonly lookbackMs: number
}

export interface Tile {
  readonly level: number
  /** Begin, milliseconds. */
  readonly start: number
  /** By part; undefined: no event. */
  readonly parts: (PartState | undefined)[]
}

/** Tiles in ascending order of start, of equal ones the narrower first. Mutable. */
export type Tiles = Tile[]

/** The ladder for windows. Throws RangeError where panes do not divide each other. */
export function ladderOf(windows: readonly TileWindow[], lookbackMs: number): Ladder {
  const panes = [...new Set(windows.map(({ paneMs }) => paneMs))].sort((a, b) => a - b)
  panes.forEach((paneMs, i) => {
    if (i > 0 && paneMs % panes[i - 1]! !== 0)
      throw new RangeError(`a pane of ${paneMs} ms is no multiple of ${panes[i - 1]} ms`)
  })
  const levels = panes.map((pane) => {
    const narrower = windows.filter(({ paneMs }) => paneMs <= pane)
    return { paneMs: pane, reachMs: Math.max(...narrower.map(({ lengthMs }) => lengthMs)) }
  })
  return { levels, lookbackMs }
}

/** The longest that an event is kept after the watermark passed it, milliseconds. */
export function keptMs({ levels, lookbackMs }: Ladder): number {
  const { paneMs, reachMs } = levels.at(-1) ?? { paneMs: 0, reachMs: 0 }
  return reachMs + paneMs + lookbackMs
}

/** Where an event of this time belongs; null: no window reaches it any more. */
export function placeOf(ladder: Ladder, time: number, watermark: number): { level: number; start: number } | null {
  for (let level = 0; level < ladder.levels.length; level++) {
    const { paneMs } = ladder.levels[level]!
    const start = Math.floor(time / paneMs) * paneMs
    if (isReached(ladder, level, start, watermark)) return { level, start }
  }
  return null
}

/** Whether a window with panes as wide as a tile's, or narrower, can still end in it. */
function isReached({ levels, lookbackMs }: Ladder, level: number, start: number, watermark: number): boolean {
  const { paneMs, reachMs } = levels[level]!
  return start + paneMs > watermark - lookbackMs - reachMs
}

/** Adds the parts of an event, by index, to the tile at its place. */
export function addToTiles(
  tiles: Tiles,
  specs: readonly PartSpec[],
  { level, start }: { level: number; start: number },
  parts: readonly (PartState | undefined)[],
): void {
  const tile = tileAt(tiles, level, start, specs.length)
  for (let i = 0; i < specs.length; i++) if (parts[i] !== undefined) addPart(tile, specs[i]!, i, parts[i]!)
}

function addPart(tile: Tile, spec: PartSpec, index: number, part: PartState): void {
  const known = tile.parts[index]
  tile.parts[index] = known === undefined ? copyOf(part) : joined(spec, known, part)
}

/** Most events fall into the last tile or after it. */
function tileAt(tiles: Tiles, level: number, start: number, parts: number): Tile {
  let at = tiles.length
  while (at > 0 && isBefore(start, level, tiles[at - 1]!)) at--
  const before = tiles[at - 1]
  if (before !== undefined && before.start === start && before.level === level) return before
  const tile: Tile = { level, start, parts: new Array(parts).fill(undefined) }
  tiles.splice(at, 0, tile)
  return tile
}

const isBefore = (start: number, level: number, tile: Tile): boolean =>
  start < tile.start || (start === tile.start && level < tile.level)

/** TL2. The tiles as they are at a watermark: the same ones, joined and dropped as far as may be. Takes the given ones over. */
export function settled(tiles: Tiles, specs: readonly PartSpec[], ladder: Ladder, watermark: number): Tiles {
  const stays = ({ level, start }: Tile): boolean => isReached(ladder, level, start, watermark)
  if (tiles.every(stays)) return tiles
  const result: Tiles = []
  for (const tile of tiles) {
    const place = stays(tile) ? tile : placeOf(ladder, tile.start, watermark)
    if (place === null) continue
    const last = result.at(-1)
    if (place === tile && (last === undefined || isBefore(last.start, last.level, tile))) result.push(tile)
    else addToTiles(result, specs, place, tile.parts)
  }
  return result
}

/** A part over a window that ends at T; undefined: no event. */
export function windowOf(
  tiles: Tiles,
  index: number,
  spec: PartSpec,
  { lengthMs, paneMs }: TileWindow,
  T: number,
): PartState | undefined {
  const end = (Math.floor(T / paneMs) + 1) * paneMs
  const from = end - lengthMs
  let sum: PartState | undefined
  for (let i = tiles.length - 1; i >= 0; i--) {
    const { start, parts } = tiles[i]!
    // A wide tile may begin before a narrow one that it does not hold, so no tile ends the search but by its own start.
    if (start >= end) continue
    if (start < from) break
    const part = parts[index]
    if (part !== undefined) sum = sum === undefined ? copyOf(part) : joined(spec, sum, part)
  }
  return sum
}

/** Bytes of tiles: (level, distance in panes, which parts, parts), one after the other. */
export function writeTiles(writer: ByteWriter, tiles: Tiles, specs: readonly PartSpec[], ladder: Ladder): void {
  writer.varint(tiles.length)
  let before = 0
  for (const { level, start, parts } of tiles) {
    const { paneMs } = ladder.levels[0]!
    writer.varint(level)
    writer.varint((start - before) / paneMs)
    before = start
    const used = specs.flatMap((_, i) => (parts[i] === undefined ? [] : [i]))
    assert(used.length > 0, 'a tile has an event')
    writer.varint(used.length)
    let last = -1
    for (const i of used) {
      writer.varint(i - last - 1)
      writePart(specs[i]!, parts[i]!, writer)
      last = i
    }
  }
}

export function readTiles(reader: ByteReader, specs: readonly PartSpec[], { levels }: Ladder): Tiles {
  let start = 0
  return reader.list(() => {
    const level = reader.varint()
    if (level >= levels.length) throw corrupt('a tile has a level that the plan does not have')
    start += reader.varint() * levels[0]!.paneMs
    const parts: Tile['parts'] = new Array(specs.length).fill(undefined)
    for (let left = reader.varint(), i = -1; left > 0; left--) {
      i += reader.varint() + 1
      const spec = specs[i]
      if (spec === undefined) throw corrupt('a tile has a part that the plan does not have')
      parts[i] = readPart(spec, reader)
    }
    return { level, start, parts }
  })
}
